"""Guided filter with a colour guide (He, Sun, Tang 2013, "Guided image filtering", TPAMI, eqs. 19-21).

In every window w of (2 radius_px + 1)^2 pixels the output is taken for a linear function of the guide's
colours,

    q_i = a^T I_i + b,      a = (Sigma + eps Id)^-1 cov(I, p),      b = mean(p) - a^T mean(I)

with mean, covariance Sigma and cov(I, p) over w. A pixel is in many windows: their a and b are averaged.
Windows are cut off at the border of the picture. The guide's colours act together (a 3x3 system
per pixel), which is not the same as filtering every colour by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from restauro.errors import SettingError, UsageError
from restauro.smooth.inputs import require_pictures
from restauro.smooth.kernels import kernel
from restauro.smooth.threads import spans, threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


@dataclass(frozen=True)
class GuidedSettings:
    """Settings of :func:`guided`.

    Parameters
    ----------
    radius_px
        Half the window, less half a pixel. Usual range 2 to 16.
    eps
        Variance, in squared units of 0..1, below which a window counts as flat; more smooths more. Usual
        range 0.01 to 0.16 (0.1^2 to 0.4^2).

    Examples
    --------
    >>> GuidedSettings(radius_px=0)
    Traceback (most recent call last):
    ...
    restauro.errors.SettingError: radius_px: found 0, wanted a whole number, 1 or more (usual range 2 to 16)
    """

    radius_px: int = 4
    eps: float = 0.01

    def __post_init__(self) -> None:
        if not (isinstance(self.radius_px, int) and self.radius_px >= 1):
            raise SettingError("radius_px", self.radius_px, "a whole number, 1 or more (usual range 2 to 16)")
        if not 0 < self.eps < math.inf:
            raise SettingError("eps", self.eps, "a number above 0 (usual range 0.01 to 0.16)")


def guided(x: Tensor, settings: GuidedSettings | None = None, *, guide: Tensor | None = None) -> Tensor:
    """Smooth a picture so that it stays a locally linear function of a guide.

    Parameters
    ----------
    x
        [N, C, H, W] float32 or float64, 0..1. It is not changed.
    settings
        See :class:`GuidedSettings`.
    guide
        [N, 1 or 3, H, W]; the default is x itself, which then needs 1 or 3 colours.

    Returns
    -------
    Tensor
        [N, C, H, W], same type and device. Values may leave 0..1 by a little.

    Notes
    -----
    Cost: O(1) per pixel whatever the radius. On a CPU it runs in strips: beyond the result, 4 values per
    value of one strip in each thread; sums are float64. Elsewhere about 20 values per value of x, and a
    cost that grows with the radius. Threads: as many as torch uses.

    Examples
    --------
    >>> x = torch.full((1, 3, 8, 8), 0.25)
    >>> torch.allclose(guided(x), x)
    True
    """
    settings = settings or GuidedSettings()
    require_pictures(x)
    guide = x if guide is None else guide
    require_pictures(guide, "guide", like=x)
    if guide.shape[1] not in (1, 3):
        raise UsageError(f"guide: found {guide.shape[1]} colours, wanted 1 or 3; give a guide of its own")
    return (_by_strips if x.device.type == "cpu" else _by_pictures)(x, guide, settings)


def _by_pictures(x: Tensor, guide: Tensor, settings: GuidedSettings) -> Tensor:
    """The filter as it reads in the paper, for devices that want whole pictures at once."""

    def mean(t: Tensor) -> Tensor:
        k, r = 2 * settings.radius_px + 1, settings.radius_px
        pool = torch.nn.functional.avg_pool2d
        flat = t.flatten(0, -3)
        flat = pool(flat, (k, 1), 1, (r, 0), count_include_pad=False)
        return pool(flat, (1, k), 1, (0, r), count_include_pad=False).reshape(t.shape)

    guide_mean, x_mean = mean(guide), mean(x)
    sigma = mean(guide[:, :, None] * guide[:, None]) - guide_mean[:, :, None] * guide_mean[:, None]
    cross = mean(guide[:, :, None] * x[:, None]) - guide_mean[:, :, None] * x_mean[:, None]
    sigma, cross = sigma.movedim((1, 2), (3, 4)), cross.movedim((1, 2), (3, 4))  # [N, H, W, G, G or C]
    eps = settings.eps * torch.eye(guide.shape[1], dtype=x.dtype, device=x.device)
    a = torch.linalg.solve(sigma + eps, cross).movedim((3, 4), (1, 2))  # eq. 19, [N, G, C, H, W]
    b = x_mean - (a * guide_mean[:, :, None]).sum(1)  # eq. 20
    return (mean(a) * guide[:, :, None]).sum(1) + mean(b)  # eq. 21


def _by_strips(x: Tensor, guide: Tensor, settings: GuidedSettings) -> Tensor:
    """The same on a CPU: running sums, in strips of rows that a core's cache holds."""
    p, by = x.detach().numpy(), guide.detach().numpy()
    own, colours = guide is x, by.shape[1]
    z = np.ascontiguousarray(by if own else np.concatenate([by, p], axis=1))
    n, c, h, w = p.shape
    pairs = list(combinations_with_replacement(range(colours), 2))
    if not own:
        pairs += [(g, colours + k) for k in range(c) for g in range(colours)]
    moments = np.array([(k, -1) for k in range(z.shape[1])] + pairs)
    target = [t + (0 if own else colours) for t in range(c)]
    places = [[pairs.index((min(g, t), max(g, t))) for g in range(colours)] for t in target]
    cross = np.array(places) + z.shape[1]
    radius = settings.radius_px
    out = np.empty(p.shape, p.dtype)

    def strip(at: tuple[int, int, int]) -> None:
        i, start, stop = at
        first, last = max(0, start - radius), min(h, stop + radius)
        lines = np.empty((c, colours + 1, last - first, w), p.dtype)
        _fit(z[i], moments, np.array(target), cross, radius, settings.eps, first, lines)
        _blend(z[i], lines, radius, first, start, stop, out[i])

    pieces = math.ceil(h / max(64, 8 * radius))
    with threads(torch.get_num_threads()) as for_each:
        for_each(strip, [(i, *span) for i in range(n) for span in spans(h, pieces)])
    smoothed: Tensor = torch.from_numpy(out)
    return smoothed


@kernel
def _fit(
    z: Array, moments: Array, target: Array, cross: Array, radius: int, eps: float, first: int, lines: Array
) -> None:
    """Eqs. 19 and 20 for rows first.. of z [G (+ C), H, W]; lines [C, G + 1, rows, W] gets a and b.

    moments [M, 2] names the products whose window means are taken; target [C] and cross [C, G] say which of
    them are the mean of p_c and of p_c I_g.
    """
    height, width = z.shape[1:]
    colours = lines.shape[1] - 1
    sums = np.zeros((len(moments), width))  # over the rows of the window
    mean = np.empty((len(moments), width))
    for row in range(max(0, first - radius), min(height, first + radius)):
        _add_products(sums, z, row, moments, 1.0)
    for i in range(lines.shape[2]):
        row = first + i
        if row + radius < height:
            _add_products(sums, z, row + radius, moments, 1.0)
        if row - radius - 1 >= 0 and i > 0:
            _add_products(sums, z, row - radius - 1, moments, -1.0)
        rows = min(height, row + radius + 1) - max(0, row - radius)
        _window_means(sums, radius, rows, mean)
        second = mean[z.shape[0] :]
        for c in range(lines.shape[0]):
            if colours == 1:
                _solve_1(mean[0], second[0], mean[target[c]], mean[cross[c, 0]], eps, lines[c, :, i])
            else:
                _solve_3(mean, second, mean[target[c]], cross[c], eps, lines[c, :, i])


@kernel
def _solve_1(u: Array, square: Array, p: Array, cross: Array, eps: float, line: Array) -> None:
    for k in range(u.size):
        a = (cross[k] - u[k] * p[k]) / (square[k] - u[k] * u[k] + eps)
        line[0, k] = a
        line[1, k] = p[k] - a * u[k]


@kernel
def _solve_3(mean: Array, second: Array, p: Array, cross: Array, eps: float, line: Array) -> None:
    for k in range(p.size):
        u, v, w = mean[0, k], mean[1, k], mean[2, k]
        uu, uv, uw = second[0, k] - u * u + eps, second[1, k] - u * v, second[2, k] - u * w
        vv, vw, ww = second[3, k] - v * v + eps, second[4, k] - v * w, second[5, k] - w * w + eps
        up = mean[cross[0], k] - u * p[k]
        vp = mean[cross[1], k] - v * p[k]
        wp = mean[cross[2], k] - w * p[k]
        iuu, iuv, iuw = vv * ww - vw * vw, uw * vw - uv * ww, uv * vw - uw * vv  # the adjugate of Sigma + eps
        ivv, ivw, iww = uu * ww - uw * uw, uv * uw - uu * vw, uu * vv - uv * uv
        scale = 1 / (uu * iuu + uv * iuv + uw * iuw)
        au = scale * (iuu * up + iuv * vp + iuw * wp)
        av = scale * (iuv * up + ivv * vp + ivw * wp)
        aw = scale * (iuw * up + ivw * vp + iww * wp)
        line[0, k], line[1, k], line[2, k] = au, av, aw
        line[3, k] = p[k] - au * u - av * v - aw * w


@kernel
def _blend(guide: Array, lines: Array, radius: int, first: int, start: int, stop: int, out: Array) -> None:
    """Eq. 21 for rows start..stop of out [C, H, W]; lines [C, G + 1, rows, W] begin at row first."""
    height, width = out.shape[1:]
    channels, terms, count, _ = lines.shape
    sums = np.zeros((channels, terms, width))
    mean = np.empty((terms, width))
    for i in range(max(0, start - radius - first), min(count, start + radius - first)):
        _add(sums, lines, i, 1.0)
    for row in range(start, stop):
        i = row - first
        if row + radius < height:
            _add(sums, lines, i + radius, 1.0)
        if row - radius - 1 >= 0 and row > start:
            _add(sums, lines, i - radius - 1, -1.0)
        rows = min(height, row + radius + 1) - max(0, row - radius)
        for c in range(channels):
            _window_means(sums[c], radius, rows, mean)
            q = mean[terms - 1]
            for g in range(terms - 1):
                a, colour = mean[g], guide[g, row]
                for k in range(width):
                    q[k] += a[k] * colour[k]
            out[c, row] = q


@kernel
def _add_products(sums: Array, z: Array, row: int, moments: Array, sign: float) -> None:
    width = z.shape[2]
    for m in range(len(moments)):
        total, a = sums[m], z[moments[m, 0], row]
        if moments[m, 1] < 0:
            for k in range(width):
                total[k] += sign * a[k]
        else:
            b = z[moments[m, 1], row]
            for k in range(width):
                total[k] += sign * a[k] * b[k]


@kernel
def _add(sums: Array, lines: Array, row: int, sign: float) -> None:
    channels, terms, _, width = lines.shape
    for c in range(channels):
        for g in range(terms):
            total, line = sums[c, g], lines[c, g, row]
            for k in range(width):
                total[k] += sign * line[k]


@kernel
def _window_means(sums: Array, radius: int, rows: int, mean: Array) -> None:
    """Means over windows cut off at the sides, from sums over ``rows`` rows; sums and mean [M, W]."""
    count, width = sums.shape
    prefix = np.zeros(width + 1)
    inner = max(0, width - 2 * radius)  # windows that no side cuts off
    scale = 1 / (rows * (2 * radius + 1))
    for m in range(count):
        total, o = sums[m], mean[m]
        for k in range(width):
            prefix[k + 1] = prefix[k] + total[k]
        for k in range(min(radius, width)):
            stop = min(width, k + radius + 1)
            o[k] = prefix[stop] / (rows * stop)
        if inner > 0:
            low, high, middle = prefix[:inner], prefix[2 * radius + 1 :], o[radius:]
            for k in range(inner):
                middle[k] = (high[k] - low[k]) * scale
        for k in range(max(radius, width - radius), width):
            start = k - radius
            o[k] = (prefix[width] - prefix[start]) / (rows * (width - start))
