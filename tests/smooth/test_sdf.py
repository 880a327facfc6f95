"""The static / dynamic filter against its equations on dense matrices, scikit-image's CIELAB, and its invariants."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import rgb2lab
from torch import Tensor

from restauro.errors import SettingError, UsageError
from restauro.smooth.sdf import SDFSettings, rgb_to_lab, sdf

exact = 1e-9


def noise(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def variation(x: Tensor) -> float:
    return float(x.diff(dim=-1).abs().sum() + x.diff(dim=-2).abs().sum())


def dense_sdf(f: np.ndarray, g: np.ndarray, s: SDFSettings) -> np.ndarray:
    """Eqs. 9-12 on [H, W, C], link by link, with direct solves."""
    h, w, channels = f.shape
    offsets = [(0, 1), (1, 0), (1, 1), (1, -1)][: s.neighbours // 2]
    pixels = [(y, x) for y in range(h) for x in range(w)]
    links = [((y, x), (y + j, x + i)) for y, x in pixels for j, i in offsets if y + j < h and 0 <= x + i < w]

    def distances(v: np.ndarray) -> np.ndarray:
        lab = rgb2lab(v) if v.shape[2] == 3 else v
        d = np.array([((lab[p] - lab[q]) ** 2).sum() for p, q in links])
        return d / d.max()

    static, u = distances(g), np.full_like(f, 0.5)
    for step in range(s.steps):
        dynamic = distances(u) if step else 0 * static
        a = np.eye(h * w)
        weights = s.lam * (np.exp(-s.mu * static) * np.exp(-s.nu * dynamic) + 1e-5)
        for ((y, x), (yy, xx)), weight in zip(links, weights, strict=True):
            p, q = y * w + x, yy * w + xx
            a[[p, q], [p, q]] += weight
            a[[p, q], [q, p]] -= weight
        u = np.linalg.solve(a, f.reshape(-1, channels)).reshape(f.shape)
    return u


@pytest.mark.parametrize("s", [SDFSettings(steps=3, tolerance=exact), SDFSettings(4e3, 20, 100, 4, 4, exact)])
@pytest.mark.parametrize("channels", [1, 3])
def test_equals_the_dense_solver(channels: int, s: SDFSettings) -> None:
    x, guide = noise(3, 1, channels, 12, 15), noise(4, 1, channels, 12, 15)
    x[..., 3:8, 3:9] *= 0.3
    wanted = dense_sdf(x[0].permute(1, 2, 0).numpy(), guide[0].permute(1, 2, 0).numpy(), s)
    found = sdf(x, s, guide=guide)[0].permute(1, 2, 0)
    torch.testing.assert_close(found, torch.from_numpy(wanted), rtol=0, atol=1e-4)  # two CIELABs in their last digit


def test_float32_at_the_default_tolerance() -> None:
    x = noise(5, 1, 3, 40, 30) * 0.1
    x[..., 12:] += 0.6
    error = sdf(x.float()).double() - sdf(x, SDFSettings(tolerance=exact))
    assert float(error.square().mean().sqrt()) < 2e-3


def test_flattens_noise_and_keeps_an_edge() -> None:
    x = noise(6, 1, 3, 30, 40) * 0.05 + 0.2
    x[..., 20:] += 0.5
    y = sdf(x.float(), SDFSettings(lam=4e3))
    assert float(y[..., :19].std()) < 0.2 * float(x[..., :19].std())
    assert float((y[..., 20] - y[..., 19]).min()) > 0.4


def test_lab_equals_scikit_image() -> None:
    x = noise(7, 1, 3, 20, 30)
    x[..., 0, :] *= 0.01
    wanted = torch.from_numpy(rgb2lab(x[0].permute(1, 2, 0).numpy())).permute(2, 0, 1)[None]
    torch.testing.assert_close(rgb_to_lab(x), wanted, rtol=0, atol=0.02)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 3, 3, 50), (2, 1, 50, 1)])
def test_any_size(shape: tuple[int, ...]) -> None:
    x = noise(1, *shape).float()
    y = sdf(x)
    assert y.shape == x.shape
    assert bool(torch.isfinite(y).all())


@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 999), height=st.integers(2, 12), width=st.integers(2, 12))
def test_invariants(seed: int, height: int, width: int) -> None:
    x, s = noise(seed, 2, 3, height, width), SDFSettings(steps=3, tolerance=exact)
    kept = x.clone()
    y = sdf(x, s)
    assert torch.equal(x, kept)
    for turn in (lambda t: t.flip(-1), lambda t: t.flip(-2), lambda t: t.mT):
        torch.testing.assert_close(turn(sdf(turn(x), s)), y, rtol=0, atol=1e-6)
    torch.testing.assert_close(y.mean(dim=(2, 3)), x.mean(dim=(2, 3)), rtol=0, atol=1e-8)
    torch.testing.assert_close(sdf(x[1:], s), y[1:], rtol=0, atol=1e-6)
    static_only = SDFSettings(nu=0, steps=1, tolerance=exact)
    stronger = SDFSettings(lam=300, nu=0, steps=1, tolerance=exact)
    assert variation(sdf(x, stronger)) < variation(sdf(x, static_only)) < variation(x)
    assert torch.equal(sdf(torch.full_like(x, 0.3), s), torch.full_like(x, 0.3))


@pytest.mark.parametrize(
    ("name", "value"), [("lam", 0), ("mu", -1), ("nu", float("nan")), ("steps", 0), ("neighbours", 5), ("tolerance", 0)]
)
def test_settings_check_themselves(name: str, value: float) -> None:
    with pytest.raises(SettingError, match=name):
        SDFSettings(**{name: value})


def test_refuses_a_guide_of_another_size() -> None:
    with pytest.raises(UsageError, match="guide"):
        sdf(torch.zeros(1, 3, 4, 5), guide=torch.zeros(1, 3, 5, 4))
