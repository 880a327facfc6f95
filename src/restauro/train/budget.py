"""A budget in minutes becomes a number of iterations: measured once, before the first iteration, then fixed.

So a run that had a budget is as reproducible as any: its checkpoint and its weights name the number, and
``--set iterations=N`` makes the same weights again on a slower machine.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from restauro.train.batches import Share, batches
from restauro.train.data import PairSet
from restauro.train.parallel import first_says
from restauro.train.recipe import Recipe
from restauro.train.step import Training

WARM_UP, FEWEST = 2, 3  # iterations that are not timed, and that are timed at least
LONGEST_S = 10.0


def resolved(
    recipe: Recipe, saved: Mapping[str, Any] | None, sets: Sequence[PairSet], share: Share | None = None
) -> Recipe:
    """The recipe with its ``minutes`` turned into ``iterations``; any other recipe as it is.

    Parameters
    ----------
    recipe
        What was asked for.
    saved
        The checkpoint that the run goes on from, which knows the number; None measures it.
    sets, share
        What the measured steps are made on; they are thrown away. The time they take is part of the budget.
    """
    if recipe.minutes is None:
        return recipe
    if saved is not None:
        iterations = Recipe.model_validate_json(saved["recipe"]).iterations
    else:
        iterations = first_says(_that_fit(recipe, 60 * recipe.minutes, sets, share))
    return recipe.model_copy(update={"iterations": iterations, "minutes": None})


def _that_fit(recipe: Recipe, seconds: float, sets: Sequence[PairSet], share: Share | None) -> int:
    endless = recipe.model_copy(update={"iterations": 10**9, "minutes": None})
    began = time.monotonic()
    state, timed, since = Training(endless, share), -WARM_UP, began
    for source, truth in batches(list(sets), endless, 0, share):
        state.step(source, truth)
        timed += 1
        if timed == 0:
            since = time.monotonic()
        enough = timed >= FEWEST and time.monotonic() - since > min(LONGEST_S, 0.05 * seconds)
        if first_says(int(enough)):
            break
    now = time.monotonic()
    return max(1, round((seconds - (now - began)) * timed / (now - since)))
