"""Training throughput of the repository's recipes: whole steps in bfloat16 and float32, in turn.

On processors where float32 trains by :mod:`restauro.train.winograd`, a third form has torch's convolutions alone.

Batches are noise in memory, so that reading and degrading pictures is left out. A loss whose feature weights are not
there is left out, and the row says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.harness import ROOT, Case, compare
from benchmarks.inputs import use_threads
from restauro.errors import ModelError
from restauro.train.labels import condition_channels
from restauro.train.losses import Losses
from restauro.train.recipe import Recipe, read_recipe
from restauro.train.sections import LossSection
from restauro.train.step import Training
from restauro.train.winograd import pays, slow

QUESTION = "How fast do the recipes train, and what is bfloat16 worth?"
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))
ROUNDS = 5
PRECISIONS = ("float32", "bfloat16")  # the first is what ratios are of
PLAIN = "float32, torch's"


def cases(rounds: int, threads: int, recipes: Sequence[Path] = RECIPES) -> list[Case]:
    """One case for each recipe."""
    use_threads(threads)
    return [case(read_recipe(path), rounds) for path in recipes]


def case(recipe: Recipe, rounds: int) -> Case:
    """Time one recipe's steps; iterations per second come from the median."""
    recipe, left_out = timed_form(recipe)
    states = {name: Training(recipe.model_copy(update={"precision": name})) for name in PRECISIONS}
    if pays(states["float32"].device):
        states[PLAIN] = Training(recipe.model_copy(update={"precision": "float32"}))
        slow(states[PLAIN].net)
    count, side = recipe.batch * recipe.accumulate, recipe.patch_px
    planes = condition_channels(recipe.labels, states["float32"].net) or 3
    generator = torch.Generator().manual_seed(recipe.seed)
    source, truth = (torch.rand(count, channels, side, side, generator=generator) for channels in (planes, 3))

    def step(name: str) -> None:
        states[name].step(source, truth)
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    seconds, ratios = compare({name: lambda name=name: step(name) for name in states}, rounds)
    speeds = {f"{name}, it/s": 1 / spread.median for name, spread in seconds.items()}
    parameters = sum(p.numel() for p in states["float32"].net.parameters()) / 1e6
    notes = {"recipe": recipe.name, "M parameters": parameters, "batch": count, **speeds, "left out": left_out}
    return Case(side, side, seconds, ratios, notes=notes)


def timed_form(recipe: Recipe) -> tuple[Recipe, str]:
    """The recipe from untrained weights and without losses whose weights are not there; what was left out."""
    missing = [name for name in ("features", "lpips", "vgg") if not _there(recipe.loss, name)]
    loss = recipe.loss.model_copy(update={name: LossSection.model_fields[name].default for name in missing})
    said = f"{', '.join(missing)}: no weights" if missing else "nothing"
    return recipe.model_copy(update={"loss": loss, "start": None}), said


def _there(loss: LossSection, name: str) -> bool:
    try:
        Losses(LossSection(**{name: getattr(loss, name)}), torch.device("cpu"))
    except ModelError:
        return False
    return True
