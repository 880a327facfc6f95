"""The guided filter against its definition, its own torch form, OpenCV, and its invariants."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from restauro.errors import SettingError, UsageError
from restauro.smooth.guided import GuidedSettings, _by_pictures, guided
from tests.smooth.oracles import noise, photo, psnr, quick, steps, to_array, to_tensor, variation


def naive_guided(p: np.ndarray, guide: np.ndarray, radius: int, eps: float) -> np.ndarray:
    """Window by window: fit a line, then average the fits; p [C, H, W], guide [G, H, W]."""
    channels, height, width = p.shape

    def window(y: int, x: int) -> tuple[slice, slice]:
        return slice(max(0, y - radius), y + radius + 1), slice(max(0, x - radius), x + radius + 1)

    a = np.zeros((channels, len(guide), height, width))
    b = np.zeros(p.shape)
    for y, x in np.ndindex(height, width):
        colours = guide[(..., *window(y, x))].reshape(len(guide), -1)
        middle = colours.mean(1)
        sigma = np.atleast_2d(np.cov(colours, bias=True)) + eps * np.eye(len(guide))
        for c in range(channels):
            values = p[(c, *window(y, x))].ravel()
            a[c, :, y, x] = np.linalg.solve(sigma, (colours - middle[:, None]) @ (values - values.mean()) / values.size)
            b[c, y, x] = values.mean() - a[c, :, y, x] @ middle
    out = np.empty(p.shape)
    for y, x in np.ndindex(height, width):
        for c in range(channels):
            out[c, y, x] = (
                a[(c, slice(None), *window(y, x))].mean((1, 2)) @ guide[:, y, x] + b[(c, *window(y, x))].mean()
            )
    return out


@pytest.mark.parametrize(("colours", "channels"), [(0, 3), (0, 1), (3, 2), (1, 3)], ids=["own3", "own1", "3-2", "1-3"])
@pytest.mark.parametrize(("radius", "eps"), [(1, 0.01), (3, 0.1), (20, 1e-3)])
def test_equals_its_definition(colours: int, channels: int, radius: int, eps: float) -> None:
    x = steps(channels=channels)
    guide = steps(1, colours) if colours else None
    s = GuidedSettings(radius, eps)
    wanted = naive_guided(x[0].numpy(), (x if guide is None else guide)[0].numpy(), radius, eps)
    assert psnr(guided(x, s, guide=guide)[0], torch.from_numpy(wanted)) > 200
    assert psnr(_by_pictures(x, x if guide is None else guide, s)[0], torch.from_numpy(wanted)) > 200


@pytest.mark.parametrize("radius", [1, 4, 11])
def test_equals_opencv_away_from_the_border(radius: int) -> None:
    """OpenCV reflects at the border, the paper cuts windows off there."""
    x, guide = photo(), photo().flip(2)
    s, inside = GuidedSettings(radius, 0.01), (..., slice(2 * radius, -2 * radius), slice(2 * radius, -2 * radius))
    for by in (x, guide, guide[:, :1]):
        theirs = to_tensor(cv2.ximgproc.guidedFilter(to_array(by), to_array(x), radius, s.eps))
        assert psnr(guided(x, s, guide=by)[inside], theirs[inside]) > 100
        assert psnr(guided(x.float(), s, guide=by.float())[inside], theirs[inside]) > 100


def test_strips_do_not_show() -> None:
    x = photo(150, 40)
    assert psnr(guided(x), _by_pictures(x, x, GuidedSettings())) > 200


def test_own_guide_is_the_guide_that_is_not_given() -> None:
    x = photo()
    assert psnr(guided(x, guide=x.clone()), guided(x)) > 200


def test_larger_eps_and_radius_smooth_more() -> None:
    x = photo()
    assert variation(x) > variation(guided(x, GuidedSettings(4, 0.001))) > variation(guided(x, GuidedSettings(4, 0.1)))
    assert variation(guided(x, GuidedSettings(2, 0.1))) > variation(guided(x, GuidedSettings(8, 0.1)))


def test_batch_threads_and_input() -> None:
    x = torch.cat([photo(150, 90), photo(150, 90).flip(2)]).float()
    before, y, threads = x.clone(), guided(x), torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(guided(x), y)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(y, torch.cat([guided(x[:1]), guided(x[1:])]))
    assert torch.equal(x, before)


@quick
@given(st.integers(1, 20), st.integers(1, 20), st.floats(0, 1), st.integers(1, 30))
def test_constant_stays_constant(height: int, width: int, value: float, radius: int) -> None:
    x = torch.full((1, 3, height, width), value)
    assert (guided(x, GuidedSettings(radius)) - x).abs().max() < 1e-6


@quick
@given(st.integers(0, 10**6), st.integers(1, 14), st.integers(1, 14), st.integers(1, 5))
def test_flip_and_transposition_commute(seed: int, height: int, width: int, radius: int) -> None:
    x, s = noise(seed, 1, 3, height, width), GuidedSettings(radius)
    y = guided(x, s)
    assert psnr(guided(x.flip(3), s), y.flip(3)) > 200
    assert psnr(guided(x.mT, s), y.mT) > 200


@quick
@given(st.integers(0, 10**6), st.floats(-1, 1), st.floats(0, 1))
def test_linear_in_the_picture_for_a_given_guide(seed: int, scale: float, offset: float) -> None:
    x, guide = noise(seed, 1, 2, 9, 11), noise(seed + 1, 1, 3, 9, 11)
    assert psnr(guided(scale * x + offset, guide=guide), scale * guided(x, guide=guide) + offset) > 200


def test_wrong_input_is_refused() -> None:
    with pytest.raises(SettingError, match="eps"):
        GuidedSettings(eps=0)
    with pytest.raises(SettingError, match="radius_px"):
        GuidedSettings(radius_px=2.5)
    with pytest.raises(UsageError, match="2 colours"):
        guided(noise(0, 1, 2, 5, 5))
    with pytest.raises(UsageError, match="guide"):
        guided(noise(0, 1, 3, 5, 5), guide=noise(0, 1, 3, 5, 6))
