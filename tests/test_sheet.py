"""Sheets: every pixel where it belongs."""

from __future__ import annotations

import numpy as np
import pytest

from restauro.errors import UsageError
from restauro.sheet import Panel, comparison, grid

RNG = np.random.default_rng(0)


def test_grid_holds_the_pictures_untouched():
    small, large = RNG.integers(0, 256, (2, 20, 30, 3), np.uint8)[0], RNG.integers(0, 256, (40, 50, 3), np.uint8)
    sheet = np.asarray(grid([[small, large], [large, small]], ["a", "b"]))
    assert sheet.shape == (24 + 40 + 12 + 40 + 12, 50 + 12 + 50, 3)
    assert np.array_equal(sheet[24:44, :30], small)
    assert np.array_equal(sheet[24:64, 62:], large)
    assert np.array_equal(sheet[76:116, :50], large)
    assert (sheet[24:, 50:62] == 255).all()
    assert (sheet[:24, :50] < 255).any(), "the title is there"


def test_comparison_enlarges_the_detail_by_whole_factors():
    pictures = RNG.integers(0, 256, (2, 30, 40, 3), np.uint8)
    panels = [Panel(p.astype(np.float32) / 255, f"title {k}", "a line") for k, p in enumerate(pictures)]
    sheet = np.rint(comparison(panels, (5, 6, 8, 10)) * 255).astype(np.uint8)
    assert sheet.dtype == np.uint8
    top = sheet.shape[0] - 30 - 12 - 32 - 12
    assert np.array_equal(sheet[top : top + 30, 52:], pictures[1])
    crop = pictures[1][5:13, 6:16].repeat(4, axis=0).repeat(4, axis=1)
    assert np.array_equal(sheet[top + 42 : top + 74, 52:], crop)


@pytest.mark.parametrize("sizes", [[], [(8, 8), (8, 9)]])
def test_one_size_is_wanted(sizes: list[tuple[int, int]]):
    with pytest.raises(UsageError, match="wanted one size"):
        comparison([Panel(np.zeros((*size, 3), np.float32), "x") for size in sizes], (0, 0, 2, 2))
