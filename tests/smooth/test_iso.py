"""Smoothing by isotropic recurrence: its search against loops, what it takes for texture, and its invariants."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from restauro.errors import SettingError, UsageError
from restauro.smooth.iso import ISOSettings, _recurrence, iso_approx


def noise(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def variation(x: Tensor) -> float:
    return float(x.diff(dim=-1).abs().sum() + x.diff(dim=-2).abs().sum())


def spelled_out(grey: np.ndarray, s: ISOSettings) -> tuple[np.ndarray, np.ndarray]:
    """The search, pixel by pixel; a patch is compared as far as both lie in the picture."""
    h, w = grey.shape

    def patch(y: int, x: int) -> set[tuple[int, int]]:
        return {(y + j, x + i) for j in range(-2, 3) for i in range(-2, 3) if 0 <= y + j < h and 0 <= x + i < w}

    texture, matches = np.zeros((h, w)), np.zeros((8, h, w), int)
    for y in range(h):
        for x in range(w):
            best, matches[:, y, x] = np.full(8, np.inf), y * w + x
            for dy in range(-s.radius_px, s.radius_px + 1):
                for dx in range(-s.radius_px, s.radius_px + 1):
                    if not 9 <= dy**2 + dx**2 <= s.radius_px**2 or (y + dy, x + dx) not in patch(y + dy, x + dx):
                        continue
                    shared = [(j, i) for j, i in patch(y, x) if 0 <= j + dy < h and 0 <= i + dx < w]
                    distance = np.mean([(grey[j, i] - grey[j + dy, i + dx]) ** 2 for j, i in shared])
                    sector = round(math.atan2(dy, dx) / (math.pi / 4)) % 8
                    if distance < best[sector]:
                        best[sector], matches[sector, y, x] = distance, (y + dy) * w + x + dx
            middle = np.sort(np.where(np.isinf(best), 1, best))[3]  # torch's median is the lower of the middle two
            variance = np.var([grey[p] for p in patch(y, x)])
            texture[y, x] = np.exp(-((middle / (2 * variance) / s.scale) ** 2))
    return texture, matches.reshape(8, -1)


def test_the_search_equals_the_loops() -> None:
    grey, s = noise(3, 1, 12, 15), ISOSettings(radius_px=5)
    texture, matches = spelled_out(grey[0].numpy(), s)
    found, numbers = _recurrence(grey, s)
    np.testing.assert_allclose(found[0, 0].numpy(), texture, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(numbers[0].numpy(), matches)


def test_a_pattern_is_texture_and_a_lone_edge_is_not() -> None:
    x = torch.full((1, 64, 64), 0.3, dtype=torch.float64)
    x[..., 40:] = 0.8
    pattern = 0.2 * torch.sin(torch.arange(64) * 2.1)[:, None] * torch.sin(torch.arange(64) * 1.7)
    x[..., :32] += pattern[:, :32]
    texture = _recurrence(x, ISOSettings())[0][0, 0]
    assert float(texture[20:44, 10:22].mean()) > 0.8
    assert float(texture[20:44, 39:41].max()) < 0.6


def test_removes_a_pattern_and_keeps_an_edge() -> None:
    x = torch.full((1, 3, 60, 64), 0.3)
    x[..., 32:] = 0.7
    pattern = 0.1 * torch.sin(torch.arange(60) * 2.1)[:, None] * torch.sin(torch.arange(64) * 1.7)
    y = iso_approx(x + pattern)
    assert float((y - x)[..., 4:26].square().mean()) < 0.1 * float(pattern.square().mean())
    assert float((y[..., 34] - y[..., 29]).min()) > 0.25


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (1, 3, 3, 50), (2, 1, 50, 1), (1, 2, 5, 9)])
def test_any_size(shape: tuple[int, ...]) -> None:
    x = noise(1, *shape).float()
    kept = x.clone()
    y = iso_approx(x, ISOSettings(steps=2))
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert bool(torch.isfinite(y).all())
    assert torch.equal(x, kept)


@settings(deadline=None, max_examples=4)
@given(seed=st.integers(0, 999), height=st.integers(2, 16), width=st.integers(2, 16))
def test_invariants(seed: int, height: int, width: int) -> None:
    x, s = noise(seed, 2, 2, height, width), ISOSettings(radius_px=5, steps=3)
    y = iso_approx(x, s)
    torch.testing.assert_close(iso_approx(x[1:], s), y[1:], rtol=0, atol=3e-3)
    torch.testing.assert_close(iso_approx(x.mT, s).mT, y, rtol=0, atol=3e-3)
    assert variation(iso_approx(x, ISOSettings(lam=2, radius_px=5, steps=3))) < variation(y) < variation(x)
    constant = torch.full_like(x, 0.3)
    assert torch.equal(iso_approx(constant, s), constant)


@pytest.mark.parametrize(
    ("name", "value"), [("lam", 0), ("threshold", -1), ("scale", 0), ("radius_px", 3), ("steps", 0)]
)
def test_settings_check_themselves(name: str, value: float) -> None:
    with pytest.raises(SettingError, match=name):
        ISOSettings(**{name: value})


def test_refuses_what_is_no_batch_of_pictures() -> None:
    with pytest.raises(UsageError, match="x: found"):
        iso_approx(torch.zeros(3, 4, 5))
