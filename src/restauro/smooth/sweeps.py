"""Sweeps over one grid of :mod:`.solvers`: its matrix, its smoother, the way to the next coarser grid and back.

Differences come before weights, so that a flat u leaves no rounding, however large the weights. Each sweep exists
twice: as torch operations for every device, and as compiled loops for the CPU, which read and write each value once
(about 1 ms per million values and core). Both give the same up to rounding.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.nn import functional as F

from restauro.smooth.grids import (
    Array,
    Grid,
    RowWork,
    coarser_grid,
    coarser_grid_by_rows,
    finest_grid,
    finest_grid_by_rows,
)
from restauro.smooth.kernels import kernel


class Sweeps(Protocol):
    """What the solver asks of a device. The last tensor is written and is none of the others."""

    def grids(self, links: Tensor, coarsest_pixels: int) -> list[Grid]:
        """Build the grids, from the pixels to the first with at most so many blocks."""

    def apply(self, grid: Grid, u: Tensor, out: Tensor) -> None:
        """Write A u."""

    def residual(self, grid: Grid, u: Tensor, f: Tensor, out: Tensor) -> None:
        """Write f - A u."""

    def relax(self, grid: Grid, u: Tensor, f: Tensor, omega: float, out: Tensor) -> None:
        """Write u + omega D^-1 (f - A u)."""

    def relax_zero(self, grid: Grid, f: Tensor, omega: float, out: Tensor) -> None:
        """Write omega D^-1 f."""

    def restrict(self, grid: Grid, fine: Tensor, coarse: Tensor) -> None:
        """Write the transposed interpolation of fine, [N, C, H, W], to coarse, [N, C, ceil(H / 2), ceil(W / 2)]."""

    def add_interpolated(self, grid: Grid, coarse: Tensor, fine: Tensor) -> None:
        """Add the interpolation of coarse to fine."""

    def multiply(self, f: Tensor, matrix: Tensor, out: Tensor) -> None:
        """Write f times a dense symmetric matrix [N, HW, HW]."""

    def dot(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the scalar product of every plane, [N, C, 1, 1]."""

    def turn(self, beta: Tensor, z: Tensor, p: Tensor) -> None:
        """Replace p by z + beta p; beta is [N, C, 1, 1]."""

    def advance(self, alpha: Tensor, p: Tensor, q: Tensor, u: Tensor, r: Tensor) -> Tensor:
        """Add alpha p to u, take alpha q from r, and return the scalar product of r with itself."""


class TorchSweeps:
    """For every device."""

    def grids(self, links: Tensor, coarsest_pixels: int) -> list[Grid]:
        """Build the grids."""
        grids = [finest_grid(links)]
        while grids[-1].gain[0].numel() > coarsest_pixels:
            grids.append(coarser_grid(grids[-1]))
        return grids

    def apply(self, grid: Grid, u: Tensor, out: Tensor) -> None:
        """Write A u."""
        head, tail, every = slice(-1), slice(1, None), slice(None)
        ends = ((every, head), (every, tail)), ((head, every), (tail, every)), ((head, head), (tail, tail))
        torch.mul(u, grid.screening, out=out)
        for k, ((y, x), (next_y, next_x)) in enumerate((*ends, ((head, tail), (tail, head)))[: grid.links.shape[1]]):
            flux = (u[:, :, y, x] - u[:, :, next_y, next_x]).mul_(grid.links[:, k : k + 1, y, x])
            out[:, :, y, x] += flux
            out[:, :, next_y, next_x] -= flux

    def residual(self, grid: Grid, u: Tensor, f: Tensor, out: Tensor) -> None:
        """Write f - A u."""
        self.apply(grid, u, out)
        torch.sub(f, out, out=out)

    def relax(self, grid: Grid, u: Tensor, f: Tensor, omega: float, out: Tensor) -> None:
        """Write u + omega D^-1 (f - A u)."""
        self.residual(grid, u, f, out)
        out.mul_(grid.gain).mul_(omega).add_(u)

    def relax_zero(self, grid: Grid, f: Tensor, omega: float, out: Tensor) -> None:
        """Write omega D^-1 f."""
        torch.mul(f, grid.gain, out=out).mul_(omega)

    def restrict(self, grid: Grid, fine: Tensor, coarse: Tensor) -> None:
        """Write the transposed interpolation."""
        h, w = fine.shape[-2:]
        tx, ty = grid.share.split(1, dim=1)
        own, other = (
            _fold(F.pad(v * (1 - tx), (0, w % 2, 0, h % 2)), F.pad(v * tx, (0, w % 2, 0, h % 2)))
            for v in (fine * (1 - ty), fine * ty)
        )
        coarse.copy_(_fold(own.mT, other.mT).mT)

    def add_interpolated(self, grid: Grid, coarse: Tensor, fine: Tensor) -> None:
        """Add the interpolation of coarse to fine."""
        tx, ty = grid.share.split(1, dim=1)
        (y, next_y), (x, next_x) = (_blocks(size, fine.device) for size in fine.shape[-2:])
        own, other = (
            torch.lerp(rows.index_select(-1, x), rows.index_select(-1, next_x), tx)
            for rows in (coarse.index_select(-2, y), coarse.index_select(-2, next_y))
        )
        fine.add_(torch.lerp(own, other, ty))

    def multiply(self, f: Tensor, matrix: Tensor, out: Tensor) -> None:
        """Write f times a dense symmetric matrix."""
        torch.matmul(f.flatten(2), matrix, out=out.view(f.flatten(2).shape))

    def dot(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the scalar product of every plane."""
        return (a * b).sum(dim=(-2, -1), keepdim=True)

    def turn(self, beta: Tensor, z: Tensor, p: Tensor) -> None:
        """Replace p by z + beta p."""
        p.mul_(beta).add_(z)

    def advance(self, alpha: Tensor, p: Tensor, q: Tensor, u: Tensor, r: Tensor) -> Tensor:
        """Add alpha p to u, take alpha q from r, and return the scalar product of r with itself."""
        u.addcmul_(p, alpha)
        r.addcmul_(q, alpha, value=-1)
        return self.dot(r, r)


def _fold(own: Tensor, other: Tensor) -> Tensor:
    """Sum pairs of columns of own; odd columns of other go to the pair on the right, even ones to the left."""
    pairs = own[..., ::2] + own[..., 1::2]
    pairs[..., 1:] += other[..., 1:-1:2]
    pairs[..., :-1] += other[..., 2::2]
    return pairs


def _blocks(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Block of every pixel of a line, and the block next to the pixel."""
    i = torch.arange(size, device=device)
    return i // 2, (i // 2 + 2 * (i % 2) - 1).clamp(0, (size - 1) // 2)


_APPLY, _RESIDUAL, _RELAX = 0, 1, 2


class CompiledSweeps:
    """For the CPU: loops over rows, spread over threads."""

    def __init__(self, work: RowWork) -> None:
        self._by_rows = work

    def grids(self, links: Tensor, coarsest_pixels: int) -> list[Grid]:
        """Build the grids."""
        grids = [finest_grid_by_rows(links, self._by_rows)]
        while grids[-1].gain[0].numel() > coarsest_pixels:
            grids.append(coarser_grid_by_rows(grids[-1], self._by_rows))
        return grids

    def apply(self, grid: Grid, u: Tensor, out: Tensor) -> None:
        """Write A u."""
        self._stencil(_APPLY, grid, u, u, 0.0, out)

    def residual(self, grid: Grid, u: Tensor, f: Tensor, out: Tensor) -> None:
        """Write f - A u."""
        self._stencil(_RESIDUAL, grid, u, f, 0.0, out)

    def relax(self, grid: Grid, u: Tensor, f: Tensor, omega: float, out: Tensor) -> None:
        """Write u + omega D^-1 (f - A u)."""
        self._stencil(_RELAX, grid, u, f, omega, out)

    def relax_zero(self, grid: Grid, f: Tensor, omega: float, out: Tensor) -> None:
        """Write omega D^-1 f."""
        step = out.numpy().dtype.type(omega)
        self._by_rows(_relax_zero_rows, out, step, grid.gain.numpy(), f.numpy(), out.numpy())

    def restrict(self, grid: Grid, fine: Tensor, coarse: Tensor) -> None:
        """Write the transposed interpolation."""
        self._by_rows(_restrict_rows, coarse, grid.share.numpy(), fine.numpy(), coarse.numpy())

    def add_interpolated(self, grid: Grid, coarse: Tensor, fine: Tensor) -> None:
        """Add the interpolation of coarse to fine."""
        self._by_rows(_interpolate_rows, fine, grid.share.numpy(), coarse.numpy(), fine.numpy())

    def multiply(self, f: Tensor, matrix: Tensor, out: Tensor) -> None:
        """Write f times a dense symmetric matrix."""
        np.matmul(f.flatten(2).numpy(), matrix.numpy(), out=out.view(f.flatten(2).shape).numpy())

    def dot(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the scalar product of every plane."""
        sums = a.new_empty(a.shape[:3], dtype=torch.float64)
        self._by_rows(_dot_rows, a, a.numpy(), b.numpy(), sums.numpy())
        return sums.sum(dim=2)[..., None, None].to(a.dtype)

    def turn(self, beta: Tensor, z: Tensor, p: Tensor) -> None:
        """Replace p by z + beta p."""
        self._by_rows(_turn_rows, p, beta.numpy(), z.numpy(), p.numpy())

    def advance(self, alpha: Tensor, p: Tensor, q: Tensor, u: Tensor, r: Tensor) -> Tensor:
        """Add alpha p to u, take alpha q from r, and return the scalar product of r with itself."""
        sums = u.new_empty(u.shape[:3], dtype=torch.float64)
        self._by_rows(_advance_rows, u, *(t.numpy() for t in (alpha, p, q, u, r, sums)))
        return sums.sum(dim=2)[..., None, None].to(u.dtype)

    def _stencil(self, mode: int, grid: Grid, u: Tensor, f: Tensor, omega: float, out: Tensor) -> None:
        step = out.numpy().dtype.type(omega)  # a Python float would make the loop compute in float64
        arrays = (t.numpy() for t in (grid.links, grid.screening, grid.gain, u, f, out))
        self._by_rows(_stencil_rows, out, mode, step, *arrays)


@kernel
def _stencil_rows(
    mode: int, step: Any, links: Array, screening: Array, gain: Array, u: Array, f: Array, out: Array, i: int, j: int
) -> None:
    """Write A u, f - A u or u + step D^-1 (f - A u) to rows i..j, counted through all pictures."""
    channels, h, w = u.shape[1:]
    for row in range(i, j):
        n, y = row // h, row % h
        above, below = max(y - 1, 0), min(y + 1, h - 1)  # beyond a border lies the pixel itself: no difference
        s, g, right, down, up = screening[n, 0, y], gain[n, 0, y], links[n, 0, y], links[n, 1, y], links[n, 1, above]
        for c in range(channels):
            o, v, va, vb, t = out[n, c, y], u[n, c, y], u[n, c, above], u[n, c, below], f[n, c, y]
            for x in (0, w - 1):
                xl, xr = max(x - 1, 0), min(x + 1, w - 1)
                o[x] = s[x] * v[x] + down[x] * (v[x] - vb[x]) + up[x] * (v[x] - va[x])
                o[x] += right[x] * (v[x] - v[xr]) + right[xl] * (v[x] - v[xl])
            for x in range(1, w - 1):
                vertical = down[x] * (v[x] - vb[x]) + up[x] * (v[x] - va[x])
                o[x] = s[x] * v[x] + vertical + right[x] * (v[x] - v[x + 1]) + right[x - 1] * (v[x] - v[x - 1])
            if links.shape[1] == 4:
                _add_diagonals(links[n], v, va, vb, y, o)
            if mode == _RESIDUAL:
                for x in range(w):
                    o[x] = t[x] - o[x]
            elif mode == _RELAX:
                for x in range(w):
                    o[x] = v[x] + step * g[x] * (t[x] - o[x])


@kernel
def _add_diagonals(links: Array, v: Array, va: Array, vb: Array, y: int, o: Array) -> None:
    h, w = links.shape[1:]
    if y + 1 < h:
        lower_right, lower_left = links[2, y], links[3, y]
        for x in range(w - 1):
            o[x] += lower_right[x] * (v[x] - vb[x + 1])
            o[x + 1] += lower_left[x + 1] * (v[x + 1] - vb[x])
    if y > 0:
        upper_left, upper_right = links[2, y - 1], links[3, y - 1]
        for x in range(w - 1):
            o[x] += upper_right[x + 1] * (v[x] - va[x + 1])
            o[x + 1] += upper_left[x] * (v[x + 1] - va[x])


@kernel
def _relax_zero_rows(step: Any, gain: Array, f: Array, out: Array, i: int, j: int) -> None:
    channels, h, w = f.shape[1:]
    for row in range(i, j):
        n, y = row // h, row % h
        for c in range(channels):
            o, t, g = out[n, c, y], f[n, c, y], gain[n, 0, y]
            for x in range(w):
                o[x] = step * g[x] * t[x]


@kernel
def _interpolate_rows(share: Array, coarse: Array, fine: Array, i: int, j: int) -> None:
    """Add to rows i..j of fine what the own block and the three next ones give them."""
    channels, h, w = fine.shape[1:]
    height, width = coarse.shape[2:]
    for row in range(i, j):
        n, y = row // h, row % h
        next_y = min(max(y // 2 + 2 * (y % 2) - 1, 0), height - 1)
        tx, ty = share[n, 0, y], share[n, 1, y]
        for c in range(channels):
            o, a, b = fine[n, c, y], coarse[n, c, y // 2], coarse[n, c, next_y]
            for x in range(w):
                k = x // 2
                m = min(max(k + 2 * (x % 2) - 1, 0), width - 1)
                va, vb = a[k] + tx[x] * (a[m] - a[k]), b[k] + tx[x] * (b[m] - b[k])
                o[x] += va + ty[x] * (vb - va)


@kernel
def _restrict_rows(share: Array, fine: Array, coarse: Array, i: int, j: int) -> None:
    """Write the transpose of :func:`_interpolate_rows` to rows i..j of coarse."""
    channels, h, w = fine.shape[1:]
    height, width = coarse.shape[2:]
    own, other = np.empty(2 * width, fine.dtype), np.empty(2 * width, fine.dtype)
    for row in range(i, j):
        n, y = row // height, row % height
        for c in range(channels):
            own[:], other[:] = 0, 0
            for k in range(max(2 * y - 1, 0), min(2 * y + 3, h)):
                tx, ty, v = share[n, 0, k], share[n, 1, k], fine[n, c, k]
                inside = k // 2 == y
                for x in range(w):
                    part = v[x] * ty[x]
                    if inside:
                        part = v[x] - part
                    other[x] += part * tx[x]
                    own[x] += part - part * tx[x]
            o = coarse[n, c, y]
            for x in range(width):
                o[x] = own[2 * x] + own[2 * x + 1]
            for x in range(1, width):
                o[x] += other[2 * x - 1]
                o[x - 1] += other[2 * x]


@kernel
def _dot_rows(a: Array, b: Array, sums: Array, i: int, j: int) -> None:
    """Write the scalar product of every row; sums [N, C, H] do not depend on the number of threads."""
    channels, h = a.shape[1:3]
    for row in range(i, j):
        n, y = row // h, row % h
        for c in range(channels):
            sums[n, c, y] = _dot(a[n, c, y], b[n, c, y])


@kernel
def _turn_rows(beta: Array, z: Array, p: Array, i: int, j: int) -> None:
    channels, h, w = p.shape[1:]
    for row in range(i, j):
        n, y = row // h, row % h
        for c in range(channels):
            o, v, step = p[n, c, y], z[n, c, y], beta[n, c, 0, 0]
            for x in range(w):
                o[x] = v[x] + step * o[x]


@kernel
def _advance_rows(alpha: Array, p: Array, q: Array, u: Array, r: Array, sums: Array, i: int, j: int) -> None:
    channels, h, w = u.shape[1:]
    for row in range(i, j):
        n, y = row // h, row % h
        for c in range(channels):
            o, s, v, t, step = u[n, c, y], r[n, c, y], p[n, c, y], q[n, c, y], alpha[n, c, 0, 0]
            for x in range(w):
                o[x] += step * v[x]
                s[x] -= step * t[x]
            sums[n, c, y] = _dot(s, s)


@njit(nogil=True, cache=True, fastmath={"contract", "nsz", "reassoc"})
def _dot(a: Array, b: Array) -> Any:
    """Scalar product; the compiler may keep several sums, always the same ones."""
    total = a.dtype.type(0)
    for x in range(len(a)):
        total += a[x] * b[x]
    return total
