"""The domain transform against a plain loop, its own torch form, OpenCV, and its invariants."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from restauro.errors import SettingError
from restauro.smooth.domain_transform import DomainTransformSettings, _by_doubling, domain_transform
from tests.smooth.oracles import noise, photo, psnr, quick, steps, to_array, to_tensor, variation


def naive_transform(x: np.ndarray, guide: np.ndarray, s: DomainTransformSettings) -> np.ndarray:
    """Eqs. 11, 14, 21 pixel by pixel; x [C, H, W], guide [G, H, W]."""
    x = x.copy()
    for t in range(1, s.passes + 1):
        sigma = s.sigma_px * np.sqrt(3) * 2 ** (s.passes - t) / np.sqrt(4**s.passes - 1)
        a = np.exp(-np.sqrt(2) / sigma)
        for axis in (2, 1):
            lines, colours = np.moveaxis(x, axis, 0), np.moveaxis(guide, axis, 0)  # a view: x changes
            d = 1 + s.sigma_px / s.sigma_range * np.abs(np.diff(colours, axis=0)).sum(1)
            for n in range(1, len(lines)):
                lines[n] += a ** d[n - 1] * (lines[n - 1] - lines[n])
            for n in range(len(lines) - 2, -1, -1):
                lines[n] += a ** d[n] * (lines[n + 1] - lines[n])
    return x


@pytest.mark.parametrize("s", [DomainTransformSettings(), DomainTransformSettings(5, 1, 1)])
@pytest.mark.parametrize("colours", [0, 1, 3])
def test_equals_a_plain_loop(s: DomainTransformSettings, colours: int) -> None:
    x = steps(channels=2)
    guide = steps(1, colours) if colours else None
    wanted = torch.from_numpy(naive_transform(x[0].numpy(), (x if guide is None else guide)[0].numpy(), s))
    assert psnr(domain_transform(x, s, guide=guide)[0], wanted) > 200
    by = None if guide is None else guide.float()
    assert psnr(domain_transform(x.float(), s, guide=by)[0], wanted) > 120


@pytest.mark.parametrize(("sigma_px", "sigma_range"), [(20, 0.4), (5, 1.0)])
def test_equals_opencv(sigma_px: float, sigma_range: float) -> None:
    x = photo()
    theirs = cv2.ximgproc.dtFilter(to_array(x), to_array(x), sigma_px, sigma_range, mode=cv2.ximgproc.DTF_RF)
    assert psnr(domain_transform(x, DomainTransformSettings(sigma_px, sigma_range)), to_tensor(theirs)) > 100


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 50), (50, 3), (40, 33)])
def test_line_form_equals_doubling(size: tuple[int, int]) -> None:
    x, s = photo(*size), DomainTransformSettings()
    assert psnr(domain_transform(x, s), _by_doubling(x, x, s)) > 200


def test_larger_sigmas_smooth_more() -> None:
    x = photo()
    left = [variation(domain_transform(x, DomainTransformSettings(20, r))) for r in (0.05, 0.4, 2)]
    assert variation(x) > left[0] > left[1] > left[2]
    assert variation(domain_transform(x, DomainTransformSettings(5, 2))) > left[2]


def test_batch_threads_and_input() -> None:
    x = torch.cat([photo(60, 300), photo(60, 300).flip(2)]).float()
    before, y, threads = x.clone(), domain_transform(x), torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(domain_transform(x), y)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(y, torch.cat([domain_transform(x[:1]), domain_transform(x[1:])]))
    assert torch.equal(x, before)


@quick
@given(st.integers(1, 20), st.integers(1, 20), st.floats(0, 1))
def test_constant_stays_constant(height: int, width: int, value: float) -> None:
    x = torch.full((1, 3, height, width), value)
    assert torch.equal(domain_transform(x), x)


@quick
@given(st.integers(0, 10**6), st.integers(1, 14), st.integers(1, 14))
def test_stays_in_range(seed: int, height: int, width: int) -> None:
    x = noise(seed, 1, 3, height, width)
    y = domain_transform(x)
    assert x.min() - 1e-9 <= y.min() <= y.max() <= x.max() + 1e-9


def test_a_flip_changes_little() -> None:
    """There and back is not back and there; the difference is at the ends and at edges."""
    x = photo()
    assert 35 < psnr(domain_transform(x.flip(3)), domain_transform(x).flip(3)) < 150


@pytest.mark.parametrize(("name", "value"), [("sigma_px", 0), ("sigma_range", 0), ("passes", 0), ("passes", 1.5)])
def test_settings_check_themselves(name: str, value: float) -> None:
    with pytest.raises(SettingError, match=name):
        DomainTransformSettings(**{name: value})
