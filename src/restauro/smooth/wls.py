"""Weighted least squares (Farbman, Fattal, Lischinski, Szeliski 2008, "Edge-preserving decompositions", eqs. 4-7).

    min_u  sum_p (u_p - f_p)^2  +  lam * [ ax (dx u)^2 + ay (dy u)^2 ]_p,      ax = 1 / (|dx l|^alpha + 1e-4),

ay alike, where l is the logarithm of the luminance of the guide. One linear system, no iteration. All colours share
the links of the luminance, so that hues are not torn apart. Differs from the paper: luminances below one 8-bit level
count as one level, since the logarithm of black has no end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from restauro.errors import SettingError
from restauro.smooth.inputs import require_pictures
from restauro.smooth.solvers import solve_screened_poisson

_EPS = 1e-4  # of eq. 5
_DARKEST = 1 / 255
_LUMA = (0.299, 0.587, 0.114)  # Rec. 601, as in the authors' program


@dataclass(frozen=True)
class WLSSettings:
    """Settings of :func:`wls`.

    Parameters
    ----------
    lam
        Weight of the gradients; more smooths more. Usual range 0.1 to 10.
    alpha
        Sensitivity to the gradients of the guide; more keeps edges sharper. Usual range 1.2 to 2.
    tolerance
        Largest root mean square error of the solution, in units of the picture.

    >>> WLSSettings(lam=-1)
    Traceback (most recent call last):
    ...
    restauro.errors.SettingError: lam: found -1, wanted a number above 0 (usual range 0.1 to 10)
    """

    lam: float = 1.0
    alpha: float = 1.2
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 < self.lam < math.inf:
            raise SettingError("lam", self.lam, "a number above 0 (usual range 0.1 to 10)")
        if not 0 <= self.alpha < math.inf:
            raise SettingError("alpha", self.alpha, "a number not below 0 (usual range 1.2 to 2)")
        if not 0 < self.tolerance < math.inf:
            raise SettingError("tolerance", self.tolerance, "a number above 0 (1e-3 is usual)")


@torch.no_grad()
def wls(x: Tensor, settings: WLSSettings | None = None, *, guide: Tensor | None = None) -> Tensor:
    """Smooth a picture except over the edges of a guide.

    Parameters
    ----------
    x
        [N, C, H, W] float32 or float64, 0..1. It is not changed.
    settings
        See :class:`WLSSettings`; the default is the paper's.
    guide
        [N, any, H, W], 0..1; by default ``x``. Three channels become luminance, any other number their mean.

    Returns
    -------
    Tensor
        [N, C, H, W], same type and device; within 0..1 up to the tolerance.

    Notes
    -----
    Cost: one screened Poisson system (:mod:`.solvers`); with the defaults 1 s per megapixel of three colours on one
    core, 2 s with lam 10. 10 values of memory per value of x.

    Mirroring and transposing commute with it; mean brightness is kept; it is linear in x for a fixed guide.

    Examples
    --------
    >>> x = torch.full((1, 3, 8, 8), 0.25)
    >>> torch.equal(wls(x), x)
    True
    """
    require_pictures(x)
    guide = x if guide is None else guide
    require_pictures(guide, "guide", like=x)
    settings = settings or WLSSettings()
    log = _luminance(guide).clamp_min(_DARKEST).log()
    links = torch.cat(
        (torch.diff(log, dim=-1, append=log[..., -1:]), torch.diff(log, dim=-2, append=log[..., -1:, :])), dim=1
    )
    links = links.abs_().pow_(settings.alpha).add_(_EPS).reciprocal_().mul_(settings.lam)
    return solve_screened_poisson(links, x, tolerance=settings.tolerance)


def _luminance(x: Tensor) -> Tensor:
    if x.shape[1] != 3:
        return x.mean(dim=1, keepdim=True)
    return (x * x.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
