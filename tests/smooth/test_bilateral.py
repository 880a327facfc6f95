"""The bilateral filters against their definition, their own torch form, OpenCV, and their invariants."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from restauro.errors import SettingError, UsageError
from restauro.smooth.bilateral import (
    BilateralSettings,
    JointBilateralSettings,
    _by_taps,
    bilateral,
    joint_bilateral,
    weighted_mean,
)
from tests.smooth.oracles import noise, photo, psnr, quick, steps, to_array, to_tensor, variation


def naive_bilateral(p: np.ndarray, guide: np.ndarray, s: BilateralSettings) -> np.ndarray:
    """Pixel by pixel; p [C, H, W], guide [G, H, W]."""
    height, width = p.shape[1:]
    ys, xs = np.mgrid[:height, :width]
    out = np.empty(p.shape)
    for y, x in np.ndindex(height, width):
        far = (ys - y) ** 2 + (xs - x) ** 2
        unlike = ((guide - guide[:, y, x, None, None]) ** 2).sum(0)
        w = np.exp(-far / (2 * s.sigma_px**2) - unlike / (2 * s.sigma_range**2)) * (far <= s.radius_px**2)
        out[:, y, x] = (w * p).sum((1, 2)) / w.sum()
    return out


@pytest.mark.parametrize("s", [BilateralSettings(), BilateralSettings(1, 0.3, 3), BilateralSettings(9, 0.5, 2)])
def test_equals_its_definition(s: BilateralSettings) -> None:
    x, guide = steps(), steps(1, 2)
    own, joint = (torch.from_numpy(naive_bilateral(x[0].numpy(), g[0].numpy(), s)) for g in (x, guide))
    assert psnr(bilateral(x, s)[0], own) > 200
    js = JointBilateralSettings(s.sigma_px, s.sigma_range, s.reach)
    assert psnr(joint_bilateral(x, js, guide=guide)[0], joint) > 200
    assert psnr(bilateral(x.float(), s)[0], own) > 120


def test_joint_form_makes_a_blurred_guide_of_its_own() -> None:
    x, s = steps(), JointBilateralSettings(guide_sigma_px=1.5)
    blurred = weighted_mean(x, None, BilateralSettings(1.5, 1.0, 3))
    assert (
        psnr(blurred[0], torch.from_numpy(naive_bilateral(x[0].numpy(), x[0].numpy(), BilateralSettings(1.5, 1e6, 3))))
        > 150
    )
    assert torch.equal(joint_bilateral(x, s), joint_bilateral(x, s, guide=blurred))


@pytest.mark.parametrize(("sigma_px", "sigma_range"), [(3, 0.1), (6, 0.4)])
def test_equals_opencv_on_grey_away_from_the_border(sigma_px: float, sigma_range: float) -> None:
    """OpenCV adds up the differences of three colours; the paper's distance is Euclidean. For one they agree."""
    x, guide = photo()[:, :1], photo()[:, 2:]
    s = BilateralSettings(sigma_px, sigma_range)
    inside = (..., slice(s.radius_px, -s.radius_px), slice(s.radius_px, -s.radius_px))
    theirs = to_tensor(cv2.bilateralFilter(to_array(x), -1, sigma_range, sigma_px))
    assert psnr(bilateral(x, s)[inside], theirs[inside]) > 100
    theirs = to_tensor(cv2.ximgproc.jointBilateralFilter(to_array(guide), to_array(x), -1, sigma_range, sigma_px))
    assert psnr(weighted_mean(x, guide, s)[inside], theirs[inside]) > 100


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (50, 3), (40, 33)])
def test_row_form_equals_whole_picture_form(size: tuple[int, int]) -> None:
    x, s = photo(*size), BilateralSettings()
    taps = [(y, x) for y in range(-4, 5) for x in range(-4, 5) if y * y + x * x <= 16]
    assert psnr(bilateral(x, s), _by_taps(x, x, taps, s)) > 200


def test_larger_sigma_range_smooths_more() -> None:
    x = photo()
    left = [variation(bilateral(x, BilateralSettings(3, r))) for r in (0.02, 0.1, 0.5, 10)]
    assert variation(x) > left[0] > left[1] > left[2] > left[3]


def test_batch_threads_and_input() -> None:
    x = torch.cat([photo(60, 700), photo(60, 700).flip(2)]).float()
    before, y, threads = x.clone(), bilateral(x), torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(bilateral(x), y)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(y, torch.cat([bilateral(x[:1]), bilateral(x[1:])]))
    assert torch.equal(x, before)


@quick
@given(st.integers(1, 20), st.integers(1, 20), st.floats(0, 1))
def test_constant_stays_constant(height: int, width: int, value: float) -> None:
    x = torch.full((1, 3, height, width), value)
    for f in (bilateral, joint_bilateral):
        assert (f(x) - x).abs().max() < 1e-6


@quick
@given(st.integers(0, 10**6), st.integers(1, 14), st.integers(1, 14), st.floats(0.02, 2))
def test_symmetries_and_range(seed: int, height: int, width: int, sigma_range: float) -> None:
    x, s = noise(seed, 1, 3, height, width), BilateralSettings(2, sigma_range)
    y = bilateral(x, s)
    assert psnr(bilateral(x.flip(3), s), y.flip(3)) > 200
    assert psnr(bilateral(x.mT, s), y.mT) > 200
    assert x.min() - 1e-9 <= y.min() <= y.max() <= x.max() + 1e-9


@pytest.mark.parametrize(("name", "value"), [("sigma_px", 0), ("sigma_range", -1), ("reach", 5), ("guide_sigma_px", 0)])
def test_settings_check_themselves(name: str, value: float) -> None:
    with pytest.raises(SettingError, match=name):
        JointBilateralSettings(**{name: value})


def test_a_guide_of_another_size_is_refused() -> None:
    with pytest.raises(UsageError, match="guide"):
        joint_bilateral(noise(0, 1, 3, 5, 5), guide=noise(0, 1, 3, 5, 6))
