"""CIEDE2000, MS-SSIM, SC, the LPIPS formula and the paper's JPEG path."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import color

from restauro.errors import SettingError
from restauro.metrics.ciede2000 import ciede2000, ciede2000_lab, ciede2000_map, srgb_to_lab
from restauro.metrics.lpips import weighted_distance
from restauro.metrics.ms_ssim import WEIGHTS, ms_ssim
from restauro.metrics.paper import stored
from restauro.metrics.sc import smooth_consistency
from restauro.metrics.ssim import ssim
from restauro.smooth.l0 import l0
from tools.make_golden import ms_ssim as golden_ms_ssim
from tools.make_golden import pictures


def lab(*colours) -> torch.Tensor:
    return torch.tensor(colours, dtype=torch.float64)


def pair(case: str) -> tuple[torch.Tensor, torch.Tensor]:
    truth, changed = (torch.from_numpy(x).permute(2, 0, 1)[None] for x in pictures(case))
    return changed, truth


# Sharma, Wu, Dalal 2005, table 1: hues across 0 and 180 degrees, greys, blues.
SHARMA = [
    ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
    ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ((50, -1, 2), (50, 0, 0), 2.3669),
    ((50, 2.4900, -0.0010), (50, -2.4900, 0.0009), 7.1792),
    ((50, 2.4900, -0.0010), (50, -2.4900, 0.0010), 7.1792),
    ((50, 2.4900, -0.0010), (50, -2.4900, 0.0011), 7.2195),
    ((50, -0.0010, 2.4900), (50, 0.0009, -2.4900), 4.8045),
    ((50, 2.5, 0), (50, 0, -2.5), 4.3065),
]


@pytest.mark.parametrize(("one", "other", "value"), SHARMA)
def test_ciede2000_on_the_published_pairs(one, other, value):
    assert ciede2000_lab(lab(one), lab(other)).item() == pytest.approx(value, abs=5e-5)
    assert ciede2000_lab(lab(other), lab(one)).item() == pytest.approx(value, abs=5e-5)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6))
def test_ciede2000_agrees_with_scikit_image(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0, 1, (2, 5, 7, 3))
    b[0] = a[0]
    a[1] = a[1, :, :1]  # greys
    one, other = (torch.from_numpy(x).permute(2, 0, 1)[None] for x in (a, b))
    np.testing.assert_allclose(srgb_to_lab(one)[0].permute(1, 2, 0), color.rgb2lab(a), atol=1e-9)
    theirs = color.deltaE_ciede2000(color.rgb2lab(a), color.rgb2lab(b))
    np.testing.assert_allclose(ciede2000_map(one, other)[0], theirs, atol=1e-7)
    assert ciede2000(one, other).item() == pytest.approx(theirs.mean())
    assert ciede2000(one, one).item() == 0


def test_ms_ssim_with_the_papers_power():
    changed, truth = pair("astronaut levels")
    small = changed, truth
    for _ in range(4):
        small = tuple(torch.nn.functional.avg_pool2d(x, 2) for x in small)
    ratio = ms_ssim(changed, truth, last_power=4) / ms_ssim(changed, truth)
    assert ratio.item() == pytest.approx(ssim(*small).item() ** (3 * WEIGHTS[-1]))
    assert 0.9 < ratio.item() < 1


def test_ms_ssim_paper_power_against_scipy():
    changed, truth = pair("rocket noise")
    expected = golden_ms_ssim(*pictures("rocket noise"), 4)
    assert ms_ssim(changed, truth, last_power=4).item() == pytest.approx(expected, rel=1e-9)


def test_ms_ssim_of_equal_and_of_opposite_pictures():
    x = torch.rand(2, 3, 176, 180, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(ms_ssim(x, x), torch.ones(2, dtype=torch.float64))
    assert ms_ssim(x, 1 - x).tolist() == [0, 0]
    with pytest.raises(SettingError, match="at least 176 px"):
        ms_ssim(x[..., :175], x[..., :175])


def test_sc_is_zero_where_the_result_smooths_back_to_the_input():
    _, truth = pair("coffee blur")
    given_picture = l0(truth).clamp(0, 1)
    consistent = smooth_consistency(truth, given_picture, l0).item()
    identity = smooth_consistency(given_picture, given_picture, l0).item()
    assert consistent < 0.5  # the truth is a multiple of 1/255 already; only the clamp differs
    assert identity > 10 * max(consistent, 0.1)  # L0 is not idempotent: handing the input back is not consistent


def test_sc_rounds_the_result_to_eight_bits_and_counts_grey_levels():
    x = torch.full((2, 3, 8, 8), 100 / 255)
    assert smooth_consistency(x + 0.4 / 255, x, lambda y: y).tolist() == pytest.approx([0, 0], abs=1e-4)
    assert smooth_consistency(x + 3 / 255, x, lambda y: y).tolist() == pytest.approx([9, 9], rel=1e-4)


def test_lpips_formula_on_vectors():
    a = torch.tensor([[1.0, 0], [0, 2]]).view(2, 2, 1, 1)
    b = torch.tensor([[0.0, 3], [0, 5]]).view(2, 2, 1, 1)
    weights = [torch.tensor([0.5, 0.25])]
    assert weighted_distance([a], [b], weights).tolist() == pytest.approx([0.75, 0])
    assert weighted_distance([a, a], [b, b], weights * 2).tolist() == pytest.approx([1.5, 0])
    nothing = torch.zeros(1, 2, 1, 1, requires_grad=True)
    weighted_distance([nothing], [torch.ones(1, 2, 1, 1)], weights).sum().backward()
    assert torch.isfinite(nothing.grad).all()


def test_stored_is_floor_then_jpeg_95_with_halved_chroma():
    changed, _ = pair("rocket noise")
    x = (changed + 0.9 / 255).clamp(0, 1)  # floors back to the same bytes
    back = stored(x)
    pixels = (changed[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, subsampling=2)
    expected = np.array(Image.open(file).convert("RGB"))
    assert torch.equal((back[0] * 255).round().byte().permute(1, 2, 0), torch.from_numpy(expected))
    assert not torch.equal(back, changed)
