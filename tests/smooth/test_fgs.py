"""The fast global smoother against dense line solves, its own torch form, OpenCV, and its invariants."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from restauro.errors import SettingError, UsageError
from restauro.smooth.fgs import FGSSettings, _fgs_cyclic, fgs
from tests.smooth.oracles import noise, photo, psnr, quick, steps, to_array, to_tensor, variation


def dense_fgs(f: np.ndarray, guide: np.ndarray, s: FGSSettings) -> np.ndarray:
    """Line by line with a full matrix (eq. 8); f [C, H, W], guide [G, H, W]."""

    def line(values: np.ndarray, colours: np.ndarray, lam: float) -> np.ndarray:
        difference = np.diff(np.eye(colours.shape[1]), axis=0)
        w = np.exp(-np.linalg.norm(np.diff(colours, axis=1), axis=0) / s.sigma)
        return np.linalg.solve(np.eye(len(difference) + 1) + lam * difference.T @ np.diag(w) @ difference, values.T).T

    u = f.copy()
    for lam in s.lams:
        for y in range(f.shape[1]):
            u[:, y] = line(u[:, y], guide[:, y], lam)
        for x in range(f.shape[2]):
            u[:, :, x] = line(u[:, :, x], guide[:, :, x], lam)
    return u


@pytest.mark.parametrize("s", [FGSSettings(), FGSSettings(10, 0.5, 1), FGSSettings(400, 0.03, 2)])
@pytest.mark.parametrize("colours", [0, 1, 3])
def test_equals_dense_line_solves(s: FGSSettings, colours: int) -> None:
    x = steps(channels=2)
    guide = steps(1, colours) if colours else None
    wanted = torch.from_numpy(dense_fgs(x[0].numpy(), (x if guide is None else guide)[0].numpy(), s))
    assert psnr(fgs(x, s, guide=guide)[0], wanted) > 200
    assert psnr(fgs(x.float(), s, guide=None if guide is None else guide.float())[0], wanted) > 110


def test_lam_of_every_pass() -> None:
    lams = FGSSettings(lam=900, passes=3).lams
    assert lams == pytest.approx([900 * f for f in (24 / 63, 6 / 63, 1.5 / 63)])
    assert sum(FGSSettings(lam=900, passes=8).lams) == pytest.approx(450)


@pytest.mark.parametrize(("lam", "sigma"), [(900, 0.1), (400, 0.03)])
def test_equals_opencv(lam: float, sigma: float) -> None:
    """OpenCV takes the lam of the first pass, and a guide of bytes."""
    x = photo()
    guide = np.rint(to_array(x) * 255).astype(np.uint8)
    theirs = to_tensor(cv2.ximgproc.fastGlobalSmootherFilter(guide, to_array(x), lam * 24 / 63, sigma * 255))
    assert psnr(fgs(x, FGSSettings(lam, sigma)), theirs) > 100
    assert psnr(fgs(x.float(), FGSSettings(lam, sigma)), theirs) > 100


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 50), (50, 3), (40, 33)])
def test_line_form_equals_cyclic_reduction(size: tuple[int, int]) -> None:
    x, s = photo(*size), FGSSettings()
    assert psnr(fgs(x, s), _fgs_cyclic(x, x, s)) > 200
    assert psnr(_fgs_cyclic(x.float(), x.float(), s), fgs(x, s)) > 100


def test_larger_lam_and_sigma_smooth_more() -> None:
    x = photo()
    left = [variation(fgs(x, FGSSettings(lam=lam))) for lam in (1, 30, 900)]
    assert variation(x) > left[0] > left[1] > left[2] > variation(fgs(x, FGSSettings(sigma=0.5)))


def test_batch_threads_and_input() -> None:
    x = torch.cat([photo(60, 300), photo(60, 300).flip(2)]).float()
    before, y, threads = x.clone(), fgs(x), torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(fgs(x), y)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(y, torch.cat([fgs(x[:1]), fgs(x[1:])]))
    assert torch.equal(x, before)
    assert torch.equal(fgs(x, guide=x.clone()), y)


@quick
@given(st.integers(1, 20), st.integers(1, 20), st.floats(0, 1))
def test_constant_stays_constant(height: int, width: int, value: float) -> None:
    x = torch.full((1, 3, height, width), value)
    assert torch.equal(fgs(x), x)


@quick
@given(st.integers(0, 10**6), st.integers(1, 14), st.integers(1, 14), st.floats(0.1, 1000))
def test_flips_mean_and_range(seed: int, height: int, width: int, lam: float) -> None:
    x, s = noise(seed, 1, 3, height, width), FGSSettings(lam)
    y = fgs(x, s)
    assert psnr(fgs(x.flip(3), s), y.flip(3)) > 200
    assert psnr(fgs(x.flip(2), s), y.flip(2)) > 200
    assert (y.mean((2, 3)) - x.mean((2, 3))).abs().max() < 1e-9
    assert x.min() - 1e-9 <= y.min() <= y.max() <= x.max() + 1e-9


@pytest.mark.parametrize(("name", "value"), [("lam", 0), ("sigma", 0), ("passes", 0), ("passes", 1.5)])
def test_settings_check_themselves(name: str, value: float) -> None:
    with pytest.raises(SettingError, match=name):
        FGSSettings(**{name: value})


def test_a_guide_of_another_size_is_refused() -> None:
    with pytest.raises(UsageError, match="guide"):
        fgs(noise(0, 1, 3, 5, 5), guide=noise(0, 2, 3, 5, 5))
