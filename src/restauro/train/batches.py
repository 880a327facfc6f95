"""Batches of crops, drawn by counter and degraded anew where the recipe asks for it.

Batch number i is a function of (seed, i) alone, fresh degradations included, so that a resumed run sees exactly the
batches that an unbroken one would have seen.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from restauro.degrade.steps import counter_seed
from restauro.train.data import Bytes3, Pair, PairSet, degraded, network_input, to_tensor
from restauro.train.recipe import Recipe
from restauro.train.sections import DegradationSection
from restauro.train.vary import varied

FIRST = 8  # batches that dead units are found by


@dataclass(frozen=True)
class Share:
    """Which part of each batch is this process's: number ``rank`` of ``of`` equal ones."""

    rank: int = 0
    of: int = 1


@dataclass(frozen=True)
class _Draw:
    """One crop of a batch, as drawn; nothing is cut yet."""

    one: PairSet
    pair: Pair
    top: int
    left: int
    flip: bool
    quarters: int
    seed: int
    vary: bool
    other: Pair | None = None  # that parts of a varied crop are of


def batches(
    sets: list[PairSet], recipe: Recipe, start: int = 0, share: Share | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches (input, truth), float32 [N, C, patch, patch] in 0..1, for iterations ``start`` and after.

    C is 3, but of label maps the input's is a channel per class (and one of borders).

    Sets are drawn by weight, pictures of a set evenly, crops and horizontal flips evenly, quarter turns too where a
    set asks for them. N is ``batch * accumulate``:
    the part of process ``share.rank`` of what all processes together see in an iteration. Fresh degradations are made
    ahead in threads.
    """
    make = partial(_batch, sets, recipe, share or Share())
    iterations = range(start, recipe.iterations)
    if any(one.law for one in sets):
        yield from _ahead(make, iterations, workers=max(1, min(8, (os.cpu_count() or 1) // 2)))
    else:
        yield from map(make, iterations)


def first_inputs(sets: list[PairSet], recipe: Recipe) -> Tensor:
    """Inputs [N, C, patch, patch] of the first :data:`FIRST` batches, the same in every process."""
    return torch.cat([given for given, _ in islice(batches(sets, recipe), FIRST)])


def _ahead(
    make: Callable[[int], tuple[Tensor, Tensor]], iterations: range, workers: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """``map(make, iterations)``, some of it made before it is asked for."""
    waiting: deque[Future[tuple[Tensor, Tensor]]] = deque()
    pool = ThreadPoolExecutor(workers, initializer=partial(torch.set_num_threads, 1))  # the others are the network's
    try:
        for iteration in iterations:
            waiting.append(pool.submit(make, iteration))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _batch(sets: list[PairSet], recipe: Recipe, share: Share, iteration: int) -> tuple[Tensor, Tensor]:
    weights = np.array([one.weight for one in sets], dtype=np.float64)
    shares = weights / weights.sum()
    rng = np.random.Generator(np.random.Philox(key=recipe.seed, counter=[0, 0, 0, iteration]))
    mine = recipe.batch * recipe.accumulate
    draws = [
        _draw(sets[int(rng.choice(len(sets), p=shares))], recipe, rng, counter_seed(recipe.seed, iteration, place))
        for place in range(mine * share.of)  # every process draws for all, and cuts its own
    ]
    crops = [_cut(draw, recipe.patch_px) for draw in draws[share.rank * mine : (share.rank + 1) * mine]]
    given = network_input(np.stack([a for a, _ in crops]), draws[0].pair.planes)
    return given, to_tensor(np.stack([b for _, b in crops]))


def _draw(one: PairSet, recipe: Recipe, rng: np.random.Generator, seed: int) -> _Draw:
    pair, side = one.pairs[int(rng.integers(len(one.pairs)))], recipe.patch_px
    height, width = pair.truth.shape[:2]
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    flip = bool(rng.random() < 0.5)
    quarters = int(rng.integers(4)) if one.turns else 0
    vary = bool(one.vary and rng.random() < one.vary)
    mix = vary and bool(one.mix and rng.random() < one.mix)
    other = one.pairs[int(rng.integers(len(one.pairs)))] if mix else None
    return _Draw(one, pair, top, left, flip, quarters, seed, vary, other)


def _cut(draw: _Draw, side: int) -> tuple[Bytes3, Bytes3]:
    window = (slice(draw.top, draw.top + side), slice(draw.left, draw.left + side))
    step = -1 if draw.flip else 1
    source, truth = draw.pair.source[window], draw.pair.truth[window]
    if draw.one.law is not None and draw.vary:
        source, truth = _varied(draw, draw.one.law, side)
    elif draw.one.law is not None:
        source = np.concatenate([_fresh(draw, draw.one.law, side), source[..., 3:]], axis=2)
    return np.rot90(source[:, ::step], draw.quarters), np.rot90(truth[:, ::step], draw.quarters)


def _fresh(draw: _Draw, law: DegradationSection, side: int) -> Bytes3:
    """The crop, degraded together with up to ``margin_px`` around it."""
    top, left = max(0, draw.top - law.margin_px), max(0, draw.left - law.margin_px)
    wide = draw.pair.truth[top : draw.top + side + law.margin_px, left : draw.left + side + law.margin_px]
    top, left = draw.top - top, draw.left - left
    return degraded(wide, law, draw.seed)[top : top + side, left : left + side]


def _varied(draw: _Draw, law: DegradationSection, side: int) -> tuple[Bytes3, Bytes3]:
    """A crop of the varied picture after the law, and before it."""
    other = None if draw.other is None else draw.other.truth
    wide = varied(draw.pair.truth, side + 2 * law.margin_px, draw.seed, bend=draw.one.bend, other=other)
    window = (slice(law.margin_px, law.margin_px + side),) * 2
    return degraded(wide, law, draw.seed)[window], wide[window]
