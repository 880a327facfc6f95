"""Relative total variation against its equations on dense matrices, its torch form, and its invariants."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from restauro.errors import SettingError, UsageError
from restauro.smooth.rtv import RTVSettings, _links, _links_by_rows, rtv

quick = settings(deadline=None, max_examples=6)
exact = 1e-9


def noise(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def variation(x: Tensor) -> float:
    return float(x.diff(dim=-1).abs().sum() + x.diff(dim=-2).abs().sum())


def dense_rtv(picture: np.ndarray, s: RTVSettings) -> np.ndarray:
    """Eqs. 7-11 on [H, W, C] with explicit difference matrices and a direct solve."""
    h, w, channels = picture.shape

    def forward_difference(n: int) -> np.ndarray:
        d = np.eye(n, k=1) - np.eye(n)
        d[-1] = 0
        return d

    dx, dy = np.kron(np.eye(h), forward_difference(w)), np.kron(forward_difference(h), np.eye(w))
    target = picture.reshape(-1, channels)
    smooth, sigma = target.copy(), s.sigma_px
    for _ in range(s.steps):
        taps = np.arange(round(5 * sigma) | 1) - (round(5 * sigma) | 1) // 2
        gauss = np.exp(-(taps**2) / (2 * sigma**2))
        blurred = smooth.reshape(picture.shape)
        for axis in (0, 1):
            blurred = scipy.ndimage.convolve1d(blurred, gauss / gauss.sum(), axis=axis, mode="constant")
        blurred = blurred.reshape(-1, channels)
        w_s = 1 / np.maximum(np.sqrt((dx @ smooth) ** 2 + (dy @ smooth) ** 2).mean(axis=1), s.sharpness)
        ux = 1 / np.maximum(np.abs(dx @ blurred).mean(axis=1), 1e-3)
        uy = 1 / np.maximum(np.abs(dy @ blurred).mean(axis=1), 1e-3)
        matrix = np.eye(h * w) + s.lam / 2 * (dx.T @ np.diag(ux * w_s) @ dx + dy.T @ np.diag(uy * w_s) @ dy)
        smooth = np.linalg.solve(matrix, target)
        sigma = max(sigma / 2, 0.5)
    return smooth.reshape(picture.shape)


@pytest.mark.parametrize("s", [RTVSettings(tolerance=exact), RTVSettings(0.05, 1.0, 0.005, 3, exact)])
@pytest.mark.parametrize("shape", [(3, 12, 15), (1, 15, 12), (2, 3, 50)])
def test_equals_the_dense_solver(shape: tuple[int, int, int], s: RTVSettings) -> None:
    x = noise(3, *shape)
    x[:, 1:9, 3:8] += 1
    wanted = torch.from_numpy(dense_rtv(x.permute(1, 2, 0).numpy(), s)).permute(2, 0, 1)
    torch.testing.assert_close(rtv(x[None], s)[0], wanted, rtol=0, atol=1e-7)


@pytest.mark.parametrize("sigma", [3.0, 0.5])
@pytest.mark.parametrize("shape", [(2, 3, 21, 18), (1, 1, 2, 40)])
def test_links_by_rows_equal_the_equations(shape: tuple[int, int, int, int], sigma: float) -> None:
    x, s = noise(5, *shape).float(), RTVSettings()
    wanted, found = _links(x, sigma, s), _links_by_rows(x, sigma, s)
    torch.testing.assert_close(found[:, 0, :, :-1], wanted[:, 0, :, :-1], rtol=1e-3, atol=0)
    torch.testing.assert_close(found[:, 1, :-1], wanted[:, 1, :-1], rtol=1e-3, atol=0)


def test_float32_at_the_default_tolerance_is_60_db_from_the_solution() -> None:
    pixels = skimage.data.astronaut()[100:170, 200:280]
    x = torch.from_numpy(pixels).double().div(255).permute(2, 0, 1)[None].contiguous()
    error = rtv(x.float()).double() - rtv(x, RTVSettings(tolerance=exact))
    assert -10 * math.log10(float(error.square().mean())) > 60


def test_removes_texture_and_keeps_an_edge() -> None:
    x = torch.full((1, 1, 64, 64), 0.3, dtype=torch.float64)
    x[..., 32:] = 0.7
    textured = x + 0.1 * (-1.0) ** torch.arange(64)[:, None] * (-1.0) ** torch.arange(64)
    y = rtv(textured, RTVSettings(lam=0.02))
    assert float((y - x)[..., 4:-4, 4:26].abs().max()) < 0.01
    assert float(y[0, 0, 32, 33] - y[0, 0, 32, 30]) > 0.3


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 3, 3, 50), (2, 1, 50, 1), (1, 4, 2, 2)])
def test_any_size(shape: tuple[int, ...]) -> None:
    x = noise(1, *shape).float()
    kept = x.clone()
    y = rtv(x)
    assert y.shape == x.shape
    assert bool(torch.isfinite(y).all())
    assert torch.equal(x, kept)
    assert y.data_ptr() != x.data_ptr()


@quick
@given(value=st.floats(0, 1, width=32), height=st.integers(1, 20), width=st.integers(1, 20))
def test_a_constant_stays(value: float, height: int, width: int) -> None:
    x = torch.full((1, 3, height, width), value)
    assert torch.equal(rtv(x), x)


@quick
@given(seed=st.integers(0, 999), height=st.integers(2, 15), width=st.integers(2, 15))
def test_invariants(seed: int, height: int, width: int) -> None:
    x = noise(seed, 2, 3, height, width)
    s = RTVSettings(tolerance=exact)
    y = rtv(x, s)
    torch.testing.assert_close(rtv(x.mT, s).mT, y, rtol=0, atol=1e-7)
    torch.testing.assert_close(y.mean(dim=(2, 3)), x.mean(dim=(2, 3)), rtol=0, atol=1e-8)
    torch.testing.assert_close(rtv(x[1:], s), y[1:], rtol=0, atol=1e-7)
    assert float(y.min()) > float(x.min()) - 1e-7
    assert float(y.max()) < float(x.max()) + 1e-7
    stronger = rtv(x, RTVSettings(lam=0.05, tolerance=exact))
    assert variation(stronger) < variation(y) < variation(x)


@pytest.mark.parametrize(
    ("name", "value"), [("lam", 0), ("sigma_px", -1), ("sharpness", 0), ("steps", 0), ("tolerance", float("nan"))]
)
def test_settings_check_themselves(name: str, value: float) -> None:
    with pytest.raises(SettingError, match=name):
        RTVSettings(**{name: value})


def test_refuses_what_is_no_batch_of_pictures() -> None:
    with pytest.raises(UsageError, match="x: found"):
        rtv(torch.zeros(3, 4, 5))
