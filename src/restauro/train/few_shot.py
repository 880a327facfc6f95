"""Personalise: a recipe that fits a shipped network to a few pairs that a user made with a filter of their own.

Nothing here trains. :func:`few_shot_recipe` writes the recipe that :func:`restauro.train.loop.train` then runs, so a
personal model has a run folder, a log and its recipe in its weights like every other.
"""

from __future__ import annotations

import os
from pathlib import Path

from restauro.errors import DataError, ModelError, UsageError
from restauro.models import Weights
from restauro.train.recipe import SEES_DECONVOLUTIONS, Recipe, checked
from restauro.train.sections import PictureSet

#: Fewer pairs than this teach the pictures and not the filter.
FEWEST = 5


def few_shot_recipe(
    weights: Weights, truths: Path, inputs: Path, name: str, *, rank: int = 8, iterations: int = 300
) -> tuple[Recipe, Path]:
    """The recipe that fits a network to pairs, and the root that its folders are relative to.

    Parameters
    ----------
    weights
        The network to start from, as :func:`restauro.models.find` gave it.
    truths, inputs
        Two folders with the same names: pictures as they were, and as the filter left them.
    name
        Of the personal model: small letters, digits and dashes.
    rank
        Of the changes to the weights; see :mod:`restauro.train.low_rank`.
    iterations
        Of 8 crops of 128 x 128 each.

    Raises
    ------
    DataError
        No such folder, fewer than five pictures in it, or a name that is none.
    ModelError, UsageError
        Weights without their recipe; a model for label maps.
    """
    for folder in (truths, inputs):
        if not folder.is_dir():
            raise DataError(f"{folder}: found no such folder, wanted one half of the pairs; correct the path")
    count = sum(path.is_file() for path in truths.rglob("*"))
    if count < FEWEST:
        raise DataError(f"{truths}: found {count} pictures, wanted at least {FEWEST}; make some more pairs")
    root = Path(os.path.commonpath([truths.resolve(), inputs.resolve()]))
    pairs = PictureSet(
        name="pairs",
        folder=str(truths.resolve().relative_to(root)),
        inputs=str(inputs.resolve().relative_to(root)),
    )
    if "recipe" not in weights.metadata:
        raise ModelError(f"{weights.path}: found no recipe in the weights, wanted a network that this library trained")
    began = Recipe.model_validate_json(weights.metadata["recipe"])
    if began.labels:
        raise UsageError(f"--few-shot {weights.name}: found a model for label maps, wanted one for pictures")
    tree = {
        "name": name,
        "verb": began.verb,
        "summary": f"{weights.name}, fitted to {count} pairs of one filter",
        "terms": f"a personal model; its start: {began.terms}",
        "seed": 1,
        "iterations": iterations,
        "batch": 8,
        "patch_px": 128,
        "precision": began.precision,
        "ema": 0.98,
        "model": {"architecture": weights.architecture, "options": dict(weights.options)},
        "degradation": {"deconvolve": weights.architecture in SEES_DECONVOLUTIONS},
        "data": {"train": [pairs]},
        "loss": {"l1": 1.0, "ssim": 0.05},
        "optimiser": {"lr": 1e-3, "weight_decay": 0.0, "warmup": 20},
        "start": weights.name if weights.record else str(weights.path),
        "adapt": {"rank": rank},
    }
    return checked(tree, f"--few-shot {weights.name}"), root
