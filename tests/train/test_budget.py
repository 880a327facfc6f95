"""A budget in minutes: measured once, fixed, and as reproducible as a number of iterations."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from restauro.errors import DataError
from restauro.models import find
from restauro.train import budget
from restauro.train.budget import resolved
from restauro.train.loop import Progress, train
from restauro.train.recipe import Recipe, read_recipe
from restauro.train.step import Training
from tests.train.small import TINY, tiny

PLAIN = {key: value for key, value in TINY.items() if key != "iterations"}


def _minutes(minutes: float) -> Recipe:
    return Recipe.model_validate({**PLAIN, "minutes": minutes})


def test_the_number_fits_the_time(root: Path, monkeypatch: pytest.MonkeyPatch):
    """Steps of exactly 0.05 s by a clock that only they move: 3 s are 60 of them, measuring included."""
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(budget, "batches", lambda *given: iter([(None, None)] * 100))
    steps = []

    def step(state: Training, source: object, truth: object) -> None:
        steps.append(1)
        clock[0] += 0.05

    monkeypatch.setattr(Training, "step", step)
    found = resolved(_minutes(0.05), None, [])
    assert len(steps) >= budget.WARM_UP + budget.FEWEST
    assert found.iterations == 60 - len(steps)
    assert found.minutes is None
    assert resolved(tiny(), None, []) is not None


def test_a_stopped_run_keeps_its_number_and_its_weights_name_it(root: Path, tmp_path: Path):
    recipe = _minutes(0.004)
    assert train(recipe, root=root, run=tmp_path / "run", minutes=0) is None
    seen: list[Progress] = []
    made = train(recipe, root=root, run=tmp_path / "run", resume=True, on_progress=seen.append)
    resumed = Recipe.model_validate_json(find(made).metadata["recipe"])
    assert resumed.minutes is None
    assert resumed.iterations == seen[-1].of == seen[-1].iteration
    again = train(tiny(iterations=resumed.iterations), root=root, run=tmp_path / "again")
    assert made.read_bytes() == again.read_bytes(), "the number alone makes the same weights"


def test_two_budgets_are_one_too_many_and_an_override_replaces_the_other(tmp_path: Path):
    with pytest.raises(ValueError, match="iterations or in minutes"):
        tiny(minutes=3.0)
    recipe = Path(__file__).parents[2] / "recipes" / "desmooth-general.toml"
    assert read_recipe(recipe, ("minutes=3",)).minutes == 3
    given = read_recipe(recipe, ("minutes=3", "iterations=7"))
    assert (given.minutes, given.iterations) == (None, 7)
    both = tmp_path / "both.toml"
    both.write_text(recipe.read_text().replace("batch = 16", "batch = 16\nminutes = 3"))
    with pytest.raises(DataError, match="iterations or in minutes; remove one"):
        read_recipe(both)
    whole = _minutes(3.0)
    assert Recipe.model_validate_json(whole.to_json()) == whole
