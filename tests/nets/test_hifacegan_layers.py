"""LIP, CAC and PAC against dense references that unfold every window."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from restauro.nets.layers.cac import CAC, tap_conv
from restauro.nets.layers.lip import LIP, pool_by_logit
from restauro.nets.layers.pac import PAC

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def windows(x: Tensor, stride: int) -> Tensor:
    """im2col: [N, C, 9, ceil(H / stride), ceil(W / stride)]."""
    n, c, h, w = x.shape
    return F.unfold(x, 3, padding=1, stride=stride).view(n, c, 9, -(-h // stride), -(-w // stride))


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(deadline=None, max_examples=15)
@given(SIZES)
def test_lip_is_a_softmax_over_each_window(size: tuple[int, int]):
    x, logit = random(2, 3, *size), 4 * random(2, 3, *size, seed=1)
    inside = windows(torch.ones_like(x), 2) > 0
    weight = windows(logit, 2).masked_fill(~inside, -torch.inf).softmax(2)
    torch.testing.assert_close(pool_by_logit(x, logit), (weight * windows(x, 2)).sum(2))


def test_lip_invariances():
    x, logit = random(1, 4, 10, 7), random(1, 4, 10, 7, seed=1)
    torch.testing.assert_close(pool_by_logit(x, logit + 3), pool_by_logit(x, logit))
    constant = torch.full_like(x, 0.7)
    torch.testing.assert_close(pool_by_logit(constant, logit), torch.full((1, 4, 5, 4), 0.7, dtype=torch.float64))
    mean = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    torch.testing.assert_close(pool_by_logit(x, torch.zeros_like(x)), mean)


def test_lip_layer_is_the_published_formula():
    layer = LIP(4).double()
    layer.logit[1].weight.data, layer.logit[1].bias.data = random(4, seed=2), random(4, seed=3)
    x = random(2, 4, 8, 12)
    logit = F.conv2d(x, layer.logit[0].weight, padding=1)
    logit = 12 * F.instance_norm(logit, weight=layer.logit[1].weight, bias=layer.logit[1].bias).sigmoid()
    torch.testing.assert_close(layer(x), pool_by_logit(x, logit))


def test_lip_is_finite_where_half_precision_would_overflow():
    layer = LIP(2)
    layer.logit[1].bias.data.fill_(30.0)  # e^12 is above what float16 holds, and needs more bits than bfloat16 has
    x = torch.rand(1, 2, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    torch.testing.assert_close(y, F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), atol=1e-5, rtol=0)


@settings(deadline=None, max_examples=20)
@given(SIZES, st.sampled_from([1, 2]), st.integers(1, 3))
def test_tap_conv_is_its_definition(size: tuple[int, int], stride: int, n: int):
    x, weight = random(n, 3, *size), random(5, 3, 3, 3, seed=1)
    seen = windows(x, stride)
    phi = random(n, 9, *seen.shape[3:], seed=2)
    wanted = torch.einsum("nckhw,nkhw,ock->nohw", seen, phi, weight.flatten(2))
    torch.testing.assert_close(tap_conv(x, phi, weight, stride), wanted)
    torch.testing.assert_close(
        tap_conv(x, torch.ones_like(phi), weight, stride), F.conv2d(x, weight, stride=stride, padding=1)
    )


@pytest.mark.parametrize("stride", [1, 2])
def test_tap_conv_gradients(stride: int):
    x, weight = random(2, 3, 5, 4), random(2, 3, 3, 3, seed=1)
    phi = random(2, 9, *windows(x, stride).shape[3:], seed=2)
    inputs = [t.requires_grad_() for t in (x, phi, weight)]
    assert torch.autograd.gradcheck(lambda *t: tap_conv(*t, stride), inputs)


@pytest.mark.parametrize("layer", [CAC, PAC])
def test_layers_differentiate_to_their_input(layer: type[CAC]):
    torch.manual_seed(0)
    net = layer(4).double()
    assert torch.autograd.gradcheck(net, [random(1, 4, 5, 6).requires_grad_()])


def test_tap_conv_keeps_no_tensor_per_tap():
    x, weight = random(1, 8, 16, 16).requires_grad_(), random(8, 8, 3, 3, seed=1).requires_grad_()
    phi = random(1, 9, 8, 8, seed=2).requires_grad_()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        tap_conv(x, phi, weight, 2)
    assert sum(kept) == x.numel() + phi.numel() + weight.numel()


@settings(deadline=None, max_examples=10)
@given(SIZES)
def test_affinities_are_their_definitions(size: tuple[int, int]):
    g = random(2, 8, *size)
    centre, seen = g[:, :, None, ::2, ::2], windows(g, 2)
    torch.testing.assert_close(CAC(4).affinity(g), 2 * torch.sigmoid((centre * seen).sum(1) / 8**0.5))
    torch.testing.assert_close(PAC(4).affinity(g), torch.exp(-0.5 * (centre - seen).square().sum(1)))


@pytest.mark.parametrize("layer", [CAC, PAC])
def test_without_correlation_the_layer_is_a_strided_convolution(layer: type[CAC]):
    net = layer(6)
    torch.nn.init.zeros_(net.embed[2].weight)
    torch.nn.init.zeros_(net.embed[2].bias)
    x = torch.rand(1, 6, 12, 12)
    plain = F.instance_norm(F.conv2d(x, net.conv.weight, stride=2, padding=1))
    torch.testing.assert_close(net(x), plain, atol=1e-4, rtol=0)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(net(x), plain, atol=1e-4, rtol=0)
