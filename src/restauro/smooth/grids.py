"""Grids of :mod:`.solvers`: the matrix on the pixels, and on blocks of 2x2 of the next finer grid.

A = diag(screening) + L, where L u at a pixel is the sum over its links of weight times (u - neighbour). Each function
exists twice: as torch operations for every device, and as compiled loops for the CPU. Both give the same up to
rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from restauro.smooth.kernels import kernel
from restauro.smooth.threads import ForEach, spans

Array = npt.NDArray[Any]
Rows = Callable[..., None]
_VALUES_PER_THREAD = 1 << 16  # with less to do a thread costs more than it brings


@dataclass(frozen=True)
class Grid:
    """One grid.

    Parameters
    ----------
    links
        [N, 2 or 4, H, W]: weight of the link to the right, below, and to the lower right and lower left. Links that
        leave the grid are 0.
    screening
        [N, 1, H, W]: what the identity of the finest grid has become, the number of its pixels in a block.
    gain
        [N, 1, H, W]: 1 / diagonal of A.
    share
        [N, 2, H, W]: when the next coarser grid is interpolated, the share of the next block in x, and in y: a
        quarter, times the link to it over the link inside the own block where that is less than 1.
    """

    links: Tensor
    screening: Tensor
    gain: Tensor
    share: Tensor


def finest_grid(links: Tensor) -> Grid:
    """Grid of the pixels: screening 1, links that leave the picture cut."""
    links = links.clone(memory_format=torch.contiguous_format)
    links[:, 0, :, -1] = 0
    links[:, 1:, -1, :] = 0
    if links.shape[1] == 4:
        links[:, 2, :, -1] = 0
        links[:, 3, :, 0] = 0
    return _with_gain_and_share(links, torch.ones_like(links[:, :1]))


def coarser_grid(grid: Grid) -> Grid:
    """Grid of blocks of 2x2; a last odd row or column makes blocks of its own.

    A block is screened by the sum of its pixels. A link is half the sum of the fine links between two blocks; of a
    link along a row or column, the geometric mean of its half and of the links in series from centre to centre.
    """
    links, screening = grid.links, grid.screening
    h, w = links.shape[-2:]
    links, screening = (F.pad(t, (0, w % 2, 0, h % 2)) for t in (links, screening))
    top_left, top_right, bottom_left, bottom_right = (links[..., y::2, x::2] for y in (0, 1) for x in (0, 1))
    coarse = torch.empty_like(top_left, memory_format=torch.contiguous_format)
    coarse[:, 0] = _link_along_x(links[:, 0], odd=w % 2 == 1)
    coarse[:, 1] = _link_along_x(links[:, 1].mT, odd=h % 2 == 1).mT
    if links.shape[1] == 4:
        coarse[:, 0] += 0.5 * top_right[:, 2]
        coarse[:, 0, :, :-1] += 0.5 * top_left[:, 3, :, 1:]  # leads to the block on its left
        coarse[:, 1] += 0.5 * (bottom_left[:, 2] + bottom_right[:, 3])
        coarse[:, 2] = 0.5 * bottom_right[:, 2]
        coarse[:, 3] = 0.5 * bottom_left[:, 3]
    return _with_gain_and_share(coarse, 4 * F.avg_pool2d(screening, 2))


def _link_along_x(right: Tensor, odd: bool) -> Tensor:
    inside, across = right[..., ::2].clone(), right[..., 1::2]
    if odd:
        inside[..., -1] = math.inf  # a block of one column
    series = 1 / (0.5 / inside + 1 / across + 0.5 / F.pad(inside[..., 1:], (0, 1)))
    link = torch.sqrt(0.5 * across * series)
    return link[..., ::2, :] + link[..., 1::2, :]


def _with_gain_and_share(links: Tensor, screening: Tensor) -> Grid:
    d = screening + links.sum(dim=1, keepdim=True)
    d[:, 0, :, 1:] += links[:, 0, :, :-1]
    d[:, 0, 1:, :] += links[:, 1, :-1, :]
    if links.shape[1] == 4:
        d[:, 0, 1:, 1:] += links[:, 2, :-1, :-1]
        d[:, 0, 1:, :-1] += links[:, 3, :-1, 1:]
    share = torch.stack((_share_along_x(links[:, 0]), _share_along_x(links[:, 1].mT).mT), dim=1)
    return Grid(links, screening, d.reciprocal_(), share)


def _share_along_x(right: Tensor) -> Tensor:
    inside, outside = torch.zeros_like(right), torch.zeros_like(right)
    inside[..., ::2] = right[..., ::2]
    inside[..., 1::2] = right[..., :-1:2]
    outside[..., 1::2] = right[..., 1::2]
    outside[..., 2::2] = right[..., 1:-1:2]
    return 0.25 * (outside / inside.clamp_min(torch.finfo(right.dtype).tiny)).clamp_max(1)


class RowWork:
    """Runs compiled loops over the rows of a CPU tensor on several threads.

    Parameters
    ----------
    for_each, threads
        See :func:`restauro.smooth.threads.threads`.
    """

    def __init__(self, for_each: ForEach, threads: int) -> None:
        self._for_each, self._threads = for_each, threads

    def __call__(self, rows_of: Rows, out: Tensor, *args: object) -> None:
        """Call ``rows_of(*args, i, j)`` for runs i..j of the rows of all pictures of out, [N, ., H, W]."""
        pieces = min(self._threads, 1 + out.numel() // _VALUES_PER_THREAD)
        self._for_each(lambda span: rows_of(*args, *span), spans(out.shape[0] * out.shape[2], pieces))


def finest_grid_by_rows(links: Tensor, work: RowWork) -> Grid:
    """:func:`finest_grid` on a CPU."""
    inner = torch.empty_like(links, memory_format=torch.contiguous_format)
    work(_cut_rows, inner, np.ascontiguousarray(links.numpy()), inner.numpy())
    return _with_gain_and_share_by_rows(inner, torch.ones_like(inner[:, :1]), work)


def coarser_grid_by_rows(grid: Grid, work: RowWork) -> Grid:
    """:func:`coarser_grid` on a CPU."""
    n, count, h, w = grid.links.shape
    links = grid.links.new_empty(n, count, -(-h // 2), -(-w // 2))
    screening = torch.empty_like(links[:, :1])
    work(_coarsen_rows, links, *(t.numpy() for t in (grid.links, grid.screening, links, screening)))
    return _with_gain_and_share_by_rows(links, screening, work)


def _with_gain_and_share_by_rows(links: Tensor, screening: Tensor, work: RowWork) -> Grid:
    grid = Grid(links, screening, torch.empty_like(screening), torch.empty_like(links[:, :2]))
    work(_gain_and_share_rows, links, *(t.numpy() for t in (links, screening, grid.gain, grid.share)))
    return grid


@kernel
def _cut_rows(links: Array, out: Array, i: int, j: int) -> None:
    count, h, w = links.shape[1:]
    for row in range(i, j):
        n, y = row // h, row % h
        for k in range(count):
            o = out[n, k, y]
            o[:] = links[n, k, y]
            if k > 0 and y == h - 1:
                o[:] = 0
            if k == 3:
                o[0] = 0
            elif k != 1:
                o[w - 1] = 0


@kernel
def _coarsen_rows(links: Array, screening: Array, coarse: Array, coarse_screening: Array, i: int, j: int) -> None:
    count, h, w = links.shape[1:]
    height, width = coarse.shape[2:]
    for row in range(i, j):
        n, y = row // height, row % height
        for k in range(count):
            coarse[n, k, y, :] = 0
        right, down, sums = coarse[n, 0, y], coarse[n, 1, y], coarse_screening[n, 0, y]
        sums[:] = 0
        for k in range(2 * y, min(2 * y + 2, h)):
            v = links[n, 0, k]
            for x in range(w):
                sums[x // 2] += screening[n, 0, k, x]
            for x in range(width - 1):
                beyond = v[2 * x + 2] if 2 * x + 3 < w else np.inf  # a block of one column
                right[x] += _joined(v[2 * x], v[2 * x + 1], beyond)
        if y < height - 1:
            v, across, after = links[n, 1, 2 * y], links[n, 1, 2 * y + 1], links[n, 1, 2 * y + 2]
            for x in range(w):
                down[x // 2] += _joined(v[x], across[x], after[x] if 2 * y + 3 < h else np.inf)
        if count == 4:
            _coarsen_diagonals(links[n], coarse[n], y)


@kernel
def _joined(inside: Any, across: Any, beyond: Any) -> Any:
    half, one = np.float32(0.5), np.float32(1)
    return np.sqrt(half * across / (half / inside + one / across + half / beyond))


@kernel
def _coarsen_diagonals(links: Array, coarse: Array, y: int) -> None:
    h, w = links.shape[1:]
    half = np.float32(0.5)
    for k in range(2 * y, min(2 * y + 2, h)):
        for x in range(w):
            lower_right, lower_left = half * links[2, k, x], half * links[3, k, x]
            if k % 2 == 0:  # the lower pixel is in the same row of blocks
                if x % 2 == 1:
                    coarse[0, y, x // 2] += lower_right
                elif x > 0:
                    coarse[0, y, x // 2 - 1] += lower_left
            elif x % 2 == 1:
                coarse[2, y, x // 2] += lower_right
                coarse[1, y, x // 2] += lower_left
            else:
                coarse[1, y, x // 2] += lower_right
                coarse[3, y, x // 2] += lower_left


@kernel
def _gain_and_share_rows(links: Array, screening: Array, gain: Array, share: Array, i: int, j: int) -> None:
    count, h, w = links.shape[1:]
    for row in range(i, j):
        n, y = row // h, row % h
        d, right, down, up = gain[n, 0, y], links[n, 0, y], links[n, 1, y], links[n, 1, max(y - 1, 0)]
        for x in range(w):
            d[x] = screening[n, 0, y, x] + right[x] + down[x]
            d[x] += up[x] if y > 0 else 0 * up[x]
        for x in range(1, w):
            d[x] += right[x - 1]
        if count == 4:
            d += links[n, 2, y] + links[n, 3, y]
            if y > 0:
                d[1:] += links[n, 2, y - 1, :-1]
                d[:-1] += links[n, 3, y - 1, 1:]
        d[:] = 1 / d
        tx, ty = share[n, 0, y], share[n, 1, y]
        for x in range(w):
            to_next = right[x] if x % 2 == 1 else right[max(x - 1, 0)]
            tx[x] = _share(to_next if x > 0 else 0 * to_next, right[x] if x % 2 == 0 else right[x - 1])
        for x in range(w):
            to_next = down[x] if y % 2 == 1 else up[x]
            ty[x] = _share(to_next if y > 0 else 0 * to_next, down[x] if y % 2 == 0 else up[x])


@kernel
def _share(to_next: Any, inside: Any) -> Any:
    return np.float32(0.25) * min(to_next / max(inside, np.float32(1e-37)), np.float32(1))
