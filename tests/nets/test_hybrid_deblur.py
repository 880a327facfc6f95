"""The hybrid as it was run, with its faults, and ``asap-deblur``, where each of them is gone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import unfold
from torch.utils.flop_counter import FlopCounterMode

from restauro.errors import SettingError
from restauro.models import for_use
from restauro.nets.hybrid_deblur import (
    AS_RUN,
    AsapDeblur,
    AsapDeblurSettings,
    Stem,
    StemSettings,
    build_asap_deblur,
    build_hybrid_deblur,
)
from restauro.nets.layers import pixelwise
from restauro.nets.layers.tent import published_tent, tent
from restauro.nets.layers.winograd import FEWEST_CHANNELS
from restauro.restore.engine import EngineSettings, run

TINY = {"width": 4, "max_width": 8, "depth": 1, "mlp_width": 8, "mlp_depth": 3}


def tiny(seed: int = 0, **options) -> AsapDeblur:
    """A small repaired network that no longer is the identity."""
    torch.manual_seed(seed)
    net = build_asap_deblur(**TINY | options).eval()
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return net


class TestAsItWasRun:
    def test_parameter_count(self):
        with torch.device("meta"):
            assert sum(p.numel() for p in build_hybrid_deblur().parameters()) == 81_263_107

    def test_work(self):
        with torch.device("meta"):
            net, x = build_hybrid_deblur().eval(), torch.empty(1, 3, 512, 1024)
            with FlopCounterMode(display=False) as counter:
                pixelwise.published(net.mlp, x[:, :2], net.lowres_stream(published_tent(x, 2)))
        assert counter.get_total_flops() / 2e9 == pytest.approx(50.6, abs=0.06)

    def test_keys_of_the_students_checkpoints(self):
        with torch.device("meta"):
            state = {key: tuple(value.shape) for key, value in build_hybrid_deblur().state_dict().items()}
        places = {f"lowres_stream.model.{index}.0": (64, 64) for index in (2, 4, 6)}
        places |= {"lowres_stream.model.0.0": (64, 3), "lowres_stream.model.8.0": (1024, 64)}
        places |= {f"lowres_stream.model.{index}.conv_block.0.0": (1024, 1024) for index in range(10, 17)}
        wanted = {"lowres_stream.model.17.weight": (14147, 1024, 1, 1), "lowres_stream.model.17.bias": (14147,)}
        for place, (c_out, c_in) in places.items():
            wanted |= {f"{place}.weight_orig": (c_out, c_in, 3, 3)}
            wanted |= {f"{place}.weight_u": (c_out,), f"{place}.weight_v": (9 * c_in,)}
        assert state == wanted

    def test_it_starts_saturated(self, astronaut):
        """The sheet: |tanh| > 0.99 for 94 % of the values, weights of standard deviation 0.45, before any step."""
        torch.manual_seed(0)
        net = build_hybrid_deblur(width=16, depth=0, tile_px=16).eval()
        x = astronaut[..., :64, :64]
        with torch.inference_mode():
            assert net.lowres_stream.tile_major(2 * x - 1).std() == pytest.approx(0.45, abs=0.03)
            assert ((2 * net(x) - 1).abs() > 0.99).float().mean() > 0.8  # 0.90 at full size on this picture

    def test_its_perceptrons_never_see_blue(self):
        torch.manual_seed(0)
        net = build_hybrid_deblur(width=4, max_width=16, depth=0, tile_px=16).eval()
        x = torch.rand(1, 3, 32, 32)
        params = net.lowres_stream.tile_major(2 * x - 1)
        net.lowres_stream.tile_major = lambda _: params  # only the pixelwise stage hears of the change
        before, changed = net(x), x.clone()
        changed[:, 2] = 1 - changed[:, 2]
        assert torch.equal(net(changed), before)
        changed[:, 1] = 1 - changed[:, 1]
        assert not torch.equal(net(changed), before)

    def test_its_corners_differ_from_its_middle_on_a_flat_picture(self):
        torch.manual_seed(0)
        net = build_hybrid_deblur(width=4, max_width=32, depth=2, tile_px=16).eval()
        assert spread_over_tiles(net) > 0.05


def spread_over_tiles(net: AsapDeblur) -> float:
    """How much equal pixels of different tiles differ where the picture is the same everywhere."""
    k = net.settings.tile_px
    with torch.inference_mode():
        y = net(torch.full((1, 3, 6 * k, 6 * k), 0.3)).view(3, 6, k, 6, k)
    return float((y.amax((1, 3)) - y.amin((1, 3))).max())


class TestRepaired:
    @pytest.mark.parametrize("norm", ["none", "instance-affine"])
    def test_it_starts_as_the_identity(self, norm, astronaut):
        net = build_asap_deblur(**TINY, norm=norm)
        assert torch.equal(net(astronaut), astronaut)

    def test_it_learns_in_all_its_parts(self):
        torch.manual_seed(0)
        net, x = build_asap_deblur(**TINY), torch.rand(2, 3, 64, 64)
        optimiser = torch.optim.Adam(net.parameters(), 1e-2)
        losses = []
        for _ in range(12):
            loss = (net(x) - (1 - x)).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        assert losses[-1] < 0.7 * losses[0]
        assert all(p.grad.abs().max() > 0 for p in net.parameters())

    def test_all_colours_and_neighbours_count(self):
        """Blue alone, two pixels aside, changes a pixel through its own perceptron."""
        net = tiny()
        x = torch.rand(1, 3, 32, 32, requires_grad=True)
        params = net.lowres_stream.tile_major(tent(2 * x.detach() - 1, 2))
        net.lowres_stream.tile_major = lambda _: params
        (gradient,) = torch.autograd.grad(net(x)[0, :, 16, 16].sum(), x)
        touched = gradient[0].abs() > 0
        assert touched[:, 14:19, 14:19].all()
        assert int(touched.sum()) == 75

    def test_pixelwise_stage_is_the_published_one_on_neighbourhoods(self, astronaut):
        net = tiny()
        x, signed = astronaut, 2 * astronaut - 1
        near = unfold(torch.nn.functional.pad(signed, [2] * 4, mode="reflect"), 5).view(1, 75, *x.shape[2:])
        wanted = pixelwise.published(net.mlp, near, net.lowres_stream(tent(signed, 2)))
        torch.testing.assert_close(net(x), x + wanted / 2, atol=1e-5, rtol=0)

    def test_a_flat_picture_stays_flat_up_to_the_corners(self):
        assert spread_over_tiles(tiny()) < 1e-5
        assert spread_over_tiles(tiny(padding="zero")) > 1e-3

    def test_its_own_brightness_counts(self):
        """Instance norm makes the tiles' weights blind to brightness and contrast; without it they see them."""
        x = torch.rand(1, 3, 64, 64)
        for norm, blind in (("instance-affine", True), ("none", False)):
            net = tiny(norm=norm, padding="reflect")
            bright, dim = (net.lowres_stream.tile_major(v) for v in (x, 0.5 * x + 0.2))
            assert torch.allclose(bright, dim, atol=2e-3) == blind

    @pytest.mark.parametrize("size", [(32, 32), (32, 96), (64, 32)])
    def test_small_pictures_work(self, size):
        assert tiny()(torch.rand(2, 3, *size)).shape == (2, 3, *size)

    @pytest.mark.parametrize(
        "repair",
        [
            {"reach_px": 2},
            {"stem_width": 4},
            {"skip": True},
            {"shared_mlp": True},
            {"blue": True},
            {"padding": "reflect"},
        ],
    )
    def test_each_repair_can_be_made_alone(self, repair):
        faults = {"reach_px": 0, "skip": False, "shared_mlp": False, "blue": False, "padding": "zero"}
        net = build_asap_deblur(**TINY, norm="spectral-instance", **faults | repair).eval()
        assert net(torch.rand(1, 3, 64, 64)).isfinite().all()

    def test_without_any_repair_it_is_the_hybrid(self):
        faults = {"reach_px": 0, "skip": False, "shared_mlp": False, "blue": False, "padding": "zero"}
        with torch.device("meta"):
            net = build_asap_deblur(norm="spectral-instance", **faults)
        assert net.settings == AS_RUN


class TestStem:
    def test_it_tells_each_pixel_of_its_own_place(self, astronaut):
        """Its outlet's channels are (row, column, feature) of the pixels of a square."""
        stem = Stem(StemSettings(width=6, blocks=1, features=3), "reflect")
        given = stem.blocks(stem.enter(torch.nn.functional.pixel_unshuffle(astronaut, 4)))
        told = stem(astronaut)
        for row, column, feature in ((0, 0, 0), (1, 3, 1), (3, 2, 2)):
            wanted = torch.einsum("c,nchw->nhw", stem.leave.weight[(row * 4 + column) * 3 + feature, :, 0, 0], given)
            wanted = wanted + stem.leave.bias[(row * 4 + column) * 3 + feature]
            torch.testing.assert_close(told[:, feature, row::4, column::4], wanted)

    def test_the_perceptrons_see_its_features_and_its_colours_pass_them(self, astronaut):
        net = tiny(stem_width=4, stem_blocks=1, stem_features=3, reach_px=1)
        signed = 2 * astronaut - 1
        told = net.stem(signed)
        padded = torch.nn.functional.pad(torch.cat([signed, told], 1), [1] * 4, mode="reflect")
        near = unfold(padded, 3).view(1, 54, *astronaut.shape[2:])
        wanted = pixelwise.published(net.mlp, near, net.lowres_stream(tent(signed, 2))) + told
        torch.testing.assert_close(net(astronaut), astronaut + wanted / 2, atol=1e-5, rtol=0)

    def test_untrained_it_changes_nothing_and_then_it_learns(self, astronaut):
        torch.manual_seed(0)
        net = build_asap_deblur(**TINY, stem_width=4, stem_blocks=1, reach_px=0)
        assert torch.equal(net(astronaut), astronaut)
        x = torch.rand(2, 3, 64, 64)
        optimiser = torch.optim.Adam(net.parameters(), 1e-2)
        for _ in range(3):
            loss = (net(x) - x.roll(3, 3)).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        assert all(p.grad.abs().max() > 0 for p in net.stem.parameters())

    def test_halo_is_its_exact_receptive_field(self):
        settings = StemSettings(width=2, blocks=2, features=3)
        stem = Stem(settings, "zero")
        for p in stem.parameters():
            p.data = p.data.abs() * 0.1 + 1e-2  # nothing cancels
        x = torch.full((1, 3, 64, 64), 0.7, requires_grad=True)
        y = stem(x)
        reach = 0
        for at in (28, 31):  # both ends of a square
            (gradient,) = torch.autograd.grad(y[0, 0, at, at], x, retain_graph=True)
            reach = max(reach, int((gradient[0].abs().sum(0).nonzero() - at).abs().max()))
        assert reach == settings.halo_px

    def test_a_stem_that_sees_past_the_tiles_counts(self):
        assert tiny(depth=0, stem_width=2, stem_blocks=12, reach_px=1).facts.halo_px == 104


class TestFacts:
    @pytest.mark.parametrize(("tile_px", "depth"), [(16, 0), (16, 1), (32, 0)])
    def test_halo_is_the_exact_receptive_field(self, tile_px, depth):
        net = build_asap_deblur(**TINY | {"depth": depth}, tile_px=tile_px)
        for p in net.parameters():
            p.data = p.data.abs() * 0.1 + 1e-2  # nothing cancels
        side = 7 * tile_px
        x = torch.full((1, 3, side, side), 0.7, requires_grad=True)
        y = net(x)
        reach = 0
        for at in (3 * tile_px, 4 * tile_px - 1):  # both ends of the middle tile
            (gradient,) = torch.autograd.grad(y[0, 0, at, at], x, retain_graph=True)
            touched = gradient[0].abs().sum(0).nonzero()
            reach = max(reach, int((touched - at).abs().max()))
        assert reach == net.facts.halo_px

    @pytest.mark.parametrize("stem_width", [0, 4])
    def test_tiles_change_nothing(self, stem_width):
        net = tiny(tile_px=16, stem_width=stem_width)
        pixels = np.random.default_rng(0).random((100, 310, 3), dtype=np.float32)
        whole = run(net, net.facts, pixels, EngineSettings(device="cpu"))
        tiled = run(net, net.facts, pixels, EngineSettings(device="cpu", tile_px=64))
        assert tiled.tiles > 2
        np.testing.assert_allclose(tiled.pixels, whole.pixels, atol=1e-5)

    @pytest.mark.parametrize("stem_width", [0, 4])
    def test_the_form_for_use_is_the_same_network(self, stem_width, astronaut):
        net = tiny(max_width=FEWEST_CHANNELS, depth=2, stem_width=stem_width)
        torch.testing.assert_close(for_use(net)(astronaut), net(astronaut), atol=1e-4, rtol=0)

    def test_global_statistics_are_those_of_the_norm(self):
        assert not tiny().facts.global_statistics
        assert build_hybrid_deblur(width=2, max_width=2, depth=0).facts.global_statistics
        assert tiny(tile_px=64).facts.multiple == 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reach_px": -1}, "reach_px: found -1"),
        ({"tile_px": 20}, "tile_px: found 20, wanted a power of two from 16"),
        ({"mlp_depth": 1}, "depth: found 1"),
        ({"norm": "batch"}, "norm: found 'batch'"),
        ({"stem_width": -1}, "stem_width: found -1"),
        ({"stem_width": 8, "stem_blocks": -1}, "stem_blocks: found -1"),
        ({"stem_width": 8, "stem_features": 2}, "stem_features: found 2"),
    ],
)
def test_wrong_settings_are_named(options, message):
    with pytest.raises(SettingError, match=message):
        build_asap_deblur(**TINY | options)


def test_defaults_are_all_repairs():
    with torch.device("meta"):
        assert build_asap_deblur().settings == AsapDeblurSettings()
