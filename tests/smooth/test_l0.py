"""L0 smoothing against a dense solver, its own torch form, OpenCV, and its invariants."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from restauro.errors import SettingError, UsageError
from restauro.smooth.l0 import L0Settings, _l0_fft, l0
from tests.smooth.oracles import noise, periodic_differences, photo, psnr, quick, to_array, to_tensor


def dense_l0(picture: np.ndarray, s: L0Settings) -> np.ndarray:
    """The paper step by step: matrices for the differences, an explicit (h, v), a direct solve of eq. 8."""
    channels, height, width = picture.shape

    dx, dy = periodic_differences(height, width)
    identity, laplacian = np.eye(height * width), dx.T @ dx + dy.T @ dy
    target = picture.reshape(channels, -1).T
    smooth, beta = target.copy(), 2 * s.lam
    while beta < s.beta_max:
        h, v = dx @ smooth, dy @ smooth
        drop = (h**2 + v**2).sum(axis=1) < s.lam / beta
        h[drop] = v[drop] = 0
        smooth = np.linalg.solve(identity + beta * laplacian, target + beta * (dx.T @ h + dy.T @ v))
        beta *= s.kappa
    return smooth.T.reshape(picture.shape)


@pytest.mark.parametrize("lam", [0.002, 0.02, 0.1])
@pytest.mark.parametrize("shape", [(3, 12, 15), (1, 15, 12), (2, 13, 11)])
def test_equals_the_dense_solver(shape: tuple[int, int, int], lam: float) -> None:
    x = noise(3, *shape)
    x[:, 4:9, 3:8] += 1
    wanted = dense_l0(x.numpy(), L0Settings(lam=lam))
    assert psnr(l0(x[None], L0Settings(lam=lam))[0], torch.from_numpy(wanted)) > 160


def test_takes_22_steps_by_default() -> None:
    s = L0Settings()
    assert s.steps == len(s.betas) == 22
    assert s.betas[-1] < s.beta_max <= s.betas[-1] * s.kappa
    assert L0Settings(kappa=1.05).steps == 302


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 50), (50, 3), (127, 64), (64, 127), (96, 90)])
def test_row_form_equals_whole_fft_form(size: tuple[int, int]) -> None:
    x = photo(*size)
    assert psnr(l0(x), _l0_fft(x, L0Settings())) > 150


def test_float32_is_enough() -> None:
    x = photo(120, 160)
    exact = l0(x)
    assert psnr(l0(x.float()), exact) > 80
    assert psnr(_l0_fft(x.float(), L0Settings()), exact) > 80
    assert l0(x.float()).dtype == torch.float32


def test_keeps_mean_brightness_and_its_input() -> None:
    x = photo(200, 240, dtype=torch.float32)
    before = x.clone()
    y = l0(x, L0Settings(lam=0.1))
    assert torch.equal(x, before)
    assert y.data_ptr() != x.data_ptr()
    assert (y.double().mean((2, 3)) - x.double().mean((2, 3))).abs().max() < 1e-6


def test_larger_lam_leaves_fewer_edges() -> None:
    x = photo(200, 240)

    def edges(lam: float) -> int:
        y = l0(x, L0Settings(lam=lam))
        gradient = (y.roll(-1, 3) - y).square() + (y.roll(-1, 2) - y).square()
        return int((gradient.sum(1) > 1e-4).sum())

    counts = [edges(lam) for lam in (0.002, 0.01, 0.05, 0.2)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < 0.5 * counts[0]


def test_counts_a_gradient_once_for_all_colours() -> None:
    x = photo(200, 240)
    alone = torch.cat([l0(x[:, c : c + 1]) for c in range(3)], dim=1)
    assert psnr(l0(x), alone) < 50


def test_batch_equals_single_pictures_and_threads_do_not_matter() -> None:
    x = torch.cat([photo(90, 700), photo(90, 700).flip(3)]).float()
    together = l0(x)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(l0(x), together)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(together, torch.cat([l0(x[:1]), l0(x[1:])]))


def test_accepts_views() -> None:
    x = photo(200, 240)
    assert psnr(l0(x.permute(0, 1, 3, 2)[:, :, ::2]), l0(x.permute(0, 1, 3, 2)[:, :, ::2].contiguous())) > 200


@quick
@given(st.integers(1, 20), st.integers(1, 20), st.floats(0, 1), st.floats(0.001, 1))
def test_constant_stays_constant(height: int, width: int, value: float, lam: float) -> None:
    x = torch.full((1, 3, height, width), value, dtype=torch.float32)
    assert (l0(x, L0Settings(lam=lam)) - x).abs().max() < 1e-6


@quick
@given(st.integers(0, 10**6), st.integers(1, 16), st.integers(1, 16), st.integers(-20, 20), st.integers(-20, 20))
def test_circular_shift_commutes(seed: int, height: int, width: int, down: int, right: int) -> None:
    x = noise(seed, 1, 2, height, width)
    assert psnr(l0(x.roll((down, right), (2, 3))), l0(x).roll((down, right), (2, 3))) > 150


@quick
@given(st.integers(0, 10**6), st.integers(1, 16), st.integers(1, 16))
def test_transposition_commutes(seed: int, height: int, width: int) -> None:
    x = noise(seed, 1, 2, height, width)
    assert psnr(l0(x.mT), l0(x).mT) > 150


@quick
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_flip_commutes_along_a_line(seed: int, width: int) -> None:
    """In two dimensions it does not: dx and dy of one pixel are judged together, their mirror images not."""
    x = noise(seed, 1, 2, 1, width)
    assert psnr(l0(x.flip(3)), l0(x).flip(3)) > 150


def test_flip_of_a_photograph_changes_little() -> None:
    x = photo(200, 240)
    assert 30 < psnr(l0(x.flip(3)), l0(x).flip(3)) < 100


def test_opencv_is_not_this_filter() -> None:
    """Why OpenCV is no oracle here: its differences and their transpose do not match, brightness drifts."""
    x = photo(200, 240, dtype=torch.float32)
    theirs = to_tensor(cv2.ximgproc.l0Smooth(to_array(x), None, 0.02, 2.0))
    ours = l0(x)
    assert 25 < psnr(ours[..., 8:-8, 8:-8], theirs[..., 8:-8, 8:-8]) < 40
    assert (theirs.mean() - x.mean()).abs() > 0.005


@pytest.mark.parametrize(
    ("name", "value"),
    [("lam", 0.0), ("lam", float("nan")), ("kappa", 1.0), ("beta_max", 0.01), ("lam", float("inf"))],
)
def test_settings_check_themselves(name: str, value: float) -> None:
    with pytest.raises(SettingError, match=name):
        L0Settings(**{name: value})


def test_wrong_tensors_are_refused() -> None:
    for x in (torch.zeros(3, 4, 4), torch.zeros(1, 3, 0, 4), torch.zeros(1, 3, 4, 4, dtype=torch.uint8)):
        with pytest.raises(UsageError, match="wanted float32 or float64"):
            l0(x)
