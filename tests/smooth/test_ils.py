"""Iterative least squares against a dense solver, its own torch form, and its invariants."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from restauro.errors import SettingError
from restauro.smooth.ils import ILSSettings, _ils_fft, ils
from tests.smooth.oracles import noise, periodic_differences, photo, psnr, quick, steps, variation

POWER = ILSSettings()
WELSCH = ILSSettings(lam=30, penalty="welsch", steps=10)
EVERY = [replace(s, anchor=anchor) for s in (POWER, WELSCH) for anchor in ("input", "current")]
names = pytest.mark.parametrize("s", EVERY, ids=lambda s: f"{s.penalty}-{s.anchor}")


def phi(t: np.ndarray, s: ILSSettings) -> np.ndarray:
    if s.penalty == "welsch":
        return 2 * s.gamma**2 * (1 - np.exp(-(t**2) / (2 * s.gamma**2)))
    return (t**2 + s.eps) ** (s.p / 2)


def slope(t: np.ndarray, s: ILSSettings, h: float = 1e-6) -> np.ndarray:
    return (phi(t + h, s) - phi(t - h, s)) / (2 * h)


def dense_ils(plane: np.ndarray, s: ILSSettings) -> np.ndarray:
    """The paper's steps on one colour: an explicit mu, a direct solve."""
    dx, dy = periodic_differences(*plane.shape)
    u = f = plane.ravel()
    c = 2.0 if s.penalty == "welsch" else s.p * s.eps ** (s.p / 2 - 1)
    system = np.eye(f.size) + c * s.lam / 2 * (dx.T @ dx + dy.T @ dy)
    for _ in range(s.steps):
        mu = [c * d @ u - slope(d @ u, s) for d in (dx, dy)]
        u = np.linalg.solve(system, f + s.lam / 2 * (dx.T @ mu[0] + dy.T @ mu[1]))
        f = u if s.anchor == "current" else f
    return u.reshape(plane.shape)


@names
def test_equals_the_dense_solver(s: ILSSettings) -> None:
    x = steps(channels=2)
    wanted = np.stack([dense_ils(plane, s) for plane in x[0].numpy()])
    assert psnr(ils(x, s)[0], torch.from_numpy(wanted)) > 120


@names
@pytest.mark.parametrize("size", [(1, 1), (3, 50), (50, 3), (37, 24)])
def test_row_form_equals_whole_fft_form(s: ILSSettings, size: tuple[int, int]) -> None:
    x = photo(*size)
    assert psnr(ils(x, s), _ils_fft(x, s)) > 200


@names
def test_float32_is_enough(s: ILSSettings) -> None:
    x = photo()
    assert psnr(ils(x.float(), s), ils(x, s)) > 120
    assert psnr(_ils_fft(x.float(), s), ils(x, s)) > 120


@pytest.mark.parametrize("s", [POWER, WELSCH], ids=["power", "welsch"])
def test_every_step_lowers_the_energy(s: ILSSettings) -> None:
    """What a majorising parabola promises."""
    f = photo()

    def energy(u: torch.Tensor) -> float:
        penalty = sum(phi((u.roll(-1, d) - u).numpy(), s).sum() for d in (2, 3))
        return float((u - f).square().sum() + s.lam * penalty)

    energies = [energy(f)] + [energy(ils(f, replace(s, steps=k))) for k in (1, 2, 4, 8)]
    assert all(b < a for a, b in pairwise(energies))


@pytest.mark.parametrize("s", [POWER, WELSCH], ids=["power", "welsch"])
def test_smooths_more_with_lam_and_with_the_moving_anchor(s: ILSSettings) -> None:
    x = photo()
    left = [variation(ils(x, replace(s, lam=s.lam * k))) for k in (0.1, 1, 10)]
    assert variation(x) > left[0] > left[1] > left[2]
    assert variation(ils(x, replace(s, anchor="current"))) < left[1]


def test_keeps_mean_brightness_and_its_input() -> None:
    x = photo(dtype=torch.float32)
    before = x.clone()
    y = ils(x, ILSSettings(lam=30))
    assert torch.equal(x, before)
    assert (y.double().mean((2, 3)) - x.double().mean((2, 3))).abs().max() < 1e-6


def test_colours_are_smoothed_one_by_one() -> None:
    x = photo()
    assert torch.equal(ils(x), torch.cat([ils(x[:, c : c + 1]) for c in range(3)], dim=1))


@quick
@given(st.integers(1, 20), st.integers(1, 20), st.floats(0, 1), st.sampled_from(EVERY))
def test_constant_stays_constant(height: int, width: int, value: float, s: ILSSettings) -> None:
    x = torch.full((1, 2, height, width), value)
    assert (ils(x, s) - x).abs().max() < 1e-6


@quick
@given(st.integers(0, 10**6), st.integers(1, 14), st.integers(1, 14), st.integers(-9, 9), st.sampled_from(EVERY))
def test_shift_flip_and_transposition_commute(seed: int, height: int, width: int, shift: int, s: ILSSettings) -> None:
    x = noise(seed, 1, 1, height, width)
    y = ils(x, s)
    assert psnr(ils(x.roll((shift, -shift), (2, 3)), s), y.roll((shift, -shift), (2, 3))) > 200
    assert psnr(ils(x.flip(3), s), y.flip(3)) > 200
    assert psnr(ils(x.mT, s), y.mT) > 200


@pytest.mark.parametrize(
    ("name", "value"),
    [("lam", 0), ("steps", 0), ("steps", 2.5), ("penalty", "l1"), ("p", 2), ("eps", 0), ("gamma", 0), ("anchor", "x")],
)
def test_settings_check_themselves(name: str, value: object) -> None:
    with pytest.raises(SettingError, match=name):
        ILSSettings(**{name: value})
