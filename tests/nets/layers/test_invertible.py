from __future__ import annotations

import pytest
import torch
from torch import nn

from restauro.nets.layers.invertible import AffineCoupling


def _block(dtype: torch.dtype) -> AffineCoupling:
    torch.manual_seed(0)
    ends = ((9, 3), (3, 9), (3, 9))
    return AffineCoupling(*(nn.Conv2d(a, b, 3, padding=1) for a, b in ends)).to(dtype).requires_grad_(False)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_inverse_undoes_forward_and_forward_undoes_inverse(dtype: torch.dtype, bound: float):
    block = _block(dtype)
    a1, a2 = torch.randn(2, 3, 8, 10, dtype=dtype), torch.randn(2, 9, 8, 10, dtype=dtype)
    for there, back in ((block, block.inverse), (block.inverse, block)):
        b1, b2 = back(*there(a1, a2))
        torch.testing.assert_close(b1, a1, atol=bound, rtol=0)
        torch.testing.assert_close(b2, a2, atol=bound, rtol=0)
        assert not torch.allclose(there(a1, a2)[1], a2, atol=0.1)


def test_equals_the_equations_with_the_published_bound():
    block = _block(torch.float64)
    a1, a2 = torch.randn(1, 3, 4, 4, dtype=torch.float64), torch.randn(1, 9, 4, 4, dtype=torch.float64)
    b1 = a1 + block.g1(a2)
    b2 = a2 * torch.exp(2 * torch.sigmoid(block.g2(b1)) - 1) + block.g3(b1)
    torch.testing.assert_close(block(a1, a2), (b1, b2))
    torch.testing.assert_close(block.first(a1, a2), b1)


def test_state_stays_float32_when_the_functions_answer_in_bfloat16():
    block = _block(torch.float32)
    a1, a2 = torch.rand(1, 3, 8, 8), torch.rand(1, 9, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        b1, b2 = block(a1, a2)
        back1, back2 = block.inverse(b1, b2)
    assert b1.dtype == b2.dtype == torch.float32
    torch.testing.assert_close(back1, a1, atol=0.02, rtol=0)
    torch.testing.assert_close(back2, a2, atol=0.02, rtol=0)
