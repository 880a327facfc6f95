"""tools/make_desmooth_table.py and tools/make_smoother_matrix.py: what is queued trains, what is missing is said."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from restauro.degrade.smoothers import SCALES, UNSEEN
from restauro.metrics.interval import Interval
from restauro.metrics.table import IDENTITY
from restauro.models import build
from restauro.train.data import Pair, PairSet
from restauro.train.recipe import read_recipe
from restauro.train.validate import score_table
from tests.scripts import script

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(params=["make_desmooth_table", "make_smoother_matrix"])
def either(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    with script(request.param) as module:
        yield module


@pytest.fixture
def table() -> Iterator[ModuleType]:
    with script("make_desmooth_table") as module:
        yield module


@pytest.fixture
def matrix() -> Iterator[ModuleType]:
    with script("make_smoother_matrix") as module:
        yield module


def test_every_queued_run_is_a_recipe_for_a_network(
    either: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("sys.argv", ["tool", "--root", "DATA", "--runs", str(tmp_path), "--queue"])
    assert either.main() == 0
    lines = capsys.readouterr().out.splitlines()
    names = set()
    for line in lines:
        words = shlex.split(line)
        changes = tuple(words[k + 1] for k, word in enumerate(words) if word == "--set")
        recipe = read_recipe(REPOSITORY / words[2], changes)
        assert (recipe.minutes, recipe.data.validation) == (either.MINUTES, ())
        with torch.device("meta"):
            build(recipe.model.architecture, **recipe.model.options)
        names.add(recipe.name)
    assert len(names) == len(lines) > 3


def test_rows_have_the_seeds_that_were_asked_for_and_what_is_trained_is_not_queued(table: ModuleType, tmp_path: Path):
    runs = table.all_runs()
    seeds = {
        variant: sorted(r.seed for r in runs if r.variant == variant and r.where == "faces") for variant in table.ROWS
    }
    assert seeds["ours"] == seeds["adain"] == seeds["no-fa"] == [1, 2, 3]
    assert seeds["pix2pix"] == [1]
    first = runs[0].weights(tmp_path)
    first.parent.mkdir()
    first.touch()
    assert table.missing(tmp_path) == runs[1:]


def test_a_row_is_the_mean_over_its_seeds_beside_the_papers(table: ModuleType):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    noise = rng.integers(-20, 20, truth.shape)
    worn = np.clip(truth + noise, 0, 255).astype(np.uint8)
    one = PairSet("faces", 1.0, tuple(Pair(str(k), "", worn[k], truth[k]) for k in range(4)))
    runs = [table.Run("ours", seed, "faces") for seed in (1, 2)]
    methods = {table.label(runs[0]): lambda x: x, table.label(runs[1]): lambda x: x.clamp(0.2, 0.8)}
    scored = score_table(one, methods, {}, metrics=("psnr",))
    cell = table.shown(scored, [table.label(run) for run in runs], (27.36,))[0]
    means = [scored.interval(name, "psnr:rgb").mean for name in methods]
    assert cell == f"{np.mean(means):.2f} ± {(max(means) - min(means)) / 2:.2f} (27.36)"
    assert table.shown(scored, [IDENTITY], None) == [f"{means[0]:.2f}"]
    recipe = json.dumps({"iterations": 77})
    weights = SimpleNamespace(architecture="residual-unet", options={"width": 4}, metadata={"recipe": recipe})
    lines = table.beside(scored, {runs[0]: weights, runs[1]: weights}, "CelebA").splitlines()
    ours = next(line for line in lines if line.startswith("| Ours |"))
    assert "| 77/77 |" in ours
    assert "not trained" in next(line for line in lines if line.startswith("| SPADE |"))


def test_columns_are_smoothers_that_smooth_alike_each_time(matrix: ModuleType, astronaut_crop: torch.Tensor):
    for name in matrix.TESTED:
        once, again = (matrix.smoother_of(name, 3)(astronaut_crop) for _ in range(2))
        assert torch.equal(once, again)
        assert matrix.decibel(once, astronaut_crop) < 45
    assert set(matrix.TRAINED) < set(SCALES)
    assert not set(UNSEEN) & set(SCALES)


def test_rows_of_networks_that_are_gone_are_kept_from_the_page(matrix: ModuleType):
    row = {column: Interval(1.0 - place, -9.25, 2.0, 17) for place, column in enumerate(matrix.TESTED)}
    page = matrix.page({"faces": {"l0 alone": row}, "photographs": {"rtv alone": row}}, "x.png")
    assert matrix.kept(page, "faces", ["l0 alone", "rtv alone"], 17) == {"l0 alone": row}
    assert matrix.kept(page, "photographs", ["l0 alone", "rtv alone"], 17) == {"rtv alone": row}
    assert matrix.kept(page, "faces", ["l0 alone"], 20) == matrix.kept("", "faces", ["l0 alone"], 17) == {}


def test_the_matrix_knows_gain_from_loss(matrix: ModuleType):
    rng = np.random.default_rng(0)
    truths = [Pair(str(k), "", p, p) for k, p in enumerate(rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8))]
    matrix.TESTED = ("guided",)
    found = matrix.matrix(truths, {"left alone": lambda x: x, "greyed": lambda x: 0 * x + 0.5})
    assert found["left alone"]["guided"] == Interval(0, 0, 0, 3)
    assert found["greyed"]["guided"].mean < 0
    page = matrix.page({"faces": found}, "a.png")
    assert "| left alone | +0.00 [+0.00, +0.00] |" in page
    picture = np.asarray(matrix.drawn({"faces": found}))
    assert picture.shape == (2 * matrix.CELL_PX, matrix.CELL_PX, 3)
    assert picture[0, 0, 1] > picture[-1, 0, 1], "level is green, a loss is blue"


@pytest.fixture
def astronaut_crop(astronaut: torch.Tensor) -> torch.Tensor:
    return astronaut[..., :64, :64]
