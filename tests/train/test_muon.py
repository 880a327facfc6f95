"""Muon: its direction against an SVD, its other part against AdamW, and that it resumes exactly."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from restauro.train.muon import REST, ROUNDS, Muon, is_matrix, orthogonal


@pytest.mark.parametrize("shape", [(16, 16), (16, 200), (300, 24)])
def test_direction_is_about_that_of_the_svd(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape) @ torch.diag(torch.logspace(0, -1, shape[1]))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    made = orthogonal(matrix)
    assert made.dtype == torch.float32
    assert float(torch.cosine_similarity(made.flatten(), (u @ v).flatten(), dim=0)) > 0.95
    assert orthogonal(torch.zeros(16, 16)).abs().max() == 0


def test_singular_values_follow_the_quintic_down_to_the_smallest() -> None:
    torch.manual_seed(0)
    u, v = (torch.linalg.qr(torch.randn(size, 64, dtype=torch.float64)).Q for size in (64, 640))
    values = torch.logspace(0, -9, 64, dtype=torch.float64)
    wanted = values / values.norm()
    for _ in range(ROUNDS):
        wanted = 3.4445 * wanted - 4.7750 * wanted**3 + 2.0315 * wanted**5
    made = orthogonal((u * values @ v.T).float()).double()
    assert float((made - u * wanted @ v.T).norm() / wanted.norm()) < 1e-3


def test_small_parameters_are_adamw_s() -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3)
    theirs.load_state_dict(ours.state_dict())
    assert not any(is_matrix(one) for one in ours.parameters())
    muon = Muon(ours.parameters(), lr=1e-2, betas=(0.8, 0.95), weight_decay=0.1)
    adamw = torch.optim.AdamW(theirs.parameters(), lr=1e-2 * REST, betas=(0.8, 0.95), weight_decay=0.1)
    x = torch.rand(4, 3, 8, 8)
    for net, optimiser in ((ours, muon), (theirs, adamw)):
        for _ in range(5):
            _step(net, optimiser, x)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_step_moves_every_direction_alike_whatever_the_gradient_s_size() -> None:
    for size in (1.0, 1e-4):
        torch.manual_seed(0)
        weight = nn.Parameter(torch.zeros(32, 4, 3, 3))
        weight.grad = size * torch.randn(32, 4, 3, 3)
        Muon([weight], lr=0.1, weight_decay=0.0).step()
        rms = float(weight.detach().square().mean().sqrt())
        assert rms == pytest.approx(0.2 * 0.1, rel=0.25)  # as AdamW's, times 0.2
        spread = torch.linalg.svdvals(weight.detach().flatten(1))
        assert float(spread[0] / spread[-1]) < 2.0


@pytest.mark.parametrize(("momentum", "share"), [(None, 0.95 * 0.05 + 0.05), (0.8, 0.8 * 0.2 + 0.2), (0.0, 1.0)])
def test_momentum_is_nesterov_s(momentum: float | None, share: float) -> None:
    """Two gradients on directions of their own: the second has ``share`` of the step, the first what is left of it."""
    u, v = torch.zeros(16, 16), torch.zeros(16, 16)
    u[0, 0], v[1, 1] = 1.0, 1.0
    weight = nn.Parameter(torch.zeros(16, 16))
    muon = Muon([weight], lr=0.1, weight_decay=0.0, momentum=momentum)
    seen: list[Tensor] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("restauro.train.muon.orthogonal", lambda matrix: seen.append(matrix.clone()) or matrix)
        for gradient in (u, v):
            weight.grad = gradient
            muon.step()
    kept = 0.95 if momentum is None else momentum
    assert float(seen[1][1, 1]) == pytest.approx(share, abs=1e-6)
    assert float(seen[1][0, 0]) == pytest.approx(kept**2 * (1 - kept), abs=1e-6)


def test_it_resumes_to_the_same_numbers() -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 3, 8, 8)
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 3, 3))
    optimiser = Muon(net.parameters(), lr=1e-2)
    _step(net, optimiser, x)
    other = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 3, 3))
    other.load_state_dict(net.state_dict())
    again = Muon(other.parameters(), lr=1e-2)
    again.load_state_dict(deepcopy(optimiser.state_dict()))
    _step(net, optimiser, x)
    _step(other, again, x)
    for one, copy in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, copy)


def _step(net: nn.Module, optimiser: torch.optim.Optimizer, x: Tensor) -> None:
    optimiser.zero_grad()
    net(x).square().mean().backward()
    optimiser.step()
