"""tools/make_hybrid_table.py: its runs are recipes, seams are found, and a page is made of what lies finished."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
import torch

from restauro.models import build
from restauro.train.recipe import read_recipe
from tests.scripts import script

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    with script("make_hybrid_table") as module:
        yield module


def test_the_ablation_builds_and_its_commands_are_read(tool: ModuleType, tmp_path: Path):
    lines = tool.queue(tmp_path, tmp_path / "runs")
    assert len(lines) == len(tool.ABLATION)
    for line, (architecture, options) in zip(lines, tool.ABLATION.values(), strict=True):
        words = shlex.split(line)
        changes = tuple(word for flag, word in pairwise(words) if flag == "--set")
        recipe = read_recipe(REPOSITORY / words[2], changes)
        assert recipe.model.options == options
        assert recipe.minutes == tool.MINUTES
        with torch.device("meta"):
            build(architecture, **options)


def test_seams_are_told_from_noise(tool: ModuleType):
    noise = torch.randn(1, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    checks = torch.arange(160).div(tool.TILE_PX, rounding_mode="floor") % 2
    assert tool.seam(noise) == pytest.approx(1, abs=0.05)
    assert tool.seam(noise + 3 * (checks + checks[:, None])) > 1.5
