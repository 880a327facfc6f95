"""Chebyshev series of a function of one variable, one function per picture of a batch: what fast attention stands on.

A function known at the first-kind nodes x_k = cos(pi (k + 1/2) / K) of [-1, 1] is interpolated by

    F(x) = sum_m c_m T_m(x),      c_m = (2 - [m = 0]) / K * sum_k F(x_k) cos(pi m (k + 1/2) / K),

evaluated with the recurrence of Clenshaw, in two vectors of state. All maps are linear in F, and each has its exact
transpose here, so that a custom backward pass can be written by hand.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def transform(count: int, like: Tensor) -> Tensor:
    """The matrix A [K, K] that takes values at K nodes to coefficients: c_m = sum_k A[m, k] F(x_k).

    >>> c = transform(4, torch.zeros(1)) @ Interval.of(torch.tensor([[-1.0, 1.0]])).points(4)[0]
    >>> [round(abs(v), 6) for v in c.tolist()]  # F(x) = x is T_1
    [0.0, 1.0, 0.0, 0.0]
    """
    steps = torch.arange(count, dtype=torch.float64, device=_float64_device(like))
    matrix = torch.cos(torch.pi / count * steps[:, None] * (steps + 0.5)) * (2 / count)
    matrix[0] /= 2
    return matrix.to(like)


def evaluate(coefficients: Tensor, x: Tensor) -> Tensor:
    """Evaluate sum_m c_m T_m(x) for coefficients [N, K] at x [N, n] in [-1, 1]: [N, n], in O(n) memory."""
    twice = 2 * x
    last, before = torch.zeros_like(x), torch.zeros_like(x)
    for c in coefficients[:, 1:].flip(1).unsqueeze(2).unbind(1):
        last, before = torch.addcmul(c - before, twice, last), last  # b_m = c_m + 2 x b_{m+1} - b_{m+2}
    return torch.addcmul(coefficients[:, :1] - before, x, last)


def moments(v: Tensor, x: Tensor, count: int) -> Tensor:
    """The transpose of :func:`evaluate`: sum_j v_j T_m(x_j) for m < count; v and x are [N, n], the result [N, K]."""
    twice = 2 * x
    now, after = v, v * x
    sums = []
    for _ in range(count):
        sums.append(now.sum(1))
        now, after = after, torch.addcmul(-now, twice, after)
    return torch.stack(sums, dim=1)


@dataclass(frozen=True, eq=False)
class Interval:
    """A range of the variable t and how it is laid on [-1, 1]; every field is [N, 1].

    With a ``scale`` s the coordinate is asinh(t / s), which resolves |t| < s evenly and larger t by their
    logarithm; without one it is t itself. No gradient flows through an interval: its nodes are constants.
    """

    middle: Tensor
    half: Tensor
    scale: Tensor | None = None

    @classmethod
    def of(cls, t: Tensor, scale: Tensor | None = None) -> Interval:
        """The smallest interval around t [N, n]."""
        low, high = t.detach().aminmax(dim=1, keepdim=True)
        if scale is not None:
            low, high = asinh(low / scale), asinh(high / scale)
        return cls((low + high) / 2, ((high - low) / 2).clamp_min(1e-6), scale)

    def points(self, count: int) -> Tensor:
        """The nodes, as values of t [N, count]."""
        steps = torch.arange(count, dtype=torch.float64, device=_float64_device(self.middle))
        u = self.middle + self.half * torch.cos(torch.pi / count * (steps + 0.5)).to(self.middle)
        return u if self.scale is None else self.scale * torch.sinh(u)

    def position(self, t: Tensor) -> Tensor:
        """Where t [N, n] lies in [-1, 1]; what is outside the interval goes to its end."""
        u = t if self.scale is None else asinh(t / self.scale)
        return ((u - self.middle) / self.half).clamp(-1, 1)


@dataclass(frozen=True, eq=False)
class Curve:
    """A function of one variable, as a series on an interval: ``curve(t)`` for t [N, n] gives [N, n].

    Examples
    --------
    >>> interval = Interval.of(torch.tensor([[-2.0, 3.0]]))
    >>> square = Curve.through(interval.points(8).square(), interval)
    >>> [round(v, 4) for v in square(torch.tensor([[-2.0, 0.0, 1.5]]))[0].tolist()]
    [4.0, 0.0, 2.25]
    """

    interval: Interval
    coefficients: Tensor

    @classmethod
    def through(cls, values: Tensor, interval: Interval, plus: Tensor | None = None) -> Curve:
        """Interpolate the values [N, K] at ``interval.points(K)``; ``plus`` [N, 1] is added to all."""
        coefficients = values @ transform(values.shape[1], values).T
        if plus is not None:
            coefficients[:, :1] += plus
        return cls(interval, coefficients)

    def __call__(self, t: Tensor) -> Tensor:
        """Evaluate at t [N, n], in t's type; beyond the interval the curve is constant."""
        return evaluate(self.coefficients, self.interval.position(t.to(self.coefficients))).to(t)

    @property
    def tail(self) -> Tensor:
        """Sum of the last max(4, K / 8) coefficients' sizes, [N]: an estimate of the interpolation's error."""
        count = self.coefficients.shape[1]
        return self.coefficients[:, -max(4, count // 8) :].abs().sum(1)


def asinh(x: Tensor) -> Tensor:
    """The inverse of sinh; torch's own is ten times slower on CPUs."""
    y = x.abs()
    return torch.log1p(y + y * y / (1 + torch.sqrt(1 + y * y))).copysign(x)


def _float64_device(like: Tensor) -> torch.device:
    """Where constants are computed in float64: some accelerators have none."""
    return torch.device("cpu") if like.device.type == "mps" else like.device
