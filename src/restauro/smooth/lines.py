"""One-dimensional passes over the rows and columns of a picture, for the separable filters.

A pass along a line is a recursion, which cannot be vectorised; but neighbouring columns do the same thing, and lie
side by side in memory. So only passes down the columns exist, and each leaves the picture turned over its diagonal:
the next one runs along what were the rows, and so on, until the last leaves it upright.
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
Coefficients = Callable[[Array, int, int, Array, Array], object]
"""``fill(gaps, first, last, gain, ratio)``: coefficients [L, B] of a pass down columns first..last.

    forward   u_n = f_n + gain_n (u_{n-1} - f_n),      then back   u_n <- u_n + ratio_n (u_{n+1} - u_n)

gaps [L, M] is the guide's distance between a pixel and the one above it. gain_0 and the last ratio must be 0.
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
        [N, C, H, W]; picture is left alone. Memory: the result, as much again, 2 values per pixel, and in each
        thread 5 values per pixel of 256 columns.
    """
    guide_turned, down, right = _prepared(np.ascontiguousarray(guide), norm, for_each)
    now = guide_turned if picture is guide else _prepared(np.ascontiguousarray(picture), 0, for_each)[0]
    spare = np.empty(picture.shape, picture.dtype)
    for fill in passes:
        _down_columns(now, right, spare, fill, True, for_each)
        if fill is passes[-1]:
            now = now.reshape(picture.shape)
        _down_columns(spare, down, now, fill, fill is not passes[-1], for_each)
    return now


def _down_columns(f: Array, gaps: Array, out: Array, fill: Coefficients, turn: bool, for_each: ForEach) -> None:
    n, _, length, across = f.shape

    def one(at: tuple[int, int, int]) -> None:
        i, first, last = at
        gain, ratio = (np.empty((length, last - first), f.dtype) for _ in range(2))
        fill(gaps[i], first, last, gain, ratio)
        _recurse(f[i], gain, ratio, out[i], turn, first)

    for_each(one, [(i, *span) for i in range(n) for span in spans(across, _pieces(across / _SIDE_BY_SIDE))])


def _prepared(guide: Array, norm: int, for_each: ForEach) -> tuple[Array, Array, Array]:
    """Return guide turned [N, C, W, H], its gaps [N, H, W], and the gaps of the turned one [N, W, H]."""
    n, c, h, w = guide.shape
    turned, down, right = (np.empty(shape, guide.dtype) for shape in ((n, c, w, h), (n, h, w), (n, w, h)))

    def one(at: tuple[int, int, int]) -> None:
        i, first, last = at
        _turn_all(guide[i], turned[i], first, last)
        if norm:
            _fill_gaps(guide[i], norm, first, last, down[i], right[i])

    for_each(one, [(i, *span) for i in range(n) for span in spans(h, _pieces(h * w / 2**18))])
    return turned, down, right


def _pieces(wanted: float) -> int:
    """About as many pieces as wanted, and the same number for every thread."""
    workers = torch.get_num_threads()
    return workers * max(1, round(wanted / workers))


@kernel
def _turn_all(f: Array, out: Array, first: int, last: int) -> None:
    for start in range(first, last, _TILE):
        for c in range(len(f)):
            _turn(f[c, start : min(start + _TILE, last)], out[c], start)


@kernel
def _fill_gaps(guide: Array, norm: int, first: int, last: int, down: Array, right: Array) -> None:
    channels, _, width = guide.shape
    across = np.empty((_TILE, width), guide.dtype)
    for start in range(first, last, _TILE):
        stop = min(start + _TILE, last)
        down[start:stop] = 0
        across[:] = 0
        for n in range(start, stop):
            for c in range(channels):
                here = guide[c, n]
                _add_distance(here[:-1], here[1:], norm, across[n - start, 1:])
                if n > 0:
                    _add_distance(guide[c, n - 1], here, norm, down[n])
        if norm == 2:
            _take_roots(down[start:stop])
            _take_roots(across)
        _turn(across[: stop - start], right, start)


@kernel
def _take_roots(rows: Array) -> None:
    for n in range(len(rows)):
        row = rows[n]
        for k in range(row.size):
            row[k] = np.sqrt(row[k])


@kernel
def _add_distance(p: Array, q: Array, norm: int, gap: Array) -> None:
    if norm == 1:
        for k in range(p.size):
            gap[k] += abs(p[k] - q[k])
    else:
        for k in range(p.size):
            gap[k] += (p[k] - q[k]) ** 2


@kernel
def _turn(rows: Array, out: Array, start: int) -> None:
    """Write rows [R, B] to columns start.. of out [B, L]."""
    count, width = rows.shape
    for k in range(width):
        o = out[k, start : start + count]
        for n in range(count):
            o[n] = rows[n, k]


@kernel
def _recurse(f: Array, gain: Array, ratio: Array, out: Array, turn: bool, first: int) -> None:
    """Run a pass down columns first.. of f [C, L, M], into out [C, M, L] with turn and else [C, L, M]."""
    channels, length, _ = f.shape
    lines = gain.shape[1]
    last = first + lines
    u = np.empty((length, channels, lines), f.dtype)
    u[0] = f[:, 0, first:last]
    for n in range(1, length):
        share = gain[n]
        for c in range(channels):
            now, above, line = u[n, c], u[n - 1, c], f[c, n, first:last]
            for k in range(lines):
                now[k] = line[k] + share[k] * (above[k] - line[k])
    stop = length
    while stop > 0:
        start = max(0, stop - _TILE)
        for n in range(min(stop, length - 1) - 1, start - 1, -1):
            share = ratio[n]
            for c in range(channels):
                now, below = u[n, c], u[n + 1, c]
                for k in range(lines):
                    now[k] += share[k] * (below[k] - now[k])
        for c in range(channels):
            if turn:
                _turn(u[start:stop, c], out[c, first:last], start)
            else:
                out[c, start:stop, first:last] = u[start:stop, c]
        stop = start
