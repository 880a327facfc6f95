"""Scoring a network on the validation pictures of its recipe, beside the two things it must beat.

The rows: ``identity`` (the degraded input handed through; a label map in the colours of its list), ``unsharp`` (the
best unsharp mask of a small grid, chosen *on these very pictures*, so it is flattered; of label maps the ``class
means``, as flattered), and the network. Results are rounded to 8 bits first, as a file
would have them.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from restauro.facts import Facts
from restauro.metrics.catalogue import CLEAN, Setup
from restauro.metrics.psnr import psnr
from restauro.metrics.scoreboard import Scoreboard
from restauro.metrics.table import IDENTITY, Table
from restauro.models import Weights, facts_of, load
from restauro.train.data import Pair, PairSet, load_pairs, to_tensor
from restauro.train.recipe import Recipe

#: (sigma in px, amount) of the unsharp masks that are tried.
UNSHARP_GRID = tuple((sigma, amount) for sigma in (0.7, 1.5, 3.0) for amount in (0.1, 0.25, 0.5, 1.0))

Restore = Callable[[Tensor], Tensor]
ScoreRow = dict[str, str | float | int]


def validation_sets(recipe: Recipe, root: Path, cache: Path, draws: int = 1) -> list[PairSet]:
    """The recipe's validation pictures with their degraded inputs, or so many by other draws of each."""
    law, labels = recipe.degradation, recipe.labels
    return [load_pairs(spec, root, law, cache, labels=labels, draws=draws) for spec in recipe.data.validation]


def training_sets(recipe: Recipe, root: Path, cache: Path, most: int, draws: int = 1) -> list[PairSet]:
    """At most so many pictures of each training set, evenly spaced in its list, whole and degraded as for validation.

    A network that restores them much better than the validation pictures has learned them by heart.
    """
    law, labels = recipe.degradation, recipe.labels
    sets = (load_pairs(spec, root, law, cache, labels=labels, most=most, draws=draws) for spec in recipe.data.train)
    return [replace(one, name=f"{one.name}-training") for one in sets]


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
        Name -> a function from [1, 3, H, W] in 0..1 to the same; of label maps, from their planes [1, C, H, W].
    about
        Where the numbers come from; printed under the table.
    metrics, setup
        See :class:`restauro.metrics.scoreboard.Scoreboard`.
    """
    planes = one.pairs[0].planes
    name, reference = class_means(one.pairs) if planes and not planes.beside else _best_unsharp(one)
    board = Scoreboard(metrics, setup)
    digest = hashlib.sha256()
    for pair in one.pairs:
        digest.update(f"{pair.name} {pair.file_sha256}\n".encode())
        shown, truth = to_tensor(pair.shown()[None]), to_tensor(pair.truth[None])
        board.add(IDENTITY, pair.name, stored(shown), truth, shown)
        for method, restore in ((name, reference), *methods.items()):
            given, began = pair.given(), time.perf_counter()
            made = restore(given)
            board.add(method, pair.name, stored(made), truth, shown, time.perf_counter() - began)
    return board.table(about={"set": one.name, **about}, truth_digest=digest.hexdigest(), draws=one.draws)


def score_shipped(weights: Path, sets: Sequence[PairSet], device: torch.device) -> dict[str, Table]:
    """Score a weights file, as it stands, on validation sets: set -> table."""
    net = load(weights)
    restore = whole_picture(net.to(device), facts_of(net))
    return {
        one.name: score_table(
            one, {weights.stem: lambda x: restore(x.to(device)).cpu()}, {"command": "restauro train, at its end"}
        )
        for one in sets
    }


def score_rows(tables: Mapping[str, Table], method: str) -> list[ScoreRow]:
    """What travels with weights: for each set and metric the mean, and the gain over the identity with its interval.

    Numbers that do not exist are left out: one picture has no interval.
    """
    rows: list[ScoreRow] = []
    for name, table in tables.items():
        for column in table.columns:
            mean, gain = table.interval(method, column.name), table.gain(method, column.name, IDENTITY)
            if mean is not None and gain is not None and mean.count and gain.count:
                numbers = {"mean": mean.mean, "gain": gain.mean, "low": gain.low, "high": gain.high}
                rounded = {key: round(value, 4) for key, value in numbers.items() if math.isfinite(value)}
                rows.append({"set": name, "metric": column.name, **rounded, "pictures": mean.count})
    return rows


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


def network(weights: Weights) -> Restore:
    """Trained weights on whole pictures, in float32 on the processor."""
    net = load(weights)
    return whole_picture(net, facts_of(net))


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


def _best_unsharp(one: PairSet) -> tuple[str, Restore]:
    """The unsharp mask of the grid with the best mean PSNR, on at most 32 of the pictures."""
    sample = one.pairs[:: -(-len(one.pairs) // 32)]

    def mean_psnr(setting: tuple[float, float]) -> float:
        values = [
            float(psnr(stored(unsharp(to_tensor(pair.shown()[None]), *setting)), to_tensor(pair.truth[None]))[0])
            for pair in sample
        ]
        return float(np.mean(values))

    sigma, amount = max(UNSHARP_GRID, key=mean_psnr)
    return f"unsharp sigma={sigma} amount={amount}", lambda x: unsharp(x[:, :3], sigma, amount)


def class_means(pairs: Sequence[Pair]) -> tuple[str, Restore]:
    """Every pixel in the mean colour of its class: no other flat painting of a label map has a lower squared error."""
    sums = counts = torch.zeros(())
    for pair in pairs:
        planes, truth = pair.given().double(), to_tensor(pair.truth[None]).double()
        sums = sums + torch.einsum("nkhw,nchw->kc", planes, truth)
        counts = counts + planes.sum((0, 2, 3))
    assert pairs[0].planes is not None
    classes = len(pairs[0].planes.classes)
    means = (sums / counts.clamp(min=1)[:, None]).float()[:classes]
    return "class means", lambda x: torch.einsum("nkhw,kc->nchw", x[:, :classes], means)


def stored(x: Tensor) -> Tensor:
    """What a file of 8 bits would hold."""
    return (x.clamp(0, 1) * 255).round() / 255
