"""The residual U-Net: its size, its reach, and that it starts as the identity and learns."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from restauro.errors import SettingError
from restauro.nets.residual_unet import GROWTH, ResidualUNet, build_residual_unet
from tests.nets.costs import gflop, on_meta, parameters, reach_px, shake


def test_parameters_and_cost():
    net, x = on_meta(build_residual_unet, 256, 256)
    assert parameters(net) == 5_679_948
    convolutions = (
        128**2 * (2 * 12 * 64 * 9 + 8 * 64 * 64 * 9)  # half size: stem, head, four blocks
        + 64**2 * (4 * 64 * 96 + 8 * 96 * 96 * 9 + 4 * 64 * 96)  # a quarter: from above, blocks, to above
        + 32**2 * (4 * 96 * 160 + 8 * 160 * 160 * 9 + 4 * 96 * 160)
        + 16**2 * (4 * 160 * 256 + 4 * 256 * 256 * 9 + 4 * 160 * 256)
    )
    assert gflop(lambda: net(x)) == pytest.approx(2 * convolutions / 1e9, rel=1e-9)


def test_folded_by_four_it_costs_a_third_less():
    net, x = on_meta(partial(build_residual_unet, 112, 2, fold=4, growth="1 1.5 2.5"), 256, 256)
    convolutions = (
        64**2 * (2 * 48 * 112 * 9 + 8 * 112 * 112 * 9)  # a quarter of the size: stem, head, four blocks
        + 32**2 * (4 * 112 * 168 + 8 * 168 * 168 * 9 + 4 * 112 * 168)
        + 16**2 * (4 * 168 * 280 + 4 * 280 * 280 * 9 + 4 * 168 * 280)
    )
    assert gflop(lambda: net(x)) == pytest.approx(2 * convolutions / 1e9, rel=1e-9)
    whole, _ = on_meta(build_residual_unet, 256, 256)
    assert gflop(lambda: net(x)) / gflop(lambda: whole(x)) == pytest.approx(0.67, abs=0.01)


def test_a_last_stage_at_full_size_costs_a_twentieth_more():
    folded = partial(build_residual_unet, 112, 2, fold=4, growth="1 1.5 2.5")
    (without, x), (net, _) = on_meta(folded, 256, 256), on_meta(partial(folded, refine=16), 256, 256)
    more = 64**2 * 112 * 256 + 256**2 * 9 * (19 * 16 + 16 * 3)
    assert gflop(lambda: net(x)) - gflop(lambda: without(x)) == pytest.approx(2 * more / 1e9, rel=1e-9)
    assert gflop(lambda: net(x)) / gflop(lambda: without(x)) == pytest.approx(1.045, abs=0.001)


@pytest.mark.parametrize(
    ("width", "blocks", "fold", "growth", "refine"),
    [
        (2, 1, 2, GROWTH, 0),
        (2, 2, 2, GROWTH, 0),
        (2, 1, 4, "1 1.5 2.5", 0),
        (2, 1, 1, "1 1", 0),
        (2, 1, 8, "1 2", 0),
        (2, 1, 4, "1 2", 2),
        (2, 1, 1, "1 1", 2),
    ],
)
def test_halo_is_the_exact_receptive_field(width: int, blocks: int, fold: int, growth: str, refine: int):
    torch.manual_seed(0)
    net = ResidualUNet(width, blocks, fold, growth, refine).double()
    for p in net.parameters():  # positive: nothing cancels
        p.data = (torch.rand_like(p) + 0.5) / p[0].numel()
    halo, multiple = net.facts.halo_px, net.facts.multiple
    side = 2 * (halo // multiple + 2) * multiple
    assert reach_px(net, side, range(side // 2, side // 2 + multiple)) == halo


@pytest.mark.parametrize("refine", [0, 4])
def test_starts_as_the_identity_and_learns(refine: int):
    torch.manual_seed(0)
    net, truth = build_residual_unet(8, 1, refine=refine), torch.linspace(0.2, 0.8, 48).expand(1, 3, 32, 48)
    x = truth + 0.1 * torch.randn(1, 3, 32, 48)
    assert torch.equal(net(x), x)
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(30):
        loss = (net(x) - truth).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        assert (net(x) - truth).abs().mean() < 0.8 * (x - truth).abs().mean()


def test_pictures_of_a_batch_do_not_see_each_other():
    net, x = shake(ResidualUNet(4, 1)), torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(net(x)[1:], net(x[1:]), atol=1e-5, rtol=0)


def test_refuses_impossible_sizes():
    with pytest.raises(SettingError, match="width: found 1"):
        ResidualUNet(1)
    with pytest.raises(SettingError, match="blocks: found 0"):
        ResidualUNet(8, 0)
    with pytest.raises(SettingError, match="fold: found 3"):
        ResidualUNet(8, 1, 3)
    with pytest.raises(SettingError, match="refine: found -1"):
        ResidualUNet(8, refine=-1)
    for growth in ("1", "1 two", "1 0", ""):
        with pytest.raises(SettingError, match="growth: found"):
            ResidualUNet(8, 1, 2, growth)
