"""The explaining figure: maps equal to what is computed by hand, and contributions that vanish where they must."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from restauro.errors import SettingError
from restauro.models import build, save_weights
from restauro.nets.desmoothgan import DeSmoothGAN, DeSmoothGANSettings
from restauro.nets.hifacegan import HiFaceGAN, build_hifacegan
from restauro.picture import from_array
from restauro.restore.explain.draw import enlarged, heat, jet, plot
from restauro.restore.explain.figure import explain
from restauro.restore.explain.injection import inject
from restauro.restore.explain.layers import Attention, Modulation, layer_names, watch

VARIANTS = ("nested", "lipspade", "spade")


@pytest.fixture
def x() -> Tensor:
    return torch.rand(1, 3, 64, 32, generator=torch.Generator().manual_seed(0))


def lively(net: nn.Module) -> nn.Module:
    """Weights that do something: HiFaceGAN's own start gives black within 1e-5."""
    torch.manual_seed(0)
    for parameter in net.parameters():
        if parameter.ndim == 4:
            nn.init.kaiming_normal_(parameter)
        else:
            nn.init.normal_(parameter)  # without biases, a blank feature would shut its block
    return net.eval()


def hifacegan(variant: str, **options: bool) -> HiFaceGAN:
    net = lively(build_hifacegan(variant, width=2, norm="instance", **options))
    assert isinstance(net, HiFaceGAN)
    return net


# ---- layers


def test_sft_maps_are_the_layers_own(x: Tensor):
    torch.manual_seed(0)
    net = DeSmoothGAN(DeSmoothGANSettings(width=4, downs=3, norm="none", modulation="spatial")).eval()
    output, (look,) = watch(net, x, ["sft.1"])
    with torch.no_grad():
        assert torch.equal(output, net(x))
        gamma, beta = net.sft[1].maps(nn.functional.avg_pool2d(2 * x - 1, 2))  # level 1 of 3 is at half the size
    assert isinstance(look, Modulation)
    assert torch.equal(look.gamma, gamma[0])
    assert torch.equal(look.beta, beta[0])
    assert not net.sft[1]._forward_hooks


@pytest.mark.parametrize("variant", VARIANTS)
def test_spade_maps_are_of_the_blocks_guide(variant: str, x: Tensor):
    net = hifacegan(variant)
    names = [name for name, kind in layer_names(net).items() if kind is Modulation]
    assert len(names) == 7 * 2 + 4  # norm_0 and norm_1 in seven blocks, norm_s in the four that change their width
    _, (look,) = watch(net, x, ["ups.2.norm_1"])
    norm = net.ups[2].norm_1
    with torch.no_grad():
        guide = net.encode(x)[1][5]
        hidden = nn.functional.conv2d(guide, norm.mlp_shared[0].weight, norm.mlp_shared[0].bias, padding=1).relu()
        gamma = nn.functional.conv2d(hidden, norm.mlp_gamma.weight, padding=1)
    assert isinstance(look, Modulation)
    torch.testing.assert_close(look.gamma, gamma[0])


def test_nvlabs_spade_is_found_too():
    net = build("spade", guide_channels=3, width=1, picture=True).eval()
    assert set(layer_names(net).values()) == {Modulation}


@pytest.mark.parametrize("axis", ["key", "query"])
def test_curve_and_row_are_those_of_the_dense_table(axis: str):
    f, g, h = torch.randn(3, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    look = Attention("a", f, g, h, axis)  # type: ignore[arg-type]
    table = torch.softmax(f.flatten()[:, None] * g.flatten(), dim=0 if axis == "key" else 1)  # [i, j]
    torch.testing.assert_close(look.row(3, 2), table[:, 3 * 7 + 2].reshape(5, 7), atol=1e-9, rtol=0)
    t, values = look.curve(50)
    if axis == "key":
        dense = torch.softmax(f.flatten()[:, None] * t, dim=0).T @ h.flatten()
        torch.testing.assert_close(values, dense, atol=1e-9, rtol=0)
    received = h.flatten() @ table
    highest = int(g.argmax())
    assert float(values[-1]) == pytest.approx(float(received[highest]), abs=1e-9)


def test_attention_is_caught_where_it_relates_positions(x: Tensor):
    torch.manual_seed(0)
    net = build("desmoothgan", variant="ours", width=4, norm="none", spectral=False).eval()
    _, (look,) = watch(net, x, ["attention.3"])
    assert isinstance(look, Attention)
    assert look.g.shape == (32, 16)
    assert float(look.row(10, 3).sum()) == pytest.approx(1)
    no_sr = build("desmoothgan", variant="no-sr", width=4, norm="none", spectral=False)
    assert Attention not in layer_names(no_sr).values()


def test_unknown_layers_are_named(x: Tensor):
    with pytest.raises(SettingError, match=r"'sft.9'.*head_0.norm_0"):
        watch(hifacegan("spade"), x, ["sft.9"])
    with pytest.raises(SettingError, match="this network has none"):
        watch(build("desmoothgan", width=2).eval(), x, ["sft.0"])


# ---- injection points


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_points_real_is_the_network(variant: str, x: Tensor):
    net = hifacegan(variant)
    found = inject(net, x)
    assert len(found.points) == (7 if variant == "nested" else 8)
    assert (len(found.plugged), len(found.progressive), len(found.ablated)) == (
        len(found.points),
        len(found.points) + 1,
        len(found.points),
    )
    with torch.no_grad():
        assert torch.equal(found.progressive[-1], net(x)[0])


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_point_real_does_not_see_the_picture(variant: str, x: Tensor):
    net = hifacegan(variant)
    assert torch.equal(inject(net, x).progressive[0], inject(net, x.flip(3)).progressive[0])


def test_a_residual_network_says_so_and_gives_the_correction(x: Tensor):
    net = hifacegan("nested", residual=True)
    found = inject(net, x)
    assert found.residual
    with torch.no_grad():
        torch.testing.assert_close(x[0] + found.progressive[-1], net(x)[0])


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_block_that_ignores_its_guide_contributes_nothing(variant: str, x: Tensor):
    net = hifacegan(variant)
    for norm in (net.ups[1].norm_0, net.ups[1].norm_1, net.ups[1].norm_s):
        nn.init.zeros_(norm.mlp_shared[0].weight)
    values = inject(net, x).contributions()
    assert values["ups.1"] == {"one-plug": 0, "progressive": 0, "one-ablate": 0}
    assert all(value > 0 for value in values["ups.2"].values())


def test_a_grey_picture_contributes_nothing_to_the_published_form():
    values = inject(hifacegan("lipspade"), torch.full((1, 3, 32, 32), 0.5)).contributions()
    assert all(value == 0 for modes in values.values() for value in modes.values())


# ---- drawing


def test_jet_by_hand():
    expected = [[0, 0, 0.5], [0, 0.5, 1], [0.5, 1, 0.5], [1, 0.5, 0], [0.5, 0, 0]]
    np.testing.assert_allclose(jet(np.linspace(0, 1, 5, dtype=np.float32)), expected, atol=1e-6)


def test_maps_keep_their_values_as_blocks():
    values = np.array([[0.0, 5.0], [10.0, 20.0]], np.float32)
    drawn = heat(values, (4, 6), 0, 20)
    assert drawn.shape == (4, 6, 3)
    np.testing.assert_array_equal(drawn[0, 0], jet(np.float32([0]))[0])
    np.testing.assert_array_equal(drawn[3, 5], jet(np.float32([1]))[0])
    np.testing.assert_array_equal(drawn[1, 3:], np.broadcast_to(jet(np.float32([0.25]))[0], (3, 3)))
    flat = heat(np.full((2, 2), 7.0, np.float32), (2, 2))  # max = min
    assert np.unique(flat.reshape(-1, 3), axis=0).shape == (1, 3)


def test_enlarging_repeats_pixels():
    picture = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    np.testing.assert_array_equal(enlarged(picture, (4, 4)), picture.repeat(2, axis=0).repeat(2, axis=1))


def test_a_constant_curve_can_be_plotted():
    t = np.zeros(2, np.float32)
    assert plot(t, t, t, (100, 200)).shape == (100, 200, 3)


# ---- the whole figure


@pytest.fixture
def saved(tmp_path: Path) -> dict[str, Path]:
    torch.manual_seed(0)
    paths = {}
    for name, architecture, options in (
        ("ours", "desmoothgan", {"variant": "ours", "width": 4, "norm": "none"}),
        ("nested", "hifacegan", {"variant": "nested", "width": 1, "norm": "instance"}),
    ):
        paths[name] = tmp_path / f"{name}.safetensors"
        save_weights(build(architecture, **options), paths[name], architecture, options, {})
    return paths


def test_the_figure_says_what_it_shows(saved: dict[str, Path], astronaut_array: np.ndarray):
    picture = from_array(astronaut_array[:70, :90])
    outcome = explain(picture, saved["ours"], pixel=(40, 20))
    told = outcome.evidence
    assert told.shown == ("sft.3", "attention.3")
    assert told.pixel == (40, 20)
    assert (told.width, told.height) == (90, 70)
    assert told.difference > 0
    assert told.contributions is None
    assert outcome.picture.source.bits == 8
    assert outcome.picture.width > 4 * 256
    everything = explain(picture, saved["ours"], layers=("all",))
    assert everything.evidence.shown == everything.evidence.layers
    assert everything.picture.height > outcome.picture.height


def test_a_large_picture_is_reduced_and_the_pixel_with_it(saved: dict[str, Path], astronaut_array: np.ndarray):
    outcome = explain(from_array(astronaut_array), saved["ours"], pixel=(223, 96), side_px=56)
    assert outcome.evidence.pixel == (55, 24)
    assert outcome.evidence.notes == ("reduced from 224 x 192 to 56 x 48 px for the figure",)


def test_a_hifacegan_gets_its_injection_rows(saved: dict[str, Path], astronaut_array: np.ndarray):
    told = explain(from_array(astronaut_array[:64, :64]), saved["nested"]).evidence
    assert told.contributions is not None
    assert list(told.contributions)[:3] == ["start", "head_0", "G_middle_0, 1"]
    assert told.record()["contributions"] == told.contributions


def test_a_plain_network_says_that_there_is_nothing_inside(astronaut_array: np.ndarray):
    outcome = explain(from_array(astronaut_array[:64, :64, 0]), "desmooth-general")
    assert "nothing inside" in outcome.evidence.notes[0]


@pytest.mark.parametrize("pixel", [(-1, 0), (90, 0), (0, 70)])
def test_a_pixel_outside_is_refused(saved: dict[str, Path], pixel: tuple[int, int], astronaut_array: np.ndarray):
    with pytest.raises(SettingError, match="at most 89,69"):
        explain(from_array(astronaut_array[:70, :90]), saved["ours"], pixel=pixel)
