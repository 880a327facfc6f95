"""PSNR and SSIM against scikit-image, and the properties that any version of them must have."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from restauro.errors import SettingError
from restauro.metrics.psnr import psnr, psnr_cap80
from restauro.metrics.ssim import ssim


def tensor(array: np.ndarray, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.tensor(array, dtype=dtype).permute(2, 0, 1)[None]


def pair(name: str, noise: float) -> tuple[np.ndarray, np.ndarray]:
    a = np.full((64, 48, 3), 0.95) if name == "flat" else getattr(data, name)()[60:190, 40:191] / 255
    rng = np.random.default_rng(7)
    return a, np.clip(a + noise * rng.normal(size=a.shape), 0, 1)


def skimage_ssim(a: np.ndarray, b: np.ndarray) -> float:
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(structural_similarity(a, b, channel_axis=2, data_range=1.0, **options))


@pytest.mark.parametrize("noise", [0.005, 0.1, 0.4])
@pytest.mark.parametrize("name", ["astronaut", "coffee", "flat"])
def test_both_agree_with_scikit_image(name, noise):
    a, b = pair(name, noise)
    assert ssim(tensor(a), tensor(b)).item() == pytest.approx(skimage_ssim(a, b), abs=1e-9)
    assert psnr(tensor(a), tensor(b)).item() == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1), abs=1e-9)


def test_float32_input_is_as_good_as_float64():
    a, b = pair("flat", 0.02)
    assert ssim(tensor(a, torch.float32), tensor(b, torch.float32)).item() == pytest.approx(
        skimage_ssim(a, b), abs=1e-7
    )


def test_zeropad_is_the_plain_two_dimensional_convolution():
    a, b = (tensor(x) for x in pair("astronaut", 0.1))
    at = torch.arange(11.0, dtype=torch.float64) - 5
    kernel = torch.exp(-(at[:, None] ** 2 + at[None] ** 2) / 4.5)
    kernel = (kernel / kernel.sum()).expand(3, 1, 11, 11)

    def mean(x):
        return torch.nn.functional.conv2d(x, kernel, padding=5, groups=3)

    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    whole = (2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))
    assert ssim(a, b, border="zeropad").item() == pytest.approx(whole.mean().item(), abs=1e-12)
    assert ssim(a, b).item() == pytest.approx(whole[..., 5:-5, 5:-5].mean().item(), abs=1e-12)


def test_psnr_of_a_known_error():
    x = torch.full((1, 3, 4, 4), 0.25)
    assert psnr(x, x + 0.1).item() == pytest.approx(20.0, abs=1e-5)
    assert psnr(x, x).item() == float("inf")
    assert psnr_cap80(x, x).item() == pytest.approx(80)
    assert psnr_cap80(x, x + 0.1).item() == pytest.approx(20.0, abs=1e-5)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 3), h=st.integers(11, 24), w=st.integers(11, 24))
def test_symmetric_bounded_and_the_same_one_by_one(seed, n, h, w):
    rng = torch.Generator().manual_seed(seed)
    a, b = torch.rand(n, 3, h, w, generator=rng), torch.rand(n, 3, h, w, generator=rng)
    for metric in (psnr, ssim, lambda a, b: ssim(a, b, border="zeropad")):
        together = metric(a, b)
        assert together.shape == (n,)
        torch.testing.assert_close(together, metric(b, a))
        torch.testing.assert_close(together, torch.cat([metric(a[i : i + 1], b[i : i + 1]) for i in range(n)]))
    assert ssim(a, b).abs().max() <= 1
    torch.testing.assert_close(ssim(a, a), torch.ones(n, dtype=torch.float64))


def test_worse_pictures_score_worse():
    a = tensor(pair("coffee", 0)[0])
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(a.shape, generator=rng, dtype=a.dtype)
    noisy = [(a + s * noise).clamp(0, 1) for s in (0.02, 0.05, 0.1, 0.2)]
    for metric in (psnr, ssim):
        scores = [metric(x, a).item() for x in noisy]
        assert scores == sorted(scores, reverse=True)


def test_gradients_pass_through():
    a = torch.rand(1, 3, 12, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 0.8 + 0.1
    b = a.flip(3).clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ssim(a, x), (b,), fast_mode=True)


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        (torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 17), "the shape of a"),
        (torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16), "float tensor \\[N, 3, H, W\\]"),
        (
            torch.zeros(1, 3, 16, 16, dtype=torch.uint8),
            torch.zeros(1, 3, 16, 16, dtype=torch.uint8),
            "float tensor",
        ),
        (torch.zeros(1, 3, 16, 16), torch.full((1, 3, 16, 16), 255.0), "0..1"),
        (torch.zeros(1, 3, 16, 16), torch.full((1, 3, 16, 16), float("nan")), "0..1"),
        (torch.zeros(0, 3, 16, 16), torch.zeros(0, 3, 16, 16), "float tensor"),
    ],
)
def test_refuses_what_is_no_picture_pair(a, b, says):
    for metric in (psnr, ssim):
        with pytest.raises(SettingError, match=says):
            metric(a, b)


def test_ssim_refuses_pictures_below_its_window():
    small = torch.zeros(1, 3, 10, 40)
    with pytest.raises(SettingError, match="at least 11 px"):
        ssim(small, small)
    assert ssim(small, small, border="zeropad").item() == pytest.approx(1)
