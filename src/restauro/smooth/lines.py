"""One-dimensional passes over the rows and columns of a picture, for the separable filters.

A pass along a line is a recursion, which cannot be vectorised; but neighbouring lines do the same thing, so a few
hundred of them go side by side. Columns lie that way in memory already; rows are turned over the diagonal and back,
one colour of one piece at a time, within a core's own cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from restauro.smooth.kernels import kernel
from restauro.smooth.threads import ForEach, spans

Array = NDArray[Any]
Coefficients = Callable[[Array, Array, Array], object]
"""``fill(gaps, gain, ratio)``: the coefficients of a pass over B lines of length L, all [L, B].

    forward   u_n = f_n + gain_n (u_{n-1} - f_n),      then back   u_n <- u_n + ratio_n (u_{n+1} - u_n)

gaps[n] is the guide's distance between pixels n - 1 and n. gain[0] and the last ratio are not used.
"""

_SIDE_BY_SIDE = 256
_TILE = 16  # float32 in a cache line: what is turned is written in whole lines


def rows_then_columns(
    picture: Array, guide: Array, passes: Sequence[Coefficients], for_each: ForEach, norm: int
) -> Array:
    """Filter every row and then every column with each pass in turn.

    Parameters
    ----------
    picture, guide
        [N, C, H, W] and [N, any C, H, W].
    passes
        Their coefficients, see :data:`Coefficients`.
    norm
        Of the difference between two colours of the guide: 1 for the sum, 2 for the Euclidean length.

    Returns
    -------
    Array
        [N, C, H, W]; picture is left alone. Memory: the result, 2 values per pixel, and 4 values per pixel of 256
        lines in each thread.
    """
    down, right = _gaps(np.ascontiguousarray(guide), norm, for_each)
    now, out = np.ascontiguousarray(picture), np.empty(picture.shape, picture.dtype)
    for fill in passes:
        _run(now, right, out, fill, True, for_each)
        _run(out, down, out, fill, False, for_each)
        now = out
    return out


def _run(f: Array, gaps: Array, out: Array, fill: Coefficients, rows: bool, for_each: ForEach) -> None:
    """One pass along the rows, or down the columns; out may be f."""
    n, _, height, width = f.shape
    lines, length = (height, width) if rows else (width, height)

    def one(at: tuple[int, int, int]) -> None:
        i, first, last = at
        gap, gain, ratio = (np.empty((length, last - first), f.dtype) for _ in range(3))
        if rows:
            _turn(gaps[i, first:last], gap)
        else:
            gap[:] = gaps[i, :, first:last]
        fill(gap, gain, ratio)
        _recurse(f[i], gain, ratio, out[i], rows, first)

    for_each(one, [(i, *span) for i in range(n) for span in spans(lines, _pieces(lines / _SIDE_BY_SIDE))])


def _gaps(guide: Array, norm: int, for_each: ForEach) -> tuple[Array, Array]:
    """Distance of every pixel's colour to the one above it and to the one on its left, [N, H, W]; 0 at the border."""
    n, _, h, w = guide.shape
    down, right = (np.empty((n, h, w), guide.dtype) for _ in range(2))
    items = [(i, *span) for i in range(n) for span in spans(h, _pieces(h * w / 2**18))]
    for_each(lambda at: _fill_gaps(guide[at[0]], norm, at[1], at[2], down[at[0]], right[at[0]]), items)
    return down, right


def _pieces(wanted: float) -> int:
    """About as many pieces as wanted, and the same number for every thread."""
    workers = torch.get_num_threads()
    return workers * max(1, round(wanted / workers))


@kernel
def _fill_gaps(guide: Array, norm: int, first: int, last: int, down: Array, right: Array) -> None:
    for n in range(first, last):
        down[n] = 0
        right[n] = 0
        for c in range(len(guide)):
            here = guide[c, n]
            _add_distance(here[:-1], here[1:], norm, right[n, 1:])
            if n > 0:
                _add_distance(guide[c, n - 1], here, norm, down[n])
        if norm == 2:
            _take_root(down[n])
            _take_root(right[n])


@kernel
def _add_distance(p: Array, q: Array, norm: int, gap: Array) -> None:
    if norm == 1:
        for k in range(p.size):
            gap[k] += abs(p[k] - q[k])
    else:
        for k in range(p.size):
            gap[k] += (p[k] - q[k]) ** 2


@kernel
def _take_root(gap: Array) -> None:
    for k in range(gap.size):
        gap[k] = np.sqrt(gap[k])


@kernel
def _turn(source: Array, out: Array) -> None:
    """Fill out [B, A] with source [A, B] turned over its diagonal."""
    for start in range(0, len(source), _TILE):
        part = source[start : start + _TILE]
        for k in range(source.shape[1]):
            o = out[k, start : start + _TILE]
            for n in range(len(part)):
                o[n] = part[n, k]


@kernel
def _recurse(f: Array, gain: Array, ratio: Array, out: Array, rows: bool, first: int) -> None:
    """Run a pass over lines first.. of f [C, H, W], rows or columns, into the same lines of out."""
    length, lines = gain.shape
    last = first + lines
    u = np.empty((length, lines), f.dtype)
    for c in range(len(f)):
        if rows:
            _turn(f[c, first:last], u)
        else:
            u[0] = f[c, 0, first:last]
        for n in range(1, length):
            share, now, before = gain[n], u[n], u[n - 1]
            source = now if rows else f[c, n, first:last]
            for k in range(lines):
                now[k] = source[k] + share[k] * (before[k] - source[k])
        if not rows:
            out[c, length - 1, first:last] = u[length - 1]
        for n in range(length - 2, -1, -1):
            share, now, after = ratio[n], u[n], u[n + 1]
            for k in range(lines):
                now[k] += share[k] * (after[k] - now[k])
            if not rows:
                o = out[c, n, first:last]
                for k in range(lines):
                    o[k] = now[k]
        if rows:
            _turn(u, out[c, first:last])
