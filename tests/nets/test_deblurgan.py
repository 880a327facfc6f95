"""DeblurGAN: published sizes and keys in both forms, the skip, dropout on demand, exact tiles without a norm."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from restauro.errors import SettingError
from restauro.nets.deblurgan import DeblurGAN, build_deblurgan
from restauro.nets.layers.published import fit_published
from restauro.restore.engine import EngineSettings, run


def small(seed: int = 0, **options) -> DeblurGAN:
    torch.manual_seed(seed)
    net = DeblurGAN(**{"width": 4, "blocks": 2} | options).eval()
    with torch.no_grad():
        for p in net.parameters():
            p.normal_(0, 0.3)
    return net


@pytest.mark.parametrize(
    ("convs", "blocks", "count"), [(2, 9, 11_378_179), (2, 6, 7_837_699), (1, 9, 6_067_459), (1, 6, 4_297_219)]
)
def test_parameter_counts(convs, blocks, count):
    with torch.device("meta"):
        net = build_deblurgan(blocks=blocks, convs_per_block=convs)
    assert sum(p.numel() for p in net.parameters()) == count


@pytest.mark.parametrize(
    ("convs", "size", "gmacs"),
    [
        (2, (256, 256), 49.55),
        (2, (512, 1024), 396.41),
        (2, (360, 640), 174.20),
        (2, (720, 1280), 696.8),
        (1, (256, 256), 27.81),
        (1, (512, 1024), 222.47),
        (1, (360, 640), 97.76),
        (1, (720, 1280), 391.1),
    ],
)
def test_work(convs, size, gmacs):
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        build_deblurgan(convs_per_block=convs).eval()(torch.empty(1, 3, *size))
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmacs, abs=0.06)


class TestPublishedKeys:
    @pytest.mark.parametrize(
        ("convs", "dropout", "places"), [(2, 0.5, (1, 6)), (2, 0, (1, 5)), (1, 0.5, (1,)), (1, 0, (1,))]
    )
    def test_layout(self, convs, dropout, places):
        with torch.device("meta"):
            net = build_deblurgan(convs_per_block=convs, dropout=dropout)
        weights = {
            "model.1": (64, 3, 7, 7),
            "model.4": (128, 64, 3, 3),
            "model.7": (256, 128, 3, 3),
            "model.19": (256, 128, 3, 3),
            "model.22": (128, 64, 3, 3),
            "model.26": (3, 64, 7, 7),
        }
        weights |= {f"model.{i}.conv_block.{place}": (256, 256, 3, 3) for i in range(10, 19) for place in places}
        state = net.state_dict()
        assert set(state) == {f"{place}.{kind}" for place in weights for kind in ("weight", "bias")}
        assert {key: tuple(state[f"{key}.weight"].shape) for key in weights} == weights

    def test_weights_of_old_pytorch_lose_their_unused_statistics(self):
        net, other = small(0), small(1)
        old = {f"module.{key}": value for key, value in other.state_dict().items()}
        for place in ("2", "5", "8", "10.conv_block.2", "10.conv_block.7"):
            old[f"module.model.{place}.running_mean"] = torch.zeros(4)
            old[f"module.model.{place}.running_var"] = torch.ones(4)
        net.load_state_dict(fit_published(old, net))
        x = torch.rand(1, 3, 16, 16)
        assert torch.equal(net(x), other(x))


class TestForward:
    def test_it_is_the_clamped_sum_of_input_and_correction(self):
        net, x = small(), torch.rand(2, 3, 20, 24)
        signed = 2 * x - 1
        wanted = (signed + net.model(signed)).clamp(-1, 1)
        assert (wanted.abs() == 1).any()
        torch.testing.assert_close(net(x), (wanted + 1) / 2, atol=1e-6, rtol=0)

    def test_statistics_are_those_of_each_picture(self):
        net, x = small(), torch.rand(3, 3, 20, 24)
        torch.testing.assert_close(net(x)[1:2], net(x[1:2]), atol=1e-5, rtol=0)
        assert not torch.allclose(net(x)[..., :8, :8], net(x[..., :16, :16])[..., :8, :8], atol=1e-3)

    @pytest.mark.parametrize("norm", ["instance", "none"])
    def test_it_can_start_as_the_identity_and_learns(self, norm):
        net, x = build_deblurgan(width=4, blocks=2, norm=norm, zero_start=True), torch.rand(1, 3, 16, 16)
        assert torch.equal(net(x), x)
        (net(x) - 0.5).square().mean().backward()
        assert net.model[-2].weight.grad.abs().max() > 0

    @pytest.mark.parametrize("size", [(4, 4), (4, 40), (8, 4)])
    def test_the_smallest_pictures_work(self, size):
        assert small()(torch.rand(1, 3, *size)).isfinite().all()


class TestDropout:
    def test_off_at_test_on_with_a_generator(self):
        net, x = small(), torch.rand(1, 3, 16, 16)
        assert torch.equal(net(x), net(x))
        first, again, other = (net(x, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)

    def test_in_training_it_is_the_ordinary_one(self):
        net, x = small(blocks=1).train(), torch.rand(1, 3, 16, 16)
        torch.manual_seed(3)
        found = net(x)
        block = list(net.model[10].conv_block)
        y = net.model[:10](2 * x - 1)
        z = torch.nn.Sequential(*block[:4])(y)
        torch.manual_seed(3)
        z = torch.nn.functional.dropout(z, 0.5, training=True)
        y = net.model[11:](y + torch.nn.Sequential(*block[5:])(z))
        torch.testing.assert_close(found, (x + y / 2).clamp(0, 1), atol=1e-6, rtol=0)


class TestFacts:
    @pytest.mark.parametrize(("blocks", "convs"), [(0, 2), (1, 2), (2, 1)])
    def test_halo_is_the_exact_receptive_field(self, blocks, convs):
        net = DeblurGAN(2, blocks, convs, norm="none", dropout=None)
        for p in net.parameters():
            p.data = p.data.abs() * 1e-2 + 1e-4  # nothing cancels, tanh is not saturated
        x = torch.full((1, 3, 80, 80), 0.6, requires_grad=True)
        y = net(x)
        reach = 0
        for at in range(40, 44):
            (gradient,) = torch.autograd.grad(y[0, 0, at, at], x, retain_graph=True)
            touched = gradient[0].abs().sum(0).nonzero()
            reach = max(reach, int((touched - at).abs().max()))
        assert reach == net.facts.halo_px == 12 + 4 * blocks * convs

    def test_without_a_norm_tiles_change_nothing(self):
        net = small(blocks=1, norm="none")
        pixels = np.random.default_rng(0).random((90, 150, 3), dtype=np.float32)
        whole = run(net, net.facts, pixels, EngineSettings(device="cpu"))
        tiled = run(net, net.facts, pixels, EngineSettings(device="cpu", tile_px=40, min_tile_px=16))
        assert tiled.tiles > 2
        np.testing.assert_allclose(tiled.pixels, whole.pixels, atol=1e-5)

    def test_global_statistics_are_stated(self):
        assert small().facts.global_statistics
        assert not small(norm="none").facts.global_statistics
        assert small().facts.multiple == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width: found 0"),
        ({"blocks": -1}, "blocks: found -1"),
        ({"convs_per_block": 3}, "convs_per_block: found 3, wanted 1 or 2"),
        ({"norm": "batch"}, "norm: found 'batch'"),
        ({"dropout": 1.0}, "dropout: found 1.0"),
    ],
)
def test_wrong_settings_are_named(options, message):
    with pytest.raises(SettingError, match=message):
        build_deblurgan(**{"width": 2, "blocks": 1} | options)
