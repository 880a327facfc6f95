"""What the engine runs is the network: quick forms are equal, tiles change nothing where a network can look first."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from scipy import ndimage
from torch import nn

from restauro import models
from restauro.facts import BFLOAT16_DB, Facts, HasQuickForm, SeesWhole
from restauro.models import build, facts_of, for_use
from restauro.restore.device import choose_device
from restauro.restore.engine import EngineSettings, run
from tests.nets.costs import shake

ASTRONAUT = np.asarray(skimage.data.astronaut()[:200, 120:330], np.float32) / 255
CPU = EngineSettings(device="cpu")

SMALL = {
    "sasnet": {"width": 8, "depth": 2},
    "unet": {"width": 4},
    "resnet": {"width": 4, "depth": 2},
    "jessnet": {"width": 4},
    "desmoothgan": {"variant": "ours", "width": 4},
    "hifacegan": {"variant": "nested", "width": 2},
}


def small(architecture: str, **options: object) -> nn.Module:
    """A tiny network whose weights do something."""
    torch.manual_seed(0)
    net = build(architecture, **{**SMALL[architecture], **options}).eval().requires_grad_(False)
    normed = architecture == "hifacegan" or (architecture == "desmoothgan" and "norm" not in options)
    return net if normed else shake(net, 0.7)  # another weight has another spectrum than the one that is stored


@pytest.mark.parametrize("architecture", list(SMALL))
def test_the_quick_form_is_the_same_function_with_facts(architecture: str):
    net = small(architecture)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    quick = for_use(net)
    pixels = ASTRONAUT[:64, :96]
    plain = run(net, facts_of(net), pixels, CPU).pixels
    np.testing.assert_allclose(run(quick, facts_of(quick), pixels, CPU).pixels, plain, rtol=0, atol=2e-5)
    assert not quick.training
    assert not any(parameter.requires_grad for parameter in quick.parameters())
    assert facts_of(quick).multiple == facts_of(net).multiple
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items()), (
        "the plain one is left alone"
    )
    again = for_use(quick)
    np.testing.assert_allclose(run(again, facts_of(again), pixels, CPU).pixels, plain, rtol=0, atol=2e-5)


def test_forms_are_stated_by_methods_not_names():
    assert isinstance(small("sasnet"), HasQuickForm)
    assert isinstance(small("desmoothgan"), SeesWhole)
    assert not isinstance(small("unet"), HasQuickForm)
    assert not isinstance(small("hifacegan"), SeesWhole)


@pytest.mark.parametrize("variant", ["ours", "adain"])
@pytest.mark.parametrize("channels", [1, 3])
def test_tiles_change_nothing_where_the_network_looks_first(variant: str, channels: int):
    """Of a size that is no multiple, so that the padding is looked at as well."""
    net = for_use(small("desmoothgan", variant=variant, norm="none", residual=True))
    pixels = ASTRONAUT[:70, :, :channels].copy()
    pixels = np.concatenate([pixels, pixels[:, ::-1] * np.float32(0.3)], axis=1)  # 70 x 420: both ends need each other
    whole = run(net, facts_of(net), pixels, CPU)
    tiled = run(net, facts_of(net), pixels, EngineSettings(device="cpu", tile_px=64))
    assert (whole.tiles, whole.notes) == (1, ())
    assert tiled.tiles > 1
    note = f"this network looks at the whole picture; {tiled.tiles} tiles looked first, they change nothing"
    assert tiled.notes == (note,)
    np.testing.assert_allclose(tiled.pixels, whole.pixels, rtol=0, atol=2e-5)
    again = run(net, facts_of(net), pixels, EngineSettings(device="cpu", tile_px=64))
    assert again.pixels.tobytes() == tiled.pixels.tobytes()


class Mean(nn.Module):
    """Takes the picture's mean away; counts how often it looked, and may find no memory for large tiles."""

    facts = Facts(global_statistics=True, bytes_per_px=100)

    def __init__(self, most_px: int = 10**9):
        super().__init__()
        self.most_px, self.looks = most_px, []

    def forward(self, x):
        if x[0, 0].numel() > self.most_px:
            raise MemoryError
        return x - x.mean()

    def seeing(self, x, tile_px):
        self.looks.append((tuple(x.shape), tile_px))
        seen = Known(x.mean(), self.most_px)
        return seen


class Known(nn.Module):
    def __init__(self, mean, most_px):
        super().__init__()
        self.mean, self.most_px = mean, most_px

    def forward(self, x):
        if x[0, 0].numel() > self.most_px:
            raise MemoryError
        return x - self.mean


def test_out_of_memory_halves_the_tiles_and_looks_again():
    net = Mean(most_px=60 * 60).eval()
    made = run(net, net.facts, ASTRONAUT, CPU)
    assert made.notes[:2] == (
        "out of memory at tiles of 210 px: went on with 105 px",
        "out of memory at tiles of 105 px: went on with 64 px",
    )
    assert [tile_px for _, tile_px in net.looks] == [105, 64]
    assert {shape for shape, _ in net.looks} == {(1, 3, 200, 210)}
    np.testing.assert_allclose(made.pixels, ASTRONAUT - ASTRONAUT.mean(), rtol=0, atol=1e-5)


def test_what_is_looked_at_counts_towards_the_memory_limit():
    net, area = Mean().eval(), ASTRONAUT[..., 0].size
    per_px, fixed = 100 + 40, ASTRONAUT.nbytes
    whole = EngineSettings(device="cpu", memory_limit=fixed + area * per_px)
    assert run(net, net.facts, ASTRONAUT, whole).tiles == 1
    assert net.looks == [], "the whole picture fits: no look"
    looking = EngineSettings(device="cpu", memory_limit=fixed + area * 4 * (3 + 5) + 100 * 100 * per_px)
    made = run(net, net.facts, ASTRONAUT, looking)
    assert made.tile_px == 100
    np.testing.assert_allclose(made.pixels, ASTRONAUT - ASTRONAUT.mean(), rtol=0, atol=1e-5)


def test_a_map_is_cut_and_padded_as_the_picture_is():
    class Times(nn.Module):
        def forward(self, x, alpha):
            return x * alpha

    alpha = np.random.default_rng(0).random(ASTRONAUT.shape[:2], dtype=np.float32)
    for settings in (CPU, EngineSettings(device="cpu", tile_px=70)):
        made = run(Times().eval(), Facts(multiple=16), ASTRONAUT, settings, alpha=alpha)
        np.testing.assert_allclose(made.pixels, ASTRONAUT * alpha[..., None], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", [name for name, spec in models.MODELS.items() if spec.bfloat16_db is not None])
def test_a_model_reaches_what_it_says_of_bfloat16(name: str):
    """Or the default precision would be a promise nobody keeps."""
    net = for_use(models.load(name))
    facts = facts_of(net)
    assert facts.bfloat16_db == models.MODELS[name].bfloat16_db
    given = ASTRONAUT
    if models.MODELS[name].verb == "deblur":  # which leaves a sharp picture alone
        given = np.ascontiguousarray(ndimage.uniform_filter(ASTRONAUT, (7, 1, 0)))
    exact, half = (
        run(net, facts, given, EngineSettings(device="cpu", precision=precision)).pixels
        for precision in ("float32", "bfloat16")
    )
    reached = -10 * np.log10(np.square(half - exact).mean())
    assert reached > max(facts.bfloat16_db or 0, BFLOAT16_DB)


def test_local_weights_are_float32_until_they_are_measured(tmp_path):
    path = tmp_path / "desmooth-general.safetensors"  # the name of a shipped model is no measurement
    models.save_weights(small("unet"), path, "unet", SMALL["unet"], {})
    facts = facts_of(models.load(path))
    assert facts.bfloat16_db is None
    assert run(for_use(models.load(path)), facts, ASTRONAUT[:64, :64], CPU).precision == "float32"
    assert choose_device("cpu").type == "cpu"
