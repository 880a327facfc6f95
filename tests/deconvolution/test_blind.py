"""Kernels estimated from the blurred picture alone."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import torch
from skimage.data import astronaut, chelsea, coffee, rocket

import restauro as rs
from restauro.deconvolution.blind import STEEP, WINDOW_PX, agreement, estimate_kernel, find_kernel, steepness
from restauro.deconvolution.deconvolve import DeconvolutionSettings, centroid_px
from restauro.degrade.kernels import convolve
from restauro.degrade.motion import TrajectoryBlur
from restauro.errors import PictureError, SettingError
from restauro.picture import from_array


def blurred(sharp: np.ndarray, kernel: np.ndarray, noise: float = 0.002) -> np.ndarray:
    x = torch.from_numpy(sharp.astype(np.float64)).permute(2, 0, 1)[None] * 255
    made = convolve(x, torch.from_numpy(kernel))[0].permute(1, 2, 0).numpy() / 255
    made = made + noise * np.random.default_rng(0).standard_normal(made.shape)
    return np.rint(made.clip(0, 1) * 255).astype(np.float32) / 255


def likeness(found: np.ndarray, true: np.ndarray) -> float:
    """Largest normalised correlation over all shifts."""
    every = scipy.signal.correlate(found, true)
    return float(every.max() / np.sqrt((found**2).sum() * (true**2).sum()))


def db(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean(np.square(a.astype(np.float64) - b))))


def line(side: int, angle: float) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - side // 2
    far = np.abs(np.cos(angle) * y - np.sin(angle) * x)
    along = np.abs(np.cos(angle) * x + np.sin(angle) * y)
    kernel = np.clip(1.2 - far, 0, 1) * (along <= side / 2 - 1)
    return kernel / kernel.sum()


@pytest.mark.parametrize("angle", [0.4, 1.0, 2.6])
def test_a_straight_movement_is_found_and_taken_back(angle: float):
    sharp, kernel = astronaut()[:300, 80:400] / 255, line(13, angle)
    given = blurred(sharp, kernel)
    found = estimate_kernel(given, 17)
    assert found.shape == (17, 17)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)
    assert max(map(abs, centroid_px(found))) <= 1
    assert likeness(found, kernel) > 0.7
    assert likeness(found, kernel) > likeness(found, line(13, angle + np.pi / 2)) + 0.2
    outcome = rs.deblur(from_array(given), kernel="estimate", deconvolution=DeconvolutionSettings(size_px=17))
    assert db(outcome.picture.pixels, sharp) > db(given, sharp) + 1.5
    assert "estimated from this picture" in outcome.evidence.notes[0]


@pytest.mark.parametrize("photograph", [astronaut, chelsea, coffee, rocket])
def test_sharp_and_shaken_pictures_are_told_apart(photograph):
    whole = torch.from_numpy(photograph()[:, :, :3].copy()).permute(2, 0, 1)[None].double() / 255
    sharp = torch.nn.functional.avg_pool2d(whole, 2)
    assert steepness(sharp[0].permute(1, 2, 0).numpy()) > STEEP[1]
    for seed, exposure in enumerate((0.1, 0.5, 1.0)):
        kernel = TrajectoryBlur(seed, exposure, 0.005).kernel().double().numpy()
        assert steepness(blurred(sharp[0].permute(1, 2, 0).numpy(), kernel)) < STEEP[0]


def test_a_small_blur_gets_a_small_square():
    sharp = astronaut()[:300, 80:400] / 255
    given = blurred(sharp, line(7, 0.4), noise=0.004)
    found, seen = find_kernel(given, 25)
    assert len(found) < 25
    assert seen == agreement(given, found)
    wide, _ = find_kernel(blurred(sharp, line(21, 0.4)), 25)
    assert len(wide) == 25


def test_a_shaken_camera():
    sharp = astronaut()[:400, 80:480] / 255
    kernel = TrajectoryBlur(5, 0.5, 0.005).kernel().double().numpy()
    given = blurred(sharp, kernel)
    outcome = rs.deblur(from_array(given), kernel="estimate")
    assert db(outcome.picture.pixels, sharp) > db(given, sharp) + 1
    again = rs.deblur(from_array(given), kernel="estimate")
    assert np.array_equal(again.picture.pixels, outcome.picture.pixels)


def test_a_flat_picture_has_no_blur_and_a_large_one_is_seen_through_a_window():
    assert estimate_kernel(np.full((40, 50, 1), 0.3), 7)[3, 3] == 1
    wide = np.full((30, WINDOW_PX + 200, 3), 0.5)
    wide[5:25, -60:-20] = 0.9  # all that there is to see lies at the far end
    assert np.count_nonzero(estimate_kernel(blurred(wide, line(7, 0.0), 0), 9)) > 2


def test_a_sharp_picture_is_refused():
    sharp = (astronaut()[:400, 80:480] / 255).astype(np.float32)
    failed = rs.deblur(from_array(sharp), kernel="estimate")
    assert "found no one blur" in failed.reason
    assert not agreement(np.full((64, 64, 3), 0.5), line(7, 0.0)).credible


def test_what_cannot_be_is_said():
    with pytest.raises(SettingError, match="odd"):
        DeconvolutionSettings(size_px=24)
    with pytest.raises(PictureError, match="take fewer taps"):
        estimate_kernel(np.zeros((40, 90, 3)), 25)
    failed = rs.deblur(from_array(np.zeros((40, 90, 3), np.float32)), kernel="estimate")
    assert "take fewer taps" in failed.reason
