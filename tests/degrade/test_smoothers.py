from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats
from skimage.data import astronaut, coffee

from restauro.degrade.beautify import BeautifySettings, beautify, skin_likeness
from restauro.degrade.laws import degrade_tensor, repeat_steps
from restauro.degrade.smoothers import SCALES, MixedSettings, Smoother, draw_mixed, draw_smoother
from restauro.errors import SettingError, UsageError
from restauro.smooth.catalogue import METHODS

FACE = torch.from_numpy(astronaut()[0:192, 128:320].copy()).permute(2, 0, 1)[None] / 255
THINGS = torch.from_numpy(coffee()[100:292, 200:392].copy()).permute(2, 0, 1)[None] / 255


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * torch.log10((a - b).square().mean()))


@pytest.mark.parametrize("method", list(SCALES))
def test_strength_means_about_the_same_for_every_method(method: str):
    scores = [psnr(draw_smoother(method, s, torch.Generator().manual_seed(0))(FACE), FACE) for s in (0, 0.5, 1)]
    assert scores == sorted(scores, reverse=True)
    assert 36 < scores[0] < 47
    assert 22 < scores[2] < 34


def test_a_step_is_the_filter_of_the_catalogue_on_8_bits():
    step = draw_smoother("guided", 0.5, torch.Generator().manual_seed(3))
    method = METHODS["guided"]
    wanted = method.function(FACE, method.settings(**step.values)).clamp(0, 1)
    torch.testing.assert_close(step(FACE), (wanted * 255).round() / 255, atol=1e-6, rtol=0)


def test_every_method_of_the_mix_is_equally_likely_and_none_when_asked():
    generator = torch.Generator().manual_seed(0)
    drawn = [draw_mixed(MixedSettings(), generator)[0] for _ in range(1400)]
    count = Counter(step.method for step in drawn)
    assert set(count) == set(SCALES)
    assert stats.chisquare(list(count.values())).pvalue > 1e-3
    lams = np.log([step.values["lam"] for step in drawn if step.method == "l0"])
    low, high = np.log(SCALES["l0"].ends["lam"])
    assert stats.kstest((lams - low) / (high - low), "uniform").pvalue > 1e-3
    untouched = [draw_mixed(MixedSettings(none=7), generator) for _ in range(400)]
    assert sum(steps == () for steps in untouched) / 400 == pytest.approx(0.5, abs=0.1)


def test_laws_by_name():
    batch = torch.cat([FACE, THINGS])
    y, record = degrade_tensor(batch, "smoothers-mixed", seed=5)
    assert record.drawn[0] != record.drawn[1]
    assert torch.equal(repeat_steps(batch, record.drawn), y)
    only = dict.fromkeys(MixedSettings().shares(), 0) | {"fgs": 1, "strength": 1.0}
    _, record = degrade_tensor(FACE, "smoothers-mixed", only, seed=5)
    assert record.drawn[0][0]["values"]["sigma"] == SCALES["fgs"].ends["sigma"][1]
    _, record = degrade_tensor(FACE, "smoother", {"method": "rtv", "strength": 0.0})
    assert record.drawn[0][0]["values"]["lam"] == SCALES["rtv"].ends["lam"][0]
    y, record = degrade_tensor(FACE, "beautify", {"strength_min": 0.9})
    assert record.drawn[0][0]["values"]["eps"] > 0.05
    assert psnr(y, FACE) < 36


def test_the_stream_of_seed_7_stays():
    """A degraded set must come out the same from the next version; change this only with a note in the changelog."""
    _, record = degrade_tensor(torch.zeros(1, 3, 4, 4), "smoothers-mixed", seed=7)
    assert record.drawn[0] == (
        {
            "step": "smoother",
            "method": "fgs",
            "values": {"sigma": pytest.approx(0.046702809524769504), "lam": pytest.approx(887.4809647338967)},
        },
    )


def test_beautify_smooths_skin_and_leaves_the_rest():
    turned = FACE.flip(1)  # blue skin is no skin
    here, there = ((beautify(x) - x).abs().mean(1)[0, 96:160, 64:128].mean() for x in (FACE, turned))
    assert float(here) > 20 * float(there)
    assert torch.equal(beautify(FACE, BeautifySettings(amount=0)), FACE)


def test_beautify_keeps_edges():
    step = torch.full((1, 3, 32, 32), 0.0) + torch.tensor([0.8, 0.6, 0.5]).view(3, 1, 1)
    step[..., 16:] *= 0.5
    noisy = step + 0.01 * torch.randn(step.shape, generator=torch.Generator().manual_seed(0))
    calm = beautify(noisy, BeautifySettings(amount=1))
    assert float((calm - step)[..., :12].std()) < 0.6 * float((noisy - step)[..., :12].std())
    assert float((calm[..., 15] - calm[..., 16]).mean()) > 0.9 * float((step[..., 15] - step[..., 16]).mean())


def test_grey_pictures_are_skin_everywhere():
    grey = FACE.mean(1, keepdim=True)
    assert torch.equal(skin_likeness(grey), torch.ones_like(grey))
    assert beautify(grey).shape == grey.shape


def test_wrong_values_are_named():
    with pytest.raises(SettingError, match="method: found 'soap', wanted one of l0, guided"):
        degrade_tensor(FACE, "smoother", {"method": "soap"})
    with pytest.raises(SettingError, match="strength: found 2"):
        degrade_tensor(FACE, "smoothers-mixed", {"strength": 2})
    with pytest.raises(SettingError, match=r"strength_min: found 0\.9"):
        degrade_tensor(FACE, "beautify", {"strength_min": 0.9, "strength_max": 0.1})
    with pytest.raises(UsageError, match="beautify: found setting 'power', wanted one of amount"):
        Smoother("beautify", {"power": 1})(FACE)
    with pytest.raises(SettingError, match="amount"):
        BeautifySettings(amount=1.5)
