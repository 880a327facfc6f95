"""Smoothing by isotropic patch recurrence, approximately: method name ``iso-approx``.

After Xu, Xu, Quan 2021, "Structure-texture image decomposition using discriminative patch recurrence" (arXiv
1811.04208). Only its idea is taken, since neither its equations nor its program could be read: patches of texture
recur in all directions, patches of a contour only along it, so that recurrence in every direction tells texture from
structure. Everything below is this library's own; expect other numbers than the paper's.

1. For every pixel, the most similar 5x5 patch in each of 8 sectors of direction (radius 3 to 15 px) is found. The
   median of the eight squared distances over twice the variance of the patch is 1 for patches that have nothing in
   common; texture is likely where it is low:      t = exp(-(ratio / scale)^2).
2. x = u + v, structure and texture, in turns (block coordinate descent on a morphological component analysis):

       u  <-  argmin |u - (x - v)|^2 + lam * sum over links (t + 0.05) |du|     (one reweighted screened Poisson system)
       v  <-  t * ( m + soft(x - u - m, threshold) ),     m = mean of x - u over the eight matches

   so that what recurs in all directions leaves u, and what does not stays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from restauro.errors import SettingError
from restauro.smooth.inputs import require_pictures
from restauro.smooth.solvers import solve_screened_poisson

_SECTORS = 8
_PATCH_RADIUS = 2
_NEAREST = 3  # closer patches share most of their pixels
_STRUCTURE_SHARE = 0.05  # of the smoothing where no texture is
_SMALLEST_STEP = 1e-3  # of the reweighting: |du| = du^2 / |du|
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class ISOSettings:
    """Settings of :func:`iso_approx`.

    Parameters
    ----------
    lam
        Weight of the differences of the structure; more smooths more. Usual range 0.05 to 1.
    threshold
        Difference from its matches below which a texture value is taken to be theirs.
    scale
        Ratio of distance to variance at which texture becomes unlikely; more takes more for texture.
    radius_px
        Of the search. Above 3.
    steps
        Turns.

    >>> ISOSettings(radius_px=2)
    Traceback (most recent call last):
    ...
    restauro.errors.SettingError: radius_px: found 2, wanted a whole number above 3 (15 is usual)
    """

    lam: float = 0.2
    threshold: float = 0.02
    scale: float = 1.0
    radius_px: int = 15
    steps: int = 10

    def __post_init__(self) -> None:
        if not 0 < self.lam < math.inf:
            raise SettingError("lam", self.lam, "a number above 0 (usual range 0.05 to 1)")
        if not 0 <= self.threshold < math.inf:
            raise SettingError("threshold", self.threshold, "a number not below 0 (0.02 is usual)")
        if not 0 < self.scale < math.inf:
            raise SettingError("scale", self.scale, "a number above 0 (1 is usual)")
        if self.radius_px <= _NEAREST:
            raise SettingError("radius_px", self.radius_px, f"a whole number above {_NEAREST} (15 is usual)")
        if self.steps < 1:
            raise SettingError("steps", self.steps, "a whole number above 0 (10 is usual)")


@torch.no_grad()
def iso_approx(x: Tensor, settings: ISOSettings | None = None) -> Tensor:
    """Take out what recurs in every direction.

    Parameters
    ----------
    x
        [N, C, H, W] float32 or float64, 0..1. It is not changed.
    settings
        See :class:`ISOSettings`.

    Returns
    -------
    Tensor
        [N, C, H, W], the structure; same type and device.

    Notes
    -----
    An approximation of the paper: see the head of this file. Cost: pi radius_px^2 passes over the mean of the
    colours for the search (10 s per megapixel on one core), then ``steps`` screened Poisson systems. About 20 values
    of memory per value of x.

    Examples
    --------
    >>> x = torch.full((1, 1, 9, 8), 0.25)
    >>> torch.equal(iso_approx(x), x)
    True
    """
    require_pictures(x)
    settings = settings or ISOSettings()
    texture, matches = _recurrence(x.mean(dim=1), settings)
    u, v = x, torch.zeros_like(x)
    for _ in range(settings.steps):
        u = solve_screened_poisson(_links(u, texture, settings.lam), x - v, start=u, tolerance=_TOLERANCE)
        rest = x - u
        mean = _mean_of_matches(rest, matches)
        v = texture * (mean + F.softshrink(rest - mean, settings.threshold))
    return u


def _links(u: Tensor, texture: Tensor, lam: float) -> Tensor:
    """Lam / 2 times t over |du|, [N, 2, H, W]: half, as the derivative of |du| is du / |du|."""
    dx = torch.diff(u, dim=-1, append=u[..., -1:]).square().mean(dim=1).sqrt()
    dy = torch.diff(u, dim=-2, append=u[..., -1:, :]).square().mean(dim=1).sqrt()
    steps = torch.stack((dx, dy), dim=1).clamp_min_(_SMALLEST_STEP)
    return lam / 2 * (texture + _STRUCTURE_SHARE) / steps


def _recurrence(grey: Tensor, settings: ISOSettings) -> tuple[Tensor, Tensor]:
    """Likelihood of texture [N, 1, H, W] and, per sector, the pixel number of the best match [N, 8, H * W]."""
    n, h, w = grey.shape
    number = torch.arange(h * w, device=grey.device).view(h, w)
    best = grey.new_full((n, _SECTORS, h, w), math.inf)
    match = number.expand(n, _SECTORS, h, w).clone()
    for dy, dx, sector in _offsets(settings.radius_px):
        here, there = _overlap(h, w, dy, dx), _overlap(h, w, -dy, -dx)
        if grey[:, *here].numel() == 0:
            continue
        distance = _patch_mean((grey[:, *here] - grey[:, *there]).square())
        nearest, found = best[:, sector, *here], match[:, sector, *here]
        found.copy_(torch.where(distance < nearest, number[there], found))
        torch.minimum(nearest, distance, out=nearest)
    variance = _patch_mean(grey.square()) - _patch_mean(grey).square()
    ratio = best.nan_to_num(posinf=1.0).median(dim=1).values / (2 * variance).clamp_min_(1e-6)
    return torch.exp(-((ratio / settings.scale) ** 2))[:, None], match.flatten(2)


def _offsets(radius: int) -> list[tuple[int, int, int]]:
    """Steps (dy, dx) of the search with the number of their sector; sectors are centred on the 8 directions."""
    reach = range(-radius, radius + 1)
    return [
        (dy, dx, round(math.atan2(dy, dx) / (2 * math.pi) * _SECTORS) % _SECTORS)
        for dy in reach
        for dx in reach
        if _NEAREST**2 <= dy**2 + dx**2 <= radius**2
    ]


def _overlap(h: int, w: int, dy: int, dx: int) -> tuple[slice, slice]:
    """Pixels whose neighbour at (dy, dx) lies in the picture."""
    return slice(max(-dy, 0), max(h - max(dy, 0), 0)), slice(max(-dx, 0), max(w - max(dx, 0), 0))


def _patch_mean(plane: Tensor) -> Tensor:
    """Mean over 5x5, as far as it lies in the picture."""
    return F.avg_pool2d(plane, 2 * _PATCH_RADIUS + 1, 1, _PATCH_RADIUS, count_include_pad=False)


def _mean_of_matches(v: Tensor, matches: Tensor) -> Tensor:
    flat = v.flatten(2)
    total = torch.zeros_like(flat)
    for sector in range(_SECTORS):
        total += flat.gather(2, matches[:, sector : sector + 1].expand_as(flat))
    return (total / _SECTORS).view_as(v)
