"""pix2pixHD: published sizes and keys, both generators, the encoder's means over objects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import instance_norm, pad
from torch.utils.flop_counter import FlopCounterMode

from restauro.errors import SettingError
from restauro.nets.layers.any_size import InstanceNorm, Reflect
from restauro.nets.layers.labels import one_hot
from restauro.nets.pix2pixhd import LocalEnhancer, StyleEncoder, build_pix2pixhd, instance_average


def meta(*words, **options):
    with torch.device("meta"):
        return build_pix2pixhd(*words, **options)


def shapes(net) -> dict[str, tuple[int, ...]]:
    """Weights by place; each has a bias beside it and nothing else is there."""
    state = net.state_dict()
    places = {key.removesuffix(".weight"): tuple(v.shape) for key, v in state.items() if key.endswith(".weight")}
    assert set(state) == {f"{place}.{kind}" for place in places for kind in ("weight", "bias")}
    return places


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 182_546_755),
        ({"edges": False}, 182_543_619),
        ({"styles": True}, 182_556_163),
        ({"classes": 0, "edges": False}, 182_443_267),
        ({"bias": False}, 182_525_379),
        ({"generator": "local"}, 182_857_059),
    ],
)
def test_parameter_counts(options, count):
    assert sum(p.numel() for p in meta(**options).parameters()) == count


@pytest.mark.parametrize(
    ("generator", "size", "gmacs"),
    [
        ("global", (256, 256), 61.17),
        ("global", (256, 512), 122.33),
        ("global", (512, 1024), 489.32),
        ("local", (256, 256), 23.37),
        ("local", (512, 1024), 186.98),
        ("local", (1024, 2048), 747.9),
    ],
)
def test_work(generator, size, gmacs):
    net, x = meta(generator), torch.empty(1, 36, *size, device="meta")
    with FlopCounterMode(display=False) as counter:
        assert net(x).shape == (1, 3, *size)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmacs, abs=0.06)


class TestPublishedKeys:
    GLOBAL = (
        {"model.1": (64, 36, 7, 7), "model.4": (128, 64, 3, 3), "model.7": (256, 128, 3, 3)}
        | {"model.10": (512, 256, 3, 3), "model.13": (1024, 512, 3, 3)}
        | {f"model.{i}.conv_block.{place}": (1024, 1024, 3, 3) for i in range(16, 25) for place in (1, 5)}
        | {"model.25": (1024, 512, 3, 3), "model.28": (512, 256, 3, 3)}
        | {"model.31": (256, 128, 3, 3), "model.34": (128, 64, 3, 3)}
    )

    def test_global(self):
        assert shapes(meta()) == self.GLOBAL | {"model.38": (3, 64, 7, 7)}

    def test_local(self):
        around = {"model1_1.1": (32, 36, 7, 7), "model1_1.4": (64, 32, 3, 3)}
        around |= {f"model1_2.{i}.conv_block.{place}": (64, 64, 3, 3) for i in range(3) for place in (1, 5)}
        around |= {"model1_2.3": (64, 32, 3, 3), "model1_2.7": (3, 32, 7, 7)}
        assert shapes(meta("local")) == self.GLOBAL | around

    def test_encoder(self):
        with torch.device("meta"):
            net = StyleEncoder()
        assert shapes(net) == {
            "model.1": (16, 3, 7, 7),
            "model.4": (32, 16, 3, 3),
            "model.7": (64, 32, 3, 3),
            "model.10": (128, 64, 3, 3),
            "model.13": (256, 128, 3, 3),
            "model.16": (256, 128, 3, 3),
            "model.19": (128, 64, 3, 3),
            "model.22": (64, 32, 3, 3),
            "model.25": (32, 16, 3, 3),
            "model.29": (3, 16, 7, 7),
        }


class TestGenerators:
    @pytest.mark.parametrize("generator", ["global", "local"])
    def test_label_ids_are_translated_as_their_channels(self, generator):
        torch.manual_seed(0)
        net = build_pix2pixhd(generator, classes=5, styles=True, width=4, downs=2, blocks=1)
        ids, edges, styles = torch.randint(0, 5, (2, 16, 24)), torch.rand(2, 1, 16, 24), torch.rand(2, 3, 16, 24)
        found = net.from_labels(ids, edges, styles)
        assert torch.equal(found, net(torch.cat([one_hot(ids, 5), edges, styles], dim=1)))
        assert 0 <= found.min() < found.max() <= 1
        for lacking in ({"edges": edges}, {"styles": styles}):
            with pytest.raises(SettingError, match="found False, wanted True"):
                net.from_labels(ids, **lacking)

    def test_the_local_one_adds_the_inner_one_at_half_size(self):
        torch.manual_seed(0)
        net = LocalEnhancer(classes=0, edges=False, width=4, downs=1, blocks=1, local_blocks=1)
        x = torch.rand(1, 3, 16, 24)
        signed = 2 * x - 1
        ones = torch.ones_like(signed)
        kernel = torch.ones(3, 1, 3, 3)
        half, near = (torch.nn.functional.conv2d(v, kernel, stride=2, padding=1, groups=3) for v in (signed, ones))
        wanted = net.model1_2(net.model(half / near) + net.model1_1(signed))
        torch.testing.assert_close(net(x), (wanted + 1) / 2, atol=1e-5, rtol=0)

    @pytest.mark.parametrize("generator", ["global", "local"])
    def test_the_smallest_map_works_and_facts_name_it(self, generator):
        net = build_pix2pixhd(generator, classes=3, edges=False, width=2, blocks=1)
        side = net.facts.multiple
        assert (side, net.facts.global_statistics) == (32 if generator == "local" else 16, True)
        assert net.from_labels(torch.zeros(1, side, side).long()).isfinite().all()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"generator": "both"}, "generator: found 'both', wanted global or local"),
            ({"classes": 0}, "edges, styles: found"),
            ({"width": 0}, "width: found 0"),
            ({"width": 3, "generator": "local"}, "width: found 3, wanted an even number"),
            ({"downs": 0}, "downs: found 0"),
            ({"blocks": -1}, "blocks, local_blocks"),
        ],
    )
    def test_wrong_settings_are_named(self, options, message):
        with pytest.raises(SettingError, match=message):
            meta(**options)


class TestStyles:
    def test_means_over_objects_of_each_picture(self):
        rng = np.random.default_rng(0)
        features, objects = rng.normal(size=(2, 3, 6, 7)), rng.integers(0, 3, (2, 6, 7)) * 1000
        found = instance_average(torch.from_numpy(features), torch.from_numpy(objects)).numpy()
        for n in range(2):
            for name in np.unique(objects[n]):
                inside = objects[n] == name
                wanted = features[n][:, inside].mean(axis=1, keepdims=True)
                np.testing.assert_allclose(found[n][:, inside], np.broadcast_to(wanted, (3, inside.sum())))

    def test_encoder_paints_objects_evenly_and_learns(self):
        torch.manual_seed(0)
        net = StyleEncoder(width=2, downs=2)
        objects = torch.zeros(1, 16, 16).long()
        objects[:, :, 8:] = 26001
        styles = net(torch.rand(1, 3, 16, 16), objects)
        assert styles.shape == (1, 3, 16, 16)
        assert (styles[..., :8] == styles[..., :1, :1]).all()
        assert (styles[..., 8:] == styles[..., -1:, -1:]).all()
        styles.square().sum().backward()
        assert all(p.grad is not None for p in net.parameters())


class TestAnySize:
    @pytest.mark.parametrize("affine", [False, True])
    def test_instance_norm_is_torchs(self, affine):
        norm, x = InstanceNorm(5, affine), torch.randn(2, 5, 6, 7) * 3 + 1
        if affine:
            torch.nn.init.normal_(norm.weight)
            torch.nn.init.normal_(norm.bias)
        wanted = instance_norm(x, weight=norm.weight, bias=norm.bias)
        torch.testing.assert_close(norm(x), wanted, atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("gradients", [False, True])
    @pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
    def test_reflection_is_torchs_where_it_is_defined(self, memory, gradients):
        x = torch.rand(1, 2, 5, 4).contiguous(memory_format=memory).requires_grad_(gradients)
        for pad_px in (1, 2, 3):
            y = Reflect(pad_px)(x)
            assert torch.equal(y, pad(x, [pad_px] * 4, mode="reflect"))
            assert y.is_contiguous(memory_format=memory)
            assert y.requires_grad == gradients
        assert torch.equal(Reflect(4)(x), pad(x, [4] * 4, mode="replicate"))
