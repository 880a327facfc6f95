"""Tiles: how a picture of any size is cut into pieces that a network can take, and put together again.

Two facts of a network decide the cut (:class:`restauro.facts.Facts`). Tiles start at multiples of
``multiple``, so that a strided network sees every pixel in the same phase as in the whole picture; and they
read ``halo_px`` of real pixels beyond what they write, so that their own cut borders are never seen. What
several tiles write is cross-faded by weights whose sum is one.

The weights are products of one row and one column (a picture's sum over tiles factors into two sums of one),
so no map of weights is ever held, and normalising costs nothing: it is done once per side.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from restauro.facts import Facts

BLEND_PX = 32
"""Two neighbours are cross-faded over this many pixels at least, or a quarter of a small tile."""


@dataclass(frozen=True, eq=False)
class Span:
    """One tile along one side of the picture.

    Attributes
    ----------
    read
        Pixels the network is given. The last span may end up to ``multiple - 1`` past the picture: padding.
    write
        Pixels it has a say in: ``read`` without the halo at cut borders, and without the padding.
    weight
        float32 [len(write)], each in 0..1; over all spans of a side the weights of a pixel sum to one.
    """

    read: slice
    write: slice
    weight: NDArray[np.float32]

    @property
    def size_px(self) -> int:
        """Length of ``read``: a multiple of the network's ``multiple``."""
        return int(self.read.stop - self.read.start)

    @property
    def inside(self) -> slice:
        """Where ``write`` lies within what was read."""
        return slice(self.write.start - self.read.start, self.write.stop - self.read.start)


@dataclass(frozen=True, eq=False)
class Grid:
    """All tiles of a picture: every row span with every column span, each tile of the same size."""

    tile_px: int
    rows: tuple[Span, ...]
    cols: tuple[Span, ...]

    @property
    def count(self) -> int:
        """How many tiles."""
        return len(self.rows) * len(self.cols)

    @property
    def area_px(self) -> int:
        """Pixels that one tile reads: what memory is counted by."""
        return self.rows[0].size_px * self.cols[0].size_px


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def window_px(tile_px: int, halo_px: int, multiple: int) -> int:
    """Side of the window that a tile of ``tile_px`` reads: its halo on both sides, up to a multiple.

    Tiles of less than 4/3 of ``multiple`` (or of 4 px) are widened to that: they could not take a step of one
    multiple and still overlap.

    >>> window_px(64, halo_px=10, multiple=8)
    88
    """
    interior = max(tile_px, -(-4 * multiple // 3), 4)
    return _up(interior + 2 * halo_px, multiple)


def spans(side_px: int, tile_px: int, halo_px: int = 0, multiple: int = 1) -> tuple[Span, ...]:
    """Cut one side of a picture.

    Parameters
    ----------
    side_px
        Length of the side, from 1.
    tile_px
        Interior of a tile, from 1: what it may write. It reads ``halo_px`` more on each side.
    halo_px, multiple
        See :class:`restauro.facts.Facts`.

    Returns
    -------
    tuple of Span
        In order, of one size, evenly spread; a single one where the window covers the whole side. As few as
        ``tile_px`` lets them be, and then no larger than that many must be.

    Examples
    --------
    >>> for span in spans(100, 32, halo_px=4, multiple=8):
    ...     print(span.read.start, span.read.stop, span.write.start, span.write.stop)
    0 40 0 36
    16 56 20 52
    40 80 44 76
    64 104 68 100
    """
    padded = _up(side_px, multiple)
    window = window_px(tile_px, halo_px, multiple)
    if window >= padded:
        return (Span(slice(0, padded), slice(0, side_px), np.ones(side_px, np.float32)),)
    blend = min(BLEND_PX, (window - 2 * halo_px) // 4)
    shared = _up(2 * halo_px + blend, multiple)
    gaps = -(-(padded - window) // (window - shared))
    # That many tiles, but the smallest that reach the end: else the last would be computed mostly twice.
    window = _up(-(-(padded + gaps * shared) // (gaps + 1)), multiple)
    last = (padded - window) // multiple
    starts = [i * last // gaps * multiple for i in range(gaps + 1)]
    interiors = [
        slice(start + halo_px if start > 0 else 0, start + window - (halo_px if start + window < padded else 0))
        for start in starts
    ]
    total = np.zeros(padded)
    for interior in interiors:
        total[interior] += _ramps(interior, blend, padded)
    return tuple(
        Span(
            slice(start, start + window),
            slice(interior.start, min(interior.stop, side_px)),
            (_ramps(interior, blend, padded) / total[interior])[: side_px - interior.start].astype(np.float32),
        )
        for start, interior in zip(starts, interiors, strict=True)
    )


def _ramps(interior: slice, blend_px: int, padded_px: int) -> NDArray[np.float64]:
    """Ones, with a raised cosine sin^2(pi/2 (k + 1/2) / blend) at each cut end; nowhere 0."""
    distance = np.arange(interior.stop - interior.start) + 0.5
    up: NDArray[np.float64] = np.sin(np.pi / 2 * np.minimum(distance / blend_px, 1)) ** 2
    ones = np.ones_like(up)
    return (up if interior.start > 0 else ones) * (up[::-1] if interior.stop < padded_px else ones)


def cut(height: int, width: int, tile_px: int, facts: Facts) -> Grid:
    """Cut a picture of height x width into tiles of ``tile_px`` for a network with these facts.

    >>> grid = cut(300, 1000, 256, Facts(multiple=16, halo_px=24))
    >>> grid.count, grid.rows[0].size_px, grid.cols[0].size_px
    (5, 304, 272)
    """
    return Grid(
        tile_px,
        spans(height, tile_px, facts.halo_px, facts.multiple),
        spans(width, tile_px, facts.halo_px, facts.multiple),
    )


def largest_tile_px(height: int, width: int, area_px: int, facts: Facts) -> int:
    """Largest ``tile_px`` whose window has at most ``area_px`` pixels; below 1 where there is none.

    Where the whole (padded) picture has at most that many, its longer side: :func:`cut` then makes one tile.

    >>> largest_tile_px(3000, 4000, 512 * 512, Facts(multiple=8, halo_px=32))
    448
    >>> largest_tile_px(300, 400, 512 * 512, Facts(multiple=8, halo_px=32))
    400
    """
    short, long = sorted((_up(height, facts.multiple), _up(width, facts.multiple)))
    if short * long <= area_px:
        return max(height, width)
    # A strip thinner than the square window leaves its share to the other side.
    side = max(isqrt(max(area_px, 0)), area_px // short)
    return side // facts.multiple * facts.multiple - 2 * facts.halo_px
