from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.data import coffee

from restauro.degrade.jpeg import Jpeg
from restauro.restore.inspect.features import NAMES, PATCH_PX, features, patches_of, pool
from restauro.smooth.l0 import L0Settings, l0

PHOTOGRAPH = coffee()[60:316, 120:376].astype(np.float32) / 255


def named(pixels: np.ndarray) -> dict[str, float]:
    """Mean features of a picture's patches by name."""
    return dict(zip(NAMES, features(patches_of(pixels).levels).mean(0), strict=True))


@settings(max_examples=12)
@given(st.integers(1, 700), st.integers(1, 700), st.sampled_from([1, 3]))
def test_patches_are_few_inside_and_apart(height: int, width: int, channels: int):
    found = patches_of(np.zeros((height, width, channels), np.float32))
    assert found.levels.shape == (len(found.tops) * len(found.lefts), channels, PATCH_PX, PATCH_PX)
    for side, starts in ((height, found.tops), (width, found.lefts)):
        assert len(starts) == min(10, side // PATCH_PX)
        assert all(0 <= start <= side - PATCH_PX for start in starts)
        assert all(b - a >= PATCH_PX for a, b in pairwise(starts))


def test_patches_are_cut_in_reading_order():
    pixels = np.arange(128 * 192, dtype=np.float32).reshape(128, 192, 1) / (128 * 192)
    found = patches_of(pixels)
    for number, patch in enumerate(found.levels):
        top, left = found.tops[number // 3], found.lefts[number % 3]
        wanted = np.rint(pixels[top : top + 64, left : left + 64, 0] * 255)
        np.testing.assert_allclose(patch[0].numpy(), wanted, atol=1)


@settings(max_examples=10)
@given(st.integers(0, 999), st.sampled_from([0.0, 0.01, 0.3, 1.0]), st.sampled_from([1, 3]))
def test_features_are_finite_whatever_the_picture(seed: int, contrast: float, channels: int):
    pixels = np.random.default_rng(seed).random((130, 130, channels)).astype(np.float32) * contrast
    rows = features(patches_of(pixels).levels)
    assert rows.shape == (4, len(NAMES))
    assert np.isfinite(rows).all()
    assert np.isfinite(pool(rows)).all()


def test_a_patch_is_judged_by_itself():
    levels = patches_of(PHOTOGRAPH).levels
    np.testing.assert_allclose(features(levels)[5], features(levels[5:6])[0], rtol=1e-4, atol=1e-4)


def test_grey_pictures_are_those_with_equal_colours():
    grey = PHOTOGRAPH.mean(2, keepdims=True)
    one, three = features(patches_of(grey).levels), features(patches_of(grey.repeat(3, axis=2)).levels)
    np.testing.assert_allclose(one, three, atol=1e-5)


def test_deviations_and_energy_against_numpy():
    levels = patches_of(PHOTOGRAPH).levels[:1]
    y = (levels[0].numpy() * np.array([0.299, 0.587, 0.114])[:, None, None]).sum(0)
    windows = np.lib.stride_tricks.sliding_window_view(y, (5, 5))[::3, ::3]
    wanted = np.quantile(np.log2(windows.std((2, 3)) + 0.1), [0.05, 0.5, 0.95])
    row = dict(zip(NAMES, features(levels)[0], strict=True))
    np.testing.assert_allclose([row["deviation-5%"], row["deviation-50%"], row["deviation-95%"]], wanted, atol=0.02)
    squares = np.concatenate([np.diff(y, axis=1).ravel() ** 2, np.diff(y, axis=0).ravel() ** 2])
    assert row["energy@1/1"] == pytest.approx(np.log(squares.mean() + 0.01), rel=1e-3)


def test_l0_makes_flat_pixels_and_heavy_tails():
    x = torch.from_numpy(PHOTOGRAPH).permute(2, 0, 1)[None]
    before, after = named(PHOTOGRAPH), named(l0(x, L0Settings(0.02))[0].permute(1, 2, 0).clamp(0, 1).numpy())
    assert after["gradients<=0.5@1/1"] > before["gradients<=0.5@1/1"] + 1
    assert after["kurtosis@1/1"] > before["kurtosis@1/1"] + 0.5


def test_blur_softens_edges_and_noise_fills_the_spectrum():
    plain = named(PHOTOGRAPH)
    soft = named(gaussian_filter(PHOTOGRAPH, (1.5, 1.5, 0)))
    noisy = named(PHOTOGRAPH + np.random.default_rng(0).normal(0, 0.05, PHOTOGRAPH.shape).astype(np.float32))
    assert soft["sharp"] < plain["sharp"] - 0.05
    assert soft["octave-3"] < plain["octave-3"] - 1
    assert noisy["octave-3"] > plain["octave-3"] + 0.5


def test_the_grid_of_jpeg_stands_out_wherever_it_lies():
    x = torch.from_numpy(gaussian_filter(PHOTOGRAPH, (1, 1, 0))).permute(2, 0, 1)[None]
    pressed = Jpeg(12)(x)[0].permute(1, 2, 0).numpy()
    plain = named(x[0].permute(1, 2, 0).numpy())["grid"]
    assert named(pressed)["grid"] > plain + 0.3
    assert named(pressed[3:, 5:])["grid"] > plain + 0.3


def test_pool_tells_patches_with_skin_from_the_rest():
    rows = np.zeros((4, len(NAMES)), np.float32)
    skin, energy = NAMES.index("skin"), NAMES.index("energy@1/1")
    rows[:, skin] = [1, 1, 0, 0]
    rows[:, energy] = [2, 2, 6, 6]
    mean, _, _, on_skin = pool(rows).reshape(4, -1)
    assert mean[energy] == 4
    assert on_skin[energy] == pytest.approx(-4 / 3)
