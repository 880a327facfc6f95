"""The optimiser Muon for convolutions: every step of a weight matrix moves all its directions alike.

A convolution's gradient is a matrix of low effective rank; Adam, which weighs its numbers one by one, moves a few
directions again and again. Muon (Jordan et al. 2024) replaces the averaged gradient M by the nearest orthogonal matrix,
U V^T of M = U S V^T, approximated by five Newton-Schulz iterations. A step scaled by 0.2 sqrt(max(rows, columns)) has
the root mean square of one by Adam (Liu et al. 2025).

Biases, norms and matrices of few rows (what a network ends with) have no such directions: they get AdamW.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

ROWS = 16  # matrices with fewer rows are AdamW's
REST = 1 / 15  # the learning rate of AdamW's part, times that of the matrices
MOMENTUM = 0.95
ROUNDS = 5
_QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan's: singular values to 0.7..1.2 in five iterations


class Muon(torch.optim.Optimizer):
    """Muon for the weights of convolutions and linear layers, AdamW for the rest.

    Parameters
    ----------
    parameters
        All of a network.
    lr
        Of the matrices; AdamW's part has :data:`REST` of it.
    betas
        Of AdamW's part.
    weight_decay
        Decoupled, as in AdamW, of both.
    momentum
        Of the matrices, after Nesterov; None is :data:`MOMENTUM`.

    Examples
    --------
    >>> net = nn.Conv2d(3, 32, 3)
    >>> optimiser = Muon(net.parameters(), lr=1e-2)
    >>> net(torch.ones(1, 3, 4, 4)).sum().backward()
    >>> optimiser.step()
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.01,
        momentum: float | None = None,
    ) -> None:
        every = list(parameters)
        matrices = [one for one in every if is_matrix(one)]
        rest = [one for one in every if not is_matrix(one)]
        groups: list[dict[str, Any]] = [{"params": matrices, "share": 1.0}, {"params": rest, "share": REST}]
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay}
        super().__init__([group for group in groups if group["params"]], defaults)
        self.momentum = MOMENTUM if momentum is None else momentum

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step along the gradients that the parameters hold; there is no form with a closure."""
        for group in self.param_groups:
            lr = group["lr"] * group["share"]
            for one in group["params"]:
                if one.grad is None:
                    continue
                one.mul_(1 - lr * group["weight_decay"])
                if group["share"] == 1.0:
                    self._matrix(one, one.grad, lr)
                else:
                    self._adam(one, one.grad, lr, *group["betas"])

    def _matrix(self, one: Tensor, gradient: Tensor, lr: float) -> None:
        state = self.state[one]
        if not state:
            state["momentum"] = torch.zeros_like(one)
        state["momentum"].lerp_(gradient, 1 - self.momentum)
        ahead = gradient.lerp(state["momentum"], self.momentum)
        rows, columns = one.shape[0], one[0].numel()
        one.add_(orthogonal(ahead.reshape(rows, columns)).view_as(one), alpha=-0.2 * lr * math.sqrt(max(rows, columns)))

    def _adam(self, one: Tensor, gradient: Tensor, lr: float, first: float, second: float) -> None:
        state = self.state[one]
        if not state:
            state |= {"step": torch.zeros(()), "mean": torch.zeros_like(one), "square": torch.zeros_like(one)}
        state["step"] += 1
        state["mean"].lerp_(gradient, 1 - first)
        state["square"].lerp_(gradient.square(), 1 - second)
        steps = float(state["step"])
        mean = state["mean"] / (1 - first**steps)
        one.addcdiv_(mean, (state["square"] / (1 - second**steps)).sqrt().add_(1e-8), value=-lr)


def is_matrix(parameter: Tensor) -> bool:
    """Whether Muon moves it: a weight with at least :data:`ROWS` outputs."""
    return parameter.ndim >= 2 and parameter.shape[0] >= ROWS


def orthogonal(matrix: Tensor) -> Tensor:
    """The orthogonal factor U V^T of a matrix U S V^T, roughly: singular values come to 0.7..1.2, in its dtype.

    The iteration X <- (a + b A + c A^2) X with A = X X^T leaves U and V as they are, so its factors are polynomials in
    the first A and commute. They are multiplied up on the small side; X itself is met twice instead of ten times,
    which leaves time for float32.

    >>> made = orthogonal(torch.randn(16, 40))
    >>> bool((torch.linalg.svdvals(made) - 1).abs().max() < 0.45)
    True
    """
    x = matrix.float()
    wide = x.shape[0] <= x.shape[1]
    x = x if wide else x.T
    x = x / (x.norm() + 1e-7)
    a, b, c = _QUINTIC
    square = x @ x.T
    factor = torch.eye(len(x), device=x.device)
    for _ in range(ROUNDS):
        one = torch.addmm(b * square, square, square, alpha=c)
        one.diagonal().add_(a)
        factor = one @ factor
        square = one @ square @ one
    made: Tensor = factor @ x
    return (made if wide else made.T).to(matrix)
