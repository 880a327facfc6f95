"""tools/make_renovation_table.py: the runs it queues are recipes, and its classical rows do what they are called."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from restauro.degrade.laws import LAWS, degrade_tensor
from restauro.metrics.psnr import psnr
from restauro.models import build
from restauro.train.data import Pair, PairSet
from restauro.train.recipe import read_recipe
from tests.scripts import script

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    with script("make_renovation_table") as module:
        yield module


@pytest.fixture(scope="module")
def rows(tool: ModuleType) -> ModuleType:
    return sys.modules["classical_rows"]


def test_every_queued_run_is_a_recipe_for_a_network(tool: ModuleType, tmp_path: Path):
    commands = [shlex.split(line) for line in tool.queue(Path("pictures"), tmp_path, 4, "")]
    names = set()
    for words in commands:
        changes = [words[index + 1] for index, word in enumerate(words) if word == "--set"]
        recipe = read_recipe(REPOSITORY / words[2], tuple(changes))
        names.add(recipe.name)
        assert recipe.minutes == 4
        assert recipe.degradation.law in LAWS
        with torch.device("meta"):
            build(recipe.model.architecture, **recipe.model.options)
    assert len(names) == len(commands) == (1 + len(tool.RIVALS)) * len(tool.TASKS) + 8


def test_what_is_trained_is_not_queued_again(tool: ModuleType, tmp_path: Path):
    done = tmp_path / "renovate-noise-unet" / "renovate-noise-unet.safetensors"
    done.parent.mkdir()
    done.touch()
    left = " ".join(tool.queue(Path("pictures"), tmp_path, 4, "renovate-noise"))
    assert "name=renovate-noise-hifacegan" in left
    assert "name=renovate-noise-unet" not in left


@pytest.mark.parametrize(("law", "row", "gain"), [("noise", "non-local means", 5), ("blur", "Wiener", 0.3)])
def test_classical_rows_gain_where_they_should(rows: ModuleType, law: str, row: str, gain: float, astronaut: Tensor):
    astronaut = astronaut[..., 40:136, 60:156].contiguous()
    worse, _ = degrade_tensor(astronaut, law, {"gaussian": 1.0} | ({"motion": 0.0} if law == "blur" else {}), seed=1)
    source, truth = ((x[0].permute(1, 2, 0).numpy() * 255).round().astype("uint8") for x in (worse, astronaut))
    one = PairSet("faces", 1.0, (Pair("a", "", source, truth),))
    name, restore = (rows.non_local_means if law == "noise" else rows.deconvolved)(one)
    assert name.startswith(row)
    assert psnr(restore(worse).clamp(0, 1), astronaut).item() > psnr(worse, astronaut).item() + gain


def test_noise_is_measured_through_edges(rows: ModuleType, astronaut: Tensor):
    generator = torch.Generator().manual_seed(0)
    noisy = astronaut + 0.1 * torch.randn(astronaut.shape, generator=generator)
    assert rows.noise_deviation(noisy) == pytest.approx(0.1, rel=0.15)
