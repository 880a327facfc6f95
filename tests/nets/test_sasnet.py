"""The cost is what ties the network to the paper: nothing else about the subnets is printed there."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from restauro.errors import SettingError, UsageError
from restauro.nets.layers.symmetry import self_ensemble
from restauro.nets.sasnet import Gates, SASNet, build_sasnet
from tests.nets.costs import gflop, gmac, on_meta, parameters, reach_px, shake


def _net(dtype: torch.dtype = torch.float32, std: float = 0.5, **settings: object) -> SASNet:
    """A small one with weights that do something, not trained."""
    return shake(SASNet(**{"width": 8, "depth": 3, **settings}), std).to(dtype).eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({}, 2_152_032),
        ({"norm": "batch"}, 2_152_032),
        ({"norm": "none"}, 2_151_936),
        ({"attention": False}, 2_119_392),
        ({"width": 32}, 635_904),
        ({"width": 48}, 1_281_840),
        ({"width": 80}, 3_246_480),
        ({"width": 96}, 4_565_184),
        ({"scale": 4}, 2_673_600),
        ({"scale": 4, "depth": 32}, 5_347_200),
        ({"scale": 8}, 4_107_912),
    ],
)
def test_parameters(settings: dict[str, object], count: int):
    net, _ = on_meta(lambda: build_sasnet(**settings))
    assert parameters(net) == count


def test_cost_of_the_paper_at_512_by_384():
    net, x = on_meta(build_sasnet)
    assert gmac(net, lambda: net(x, alpha=0.5)) == pytest.approx(209.12, abs=0.005)
    assert gflop(lambda: net(x, alpha=0.5)) == pytest.approx(416.34, abs=0.005)


@pytest.mark.parametrize(
    ("settings", "times", "mac", "flop"),  # cost goes with the depth: that of fewer blocks, so many times
    [
        ({"depth": 1, "norm": "none"}, 16, 209.11, 416.34),
        ({"depth": 1, "attention": False}, 16, 208.95, 415.42),
        ({"depth": 1, "width": 32}, 16, 61.90, 122.81),
        ({"depth": 1, "width": 48}, 16, 124.64, 247.83),
        ({"depth": 1, "width": 80}, 16, 315.35, 628.34),
        ({"depth": 1, "width": 96}, 16, 443.32, 883.83),
        ({"depth": 2, "scale": 4}, 8, 143.52, 285.82),
        ({"depth": 2, "scale": 4}, 16, 287.04, 571.65),
        ({"depth": 16, "scale": 8}, 1, 116.87, 232.80),
    ],
)
def test_cost_of_other_settings(settings: dict[str, object], times: int, mac: float, flop: float):
    net, x = on_meta(lambda: build_sasnet(**settings))
    assert gmac(net, lambda: net(x, alpha=0.5)) * times == pytest.approx(mac, abs=0.011)
    assert gflop(lambda: net(x, alpha=0.5)) * times == pytest.approx(flop, abs=0.011)


def test_smoothing_skips_the_two_subnets_that_only_make_z():
    net, x = on_meta(lambda: SASNet(depth=2))
    assert gflop(lambda: net(x)) / gflop(lambda: net(x, alpha=0.5)) == pytest.approx(1 - 2 / 12, abs=1e-3)


@pytest.mark.parametrize(("scale", "blocks"), [(2, [16]), (4, [8, 8]), (8, [6, 5, 5])])
def test_blocks_are_shared_out_over_the_levels(scale: int, blocks: list[int]):
    net, _ = on_meta(lambda: SASNet(scale))
    assert [len(level) for level in net.levels] == blocks


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_merge_undoes_split(astronaut: torch.Tensor, scale: int, attention: bool, dtype: torch.dtype, bound: float):
    net = _net(dtype, scale=scale, attention=attention, depth=6)
    x = astronaut[:, :, :64, :96].to(dtype)
    coarse, z = net.split(x)
    assert coarse.shape == (1, 3, 64 // scale, 96 // scale)
    assert z.shape == (1, 3 * scale**2 - 3, 64 // scale, 96 // scale)
    assert 0.02 < float(z.std()) < 20
    torch.testing.assert_close(net.merge(coarse, z), x, atol=bound, rtol=0)
    other = torch.randn(z.shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    again = net.split(net.merge(coarse, other))
    torch.testing.assert_close(again[1], other, atol=20 * bound, rtol=0)


def test_the_untrained_network_averages_blocks(astronaut: torch.Tensor):
    for scale in (2, 4, 8):
        expected = F.interpolate(F.avg_pool2d(astronaut, scale), scale_factor=scale, mode="nearest")
        torch.testing.assert_close(SASNet(scale, 8, 3)(astronaut), expected, atol=1e-6, rtol=0)


class TestDial:
    def test_one_is_the_input_bit_for_bit(self, astronaut: torch.Tensor):
        x = astronaut[:, :, :32, :32]
        y = _net()(x, alpha=1)
        assert torch.equal(y, x)
        assert y.data_ptr() != x.data_ptr()
        assert torch.equal(_net()(x, alpha=torch.ones(1, 1, 32, 32)), x)

    def test_goes_from_smoothed_to_input_and_on(self, astronaut: torch.Tensor):
        net, x = _net(), astronaut[:, :, :64, :64]
        assert torch.equal(net(x, alpha=0.0), net(x))
        away = [float((net(x, alpha=alpha) - x).square().mean()) for alpha in (0.0, 0.25, 0.5, 0.75, 0.999)]
        assert away == sorted(away, reverse=True)
        assert away[-1] < 1e-5 < away[0]
        untrained = SASNet(width=8, depth=2)
        boosted = x + 0.5 * (x - untrained(x))  # where every block is the identity, this is what 1.5 means
        torch.testing.assert_close(untrained(x, alpha=1.5), boosted, atol=1e-5, rtol=0)

    def test_map_keeps_pixels_bit_for_bit_and_agrees_with_the_number_where_it_is_even(self, astronaut: torch.Tensor):
        net, x = _net(scale=4, attention=False), astronaut[:, :, :64, :64]
        even = net(x, alpha=torch.full((1, 1, 64, 64), 0.25))
        torch.testing.assert_close(even, net(x, alpha=0.25), atol=1e-6, rtol=0)
        alpha = torch.zeros(1, 1, 64, 64)
        alpha[..., 3:17, 5:30] = 1
        y = net(x, alpha=alpha)
        kept = alpha.expand_as(x) == 1
        assert torch.equal(y[kept], x[kept])
        assert not torch.allclose(y[~kept], x[~kept], atol=1e-2)

    def test_map_is_averaged_over_what_a_code_pixel_stands_for(self):
        net = SASNet(2, 8, 2)  # identity blocks: each 2x2 block by itself
        x = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
        alpha = torch.zeros(1, 1, 4, 4)
        alpha[..., 0, 0] = 0.5
        torch.testing.assert_close(net(x, alpha=alpha)[..., :2, :2], net(x, alpha=0.125)[..., :2, :2])
        assert torch.equal(net(x, alpha=alpha)[..., 2:], net(x)[..., 2:])


class TestNoise:
    def test_zero_is_deterministic_and_samples_follow_their_generator(self, astronaut: torch.Tensor):
        net, x = _net(), astronaut[:, :, :32, :32]
        assert torch.equal(net(x), net(x))

        def draw(seed: int, samples: int = 1, alpha: float = 0.0) -> torch.Tensor:
            return net(x, samples=samples, alpha=alpha, generator=torch.Generator().manual_seed(seed))

        assert torch.equal(draw(0), draw(0))
        assert not torch.equal(draw(0), draw(1))
        assert torch.equal(draw(0, alpha=1.0), x)

    def test_mean_of_k_is_the_mean_of_k_draws(self, astronaut: torch.Tensor):
        net, x = _net(), astronaut[:, :, :32, :32]
        generator = torch.Generator().manual_seed(7)
        draws = [net(x, samples=1, generator=generator) for _ in range(3)]
        mean = net(x, samples=3, generator=torch.Generator().manual_seed(7))
        torch.testing.assert_close(mean, torch.stack(draws).mean(0), atol=1e-6, rtol=0)

    def test_untrained_noise_has_the_deviation_of_three_unit_bands(self):
        """A pixel is the low band and three others, each n ~ N(0, 1) with a sign."""
        noise = SASNet(width=4, depth=1)(
            torch.zeros(1, 3, 128, 128), samples=1, generator=torch.Generator().manual_seed(0)
        )
        assert float(noise.detach().std()) == pytest.approx(3**0.5, rel=0.02)


class TestTraining:
    def test_checkpointed_gradients_are_the_plain_ones(self):
        x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        gradients = []
        for checkpoint in (False, True):
            net = shake(SASNet(width=8, depth=2, checkpoint=checkpoint)).train()
            net(x).sub(0.5).abs().mean().backward()
            gradients.append([p.grad for p in net.parameters()])
        for plain, again in zip(*gradients, strict=True):
            torch.testing.assert_close(again, plain, atol=1e-7, rtol=1e-5)

    def test_checkpointing_keeps_less_between_forward_and_backward(self):
        kept = []
        for checkpoint in (False, True):
            net = SASNet(width=8, depth=3, checkpoint=checkpoint).train()
            sizes: list[int] = []

            def pack(tensor: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
                sizes.append(tensor.numel())
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
                net(torch.rand(1, 3, 32, 32))
            kept.append(sum(sizes))
        assert kept[1] < kept[0] / 3

    def test_every_weight_learns(self):
        net = shake(SASNet(width=8, depth=2)).train()
        net(torch.rand(1, 3, 16, 16)).square().mean().backward()
        gradients = {name: p.grad for name, p in net.named_parameters()}  # one unit of a gate's ReLU may be dead
        assert all(g is not None and (".mlp." in name or g.abs().max() > 0) for name, g in gradients.items())

    def test_the_untrained_network_starts_to_learn_at_its_last_convolutions(self):
        net = SASNet(width=8, depth=2)
        net(torch.rand(1, 3, 16, 16)).square().mean().backward()
        learning = {name.split(".")[-2] for name, p in net.named_parameters() if p.grad.abs().max() > 0}
        assert learning == {"conv3"}

    def test_a_picture_comes_out_the_same_alone_and_in_a_batch(self):
        net = shake(SASNet(width=8, depth=2)).train()
        x = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(net(x)[1:2], net(x[1:2]), atol=1e-5, rtol=0)


class TestWholePicture:
    """The channel gates pool over the whole picture. Three ways to the same result."""

    @pytest.mark.parametrize("alpha", [0.0, 0.5])
    def test_tiles_with_the_gates_of_the_whole_equal_the_whole(self, astronaut: torch.Tensor, alpha: float):
        net = _net(depth=2, std=0.8)
        halo = net.radius_px + 1  # 86: rounded up to the multiple
        assert halo % net.facts.multiple == 0
        x = F.pad(astronaut[:, :, :16], (48, 48, 0, 0), mode="reflect")  # 16 x 320
        x[..., :160] *= 0.2
        whole = net(x, alpha=alpha)
        gates = net.gates(x, alpha=alpha)
        assert len(gates.values) == (10 if alpha == 0 else 12)
        cut = 160
        left, right = x[..., : cut + halo], x[..., cut - halo :]
        tiles = [net(left, alpha=alpha, gates=gates)[..., :cut], net(right, alpha=alpha, gates=gates)[..., halo:]]
        torch.testing.assert_close(torch.cat(tiles, dim=3), whole, atol=1e-5, rtol=0)
        without = torch.cat([net(left, alpha=alpha)[..., :cut], net(right, alpha=alpha)[..., halo:]], dim=3)
        assert float((without - whole).abs().max()) > 1e-4

    def test_the_practical_halo_is_enough_for_a_deep_network(self, astronaut: torch.Tensor):
        net = _net(depth=16)
        assert net.facts.halo_px == 64 < net.radius_px
        x = F.pad(astronaut[:, :, :16], (32, 0, 0, 0), mode="reflect")  # 16 x 256
        seen = net(x[..., :192], gates=net.gates(x))[..., :128]
        torch.testing.assert_close(seen, net(x)[..., :128], atol=1 / 512, rtol=0)

    @pytest.mark.parametrize("scale", [2, 8])
    @pytest.mark.parametrize("attention", [True, False])
    def test_fused_equals_plain(self, astronaut: torch.Tensor, scale: int, attention: bool):
        net = _net(scale=scale, attention=attention, norm="batch")
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.fill_(0.1)
                module.running_var.fill_(0.5)
        x = astronaut[:, :, :96, :64].repeat(2, 1, 1, 1)
        x[1] = x[1].flip(-1) * 0.5
        fused = net.fused(band_px=40)
        assert not any(p.requires_grad for p in fused.parameters())
        for alpha in (0.0, 0.5):
            torch.testing.assert_close(fused(x, alpha=alpha), net(x, alpha=alpha), atol=1e-5, rtol=0)
        assert torch.equal(fused(x, alpha=1.0), x)

    def test_gates_fit_both_forms(self, astronaut: torch.Tensor):
        net, x = _net(), astronaut[:, :, :64, :64]
        fused = net.fused(band_px=16)
        torch.testing.assert_close(fused(x, gates=net.gates(x)), net(x), atol=1e-5, rtol=0)
        torch.testing.assert_close(net(x, gates=fused.gates(x)), net(x), atol=1e-5, rtol=0)

    def test_bfloat16_is_close_enough(self, astronaut: torch.Tensor):
        net, x = _net(depth=8, width=16, std=0.2), astronaut[:, :, :64, :64]
        whole = net(x)
        for form in (net, net.fused()):
            with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
                y = form(x)
            assert y.dtype == torch.float32
            assert -10 * torch.log10((y - whole).square().mean()) > 50

    def test_gates_of_another_run_are_refused(self, astronaut: torch.Tensor):
        net, x = _net(depth=2), astronaut[:, :, :16, :16]
        gates = net.gates(x)
        with pytest.raises(UsageError, match="those of another run"):
            net(x, alpha=0.5, gates=gates)
        with pytest.raises(UsageError, match="those of another run"):
            net(x, gates=Gates((*gates.values, gates.values[0])))
        with pytest.raises(UsageError, match="without attention"):
            _net(attention=False).gates(x)


@pytest.mark.parametrize(("scale", "attention", "radius"), [(2, True, 37), (2, False, 19), (4, True, 123)])
def test_radius_is_the_exact_receptive_field_given_the_gates(scale: int, attention: bool, radius: int):
    """Positive weights let nothing cancel, and small ones let nothing underflow or saturate."""
    net = SASNet(scale, 2, scale // 2, attention).double().eval()
    assert net.radius_px == radius
    for p in net.parameters():
        p.data = torch.rand_like(p) / p[0].numel()
    gates = Gates(tuple(torch.ones(1, 2, 1, 1, dtype=torch.float64) for _ in range(6 * (scale // 2))))
    side = 2 * (radius // scale + 2) * scale
    middle = range(side // 2, side // 2 + scale)
    reach = reach_px(lambda x: net(x, alpha=0.5, gates=gates if attention else None), side, middle)
    assert reach == radius


def test_self_ensemble_keeps_the_shape_and_changes_the_result(astronaut: torch.Tensor):
    net, x = _net(depth=1), astronaut[:, :, :24, :32]
    y = self_ensemble(net, x)
    assert y.shape == x.shape
    assert not torch.allclose(y, net(x), atol=1e-4)


def test_facts():
    assert [SASNet(scale, 8, 3).facts.multiple for scale in (2, 4, 8)] == [2, 4, 8]
    assert SASNet(2, 8, 1).facts.halo_px == 37
    assert SASNet(4, 8, 4).facts.halo_px == 128
    assert SASNet(2, 8, 4, attention=False).facts.global_statistics is False
    assert SASNet(2, 8, 4).facts.global_statistics is True
    net = SASNet(2, 32, 1)
    assert net.fused().facts.bytes_per_px < net.facts.bytes_per_px


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale": 3}, "scale: found 3, wanted 2, 4 or 8"),
        ({"width": 0}, "width: found 0"),
        ({"scale": 8, "depth": 2}, "depth: found 2, wanted a whole number from 3"),
        ({"norm": "layer"}, "norm: found 'layer'"),
        ({"norm": "batch", "checkpoint": True}, "checkpoint: found True"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, object], message: str):
    with pytest.raises(SettingError, match=message):
        SASNet(**{"width": 4, "depth": 3, **settings})


def test_wrong_calls_are_named():
    net, x = _net(depth=2, scale=4), torch.zeros(1, 3, 8, 12)
    with pytest.raises(UsageError, match="found a picture of 12 x 6, wanted sides divisible by 4"):
        net(x[:, :, :6])
    for wrong in (-0.5, float("nan"), float("inf")):
        with pytest.raises(SettingError, match="alpha: found"):
            net(x, alpha=wrong)
    with pytest.raises(SettingError, match=r"alpha: found \[1, 1, 2, 3\]"):
        net(x, alpha=torch.ones(1, 1, 2, 3))
    with pytest.raises(SettingError, match="samples: found -1"):
        net(x, samples=-1)
    with pytest.raises(SettingError, match="generator: found None"):
        net(x, samples=1)
    with pytest.raises(SettingError, match="band_px: found 0"):
        net.fused(0)
