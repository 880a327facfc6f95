"""Iterative least squares (Liu et al. 2020, "Real-time image smoothing via iterative least squares").

    min_u  sum_p (u_p - f_p)^2  +  lam * sum_p [ phi(dx u_p) + phi(dy u_p) ],

with phi(t) = (t^2 + eps)^(p / 2), or Welsch's phi(t) = 2 gamma^2 (1 - exp(-t^2 / (2 gamma^2))). phi is
bounded by a parabola of curvature c = max phi'' (additive half-quadratic form), so that every step solves
the same system:

    (1 + (c lam / 2) D) u_new = f + (lam / 2) (Dx^T mu(dx u) + Dy^T mu(dy u)),        mu(t) = c t - phi'(t),

    c = p eps^(p/2 - 1),    phi'(t) = p t (t^2 + eps)^(p/2 - 1)        for the power,
    c = 2,                  phi'(t) = 2 t exp(-t^2 / (2 gamma^2))      for Welsch,

with D = Dx^T Dx + Dy^T Dy. What is computed is the same step written as a correction,

    u_new = u + (1 + (c lam / 2) D)^-1 [ (f - u) - (lam / 2) (Dx^T phi'(dx u) + Dy^T phi'(dy u)) ].

Differences are forward and periodic. Colours are smoothed one by one. Nothing is clipped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from restauro.errors import SettingError
from restauro.smooth.inputs import require_pictures
from restauro.smooth.kernels import exp2, kernel, power
from restauro.smooth.poisson import ScreenedPoisson, laplacian_spectrum, transposed_gradient
from restauro.smooth.threads import threads, threads_for

if TYPE_CHECKING:
    from restauro.smooth.poisson import Array


@dataclass(frozen=True)
class ILSSettings:
    """Settings of :func:`ils`.

    Parameters
    ----------
    lam
        Weight of the penalty; more smooths more. Usual range 0.1 to 30.
    steps
        Number of least-squares steps: 4 for ``"power"``, 10 for ``"welsch"`` in the paper.
    penalty
        ``"power"`` (p and eps) smooths gradients of every size, small ones more; ``"welsch"`` (gamma) lets
        go of large ones altogether.
    p, eps
        Exponent, 0 to 2, and rounding of the power penalty. A smaller p keeps edges better.
    gamma
        Size of a gradient that Welsch's penalty takes for an edge.
    anchor
        ``"input"``: u stays near f, as in the equations. ``"current"``: near the u of the step before, as
        in the authors' program; smooths more.

    Examples
    --------
    >>> ILSSettings(lam=30, penalty="welsch", steps=10).curvature
    2.0
    """

    lam: float = 1.0
    steps: int = 4
    penalty: str = "power"
    p: float = 0.8
    eps: float = 1e-4
    gamma: float = 10 / 255
    anchor: str = "input"

    def __post_init__(self) -> None:
        if not 0 < self.lam < math.inf:
            raise SettingError("lam", self.lam, "a number above 0 (usual range 0.1 to 30)")
        if not (isinstance(self.steps, int) and self.steps >= 1):
            raise SettingError("steps", self.steps, "a whole number, 1 or more")
        if self.penalty not in ("power", "welsch"):
            raise SettingError("penalty", self.penalty, "'power' or 'welsch'")
        if not 0 < self.p < 2:
            raise SettingError("p", self.p, "a number between 0 and 2 (0.8 is usual)")
        if not 0 < self.eps < math.inf:
            raise SettingError("eps", self.eps, "a number above 0 (1e-4 is usual)")
        if not 0 < self.gamma < math.inf:
            raise SettingError("gamma", self.gamma, "a number above 0 (10/255 is usual)")
        if self.anchor not in ("input", "current"):
            raise SettingError("anchor", self.anchor, "'input' or 'current'")

    @property
    def curvature(self) -> float:
        """The constant c."""
        return 2.0 if self.penalty == "welsch" else self.p * self.eps ** (self.p / 2 - 1)


def ils(x: Tensor, settings: ILSSettings | None = None) -> Tensor:
    """Smooth a picture by a few least-squares steps; edges keep their place and lose some contrast.

    Parameters
    ----------
    x
        [N, C, H, W] float32 or float64, 0..1. It is not changed.
    settings
        See :class:`ILSSettings`.

    Returns
    -------
    Tensor
        [N, C, H, W], same type and device.

    Notes
    -----
    Cost on a CPU: per step one real FFT pair along each row and two passes over memory (:mod:`.poisson`); 3
    values of memory per value of x, the result included. Elsewhere: per step one real 2-D FFT pair; about 8
    values. Threads: as many as torch uses. No gradient flows through it. Mean brightness is kept.

    Examples
    --------
    >>> x = torch.full((1, 3, 8, 8), 0.25)
    >>> torch.equal(ils(x), x)
    True
    """
    require_pictures(x)
    settings = settings or ILSSettings()
    return _ils_rows(x, settings) if x.device.type == "cpu" else _ils_fft(x, settings)


@torch.no_grad()
def _ils_fft(x: Tensor, s: ILSSettings) -> Tensor:
    """The filter as it reads in the paper, for devices that do whole FFTs best."""
    height, width = x.shape[-2:]
    target = torch.fft.rfft2(x)
    inverse = 1 / (1 + s.curvature * s.lam / 2 * laplacian_spectrum(height, width, x))
    spectrum, u = target, x
    for _ in range(s.steps):
        slopes = [_slope(u.roll(-1, dims=d) - u, s) for d in (-1, -2)]
        pull = torch.fft.rfft2(transposed_gradient(slopes[0], slopes[1]).mul_(-s.lam / 2))
        if s.anchor == "input":
            pull += target - spectrum
        spectrum = spectrum + pull * inverse
        u = torch.fft.irfft2(spectrum, s=(height, width))
    return u


def _slope(t: Tensor, s: ILSSettings) -> Tensor:
    """phi'(t)."""
    if s.penalty == "welsch":
        return 2 * t * torch.exp(t.square() / (-2 * s.gamma**2))
    return s.p * t * (t.square() + s.eps) ** (s.p / 2 - 1)


def _ils_rows(x: Tensor, s: ILSSettings) -> Tensor:
    """The same on a CPU: row spectra, column recursions."""
    picture = x.detach().numpy()
    real = picture.dtype.type
    welsch = s.penalty == "welsch"
    scale = s.lam if welsch else s.lam / 2 * s.p
    shape = -math.log2(math.e) / (2 * s.gamma**2) if welsch else s.p / 2 - 1
    pull = partial(_pull, welsch=welsch, scale=real(-scale), shape=real(shape), eps=real(s.eps))
    with threads(threads_for(x.numel())) as for_each:
        state = ScreenedPoisson(picture, for_each)
        for _ in range(s.steps):
            state.step(pull, weight=s.curvature * s.lam / 2, anchored=s.anchor == "input")
        smoothed: Tensor = torch.from_numpy(state.picture())
        return smoothed


@kernel
def _pull(rows: Array, out: Array, welsch: bool, scale: Any, shape: Any, eps: Any) -> None:
    """Fill out [C, R, W] with -(lam / 2) (Dx^T phi'(dx u) + Dy^T phi'(dy u)), from rows [C, R + 2, W]."""
    channels, count, width = rows.shape
    right = np.empty(width, rows.dtype)
    down = np.empty((2, width), rows.dtype)  # of this row, of the row above
    for c in range(channels):
        for i in range(count - 1):
            u, below = rows[c, i], rows[c, i + 1]
            here, above = down[i & 1], down[1 - (i & 1)]
            for k in range(width):
                here[k] = below[k] - u[k]
            _slopes(here, welsch, scale, shape, eps)
            if i == 0:
                continue
            for k in range(width - 1):
                right[k] = u[k + 1] - u[k]
            right[width - 1] = u[0] - u[width - 1]
            _slopes(right, welsch, scale, shape, eps)
            o = out[c, i - 1]
            o[0] = right[width - 1] - right[0] + above[0] - here[0]
            for k in range(1, width):
                o[k] = right[k - 1] - right[k] + above[k] - here[k]


@kernel
def _slopes(t: Array, welsch: bool, scale: Any, shape: Any, eps: Any) -> None:
    """Replace t by scale * phi'(t), up to the constant factor of phi'."""
    if welsch:
        for k in range(t.size):
            t[k] *= scale * exp2(shape * t[k] * t[k])
    else:
        for k in range(t.size):
            t[k] *= scale * power(t[k] * t[k] + eps, shape)
