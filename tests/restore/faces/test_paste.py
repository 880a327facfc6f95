"""Pasting back: nothing for nothing, no box, the picture's own tone, its own fine detail."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, sobel

from restauro.codecs.icc import srgb_decode, srgb_encode
from restauro.errors import SettingError
from restauro.restore.faces.align import cut
from restauro.restore.faces.paste import Change, paste, paste_all, soft_mask
from restauro.restore.faces.sample import Similarity, between

MIDDLE = between(np.array([112.0, 96.0]), np.array([60.0, 20.0]), 96)


def smooth_picture() -> np.ndarray:
    """Soft shading, so that any step shows."""
    y, x = np.mgrid[0:192, 0:224] / 200
    shades = [0.3 + 0.3 * x, 0.5 + 0.2 * np.sin(3 * y), 0.6 - 0.25 * x * y]
    return np.stack(shades, axis=2).astype(np.float32)


def steepness(pixels: np.ndarray) -> np.ndarray:
    return np.hypot(sobel(pixels, axis=0), sobel(pixels, axis=1)).max(axis=2) / 8


@settings(max_examples=15)
@given(st.floats(0.2, 5), st.floats(-3, 3), st.floats(-40, 260), st.floats(-40, 260))
def test_an_unchanged_face_changes_no_bit(scale, angle, x, y):
    picture = np.random.default_rng(0).uniform(-0.1, 1.2, (192, 224, 3)).astype(np.float32)  # a wide gamut too
    half = 32 / scale
    transform = between(np.array([x, y]), half * np.array([np.cos(angle), np.sin(angle)]), 64)
    crop = cut(picture, transform)
    assert np.array_equal(paste(picture, crop.copy(), crop, transform), picture)


def test_outside_of_the_crop_no_bit_changes(astronaut_array):
    crop = cut(astronaut_array, MIDDLE)
    made = paste(astronaut_array, 1 - crop, crop, MIDDLE)
    y, x = np.mgrid[0:192, 0:224] + 0.5
    inside = MIDDLE.apply(np.stack([x, y], axis=-1))
    far = ((inside < -3) | (inside > 99)).any(axis=-1)
    assert far.any()
    assert np.array_equal(made[far], astronaut_array[far])
    assert (made[96, 112] != astronaut_array[96, 112]).all()


def test_a_change_in_the_middle_arrives_whole():
    picture = smooth_picture()
    crop = cut(picture, MIDDLE)
    bump = np.exp(-((np.mgrid[0:96, 0:96] - 47.5) ** 2).sum(axis=0) / (2 * 6**2))[:, :, None].astype(np.float32)
    changed = crop + 0.2 * bump
    made = paste(picture, changed, crop, MIDDLE)
    np.testing.assert_allclose(cut(made, MIDDLE)[30:66, 30:66], changed[30:66, 30:66], atol=4e-3)


def test_exposure_and_white_balance_stay_the_pictures():
    picture = smooth_picture()
    crop = cut(picture, MIDDLE)
    other = srgb_encode(srgb_decode(crop) * np.array([1.4, 1.1, 0.8], np.float32))
    assert np.abs(other - crop).max() > 0.08
    assert np.abs(paste(picture, other, crop, MIDDLE) - picture).max() < 0.006


@pytest.mark.parametrize("shift", [0.1, -0.1])
def test_no_box_is_seen(shift):
    """Where the mask ends, the picture is nowhere steeper than it was, but for half a level of 8 bits per pixel."""
    picture = smooth_picture()
    crop = cut(picture, MIDDLE)
    rng = np.random.default_rng(1)
    grain = gaussian_filter(rng.normal(0, 1, (96, 96, 3)), (1, 1, 0)).astype(np.float32)
    changed = np.clip(crop + shift + 0.05 * grain * (soft_mask(96, 0.9) ** 3)[:, :, None], 0, 1)
    made = paste(picture, changed, crop, MIDDLE)
    y, x = np.mgrid[0:192, 0:224] + 0.5
    u = MIDDLE.apply(np.stack([x, y], axis=-1)) / 48 - 1
    radius = (u**4).sum(axis=-1) ** 0.25
    border = (radius > 0.8) & (radius < 1.1)
    excess = steepness(made)[border] - steepness(picture)[border]
    assert excess.max() < 0.5 / 255 * 2
    hard = picture.copy()
    hard[(radius < 1)] += np.float32(shift)
    assert (steepness(hard)[border] - steepness(picture)[border]).max() > 0.03  # what a plain paste looks like


def test_a_large_face_keeps_its_own_fine_detail():
    rng = np.random.default_rng(2)
    picture = (smooth_picture() + 0.05 * rng.normal(0, 1, (192, 224, 3))).clip(0.1, 0.9).astype(np.float32)
    transform = between(np.array([112.0, 96.0]), np.array([80.0, 0.0]), 32)
    crop = cut(picture, transform)
    bump = np.exp(-((np.mgrid[0:32, 0:32] - 15.5) ** 2).sum(axis=0) / (2 * 5**2))[:, :, None].astype(np.float32)
    made = paste(picture, crop + 0.1 * bump, crop, transform)
    added = srgb_decode(made) - srgb_decode(picture)
    assert added.max() > 0.05
    rough = added - gaussian_filter(added, (3, 3, 0))
    assert np.abs(rough).max() < 0.05 * added.max()


def test_overlapping_faces_share_what_they_overlap(astronaut_array):
    crop = cut(astronaut_array, MIDDLE)
    change = Change(1 - crop, crop, MIDDLE)
    once, twice = (paste_all(astronaut_array, [change] * n) for n in (1, 2))
    np.testing.assert_allclose(twice[90:102, 106:118], once[90:102, 106:118], atol=1e-5)
    assert np.array_equal(paste_all(astronaut_array, []), astronaut_array)


def test_grey_pictures(astronaut_array):
    grey = np.ascontiguousarray(astronaut_array[:, :, :1])
    crop = cut(grey, MIDDLE)
    assert paste(grey, 1 - crop, crop, MIDDLE).shape == grey.shape
    with pytest.raises(SettingError, match="1 channels"):
        paste(grey, np.zeros((96, 96, 3), np.float32), np.zeros((96, 96, 3), np.float32), MIDDLE)


def test_a_crop_beside_the_picture_is_left_alone(astronaut_array):
    beside = Similarity(1.0, 0.0, 500.0, 0.0, 32)
    zeros = np.zeros((32, 32, 3), np.float32)
    assert np.array_equal(paste(astronaut_array, zeros + 1, zeros, beside), astronaut_array)


@pytest.mark.parametrize("feather", [0.05, 0.25, 1.0])
def test_the_mask_is_soft(feather):
    mask = soft_mask(200, feather)
    assert mask.min() == 0
    assert mask.max() == pytest.approx(1, abs=1e-4)
    assert np.abs(np.diff(mask, axis=0)).max() < 1.9 / (feather * 100)
    assert (mask[0] < 0.02 / feather).all()
    np.testing.assert_array_equal(mask, mask.T)


def test_shapes_that_do_not_fit():
    zeros = np.zeros((96, 96, 3), np.float32)
    with pytest.raises(SettingError, match=r"both \[96, 96, C\]"):
        Change(zeros[:90], zeros, MIDDLE)
    with pytest.raises(SettingError, match="feather"):
        paste(zeros, zeros, zeros, MIDDLE, feather=2)
