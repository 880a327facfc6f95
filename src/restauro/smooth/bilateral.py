"""Bilateral filter (Tomasi, Manduchi 1998, "Bilateral filtering for gray and color images").

    q_i = sum_j w_ij p_j / sum_j w_ij,    w_ij = exp(-|i - j|^2 / (2 sigma_px^2) - |I_i - I_j|^2 / (2 sigma_range^2))

over a disc of radius round(reach * sigma_px), without what lies outside of the picture. The guide I is p
itself; in the joint form (Petschnig et al. 2004; Eisemann, Durand 2004) it is another picture. Colours are
compared together, by Euclidean distance in the given RGB values (the paper prefers CIELAB).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from restauro.errors import SettingError
from restauro.smooth.inputs import require_pictures
from restauro.smooth.kernels import exp2, kernel
from restauro.smooth.threads import spans, threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


@dataclass(frozen=True)
class BilateralSettings:
    """Settings of :func:`bilateral`.

    Parameters
    ----------
    sigma_px
        Width of the weight in space. Usual range 2 to 8.
    sigma_range
        Width of the weight in colour, Euclidean in units of 0..1; more smooths more. Usual range 0.05 to 0.6.
    reach
        Radius of the window in sigma_px. 1.5 is OpenCV's choice; 3 holds the whole weight at four times the
        cost.

    Examples
    --------
    >>> BilateralSettings(sigma_px=3).radius_px
    4
    """

    sigma_px: float = 3.0
    sigma_range: float = 0.1
    reach: float = 1.5

    def __post_init__(self) -> None:
        if not 0 < self.sigma_px < math.inf:
            raise SettingError("sigma_px", self.sigma_px, "a number above 0 (usual range 2 to 8)")
        if not 0 < self.sigma_range < math.inf:
            raise SettingError("sigma_range", self.sigma_range, "a number above 0 (usual range 0.05 to 0.6)")
        if not 0 < self.reach <= 4:
            raise SettingError("reach", self.reach, "a number above 0, at most 4 (1.5 is usual)")

    @property
    def radius_px(self) -> int:
        """Radius of the window."""
        return max(1, round(self.reach * self.sigma_px))


@dataclass(frozen=True)
class JointBilateralSettings(BilateralSettings):
    """Settings of :func:`joint_bilateral`: those of :class:`BilateralSettings` and one more.

    Parameters
    ----------
    guide_sigma_px
        Where no guide is given, the guide is the picture blurred by a Gaussian of this width: details
        smaller than that are not taken for edges.
    """

    guide_sigma_px: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.guide_sigma_px < math.inf:
            raise SettingError("guide_sigma_px", self.guide_sigma_px, "a number above 0 (usual range 1 to 4)")


def bilateral(x: Tensor, settings: BilateralSettings | None = None) -> Tensor:
    """Average every pixel with those near in place and in colour.

    Parameters
    ----------
    x
        [N, C, H, W] float32 or float64, 0..1. It is not changed.
    settings
        See :class:`BilateralSettings`.

    Returns
    -------
    Tensor
        [N, C, H, W], same type and device, within the range of x.

    Notes
    -----
    Cost: about pi (reach sigma_px)^2 weights per pixel; no memory but the result on a CPU, about 4 values
    per value of x elsewhere. Threads: as many as torch uses.

    Examples
    --------
    >>> x = torch.full((1, 3, 8, 8), 0.25)
    >>> torch.allclose(bilateral(x), x)
    True
    """
    settings = settings or BilateralSettings()
    require_pictures(x)
    return weighted_mean(x, x, settings)


def joint_bilateral(
    x: Tensor, settings: JointBilateralSettings | None = None, *, guide: Tensor | None = None
) -> Tensor:
    """Average every pixel with those near in place and in the colour of a guide.

    Parameters
    ----------
    x
        [N, C, H, W] float32 or float64, 0..1. It is not changed.
    settings
        See :class:`JointBilateralSettings`.
    guide
        [N, any C, H, W]; the default is a blurred x.

    Returns
    -------
    Tensor
        [N, C, H, W], same type and device, within the range of x. Cost as :func:`bilateral`.

    Examples
    --------
    >>> x = torch.full((1, 3, 8, 8), 0.25)
    >>> torch.allclose(joint_bilateral(x), x)
    True
    """
    settings = settings or JointBilateralSettings()
    require_pictures(x)
    if guide is None:
        guide = weighted_mean(x, None, BilateralSettings(sigma_px=settings.guide_sigma_px, reach=3))
    require_pictures(guide, "guide", like=x)
    return weighted_mean(x, guide, settings)


def weighted_mean(x: Tensor, guide: Tensor | None, settings: BilateralSettings) -> Tensor:
    """Return the filter's equation; without a guide the weight is in space alone (a Gaussian blur)."""
    guide = x[:, :0] if guide is None else guide
    radius = settings.radius_px
    around = range(-radius, radius + 1)
    taps = [(dy, dx) for dy in around for dx in around if dy * dy + dx * dx <= radius * radius]
    return (_by_rows if x.device.type == "cpu" else _by_taps)(x, guide, taps, settings)


@torch.no_grad()
def _by_taps(x: Tensor, guide: Tensor, taps: list[tuple[int, int]], s: BilateralSettings) -> Tensor:
    """Whole pictures, shifted once per tap."""
    height, width = x.shape[-2:]
    total, weights = torch.zeros_like(x), torch.zeros_like(x[:, :1])
    for dy, dx in taps:
        here = (..., slice(max(0, -dy), max(0, height - max(0, dy))), slice(max(0, -dx), max(0, width - max(0, dx))))
        there = (..., slice(max(0, dy), max(0, height + min(0, dy))), slice(max(0, dx), max(0, width + min(0, dx))))
        distance = (guide[here] - guide[there]).square().sum(1, keepdim=True)
        w = torch.exp(-(dy * dy + dx * dx) / (2 * s.sigma_px**2) - distance / (2 * s.sigma_range**2))
        total[here] += w * x[there]
        weights[here] += w
    return total / weights


def _by_rows(x: Tensor, guide: Tensor, taps: list[tuple[int, int]], s: BilateralSettings) -> Tensor:
    """The same on a CPU, row by row."""
    p, by = (np.ascontiguousarray(t.detach().numpy()) for t in (x, guide))
    n, _, h, w = p.shape
    where = np.array(taps)
    log2_e = math.log2(math.e)
    nearness = (-log2_e / (2 * s.sigma_px**2) * (where**2).sum(axis=1)).astype(p.dtype)
    slope = p.dtype.type(log2_e / (2 * s.sigma_range**2))
    out = np.empty(p.shape, p.dtype)
    with threads(torch.get_num_threads()) as for_each:
        for_each(
            lambda at: _mean_rows(p[at[0]], by[at[0]], where, nearness, slope, at[1], at[2], out[at[0]]),
            [(i, *span) for i in range(n) for span in spans(h, math.ceil(h * w / 2**15))],
        )
    smoothed: Tensor = torch.from_numpy(out)
    return smoothed


@kernel
def _mean_rows(
    p: Array, guide: Array, taps: Array, nearness: Array, slope: Any, start: int, stop: int, out: Array
) -> None:
    """Rows start..stop of out [C, H, W]; nearness is the logarithm, to base 2, of the weight in space."""
    channels, height, width = p.shape
    total, weights, weight = np.empty((channels, width), p.dtype), np.empty(width, p.dtype), np.empty(width, p.dtype)
    for row in range(start, stop):
        total[:] = 0
        weights[:] = 0
        for t in range(len(taps)):
            y, dx = row + taps[t, 0], taps[t, 1]
            first, last = max(0, -dx), min(width, width - dx)
            if y < 0 or y >= height or first >= last:
                continue
            count, near = last - first, nearness[t]
            weight[:] = 0
            for g in range(len(guide)):
                a, b = guide[g, row, first:last], guide[g, y, first + dx : last + dx]
                for k in range(count):
                    weight[k] += (a[k] - b[k]) ** 2
            sums = weights[first:last]
            for k in range(count):
                weight[k] = exp2(near - slope * weight[k])
                sums[k] += weight[k]
            for c in range(channels):
                sums, q = total[c, first:last], p[c, y, first + dx : last + dx]
                for k in range(count):
                    sums[k] += weight[k] * q[k]
        for c in range(channels):
            o, sums = out[c, row], total[c]
            for k in range(width):
                o[k] = sums[k] / weights[k]
