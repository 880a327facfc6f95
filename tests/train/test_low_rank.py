"""Low-rank fitting: starts at the network, moves only what is free, and ships as the plain network."""

from __future__ import annotations

import copy

import pytest
import torch

import restauro as rs
from restauro.errors import SettingError
from restauro.train.low_rank import free_low_rank, merged_state


@pytest.mark.parametrize("variant", ["pix2pix", "ours"])
def test_starts_at_the_network_and_ships_as_one(variant: str) -> None:
    torch.manual_seed(0)
    net = rs.build("desmoothgan", variant=variant, width=8, norm="none", residual=True).eval()
    plain = copy.deepcopy(net)
    x = torch.rand(1, 3, 64, 64)
    free = free_low_rank(net, 2)
    assert 0 < free < 0.6 * sum(p.numel() for p in plain.parameters())  # half of `ours` is SFT
    assert torch.equal(net(x), plain(x))
    optimiser = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], 0.1)
    net.train()
    for _ in range(2):  # in the first step only B moves, as A's gradient passes through B = 0
        optimiser.zero_grad()
        (net(x) - x.flip(3)).square().mean().backward()
        optimiser.step()
    fitted = rs.build("desmoothgan", variant=variant, width=8, norm="none", residual=True).eval()
    fitted.load_state_dict(merged_state(net))
    net.eval()
    torch.testing.assert_close(fitted(x), net(x), rtol=0, atol=1e-6)
    assert not torch.equal(fitted(x), plain(x))


def test_frozen_weights_do_not_move() -> None:
    torch.manual_seed(0)
    net = rs.build("desmoothgan", variant="pix2pix", width=8, norm="none")
    before = {key: value.clone() for key, value in net.state_dict().items()}
    free_low_rank(net, 1)
    x = torch.rand(2, 3, 64, 64)
    optimiser = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], 1.0)
    net(x).mean().backward()
    optimiser.step()
    after = merged_state(net)
    assert set(after) == set(before)
    for key, value in net.state_dict().items():
        if key.endswith(".weight.original"):
            assert torch.equal(value, before[key.replace(".parametrizations", "").removesuffix(".original")])
    for key, value in after.items():
        if value.ndim == 4:
            assert torch.linalg.matrix_rank((value - before[key]).flatten(1).double(), tol=1e-6) <= 1


def test_rank_is_checked() -> None:
    with pytest.raises(SettingError):
        free_low_rank(torch.nn.Conv2d(1, 1, 1), 0)
