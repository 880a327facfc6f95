"""``grid``: against a plain form, on patterns and on noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data
from skimage.filters import gaussian

from restauro.errors import SettingError
from restauro.metrics.grid import grid_share

TRUTH = data.astronaut()[:200, 100:411] / 255  # neither side is a whole number of cells


def share(restored: np.ndarray, cell_px: int, truth: np.ndarray = TRUTH) -> float:
    a, b = (torch.from_numpy(x).permute(2, 0, 1)[None] for x in (restored, truth))
    return grid_share(a, b, cell_px).item()


@pytest.mark.parametrize("cell_px", [3, 4, 8])
def test_agrees_with_the_plain_form(cell_px):
    restored = np.random.default_rng(1).uniform(0, 1, TRUTH.shape)
    error, side = restored - TRUTH, 12 * cell_px
    repeated, whole = [], []
    for top in range(0, error.shape[0] // side * side, side):
        for left in range(0, error.shape[1] // side * side, side):
            for channel in range(3):
                block = error[top : top + side, left : left + side, channel]
                places = [block[i::cell_px, j::cell_px].mean() for i in range(cell_px) for j in range(cell_px)]
                repeated.append(np.var(places))
                whole.append(block.var())
    assert share(restored, cell_px) == pytest.approx(np.mean(repeated) / np.mean(whole), abs=1e-9)


def test_a_pattern_is_all_of_it_and_noise_next_to_nothing():
    rng = np.random.default_rng(2)
    truth = np.full((192, 288, 3), 0.5)
    pattern = np.tile(rng.uniform(-0.1, 0.1, (4, 4, 3)), (48, 72, 1))
    assert share(truth + pattern, 4, truth) == pytest.approx(1)
    assert share(truth + pattern, 8, truth) == pytest.approx(1)  # what repeats every 4 px repeats every 8
    assert share(truth + pattern, 5, truth) < 0.01
    noise = rng.normal(0, 0.02, truth.shape)
    assert share(truth + noise, 4, truth) == pytest.approx(15 / (144 * 16 - 1), rel=0.1)
    assert share(truth + gaussian(noise, 2, channel_axis=2), 4, truth) < 0.003
    assert share(truth + noise, 8, truth) == pytest.approx(63 / (144 * 64 - 1), rel=0.1)


def test_equal_pictures_and_levels_have_none():
    assert share(TRUTH, 4) == 0
    assert share(TRUTH * 0 + 0.5, 4, TRUTH * 0 + 0.2) == 0


def test_refuses_pictures_of_less_than_two_cells():
    with pytest.raises(SettingError, match="side: found 7, wanted at least 8 px for cells of 4"):
        share(TRUTH[:7], 4, TRUTH[:7])
