"""ASAP-Net: published sizes and keys; the fast pixelwise stage against the published one and against plain loops."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from restauro.errors import ModelError, SettingError
from restauro.models import for_use
from restauro.nets.asapnet import ASAPNet, LowResSettings, build_asapnet
from restauro.nets.layers import pixelwise
from restauro.nets.layers.labels import instance_edges, one_hot, semantic
from restauro.nets.layers.pixelwise import PixelMlp
from restauro.nets.layers.published import fit_published
from restauro.nets.layers.tent import published_tent, tent, tent_of_labels
from restauro.nets.layers.winograd import FEWEST_CHANNELS, WinogradConv2d

CITY = {"classes": 35, "edges": True}
FACADES = {"classes": 13, "edges": False}
PICTURES = {"classes": 0, "edges": False}
SMALL = LowResSettings(width=8, max_width=16, depth=1)


def meta(**options) -> ASAPNet:
    with torch.device("meta"):
        return build_asapnet(**options).eval()


def gmacs(work) -> float:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 2e9


def small(seed: int = 0, **options) -> ASAPNet:
    """A small network with weights large enough for differences to show."""
    torch.manual_seed(seed)
    net = ASAPNet(**{"low": SMALL, "mlp_width": 8, "mlp_depth": 4} | options).eval()
    with torch.no_grad():
        for p in net.parameters():
            p.normal_(0, 0.3)
    return net


class TestPublishedSizes:
    @pytest.mark.parametrize(
        ("options", "tile_px", "count"),
        [
            (CITY, 16, 83_201_411),
            (CITY, 32, 83_463_811),
            (CITY, 64, 83_726_211),
            (FACADES, 16, 81_744_963),
            (FACADES, 32, 82_007_363),
            (FACADES | {"padding": "reflect"}, 64, 82_269_763),
            (PICTURES, 16, 81_083_203),
            (PICTURES, 32, 81_345_603),
        ],
    )
    def test_parameter_counts(self, options, tile_px, count):
        assert sum(p.numel() for p in meta(**options, tile_px=tile_px).parameters()) == count

    @pytest.mark.parametrize(
        ("content", "tile_px", "count"),
        [
            (35, 16, 16003),
            (35, 32, 16259),
            (35, 64, 16515),
            (13, 16, 14595),
            (13, 32, 14851),
            (13, 64, 15107),
            (3, 16, 13955),
            (3, 32, 14211),
            (2, 32, 14147),
        ],
    )
    def test_numbers_per_tile(self, content, tile_px, count):
        assert PixelMlp(content, tile_px).count == count

    @pytest.mark.parametrize(
        ("options", "tile_px", "size", "total"),
        [
            (CITY, 16, (256, 256), 24.44),
            (CITY, 16, (256, 512), 48.88),
            (CITY, 32, (512, 1024), 55.40),
            (CITY, 64, (1024, 2048), 81.37),
            (PICTURES, 16, (256, 256), 22.52),
            (PICTURES, 32, (512, 1024), 50.71),
            (FACADES, 16, (256, 256), 23.11),
            (FACADES, 64, (1024, 1024), 37.91),
        ],
    )
    def test_work_of_the_published_form(self, options, tile_px, size, total):
        net = meta(**options, tile_px=tile_px)
        channels = net.mlp.content + net.edges
        x = torch.empty(1, channels, *size, device="meta")
        assert gmacs(lambda: net.published(x)) == pytest.approx(total, abs=0.006)
        assert gmacs(lambda: net(x)) < total

    def test_work_by_part_at_512_x_1024(self):
        net = meta()
        x = torch.empty(1, 36, 512, 1024, device="meta")
        params = torch.empty(1, 16259, 16, 32, device="meta")
        ids = torch.empty(1, 512, 1024, dtype=torch.uint8, device="meta")
        assert gmacs(lambda: published_tent(x, 2)) == pytest.approx(0.06, abs=0.005)
        assert gmacs(lambda: net.lowres_stream(x[:, :, ::2, ::2])) == pytest.approx(46.95, abs=0.005)
        assert gmacs(lambda: pixelwise.published(net.mlp, x[:, :35], params)) == pytest.approx(8.39, abs=0.005)
        fast = gmacs(lambda: pixelwise.of_labels(net.mlp, ids, params.permute(0, 2, 3, 1).contiguous()))
        assert fast == pytest.approx(8.39 * (3 * 4096 + 192) / 16000, rel=0.03)  # layer 0 is all but gone


class TestPublishedKeys:
    def test_zero_padding(self):
        state = {key: tuple(value.shape) for key, value in meta().state_dict().items()}
        stem = {
            f"lowres_stream.model.{index}.0.weight": shape
            for index, shape in zip(
                (0, 2, 4, 6, 8), [(64, 36, 3, 3), *[(64, 64, 3, 3)] * 3, (1024, 64, 3, 3)], strict=True
            )
        }
        norms = {
            f"lowres_stream.model.{index}.1.{kind}": (1024,) if index == 8 else (64,)
            for index in (0, 2, 4, 6, 8)
            for kind in ("weight", "bias")
        }
        deep = {}
        for index in range(10, 17):
            deep[f"lowres_stream.model.{index}.conv_block.0.0.weight"] = (1024, 1024, 3, 3)
            deep[f"lowres_stream.model.{index}.conv_block.0.1.weight"] = (1024,)
            deep[f"lowres_stream.model.{index}.conv_block.0.1.bias"] = (1024,)
        head = {"lowres_stream.model.17.weight": (16259, 1024, 1, 1), "lowres_stream.model.17.bias": (16259,)}
        assert state == stem | norms | deep | head

    def test_reflection_padding_of_both_facades_models(self):
        keys = set(meta(**FACADES, padding="reflect").state_dict())
        wanted = {
            f"lowres_stream.model.{i}.{part}" for i in (1, 4, 7, 10, 13) for part in ("0.weight", "1.weight", "1.bias")
        }
        wanted |= {
            f"lowres_stream.model.{i}.conv_block.1.{part}"
            for i in range(15, 22)
            for part in ("0.weight", "1.weight", "1.bias")
        }
        assert keys == wanted | {"lowres_stream.model.22.weight", "lowres_stream.model.22.bias"}

    def test_published_weights_are_loaded_in_full_or_not_at_all(self):
        net = small(classes=5)
        state = {f"module.{key}": value for key, value in small(1, classes=5).state_dict().items()}
        net.load_state_dict(fit_published(state, net))
        assert torch.equal(net.lowres_stream.head.bias, state["module.lowres_stream.model.11.bias"])
        with pytest.raises(
            ModelError, match=r"city\.pth: found 3 of another shape \(lowres_stream\.model\.0\.0\.weight"
        ):
            fit_published(state, small(classes=6), "city.pth")
        state["module.head"] = state.pop("module.lowres_stream.model.11.bias")
        with pytest.raises(ModelError, match=r"1 missing .* 1 surplus"):
            fit_published(state, net)

    def test_legacy_spectral_norm_fits_the_newer_one(self):
        old = torch.nn.utils.spectral_norm(torch.nn.Conv2d(3, 5, 3)).eval()
        new = torch.nn.utils.parametrizations.spectral_norm(torch.nn.Conv2d(3, 5, 3)).eval()
        new.load_state_dict(fit_published(old.state_dict(), new))
        x = torch.rand(1, 3, 8, 8)
        torch.testing.assert_close(new(x), old(x), atol=1e-5, rtol=1e-5)


class TestPixelwiseStage:
    def test_layout_of_the_parameter_vector(self):
        """The sheet's numbers for 55 inputs: biases first, then the weights, input by input."""
        mlp, places = PixelMlp(35, 32), torch.arange(16259)
        layers = [mlp.layer(places, index) for index in range(5)]
        assert [(int(b[0]), int(b[-1]) + 1) for b, _ in layers] == [
            (0, 64),
            (3584, 3648),
            (7744, 7808),
            (11904, 11968),
            (16064, 16067),
        ]
        assert [(int(w[0, 0]), int(w[-1, -1]) + 1) for _, w in layers] == [
            (64, 3584),
            (3648, 7744),
            (7808, 11904),
            (11968, 16064),
            (16067, 16259),
        ]
        assert int(layers[0][1][3, 5]) == 64 + 3 * 64 + 5

    def test_every_form_equals_a_loop_over_pixels(self):
        mlp, rng = PixelMlp(content=3, tile_px=4, width=5, depth=3, outputs=2), np.random.default_rng(0)
        ids = rng.integers(0, 3, (2, 8, 12))
        params = rng.normal(size=(2, 2, 3, mlp.count))
        wanted = np.zeros((2, 2, 8, 12))
        for n, y, x in np.ndindex(ids.shape):
            h = list(np.eye(3)[ids[n, y, x]])
            for f in (4, 2):
                for at in (x, y):
                    h += [np.cos(2 * np.pi * (at % f) / f), np.sin(2 * np.pi * (at % f) / f)]
            p, at = params[n, y // 4, x // 4], 0
            for layer, (c_in, c_out) in enumerate([(11, 5), (5, 5), (5, 2)]):
                bias, weight = p[at : at + c_out], p[at + c_out : at + c_out + c_in * c_out]
                h = [bias[j] + sum(h[i] * weight[i * c_out + j] for i in range(c_in)) for j in range(c_out)]
                if layer < 2:
                    h = [v if v > 0 else 0.01 * v for v in h]
                at += c_out * (c_in + 1)
            assert at == mlp.count
            wanted[n, :, y, x] = h
        labels, vectors = torch.from_numpy(ids), torch.from_numpy(params)
        planes = one_hot(labels, 3, torch.float64)
        forms = {
            "published": pixelwise.published(mlp, planes, vectors.permute(0, 3, 1, 2)),
            "content": pixelwise.of_content(mlp, planes, vectors),
            "labels": pixelwise.of_labels(mlp, labels, vectors),
        }
        for name, found in forms.items():
            np.testing.assert_allclose(found.numpy(), wanted, atol=1e-5, err_msg=name)  # waves are rounded to float32

    @settings(deadline=None, max_examples=15)
    @given(
        st.integers(1, 2),
        st.sampled_from([(1, 1), (2, 3), (1, 4)]),
        st.sampled_from([2, 8, 16]),
        st.sampled_from([0, 1, 2]),
        st.integers(0, 99),
    )
    def test_fast_forms_equal_the_published_one(self, n, grid, k, reach_px, seed):
        torch.manual_seed(seed)
        size, window = (grid[0] * k, grid[1] * k), 2 * reach_px + 1
        mlp = PixelMlp(3 * window**2, k, width=7, depth=3)
        params = torch.randn(n, *grid, mlp.count)
        x = torch.rand(n, 3, size[0] + 2 * reach_px, size[1] + 2 * reach_px)
        near = torch.nn.functional.unfold(x, window).view(n, mlp.content, *size)
        wanted = pixelwise.published(mlp, near, params.permute(0, 3, 1, 2))
        torch.testing.assert_close(pixelwise.of_content(mlp, x, params, reach_px), wanted, atol=1e-4, rtol=1e-5)
        if reach_px == 0:
            ids = torch.randint(0, 3, (n, *size), dtype=torch.uint8)
            wanted = pixelwise.published(mlp, one_hot(ids, 3), params.permute(0, 3, 1, 2))
            torch.testing.assert_close(pixelwise.of_labels(mlp, ids, params), wanted, atol=1e-4, rtol=1e-5)

    def test_chunks_of_tiles_change_nothing(self, monkeypatch):
        mlp, ids = PixelMlp(4, 8, width=6, depth=3), torch.randint(0, 4, (1, 24, 40))
        params = torch.randn(1, 3, 5, mlp.count)
        whole = pixelwise.of_labels(mlp, ids, params)
        monkeypatch.setattr(pixelwise, "CHUNK_PX", 4 * 64)  # 15 tiles: 4 + 4 + 4 + 3
        torch.testing.assert_close(pixelwise.of_labels(mlp, ids, params), whole, atol=1e-6, rtol=0)

    def test_gradients_are_those_of_the_published_form(self):
        torch.manual_seed(0)
        mlp, ids = PixelMlp(4, 8, width=6, depth=4), torch.randint(0, 4, (2, 16, 8))
        params = torch.randn(2, 2, 1, mlp.count, dtype=torch.float64, requires_grad=True)
        slow = pixelwise.published(mlp, one_hot(ids, 4, torch.float64), params.permute(0, 3, 1, 2))
        (wanted,) = torch.autograd.grad(slow.sin().sum(), params)
        for fast in (
            pixelwise.of_labels(mlp, ids, params),
            pixelwise.of_content(mlp, one_hot(ids, 4, torch.float64), params),
        ):
            (found,) = torch.autograd.grad(fast.sin().sum(), params)
            torch.testing.assert_close(found, wanted, atol=1e-9, rtol=1e-9)

    def test_a_size_that_tiles_do_not_fill_is_refused(self):
        with pytest.raises(SettingError, match=r"size: found \(16, 20\), wanted a height and width divisible by 8"):
            pixelwise.of_labels(PixelMlp(2, 8), torch.zeros(1, 16, 20).long(), torch.zeros(1, 2, 2, 10))


class TestTent:
    @pytest.mark.parametrize("factor", [2, 4, 8])
    def test_against_a_plain_sum(self, factor):
        x = np.random.default_rng(0).random((16, 24))
        row = np.array([*range(1, 2 * factor, 2), *range(2 * factor - 1, 0, -2)]) / (2 * factor**2)
        assert row.sum() == pytest.approx(1)
        padded = np.pad(x, factor // 2, mode="reflect")
        wanted = [
            [
                row @ padded[i * factor : (i + 2) * factor, j * factor : (j + 2) * factor] @ row
                for j in range(24 // factor)
            ]
            for i in range(16 // factor)
        ]
        found = tent(torch.from_numpy(x)[None, None].float(), factor)
        np.testing.assert_allclose(found[0, 0].numpy(), wanted, atol=1e-6)
        published = published_tent(torch.from_numpy(x)[None, None].float(), factor)
        torch.testing.assert_close(published, found, atol=1e-6, rtol=0)

    @pytest.mark.parametrize(("factor", "size"), [(1, (3, 4)), (2, (16, 24)), (4, (16, 8)), (2, (2, 4)), (8, (16, 8))])
    def test_from_label_ids_exactly(self, factor, size):
        ids = torch.randint(0, 6, (2, *size), dtype=torch.uint8)
        assert torch.equal(tent_of_labels(ids, 6, factor), tent(one_hot(ids, 6), factor))


def test_edges_mark_both_sides_of_a_border():
    objects = torch.randint(0, 3, (2, 7, 9)) * 1000
    found = instance_edges(objects)[:, 0]
    for n, y, x in np.ndindex(*objects.shape):
        beside = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        differs = any(0 <= v < 7 and 0 <= u < 9 and objects[n, v, u] != objects[n, y, x] for v, u in beside)
        assert bool(found[n, y, x]) == differs


class TestNetwork:
    @pytest.mark.parametrize("tile_px", [16, 32, 64])
    @pytest.mark.parametrize("edges", [False, True])
    def test_all_three_forms_agree(self, tile_px, edges):
        net = small(classes=5, edges=edges, tile_px=tile_px).double()
        ids = torch.randint(0, 5, (2, 2 * tile_px, 3 * tile_px))
        borders = instance_edges(ids) if edges else None
        x = semantic(ids, 5, borders).double()
        with torch.inference_mode():
            wanted, found, fast = net.published(x), net(x), net.from_labels(ids, borders)
        assert wanted.shape == (2, 3, 2 * tile_px, 3 * tile_px)
        assert wanted.std() > 0.1
        torch.testing.assert_close(found, wanted, atol=1e-9, rtol=0)
        torch.testing.assert_close(fast, wanted, atol=1e-9, rtol=0)

    def test_the_form_for_use_is_the_same_network(self):
        low = LowResSettings(width=8, max_width=FEWEST_CHANNELS, depth=2)
        net = small(classes=5, edges=False, tile_px=16, low=low).double()
        quick, ids = for_use(net), torch.randint(0, 5, (1, 48, 80))
        assert sum(isinstance(layer, WinogradConv2d) for layer in quick.modules()) == 2
        assert not any(isinstance(layer, WinogradConv2d) for layer in net.modules())
        wanted = net.from_labels(ids)
        torch.testing.assert_close(quick.from_labels(ids), wanted, atol=1e-9, rtol=0)
        torch.testing.assert_close(quick(one_hot(ids, 5).double()), wanted, atol=1e-9, rtol=0)

    def test_pictures_are_centred_and_come_back_in_range(self):
        net = small(classes=0, edges=False, tile_px=16)
        x = torch.rand(1, 3, 32, 48)
        y = net(x)
        assert y.shape == x.shape
        assert 0 <= y.min() < y.max() <= 1
        torch.testing.assert_close(y, net.published(x), atol=1e-5, rtol=0)
        with pytest.raises(SettingError, match="a network built for labels"):
            net.from_labels(torch.zeros(1, 32, 48).long())

    def test_a_picture_of_a_batch_comes_out_as_alone(self):
        net, ids = small(classes=4, edges=False, tile_px=16), torch.randint(0, 4, (3, 32, 32))
        torch.testing.assert_close(net.from_labels(ids)[1:2], net.from_labels(ids[1:2]), atol=1e-5, rtol=0)

    @pytest.mark.parametrize("padding", ["zero", "reflect"])
    def test_a_single_tile_works(self, padding):
        low = LowResSettings(8, 16, 1, padding=padding)
        net = small(classes=4, edges=False, tile_px=16, low=low)
        assert net.from_labels(torch.zeros(1, 16, 16).long()).isfinite().all()

    def test_bfloat16_is_close(self):
        net = small(classes=5, edges=False, tile_px=16)
        ids = torch.randint(0, 5, (1, 64, 64))
        wanted = net.from_labels(ids)
        found = copy.deepcopy(net).bfloat16().from_labels(ids)
        assert found.dtype == torch.bfloat16
        assert (found.float() - wanted).square().mean().sqrt() < 0.02

    def test_it_starts_grey(self):
        """The sheet: mean |y| of 0.004 before training, nothing saturated."""
        torch.manual_seed(0)
        net = build_asapnet(classes=4, edges=False, tile_px=16, depth=0).eval()
        y = 2 * net.from_labels(torch.randint(0, 4, (1, 32, 32))) - 1
        assert 1e-4 < y.abs().mean() < 0.02

    def test_facts(self):
        facts = build_asapnet(width=8, max_width=8, depth=0, tile_px=64).facts
        assert (facts.multiple, facts.global_statistics) == (64, True)
        assert not build_asapnet(width=8, max_width=8, depth=0, norm="none").facts.global_statistics

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"tile_px": 24}, "tile_px: found 24, wanted a power of two from 16"),
            ({"tile_px": 8}, "tile_px: found 8"),
            ({"classes": 0}, "edges: found True, wanted false where the input is a picture"),
            ({"classes": -1}, "classes: found -1"),
            ({"width": 0}, "width: found 0"),
            ({"mlp_width": 0}, "width: found 0"),
            ({"mlp_depth": 1}, "depth: found 1"),
            ({"norm": "batch"}, "norm: found 'batch'"),
            ({"padding": "same"}, "padding: found 'same'"),
        ],
    )
    def test_wrong_settings_are_named(self, options, message):
        with pytest.raises(SettingError, match=message), torch.device("meta"):
            build_asapnet(**options)

    def test_edges_that_do_not_fit_are_refused(self):
        ids = torch.zeros(1, 16, 16).long()
        with pytest.raises(SettingError, match="edges: found False, wanted True"):
            small(classes=4, edges=True, tile_px=16).from_labels(ids)
