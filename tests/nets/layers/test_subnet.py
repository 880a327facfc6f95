from __future__ import annotations

import pytest
import torch

from restauro.nets.layers.subnet import BandedSubnet, Subnet
from tests.nets.costs import shake


def _subnet(attention: bool, norm: str = "batch") -> Subnet:
    g = Subnet(9, 3, 16, attention, norm)
    shake(g)
    if attention and norm == "batch":
        g.attention.norm.running_mean.fill_(0.3)
        g.attention.norm.running_var.fill_(0.2)
        g.attention.norm.weight.data.fill_(1.5)
        g.attention.norm.bias.data.fill_(-0.2)
    return g.eval().requires_grad_(False)


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("rows", [1, 4, 5, 7, 16, 23, 100])
def test_bands_equal_the_whole(attention: bool, rows: int):
    """Any height of band: shorter than what is borrowed, with a short last one, and taller than the picture."""
    g = _subnet(attention)
    u = torch.rand(2, 9, 23, 10)
    whole, gate = g.gated(u)
    assert float(whole.abs().mean()) > 0.05
    banded, same_gate = BandedSubnet(g, rows).gated(u)
    torch.testing.assert_close(banded, whole, atol=1e-5, rtol=0)
    if attention:
        torch.testing.assert_close(same_gate, gate, atol=1e-6, rtol=0)


@pytest.mark.parametrize("rows", [4, 10])
def test_bands_with_a_given_gate_equal_the_whole(rows: int):
    g = _subnet(True)
    u, gate = torch.rand(1, 9, 23, 10), torch.rand(1, 16, 1, 1)
    torch.testing.assert_close(BandedSubnet(g, rows).gated(u, gate)[0], g.gated(u, gate)[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("norm", ["frozen", "none"])
def test_other_norms_fold_as_well(norm: str):
    g = _subnet(True, norm)
    u = torch.rand(1, 9, 12, 10)
    torch.testing.assert_close(BandedSubnet(g, 5)(u), g(u), atol=1e-5, rtol=0)


def test_the_original_is_left_alone():
    g = _subnet(True)
    before = {key: value.clone() for key, value in g.state_dict().items()}
    BandedSubnet(g, 4)(torch.rand(1, 9, 12, 10))
    assert before.keys() == g.state_dict().keys()
    assert all(torch.equal(value, g.state_dict()[key]) for key, value in before.items())


def test_float64_stays_exact():
    g = _subnet(True).double()
    u = torch.rand(1, 9, 23, 10, dtype=torch.float64)
    torch.testing.assert_close(BandedSubnet(g, 4)(u), g(u), atol=1e-12, rtol=0)
