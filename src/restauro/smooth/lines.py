"""One-dimensional passes over the columns of a picture, for the separable filters.

A pass along a line is a recursion, which cannot be vectorised; but neighbouring columns do the same thing,
and lie side by side in memory. So only passes down the columns exist, and each leaves the picture turned
over its diagonal: the next one runs along what were the rows. A turn costs less than walking along rows
twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restauro.smooth.kernels import kernel
from restauro.smooth.threads import ForEach, spans

Array = NDArray[Any]
Pass = Callable[[Array, Array, Array, int, int], object]
"""``run(f, gaps, out, first, last)``: filter columns first..last of f [C, L, M] into rows of out [C, M, L].

gaps [L, M] is the guide's distance between a pixel and the one above it.
"""

_SIDE_BY_SIDE = 128


def rows_then_columns(picture: Array, guide: Array, runs: Iterable[Pass], for_each: ForEach, norm: int) -> Array:
    """Filter every row and then every column with each pass in turn.

    Parameters
    ----------
    picture, guide
        [N, C, H, W] and [N, any C, H, W].
    runs
        The passes, see :data:`Pass`.
    norm
        Of the difference between two colours of the guide: 1 for the sum, 2 for the Euclidean length.

    Returns
    -------
    Array
        [N, C, H, W]; picture is left alone.
    """
    upright, turned = np.ascontiguousarray(guide), _turned(guide, for_each)
    gaps = _gaps(turned, norm, for_each), _gaps(upright, norm, for_each)
    now = turned if picture is guide else _turned(picture, for_each)
    spare = np.empty(picture.shape, picture.dtype)
    for run in runs:
        for gap in gaps:
            _down_columns(now, gap, spare, run, for_each)
            now, spare = spare, now
    _down_columns(now, gaps[0], spare, _turn, for_each)
    return spare


def _turned(picture: Array, for_each: ForEach) -> Array:
    n, c, h, w = picture.shape
    out = np.empty((n, c, w, h), picture.dtype)
    _down_columns(np.ascontiguousarray(picture), picture[:, 0], out, _turn, for_each)
    return out


def _down_columns(f: Array, gaps: Array, out: Array, run: Pass, for_each: ForEach) -> None:
    n, _, _, m = f.shape
    items = [(i, *span) for i in range(n) for span in spans(m, math.ceil(m / _SIDE_BY_SIDE))]
    for_each(lambda at: run(f[at[0]], gaps[at[0]], out[at[0]], at[1], at[2]), items)


def _gaps(guide: Array, norm: int, for_each: ForEach) -> Array:
    """Distance in colour of every pixel to the one above it, [N, H, W]; the first row is 0."""
    n, _, h, w = guide.shape
    gaps = np.zeros((n, h, w), guide.dtype)
    items = [(i, *span) for i in range(n) for span in spans(h, math.ceil(h * w / 2**16))]
    for_each(lambda at: _fill_gaps(guide[at[0]], gaps[at[0]], max(at[1], 1), at[2], norm), items)
    return gaps


@kernel
def _fill_gaps(guide: Array, gaps: Array, first: int, last: int, norm: int) -> None:
    channels, _, width = guide.shape
    for n in range(first, last):
        gap = gaps[n]
        for c in range(channels):
            p, q = guide[c, n - 1], guide[c, n]
            if norm == 1:
                for k in range(width):
                    gap[k] += abs(p[k] - q[k])
            else:
                for k in range(width):
                    gap[k] += (p[k] - q[k]) ** 2
        if norm == 2:
            for k in range(width):
                gap[k] = np.sqrt(gap[k])


@kernel
def back_and_turn(u: Array, ratio: Array, out: Array) -> None:
    """Finish a pass: u_n += ratio_n u_{n+1} from the last n up, u [L, C, B] and ratio [L, B], into out [C, B, L]."""
    length, channels, lines = u.shape
    for n in range(length - 1, -1, -1):
        after = min(n + 1, length - 1)
        for c in range(channels):
            now, below, turned = u[n, c], u[after, c], out[c]
            for k in range(lines):
                now[k] += ratio[n, k] * below[k]
            for k in range(lines):
                turned[k, n] = now[k]


@kernel
def _turn(f: Array, gaps: Array, out: Array, first: int, last: int) -> None:
    """Copy; a pass that does nothing."""
    channels, length, _ = f.shape
    for c in range(channels):
        turned = out[c, first:last]
        for n in range(length):
            line = f[c, n, first:last]
            for k in range(last - first):
                turned[k, n] = line[k]
