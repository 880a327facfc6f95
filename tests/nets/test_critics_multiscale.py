"""Critics: published sizes, keys and map sizes; spectral norm against PyTorch's own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from restauro.errors import SettingError
from restauro.nets.critics_multiscale import DeblurCritic, Pix2PixHDCritic, SpadeCritic
from restauro.nets.layers.spectral import SpectralConv2d


@pytest.mark.parametrize(
    ("critic", "options", "count"),
    [
        (SpadeCritic, {}, 5_601_410),
        (SpadeCritic, {"semantic": 13}, 5_554_306),
        (SpadeCritic, {"semantic": 0, "pictures": 2}, 5_533_826),
        (Pix2PixHDCritic, {}, 5_603_202),
        (Pix2PixHDCritic, {"scales": 3}, 8_404_803),
        (DeblurCritic, {}, 2_764_737),
    ],
)
def test_parameter_counts(critic, options, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in critic(**options).parameters()) == count


@pytest.mark.parametrize("critic", [SpadeCritic, Pix2PixHDCritic])
def test_maps_and_work_at_512_x_1024(critic):
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        fine, coarse = critic().eval()(torch.empty(1, 3, 512, 1024), torch.empty(1, 36, 512, 1024))
    assert [tuple(f.shape[1:]) for f in fine] == [
        (64, 257, 513),
        (128, 129, 257),
        (256, 65, 129),
        (512, 66, 130),
        (1, 67, 131),
    ]
    assert [tuple(f.shape[1:]) for f in coarse][::4] == [(64, 129, 257), (1, 35, 67)]
    assert counter.get_total_flops() / 2e9 == pytest.approx(40.35, abs=0.01)


@pytest.mark.parametrize(("size", "logits"), [((256, 256), (35, 35)), ((512, 1024), (67, 131))])
def test_maps_of_the_deblurring_critic(size, logits):
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        assert DeblurCritic()(torch.empty(1, 3, *size)).shape == (1, 1, *logits)
    if size == (256, 256):
        assert counter.get_total_flops() / 2e9 == pytest.approx(3.61, abs=0.005)


class TestPublishedKeys:
    WIDTHS = ((64, 39), (128, 64), (256, 128), (512, 256), (1, 512))

    def test_spade(self):
        with torch.device("meta"):
            state = {key: tuple(value.shape) for key, value in SpadeCritic().state_dict().items()}
        wanted = {}
        for scale in (0, 1):
            for index, (c_out, c_in) in enumerate(self.WIDTHS):
                place = f"discriminator_{scale}.model{index}"
                if index in (0, 4):
                    wanted |= {f"{place}.0.weight": (c_out, c_in, 4, 4), f"{place}.0.bias": (c_out,)}
                else:
                    wanted |= {f"{place}.0.0.weight_orig": (c_out, c_in, 4, 4)}
                    wanted |= {f"{place}.0.0.weight_u": (c_out,), f"{place}.0.0.weight_v": (c_in * 16,)}
        assert state == wanted

    def test_pix2pixhd(self):
        with torch.device("meta"):
            state = {key: tuple(value.shape) for key, value in Pix2PixHDCritic(scales=3).state_dict().items()}
        wanted = {}
        for scale in range(3):
            for index, (c_out, c_in) in enumerate(self.WIDTHS):
                wanted |= {f"scale{scale}_layer{index}.0.weight": (c_out, c_in, 4, 4)}
                wanted |= {f"scale{scale}_layer{index}.0.bias": (c_out,)}
        assert state == wanted

    def test_deblurgan(self):
        with torch.device("meta"):
            state = DeblurCritic().state_dict()
        assert set(state) == {f"model.{i}.{kind}" for i in (0, 2, 5, 8, 11) for kind in ("weight", "bias")}


class TestForward:
    def test_published_names_of_pix2pixhd_count_from_the_coarsest(self):
        critic, x = Pix2PixHDCritic(semantic=0, width=2), torch.rand(1, 3, 64, 64)
        fine, coarse = critic(x)
        assert torch.equal(fine[0], critic.scale1_layer0(2 * x - 1))
        half = torch.nn.functional.avg_pool2d(2 * x - 1, 3, 2, 1, count_include_pad=False)
        assert torch.equal(coarse[0], critic.scale0_layer0(half))

    def test_labels_come_before_the_picture(self):
        critic, x, labels = SpadeCritic(semantic=2, width=2).eval(), torch.rand(1, 3, 32, 32), torch.rand(1, 2, 32, 32)
        fine = critic(x, labels)[0][0]
        first = critic.discriminator_0["model0"]
        assert torch.equal(fine, first(torch.cat([labels, 2 * x - 1], dim=1)))
        with pytest.raises(SettingError, match="semantic: found 0, wanted 2 channels"):
            critic(x)

    def test_a_critic_that_has_learned_can_be_copied(self):
        critic = SpadeCritic(semantic=0, width=2).train()
        x = torch.rand(2, 3, 32, 32)
        sum(scale[-1].square().mean() for scale in critic(x)).backward()
        assert all(p.grad is not None for p in critic.parameters())
        twin = copy.deepcopy(critic).eval()
        assert torch.equal(twin(x)[0][-1], critic.eval()(x)[0][-1])

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"semantic": -1}, "semantic: found -1"),
            ({"pictures": 3}, "pictures: found 3"),
            ({"width": 0}, "width: found 0"),
            ({"scales": 0}, "scales: found 0"),
        ],
    )
    def test_wrong_settings_are_named(self, options, message):
        with pytest.raises(SettingError, match=message):
            SpadeCritic(**options)


class TestSpectralNorm:
    @pytest.fixture
    def pair(self):
        torch.manual_seed(0)
        theirs = torch.nn.utils.spectral_norm(torch.nn.Conv2d(3, 5, 4, 2, 2))
        ours = SpectralConv2d(3, 5, 4, 2, 2)
        ours.load_state_dict(theirs.state_dict())
        return ours, theirs

    def test_training_follows_pytorchs_step_for_step(self, pair):
        ours, theirs = pair
        x = torch.rand(2, 3, 9, 8)
        for _ in range(3):
            found, wanted = ours(x), theirs(x)
            torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)
        for key, value in theirs.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[key], value, atol=1e-6, rtol=1e-5)
        found.square().sum().backward()
        wanted.square().sum().backward()
        torch.testing.assert_close(ours.weight_orig.grad, theirs.weight_orig.grad, atol=1e-4, rtol=1e-4)

    def test_evaluation_leaves_the_vectors_alone(self, pair):
        ours, theirs = (net.eval() for net in pair)
        x, before = torch.rand(1, 3, 8, 8), ours.weight_u.clone()
        torch.testing.assert_close(ours(x), theirs(x), atol=1e-6, rtol=1e-5)
        assert torch.equal(ours.weight_u, before)


def test_spectral_convolution_trains_under_autocast():
    """Sigma stays in float32: in bfloat16 it would be 1 % off, and torch.dot refuses mixed types."""
    layer = SpectralConv2d(3, 4, 3, padding=1)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(torch.rand(1, 3, 8, 8))
        assert layer.weight().dtype == torch.float32
    y.float().sum().backward()
    assert torch.isfinite(layer.weight_orig.grad).all()
