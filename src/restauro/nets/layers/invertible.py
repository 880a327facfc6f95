"""The affine coupling block of invertible networks (RealNVP, Dinh et al. 2017; as used by IRN, Xiao et al. 2020).

Two halves of a state change in turn, each by a function of the other alone, so that every step can be undone
exactly whatever the functions are::

    a1' = a1 + g1(a2)                    a2  = (a2' - g3(a1')) * exp(-s(a1'))
    a2' = a2 * exp(s(a1')) + g3(a1')     a1  = a1' - g1(a2)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Evaluate = Callable[[nn.Module, Tensor], Tensor]
"""How a coupling calls one of its functions g; :func:`evaluate` is the plain way."""


def evaluate(g: nn.Module, u: Tensor) -> Tensor:
    """Call g(u)."""
    y: Tensor = g(u)
    return y


class AffineCoupling(nn.Module):
    """One invertible block on a pair of feature maps of the same height and width.

    Parameters
    ----------
    g1
        From the channels of a2 to those of a1: the shift of a1.
    g2, g3
        From the channels of a1 to those of a2: the log-scale and the shift of a2.

    Notes
    -----
    The log-scale is bounded, s = 2 sigmoid(g2) - 1 = tanh(g2 / 2), so that a block scales by e^-1 .. e^1 at most.
    The state keeps its type where the functions answer in another (bfloat16 under autocast); otherwise the inverse
    would be far off.

    Examples
    --------
    >>> block = AffineCoupling(nn.Conv2d(9, 3, 3, padding=1), *(nn.Conv2d(3, 9, 3, padding=1) for _ in "23"))
    >>> a1, a2 = torch.rand(1, 3, 8, 8), torch.rand(1, 9, 8, 8)
    >>> b1, b2 = block.inverse(*block(a1, a2))
    >>> torch.allclose(b1, a1, atol=1e-6), torch.allclose(b2, a2, atol=1e-5)
    (True, True)
    """

    def __init__(self, g1: nn.Module, g2: nn.Module, g3: nn.Module) -> None:
        super().__init__()
        self.g1, self.g2, self.g3 = g1, g2, g3

    def forward(self, a1: Tensor, a2: Tensor, call: Evaluate = evaluate) -> tuple[Tensor, Tensor]:
        """(a1, a2) -> (a1', a2')."""
        a1 = self.first(a1, a2, call)
        scale, shift = self._scale_and_shift(a1, call)
        return a1, a2 * scale.exp() + shift

    def inverse(self, a1: Tensor, a2: Tensor, call: Evaluate = evaluate) -> tuple[Tensor, Tensor]:
        """(a1', a2') -> (a1, a2)."""
        scale, shift = self._scale_and_shift(a1, call)
        a2 = (a2 - shift) * (-scale).exp()
        return a1 - call(self.g1, a2).to(a1.dtype), a2

    def first(self, a1: Tensor, a2: Tensor, call: Evaluate = evaluate) -> Tensor:
        """Only a1', at a third of the cost: enough for a last block whose a2' nobody reads."""
        return a1 + call(self.g1, a2).to(a1.dtype)

    def _scale_and_shift(self, a1: Tensor, call: Evaluate) -> tuple[Tensor, Tensor]:
        return torch.tanh(call(self.g2, a1).to(a1.dtype) / 2), call(self.g3, a1).to(a1.dtype)
