"""OpenCV is the oracle: the published laws are imgaug over OpenCV, and ours import neither."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from restauro.degrade.blur import BlurSettings, GaussianBlur, MotionBlur, correlate, draw_blur, gaussian_size
from restauro.errors import SettingError


def to_bytes(x: torch.Tensor) -> np.ndarray:
    return (x[0].permute(1, 2, 0) * 255).round().numpy().astype(np.uint8)


def test_gaussian_sizes_of_the_sheet():
    sizes = {3: 9, 4: 11, 4.99: 15, 5: 13, 6: 15, 7: 19, 8: 21}
    assert {sigma: gaussian_size(sigma) for sigma in sizes} == sizes


@pytest.mark.parametrize("sigma", [0.7, 3.0, 4.99, 8.0])
def test_gaussian_is_opencvs(astronaut: torch.Tensor, sigma: float):
    size = gaussian_size(sigma)
    taps = GaussianBlur(sigma).kernel()
    np.testing.assert_allclose(taps, cv2.getGaussianKernel(size, sigma)[:, 0], atol=1e-7)
    wanted = cv2.GaussianBlur(to_bytes(astronaut), (size, size), sigma, borderType=cv2.BORDER_REFLECT_101)
    found = to_bytes(GaussianBlur(sigma)(astronaut))
    assert np.abs(found.astype(int) - wanted).max() <= 1  # OpenCV's own 8-bit arithmetic


@pytest.mark.parametrize(
    ("size", "angle", "ramp"), [(11, 0.0, 0.5), (15, 37.3, 0.3), (21, 200.0, 0.95), (17, 301.7, 1)]
)
def test_motion_kernel_is_the_ramp_that_opencv_rotates(size: int, angle: float, ramp: float):
    line = np.zeros((size, size), np.float32)
    line[:, size // 2] = np.linspace(ramp, 1 - ramp, size)
    middle = (size - 1) / 2
    turn = cv2.getRotationMatrix2D((middle, middle), -angle, 1)
    wanted = cv2.warpAffine((line * 255).astype(np.uint8), turn, (size, size), flags=cv2.INTER_LINEAR).astype(float)
    found = MotionBlur(size, angle, ramp).kernel().numpy()
    assert found.sum() == pytest.approx(1, abs=1e-12)
    assert np.abs(found - wanted / wanted.sum()).max() < 0.03 * wanted.max() / wanted.sum()  # its 1/32 pixel steps


def test_correlation_is_filter2d_with_reflect_101(astronaut: torch.Tensor):
    kernel = MotionBlur(17, 63.0, 0.2).kernel()
    wanted = cv2.filter2D(astronaut[0].permute(1, 2, 0).numpy(), -1, kernel.numpy())
    found = correlate(astronaut, kernel)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("blur", [GaussianBlur(8.0), MotionBlur(21, 30.0, 0.7)])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 2), (30, 5)])
def test_pictures_smaller_than_the_kernel(blur: GaussianBlur | MotionBlur, shape: tuple[int, int]):
    x = torch.rand(1, 3, *shape, generator=torch.Generator().manual_seed(1))
    y = blur(x)
    assert y.shape == x.shape
    assert float(y.min()) >= float(x.min()) - 1 / 255
    assert float(y.max()) <= float(x.max()) + 1 / 255


def test_draws_cover_both_kinds_and_their_ranges():
    generator = torch.Generator().manual_seed(0)
    drawn = [draw_blur(BlurSettings(), generator) for _ in range(2000)]
    motions = [blur for blur in drawn if isinstance(blur, MotionBlur)]
    sigmas = [blur.sigma_px for blur in drawn if isinstance(blur, GaussianBlur)]
    assert abs(len(motions) - 1000) < 100
    assert {blur.size_px for blur in motions} == {11, 13, 15, 17, 19, 21}  # 10..20, even ones plus 1
    # 20 is the only one that gives 21; two lengths give each of the others
    assert sum(blur.size_px == 21 for blur in motions) / len(motions) == pytest.approx(1 / 11, abs=0.04)
    assert 3 <= min(sigmas) < 3.1
    assert 7.9 < max(sigmas) <= 8
    assert max(blur.angle_deg for blur in motions) > 350
    assert np.mean([blur.ramp for blur in motions]) == pytest.approx(0.5, abs=0.05)


def test_severity_is_a_multiple_of_the_strong_end():
    generator = torch.Generator().manual_seed(0)
    strong = BlurSettings(severity=1.5)
    drawn = {type(blur): blur for blur in (draw_blur(strong, generator) for _ in range(20))}
    assert drawn[GaussianBlur].sigma_px == 12
    assert drawn[MotionBlur].size_px == 31


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"sigma_min_px": 9}, "sigma_min_px: found 9, wanted at most sigma_max_px = 8"),
        ({"motion": 0, "gaussian": 0}, "motion, gaussian"),
        ({"size_min_px": 2.5}, "size_min_px: found 2.5, wanted a whole number"),
        ({"severity": -1}, "severity: found -1"),
        ({"severity": "high"}, "severity: found 'high', wanted a number"),
        ({"sigma_max_px": float("nan")}, "sigma_max_px"),
    ],
)
def test_wrong_settings_are_named(settings: dict, complaint: str):
    with pytest.raises(SettingError, match=complaint):
        BlurSettings(**settings)
    with pytest.raises(SettingError, match="odd"):
        MotionBlur(10, 0.0)
