"""Rolling guidance: its first step, its loop, what it removes and what it keeps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from restauro.errors import SettingError
from restauro.smooth.rolling_guidance import RollingGuidanceSettings, rolling_guidance
from tests.smooth.oracles import noise, photo, psnr, quick, steps, to_array, to_tensor


def test_first_step_is_a_gaussian_blur() -> None:
    x = steps()
    near = np.arange(-9, 10)
    line = np.exp(-(near**2) / (2 * 3.0**2))
    disc = np.outer(line, line) * (near[:, None] ** 2 + near**2 <= 9**2)
    weights = torch.from_numpy(disc)[None, None]
    blur = torch.nn.functional.conv2d
    wanted = blur(x.movedim(1, 0), weights, padding=9) / blur(torch.ones_like(x[:, :1]), weights, padding=9)
    assert psnr(rolling_guidance(x, RollingGuidanceSettings(steps=1, reach=3)), wanted.movedim(0, 1)) > 200


def test_equals_a_loop_over_opencv_s_joint_bilateral_filter() -> None:
    """After the first step: for a constant guide OpenCV blurs over a square instead of a disc."""
    x, s = photo()[:, :1], RollingGuidanceSettings(3, 0.1, steps=4)
    j = to_array(rolling_guidance(x, RollingGuidanceSettings(3, 0.1, steps=1)))
    for _ in range(3):
        j = cv2.ximgproc.jointBilateralFilter(j, to_array(x), -1, 0.1, 3.0)
    away = (..., slice(16, -16), slice(16, -16))
    assert psnr(rolling_guidance(x, s)[away], to_tensor(j)[away]) > 100


def test_opencv_s_rolling_guidance_is_another_filter() -> None:
    """It starts from the picture, not from a constant, and so keeps the texture."""
    x = photo()[:, :1]
    theirs = to_tensor(cv2.ximgproc.rollingGuidanceFilter(to_array(x), None, -1, 0.1, 3.0, numOfIter=4))
    assert psnr(rolling_guidance(x, RollingGuidanceSettings(3, 0.1)), theirs) < 40


def test_removes_small_details_and_keeps_large_edges() -> None:
    clean = torch.zeros(1, 1, 40, 40, dtype=torch.float64)
    clean[..., 20:] = 1
    checks = (torch.arange(40)[:, None] + torch.arange(40)).remainder(2).sub(0.5)
    y = rolling_guidance(clean + 0.2 * checks, RollingGuidanceSettings(3, 0.1, steps=6))
    assert psnr(y, clean) > psnr(clean + 0.2 * checks, clean) + 10
    assert (y[..., 21] - y[..., 18]).mean() > 0.95


@quick
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 12))
def test_symmetries_range_and_constants(seed: int, height: int, width: int) -> None:
    x = noise(seed, 1, 3, height, width)
    y = rolling_guidance(x)
    assert psnr(rolling_guidance(x.flip(3)), y.flip(3)) > 200
    assert psnr(rolling_guidance(x.mT), y.mT) > 200
    assert x.min() - 1e-9 <= y.min() <= y.max() <= x.max() + 1e-9
    flat = x[..., :1, :1].expand_as(x)
    assert (rolling_guidance(flat) - flat).abs().max() < 1e-9


@pytest.mark.parametrize(("name", "value"), [("steps", 0), ("steps", 1.5), ("sigma_px", 0), ("reach", 0)])
def test_settings_check_themselves(name: str, value: float) -> None:
    with pytest.raises(SettingError, match=name):
        RollingGuidanceSettings(**{name: value})
