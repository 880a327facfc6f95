"""tools/make_deblur_table.py: its inputs are what it says, and a dark spot common to all outputs is found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from restauro.metrics.psnr import psnr
from restauro.train.data import Pair
from tests.scripts import script


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    with script("make_deblur_table") as module:
        yield module


def test_a_common_spot_is_told_from_chance(tool: ModuleType):
    rng = np.random.default_rng(0)
    maps = rng.normal(0, 2, (17, 3, tool.GRID, tool.GRID))
    spot = np.zeros((tool.GRID, tool.GRID))
    spot[10:14, :4] = -20
    rows = tool.common({"chance": maps, "spot": maps + spot, "dark": maps - 5}).splitlines()[2:]
    cells = {row.split("|")[1].strip(): [part.strip() for part in row.split("|")[2:5]] for row in rows}
    assert float(cells["chance"][1]) == pytest.approx(float(cells["chance"][2]), rel=0.15)
    assert float(cells["spot"][1]) > 5 * float(cells["spot"][2])
    assert cells["dark"][1] == cells["chance"][1]
    assert all(float(value) == pytest.approx(-5, abs=0.1) for value in cells["dark"][0].split(","))


def test_columns_get_stronger_and_know_their_kernels(tool: ModuleType, tmp_path: Path, astronaut_array: np.ndarray):
    truth = np.rint(astronaut_array[:96, :96] * 255).astype(np.uint8)
    pairs = [Pair(str(k), "", truth, truth) for k in range(2)]
    columns = tool.columns(tmp_path)
    assert list(columns) == ["light", "medium", "heavy", "sharp", "report"]
    quality = {}
    for name, (_, blur) in columns.items():
        made = tool.samples(pairs, blur)
        assert (made[0].kernel is None) == (name == "sharp")
        quality[name] = float(np.mean([float(psnr(one.source, one.truth)[0]) for one in made]))
    assert quality["sharp"] > 45  # one level of noise
    assert quality["sharp"] > quality["light"] > quality["medium"] > quality["heavy"]
    one = tool.samples(pairs, columns["medium"][1])[0]
    restored = tool.with_kernel(one, tool.WIENER)
    assert restored.shape == one.truth.shape
    assert float(psnr(restored.clamp(0, 1), one.truth)[0]) > float(psnr(one.source, one.truth)[0]) + 2
    assert torch.equal(one.source, tool.samples(pairs, columns["medium"][1])[0].source)
