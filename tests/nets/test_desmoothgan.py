"""The counts are the fact that ties the networks to the paper's Table 1 (16M and 41M, truncated)."""

from __future__ import annotations

import pytest
import torch

from restauro.errors import SettingError
from restauro.nets.desmoothgan import Pix2Pix, build_desmoothgan


@pytest.mark.parametrize(("variant", "count"), [("pix2pix", 16_659_075), ("pix2pix-ex", 41_828_995)])
def test_parameter_counts_of_table_1(variant: str, count: int):
    with torch.device("meta"):
        net = build_desmoothgan(variant)
    assert sum(p.numel() for p in net.parameters()) == count


def test_published_form_answers_a_picture_in_range():
    net = Pix2Pix(8).eval().requires_grad_(False)
    y = net(torch.rand(2, 3, 64, 96))
    assert y.shape == (2, 3, 64, 96)
    assert float(y.min()) >= 0
    assert float(y.max()) <= 1


def test_residual_form_starts_as_the_identity_and_learns():
    net = Pix2Pix(8, norm="none", residual=True)
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(net(x), x)
    (net(x) - 1).square().mean().backward()
    assert float(net.head.weight.grad.abs().max()) > 0


def test_without_norm_a_picture_comes_out_the_same_alone_and_in_a_batch():
    torch.manual_seed(0)
    net = Pix2Pix(8, norm="none").eval()
    x = torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(net(x)[1:2], net(x[1:2]), atol=1e-6, rtol=0)


def test_halo_is_the_exact_receptive_field():
    """Positive weights let nothing cancel: the farthest input that matters is exactly halo_px away."""
    net = Pix2Pix(2, downs=3, norm="none", residual=True)
    for p in net.parameters():
        p.data = p.data.abs() + 0.01
    x = torch.full((1, 3, 96, 96), 0.5, requires_grad=True)
    y = net(x)
    reach = 0
    for at in range(40, 56):
        (gradient,) = torch.autograd.grad(y[0, 0, at, at], x, retain_graph=True)
        touched = gradient[0].abs().sum(0).nonzero()
        reach = max(reach, int((touched - at).abs().max()))
    assert reach == net.facts.halo_px == 21


def test_wrong_settings_are_named():
    with pytest.raises(SettingError, match="downs: found 1"):
        Pix2Pix(8, downs=1)
    with pytest.raises(SettingError, match="variant: found 'x'"):
        build_desmoothgan("x")
