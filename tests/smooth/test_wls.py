"""Weighted least squares against its equation on dense matrices, and its invariants."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from restauro.errors import SettingError, UsageError
from restauro.smooth.wls import WLSSettings, wls

exact = 1e-9


def noise(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def variation(x: Tensor) -> float:
    return float(x.diff(dim=-1).abs().sum() + x.diff(dim=-2).abs().sum())


def dense_wls(x: np.ndarray, luminance: np.ndarray, lam: float, alpha: float) -> np.ndarray:
    """Eq. 5-6 on [C, H, W] with explicit difference matrices."""
    channels, h, w = x.shape

    def forward_difference(n: int) -> np.ndarray:
        d = np.eye(n, k=1) - np.eye(n)
        d[-1] = 0
        return d

    dx, dy = np.kron(np.eye(h), forward_difference(w)), np.kron(forward_difference(h), np.eye(w))
    log = np.log(np.maximum(luminance, 1 / 255)).ravel()
    ax, ay = (np.diag(1 / (np.abs(d @ log) ** alpha + 1e-4)) for d in (dx, dy))
    matrix = np.eye(h * w) + lam * (dx.T @ ax @ dx + dy.T @ ay @ dy)
    return np.linalg.solve(matrix, x.reshape(channels, -1).T).T.reshape(x.shape)


@pytest.mark.parametrize(("lam", "alpha"), [(1.0, 1.2), (0.1, 2.0), (10.0, 0.0)])
@pytest.mark.parametrize("shape", [(3, 12, 15), (1, 3, 50), (2, 14, 1)])
def test_equals_the_dense_solver(shape: tuple[int, int, int], lam: float, alpha: float) -> None:
    x = noise(4, *shape)
    x[:, :, : shape[2] // 2] *= 0.01  # a dark side, below one 8-bit level
    luminance = np.tensordot([0.299, 0.587, 0.114], x.numpy(), 1) if shape[0] == 3 else x.mean(dim=0).numpy()
    wanted = torch.from_numpy(dense_wls(x.numpy(), luminance, lam, alpha))
    found = wls(x[None], WLSSettings(lam, alpha, exact))[0]
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-7)


def test_a_guide_decides_where_edges_are() -> None:
    x = noise(5, 1, 3, 12, 15)
    guide = noise(6, 1, 1, 12, 15)
    wanted = torch.from_numpy(dense_wls(x[0].numpy(), guide[0, 0].numpy(), 1.0, 1.2))
    torch.testing.assert_close(wls(x, WLSSettings(tolerance=exact), guide=guide)[0], wanted, rtol=0, atol=1e-7)
    with pytest.raises(UsageError, match="guide"):
        wls(x, guide=guide[..., 1:])


def test_float32_keeps_the_tolerance_on_steps_of_one_level() -> None:
    x = (noise(8, 1, 1, 60, 50) * 3).round() / 255 + 0.4  # flat runs and steps: links of 1 and 1e4
    x[..., 25:] += 0.3
    error = wls(x.float()).double() - wls(x, WLSSettings(tolerance=exact))
    assert float(error.square().mean().sqrt()) < 1e-3


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 999), height=st.integers(1, 15), width=st.integers(2, 15))
def test_invariants(seed: int, height: int, width: int) -> None:
    x, s = noise(seed, 2, 3, height, width), WLSSettings(tolerance=exact)
    kept = x.clone()
    y = wls(x, s)
    assert torch.equal(x, kept)
    for turn in (lambda t: t.flip(-1), lambda t: t.flip(-2), lambda t: t.mT):
        torch.testing.assert_close(turn(wls(turn(x), s)), y, rtol=0, atol=1e-7)
    torch.testing.assert_close(y.mean(dim=(2, 3)), x.mean(dim=(2, 3)), rtol=0, atol=1e-8)
    torch.testing.assert_close(wls(x[1:], s), y[1:], rtol=0, atol=1e-7)
    torch.testing.assert_close(wls(0.5 * x + 0.1, s, guide=x), 0.5 * y + 0.1, rtol=0, atol=1e-7)
    assert variation(wls(x, WLSSettings(lam=5, tolerance=exact))) < variation(y) < variation(x)
    assert torch.equal(wls(torch.full_like(x, 0.3), s), torch.full_like(x, 0.3))


@pytest.mark.parametrize(("name", "value"), [("lam", 0), ("alpha", -1), ("tolerance", float("inf"))])
def test_settings_check_themselves(name: str, value: float) -> None:
    with pytest.raises(SettingError, match=name):
        WLSSettings(**{name: value})
