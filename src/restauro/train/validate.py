"""Scoring a network on the validation pictures of its recipe, beside the two things it must beat.

The rows: ``identity`` (the degraded input handed through), ``unsharp`` (the best unsharp mask of a small grid,
chosen *on these very pictures*, so it is flattered), and the network. Results are rounded to 8 bits first, as a file
would have them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from restauro.facts import Facts
from restauro.metrics import psnr as psnr_metric
from restauro.metrics import ssim as ssim_metric
from restauro.metrics.table import IDENTITY, Column, Row, Table
from restauro.train.data import PairSet, load_pairs, to_tensor
from restauro.train.recipe import Recipe

COLUMNS = (
    Column(psnr_metric.NAME, "higher", digits=2, unit="dB"),
    Column(ssim_metric.NAME, "higher", digits=4),
)

#: (sigma in px, amount) of the unsharp masks that are tried.
UNSHARP_GRID = tuple((sigma, amount) for sigma in (0.7, 1.5, 3.0) for amount in (0.1, 0.25, 0.5, 1.0))

Restore = Callable[[Tensor], Tensor]
Scores = tuple[dict[str, float], dict[str, float]]


def validation_sets(recipe: Recipe, root: Path, cache: Path) -> list[PairSet]:
    """The recipe's validation pictures with their degraded inputs."""
    return [load_pairs(spec, root, recipe.degradation, cache) for spec in recipe.data.validation]


def score_table(one: PairSet, methods: Mapping[str, Restore], about: Mapping[str, str]) -> Table:
    """Score methods on one validation set.

    Parameters
    ----------
    one
        The pictures.
    methods
        Name -> a function from [1, 3, H, W] in 0..1 to the same.
    about
        Where the numbers come from; printed under the table.
    """
    rows = [_row(IDENTITY, one, lambda x: x), _best_unsharp(one)]
    rows += [_row(name, one, restore) for name, restore in methods.items()]
    return Table(COLUMNS, tuple(rows), about={"set": one.name, **about})


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


def _row(method: str, one: PairSet, restore: Restore) -> Row:
    psnr, ssim = _scores(one, restore)
    return Row(method, {psnr_metric.NAME: psnr, ssim_metric.NAME: ssim}, truth_digest=_digest(one))


def _scores(one: PairSet, restore: Restore) -> Scores:
    psnr: dict[str, float] = {}
    ssim: dict[str, float] = {}
    for pair in one.pairs:
        output = (restore(to_tensor(pair.source[None])).clamp(0, 1) * 255).round() / 255
        truth = to_tensor(pair.truth[None])
        psnr[pair.name] = float(psnr_metric.psnr(output, truth)[0])
        ssim[pair.name] = float(ssim_metric.ssim(output, truth)[0])
    return psnr, ssim


def _best_unsharp(one: PairSet) -> Row:
    """The unsharp mask of the grid with the best mean PSNR on the pictures at hand."""
    sample = PairSet(one.name, one.weight, one.pairs[:: max(1, len(one.pairs) // 16)])
    means = {
        setting: np.mean(list(_scores(sample, lambda x, s=setting: unsharp(x, *s))[0].values()))  # type: ignore[misc]
        for setting in UNSHARP_GRID
    }
    sigma, amount = max(means, key=lambda setting: float(means[setting]))
    return _row(f"unsharp sigma={sigma} amount={amount}", one, lambda x: unsharp(x, sigma, amount))


def _digest(one: PairSet) -> str:
    total = hashlib.sha256()
    for pair in one.pairs:
        total.update(f"{pair.name} {pair.file_sha256}\n".encode())
    return total.hexdigest()
