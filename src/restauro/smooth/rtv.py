"""Relative total variation (Xu, Yan, Xia, Jia 2012, "Structure extraction from texture via relative total variation").

    min_S  sum_p (S_p - I_p)^2  +  lam * sum_p [ Dx / (Lx + eps) + Dy / (Ly + eps) ]_p                       (eq. 5)

with the windowed total variation D = G_sigma * |dS| and the windowed inherent variation L = |G_sigma * dS|: texture
has large D and small L, an edge has both. Solved by iterated reweighting (eqs. 7-11): every step freezes

    w   = 1 / max(mean_c |grad S|, sharpness),          ux = 1 / max(mean_c |dx (G_sigma * S)|, 1e-3),   uy alike,

solves (Id + lam/2 L_w) S = I with links ux w and uy w, and halves sigma down to 0.5. As in the authors' program:
mean over the colours (one matrix for all), forward differences, no link over the border, Gaussian of
round(5 sigma) | 1 taps with zeros outside. Unlike it, every system is solved to a stated tolerance (theirs stops at
a relative residual of 0.1, about 40 dB from the solution).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from restauro.errors import SettingError
from restauro.smooth.solvers import solve_screened_poisson

_SMALLEST_VARIATION = 1e-3  # eps of eq. 5


@dataclass(frozen=True)
class RTVSettings:
    """Settings of :func:`rtv`.

    Parameters
    ----------
    lam
        Weight of the variation; more smooths more. Usual range 0.005 to 0.05.
    sigma_px
        Standard deviation of the first window: the scale of the texture to remove. Usual range 1 to 6.
    sharpness
        Smallest mean gradient that counts (eps_s of eq. 9); less makes edges sharper. Usual range 1e-3 to 0.03.
    steps
        Reweighted systems.
    tolerance
        Largest root mean square error of each system, in units of the picture.

    >>> RTVSettings(lam=0.015).sigmas
    (3.0, 1.5, 0.75, 0.5)
    """

    lam: float = 0.01
    sigma_px: float = 3.0
    sharpness: float = 0.02
    steps: int = 4
    tolerance: float = 2e-3

    def __post_init__(self) -> None:
        if not 0 < self.lam < math.inf:
            raise SettingError("lam", self.lam, "a number above 0 (usual range 0.005 to 0.05)")
        if not 0 < self.sigma_px < math.inf:
            raise SettingError("sigma_px", self.sigma_px, "a number above 0 (usual range 1 to 6)")
        if not 0 < self.sharpness < math.inf:
            raise SettingError("sharpness", self.sharpness, "a number above 0 (usual range 1e-3 to 0.03)")
        if self.steps < 1:
            raise SettingError("steps", self.steps, "a whole number above 0 (4 is usual)")
        if not 0 < self.tolerance < math.inf:
            raise SettingError("tolerance", self.tolerance, "a number above 0 (2e-3 is usual)")

    @property
    def sigmas(self) -> tuple[float, ...]:
        """Window of every step."""
        return tuple(max(self.sigma_px / 2**k, 0.5) if k else self.sigma_px for k in range(self.steps))


@torch.no_grad()
def rtv(x: Tensor, settings: RTVSettings | None = None) -> Tensor:
    """Remove texture and keep structure.

    Parameters
    ----------
    x
        [N, C, H, W] float32 or float64, 0..1. It is not changed.
    settings
        See :class:`RTVSettings`; the default is the paper's.

    Returns
    -------
    Tensor
        [N, C, H, W], same type and device; within 0..1 up to the tolerance.

    Notes
    -----
    Cost: per step one blur (2 x 5 sigma taps), one set of weights and one system.
    Transposing the picture transposes the result; mirroring it does not quite, since w at a pixel looks right and
    down. Mean brightness is kept. Not idempotent.

    Examples
    --------
    >>> x = torch.full((1, 3, 8, 8), 0.25)
    >>> torch.equal(rtv(x), x)
    True
    """
    settings = settings or RTVSettings()
    s = x
    for sigma in settings.sigmas:
        links = _links(s, sigma, settings.sharpness).mul_(settings.lam / 2)
        s = solve_screened_poisson(links, x, start=s, tolerance=settings.tolerance)
    return s


def _links(s: Tensor, sigma_px: float, sharpness: float) -> Tensor:
    """Ux w and uy w of eqs. 8-9, [N, 2, H, W]."""
    blurred = _blur(s, sigma_px)
    ux = _dx(blurred).abs_().mean(dim=1).clamp_min_(_SMALLEST_VARIATION)
    uy = _dy(blurred).abs_().mean(dim=1).clamp_min_(_SMALLEST_VARIATION)
    w = torch.hypot(_dx(s), _dy(s)).mean(dim=1).clamp_min_(sharpness)
    return torch.stack((ux.mul_(w).reciprocal_(), uy.mul_(w).reciprocal_()), dim=1)


def _dx(s: Tensor) -> Tensor:
    return torch.diff(s, dim=-1, append=s[..., -1:])


def _dy(s: Tensor) -> Tensor:
    return torch.diff(s, dim=-2, append=s[..., -1:, :])


def _blur(s: Tensor, sigma_px: float) -> Tensor:
    """Gaussian of round(5 sigma) | 1 taps, zeros outside. Sums of shifted pictures: conv2d is 20 times slower here."""
    radius = (round(5 * sigma_px) | 1) // 2
    taps = [math.exp(-0.5 * (k / sigma_px) ** 2) for k in range(-radius, radius + 1)]
    for dim, pad in ((-1, (radius, radius, 0, 0)), (-2, (0, 0, radius, radius))):
        padded, size = F.pad(s, pad), s.shape[dim]
        s = torch.zeros_like(s)
        for k, tap in enumerate(taps):
            s.add_(padded.narrow(dim, k, size), alpha=tap / sum(taps))
    return s
