"""Layers for use: the same function as the ones for training."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from restauro.nets.layers.any_size import InstanceNorm, QuickInstanceNorm, instance_norm
from restauro.nets.layers.phases import FourPhases
from restauro.nets.layers.sft import SFT, QuickSFT
from restauro.nets.layers.wide_input import WideInput
from restauro.nets.layers.winograd import WinogradConv2d


def last(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).contiguous(
        memory_format=torch.channels_last
    )


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (64, 96)])
@pytest.mark.parametrize("affine", [True, False])
def test_instance_norm_far_from_zero(size: tuple[int, int], affine: bool):
    """Where torch's own loses digits: a mean of three deviations in channels_last."""
    norm, x = InstanceNorm(6, affine).requires_grad_(False), last(2, 6, *size) + 3
    if norm.weight is not None and norm.bias is not None:
        norm.weight.copy_(torch.linspace(-1, 2, 6))
        norm.bias.copy_(torch.linspace(0, 1, 6))
    exact = InstanceNorm(6, affine).double()
    exact.load_state_dict(norm.state_dict())
    y = QuickInstanceNorm(norm)(x)
    assert y.is_contiguous(memory_format=torch.channels_last) or size == (1, 1)
    torch.testing.assert_close(y.double(), exact(x.double()), atol=5e-6, rtol=0)


@pytest.mark.parametrize("side", [16, 80])  # small maps are widened, large ones are left to torch
def test_instance_norm_in_bfloat16(side: int):
    x = last(1, 4, side, side).bfloat16()
    y = instance_norm(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), instance_norm(x.float()), atol=0.02, rtol=0)


@pytest.mark.parametrize("pooled", [True, False])
def test_sft_with_and_without_what_is_known(pooled: bool):
    torch.manual_seed(0)
    sft = SFT(8, hidden=4, pooled=pooled).requires_grad_(False)
    quick, y, guide = QuickSFT.of(sft), torch.randn(2, 8, 6, 5), torch.rand(2, 3, 6, 5)
    torch.testing.assert_close(quick(y, guide), sft(y, guide), atol=1e-6, rtol=0)
    torch.testing.assert_close(quick(y, guide, quick.modulation(guide)), sft(y, guide), atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_four_phases_are_the_transposed_convolution(size: tuple[int, int], bias: bool):
    torch.manual_seed(0)
    up = nn.ConvTranspose2d(6, 3, 4, stride=2, padding=1, bias=bias).double().requires_grad_(False)
    x = torch.randn(2, 6, *size, dtype=torch.float64)
    torch.testing.assert_close(FourPhases(up)(x), up(x), atol=1e-12, rtol=0)


@pytest.mark.parametrize("size", [(3, 3), (4, 7), (16, 32)])
@pytest.mark.parametrize(("padding", "bias"), [(0, True), (1, False)])
def test_winograd_is_the_convolution(size: tuple[int, int], padding: int, bias: bool):
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 5, 3, padding=padding, bias=bias).double()
    x = torch.randn(2, 6, *size, dtype=torch.float64)
    torch.testing.assert_close(WinogradConv2d(conv)(x), conv(x), atol=1e-12, rtol=0)


def test_winograd_keeps_the_digits_of_float32():
    """At ASAP-Net's own size: no further from the exact result than twice torch's own convolution."""
    torch.manual_seed(0)
    conv, x = nn.Conv2d(1024, 64, 3, padding=1), torch.randn(1, 1024, 16, 16)
    exact = nn.functional.conv2d(x.double(), conv.weight.double(), conv.bias.double(), padding=1)
    own, ours = ((y.double() - exact).abs().max() for y in (conv(x), WinogradConv2d(conv)(x)))
    assert ours < max(2 * own, 3e-6)


def test_winograd_leaves_bfloat16_to_the_convolution():
    torch.manual_seed(0)
    conv, x = nn.Conv2d(8, 8, 3, padding=1), torch.randn(1, 8, 6, 6)
    quick = WinogradConv2d(conv)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(quick(x), conv(x))
    x = x.bfloat16()
    assert torch.equal(quick.bfloat16()(x), conv.bfloat16()(x))


@pytest.mark.parametrize("conv", [nn.Conv2d(4, 4, 3, stride=2), nn.Conv2d(4, 4, 5), nn.Conv2d(4, 4, 3, padding=2)])
def test_winograd_refuses_what_does_not_fit(conv: nn.Conv2d):
    with pytest.raises(ValueError, match="wanted a 3x3 convolution of stride 1"):
        WinogradConv2d(conv)


@pytest.mark.parametrize("channels", [12, 16, 36])
@pytest.mark.parametrize("bias", [True, False])
def test_wide_input_is_the_convolution(channels: int, bias: bool):
    torch.manual_seed(0)
    conv = nn.Conv2d(channels, 5, 3, padding=1, bias=bias).double()
    x = torch.randn(2, channels, 6, 9, dtype=torch.float64)
    torch.testing.assert_close(WideInput(conv)(x), conv(x), atol=1e-12, rtol=0)
