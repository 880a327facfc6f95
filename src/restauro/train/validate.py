"""Scoring a network on the validation pictures of its recipe, beside the two things it must beat.

The rows: ``identity`` (the degraded input handed through), ``unsharp`` (the best unsharp mask of a small grid,
chosen *on these very pictures*, so it is flattered), and the network. Results are rounded to 8 bits first, as a file
would have them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from restauro.facts import Facts
from restauro.metrics.catalogue import CLEAN, Setup
from restauro.metrics.psnr import psnr
from restauro.metrics.scoreboard import Scoreboard
from restauro.metrics.table import IDENTITY, Table
from restauro.train.data import PairSet, load_pairs, to_tensor
from restauro.train.recipe import Recipe

#: (sigma in px, amount) of the unsharp masks that are tried.
UNSHARP_GRID = tuple((sigma, amount) for sigma in (0.7, 1.5, 3.0) for amount in (0.1, 0.25, 0.5, 1.0))

Restore = Callable[[Tensor], Tensor]


def validation_sets(recipe: Recipe, root: Path, cache: Path) -> list[PairSet]:
    """The recipe's validation pictures with their degraded inputs."""
    return [load_pairs(spec, root, recipe.degradation, cache) for spec in recipe.data.validation]


def score_table(
    one: PairSet,
    methods: Mapping[str, Restore],
    about: Mapping[str, str],
    *,
    metrics: Sequence[str] = CLEAN,
    setup: Setup | None = None,
) -> Table:
    """Score methods on one validation set.

    Parameters
    ----------
    one
        The pictures.
    methods
        Name -> a function from [1, 3, H, W] in 0..1 to the same.
    about
        Where the numbers come from; printed under the table.
    metrics, setup
        See :class:`restauro.metrics.scoreboard.Scoreboard`.
    """
    sigma, amount = _best_unsharp(one)
    rows: dict[str, Restore] = {
        IDENTITY: lambda x: x,
        f"unsharp sigma={sigma} amount={amount}": lambda x: unsharp(x, sigma, amount),
    }
    board = Scoreboard(metrics, setup)
    digest = hashlib.sha256()
    for pair in one.pairs:
        digest.update(f"{pair.name} {pair.file_sha256}\n".encode())
        source, truth = to_tensor(pair.source[None]), to_tensor(pair.truth[None])
        for method, restore in (*rows.items(), *methods.items()):
            board.add(method, pair.name, _stored(restore(source)), truth, source)
    return board.table(about={"set": one.name, **about}, truth_digest=digest.hexdigest())


def whole_picture(net: nn.Module, facts: Facts) -> Restore:
    """Run a network on whole pictures in float32: the plain form that every faster one is judged by."""

    def restore(x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        pad = (0, -width % facts.multiple, 0, -height % facts.multiple)
        with torch.inference_mode():
            padded = nn.functional.pad(x, pad, mode="reflect")
            output: Tensor = net(padded)
        return output[..., :height, :width]

    return restore


def unsharp(x: Tensor, sigma_px: float, amount: float) -> Tensor:
    """Unsharp masking: x + amount * (x - Gaussian(x)), clipped to 0..1.

    >>> x = torch.full((1, 3, 8, 8), 0.5)
    >>> torch.allclose(unsharp(x, 1.5, 1.0), x)
    True
    """
    radius = max(1, round(3 * sigma_px))
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma_px).square())
    taps = (taps / taps.sum()).to(x)
    y = nn.functional.pad(x, (radius,) * 4, mode="replicate")
    channels = x.shape[1]
    y = nn.functional.conv2d(y, taps.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    y = nn.functional.conv2d(y, taps.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return (x + amount * (x - y)).clamp(0, 1)


def _best_unsharp(one: PairSet) -> tuple[float, float]:
    """The unsharp mask of the grid with the best mean PSNR, on at most 32 of the pictures."""
    sample = one.pairs[:: -(-len(one.pairs) // 32)]

    def mean_psnr(setting: tuple[float, float]) -> float:
        values = [
            float(psnr(_stored(unsharp(to_tensor(pair.source[None]), *setting)), to_tensor(pair.truth[None]))[0])
            for pair in sample
        ]
        return float(np.mean(values))

    return max(UNSHARP_GRID, key=mean_psnr)


def _stored(x: Tensor) -> Tensor:
    """What a file of 8 bits would hold."""
    return (x.clamp(0, 1) * 255).round() / 255
