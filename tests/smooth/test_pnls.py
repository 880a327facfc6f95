"""Pixel-level non-local smoothing against the same steps spelled out in loops, and its invariants."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from restauro.errors import SettingError, UsageError
from restauro.smooth.pnls import PNLSSettings, pnls_approx


def noise(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def variation(x: Tensor) -> float:
    return float(x.diff(dim=-1).abs().sum() + x.diff(dim=-2).abs().sum())


def haar(v: np.ndarray) -> np.ndarray:
    """Orthonormal Haar transform along the last axis, pair by pair; the mean comes first."""
    details: list[np.ndarray] = []
    while v.shape[-1] > 1:
        a, b = v[..., ::2], v[..., 1::2]
        details.insert(0, (a - b) / 2**0.5)
        v = (a + b) / 2**0.5
    return np.concatenate([v, *details], axis=-1)


def spelled_out(picture: np.ndarray, s: PNLSSettings) -> np.ndarray:
    """One pass over one plane [H, W], reference by reference, row by row."""
    h, w = picture.shape
    basis4, basis16 = haar(np.eye(4)).T, haar(np.eye(16)).T
    total, count = np.zeros((h, w)), np.zeros((h, w))
    for y0 in sorted({*range(0, h - 4, 4), h - 4}):
        for x0 in sorted({*range(0, w - 4, 4), w - 4}):
            reference = picture[y0 : y0 + 4, x0 : x0 + 4]
            found = sorted(
                (((picture[y : y + 4, x : x + 4] - reference) ** 2).sum(), y, x)
                for y in range(max(y0 - s.radius_px, 0), min(y0 + s.radius_px, h - 4) + 1)
                for x in range(max(x0 - s.radius_px, 0), min(x0 + s.radius_px, w - 4) + 1)
            )[:16]
            patches = np.stack([picture[y : y + 4, x : x + 4].ravel() for _, y, x in found], axis=1)
            for i in range(16):
                rows = np.argsort(((patches - patches[i]) ** 2).sum(axis=1))[:4]
                c = basis4 @ patches[rows] @ basis16.T
                keep = c[0, 0]
                c[np.abs(c) < s.threshold] = 0
                c[0, 0] = keep
                smooth = basis4.T @ c @ basis16
                for a, row in enumerate(rows):
                    for b, (_, y, x) in enumerate(found):
                        total[y + row // 4, x + row % 4] += smooth[a, b]
                        count[y + row // 4, x + row % 4] += 1
    return total / count


def test_one_pass_equals_the_loops() -> None:
    x, s = noise(3, 1, 1, 12, 15), PNLSSettings(threshold=0.5, radius_px=5, steps=1)
    wanted = torch.from_numpy(spelled_out(x[0, 0].numpy(), s))
    torch.testing.assert_close(pnls_approx(x, s)[0, 0], wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("channels", [1, 3])
def test_threshold_0_changes_nothing(channels: int) -> None:
    x = noise(4, 1, channels, 14, 17)
    torch.testing.assert_close(pnls_approx(x, PNLSSettings(threshold=0, steps=2)), x, rtol=0, atol=1e-6)


def test_flattens_noise_and_keeps_an_edge() -> None:
    x = noise(6, 1, 3, 32, 40) * 0.1 + 0.2
    x[..., 20:] += 0.5
    y = pnls_approx(x, PNLSSettings(steps=3))
    assert float(y[..., :19].std()) < 0.3 * float(x[..., :19].std())
    assert float((y[..., 20] - y[..., 19]).min()) > 0.4


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (1, 3, 3, 50), (2, 1, 50, 1), (1, 2, 5, 9)])
def test_any_size(shape: tuple[int, ...]) -> None:
    x = noise(1, *shape).float()
    kept = x.clone()
    y = pnls_approx(x, PNLSSettings(steps=2))
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert bool(torch.isfinite(y).all())
    assert torch.equal(x, kept)


@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 999), blocks=st.tuples(st.integers(2, 4), st.integers(2, 4)))
def test_invariants(seed: int, blocks: tuple[int, int]) -> None:
    x = noise(seed, 2, 1, 4 * blocks[0], 4 * blocks[1])
    s = PNLSSettings(steps=1, radius_px=5)
    y = pnls_approx(x, s)
    assert torch.equal(pnls_approx(x[1:], s), y[1:])
    torch.testing.assert_close(pnls_approx(x + 0.1, s), y + 0.1)
    assert variation(pnls_approx(x, PNLSSettings(threshold=2, steps=1, radius_px=5))) < variation(y) < variation(x)
    torch.testing.assert_close(pnls_approx(torch.full_like(x, 0.3), s), torch.full_like(x, 0.3))


@pytest.mark.parametrize(("name", "value"), [("threshold", -1), ("radius_px", 1), ("steps", 0)])
def test_settings_check_themselves(name: str, value: float) -> None:
    with pytest.raises(SettingError, match=name):
        PNLSSettings(**{name: value})


def test_refuses_what_is_no_batch_of_pictures() -> None:
    with pytest.raises(UsageError, match="x: found"):
        pnls_approx(torch.zeros(3, 4, 5))
