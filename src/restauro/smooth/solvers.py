"""Screened Poisson systems on the pixel grid, solved for all colours and pictures at once.

    (Id + L) u = f,      (L u)_p = sum over the links pq of  w_pq (u_p - u_q)

Every filter that asks a picture to stay near f and to be flat along weighted links ends here (RTV, WLS, SDF). L is
a 5-point Laplacian (links to the right and down) or an 8-neighbour one (two diagonals more).

Method: conjugate gradients (Hestenes, Stiefel 1952), preconditioned by one V-cycle of cell-centred multigrid
(Briggs, Henson, McCormick 2000, "A multigrid tutorial", chapters 3-4 and 7; Khalil, Wesseling 1992 for the cells):

- a coarse pixel is a block of 2x2; its screening is the sum of the four, and a coarse link is half the sum of the
  fine links between two blocks (four for the area, two of them cut by the doubled distance), so that a 5-point
  stencil stays one and weights are built by a few additions;
- prolongation is bilinear, restriction its transpose;
- the smoother is the Chebyshev polynomial of degree 3 on the upper part of the spectrum of D^-1 A, which lies in
  (0, 2) for every weight, so that nothing has to be estimated and every pass is one sweep over memory;
- the coarsest grid is solved by a dense inverse.

Since Id + L >= Id, the root mean square of the residual bounds that of the error; this is the stopping rule, so a
tolerance of 1e-3 promises 60 dB (the error is in fact 10 to 30 times smaller).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numba
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from restauro.errors import EngineError, SettingError

_COARSEST_PIXELS = 256
_DEGREE, _LOW, _HIGH = 3, 0.15, 2.0  # Chebyshev smoother: damps eigenvalues of D^-1 A in _LOW.._HIGH
_OMEGAS = tuple(
    1 / ((_HIGH + _LOW) / 2 + (_HIGH - _LOW) / 2 * math.cos(math.pi * (k + 0.5) / _DEGREE))
    for k in range(_DEGREE)
)


@torch.no_grad()
def solve_screened_poisson(
    links: Tensor,
    target: Tensor,
    *,
    start: Tensor | None = None,
    tolerance: float = 1e-3,
    max_steps: int = 200,
) -> Tensor:
    """Solve (Id + L) u = target, where L is the weighted graph Laplacian of the pixel grid.

    Parameters
    ----------
    links
        [N, 2, H, W] or [N, 4, H, W], finite and not negative: weight of the link from pixel (y, x) to its neighbour
        on the right (y, x+1), below (y+1, x) and, with four, at (y+1, x+1) and (y+1, x-1). Entries that leave the
        picture are not looked at. All colours share them.
    target
        [N, C, H, W] float32 or float64, same device.
    start
        First guess, same shape; by default ``target``.
    tolerance
        Largest root mean square of target - (Id + L) u in any colour plane; it bounds that of the error.
    max_steps
        Conjugate gradient steps after which the system is given up.

    Returns
    -------
    Tensor
        [N, C, H, W].

    Raises
    ------
    EngineError
        If ``tolerance`` is not met in ``max_steps`` steps or a value is not finite.

    Notes
    -----
    Cost: 3 to 10 steps of about 10 sweeps over the picture; 11 floats per value of target. On the CPU the sweeps are
    numba kernels on as many threads as torch uses; elsewhere they are torch operations. Float32 rounds the
    differences of u, not its values, so that weights up to 1e5 are solved well; a constant comes back bit for bit.

    Examples
    --------
    >>> f = torch.tensor([[[[0.0, 1.0]]]])
    >>> solve_screened_poisson(torch.ones(1, 2, 1, 2), f, tolerance=1e-6)  # u0 + (u0 - u1) = 0, u1 + (u1 - u0) = 1
    tensor([[[[0.3333, 0.6667]]]])
    """
    if not tolerance > 0:
        raise SettingError("tolerance", tolerance, "a number above 0 (1e-3 is usual)")
    if target.dtype not in (torch.float32, torch.float64):
        raise SettingError("target", target.dtype, "a float32 or float64 picture")
    if target.numel() == 0:
        return target.clone()
    target = target.contiguous()
    u = (target if start is None else start).clone(memory_format=torch.contiguous_format)
    threads = torch.get_num_threads()
    if target.device.type != "cpu":
        return _conjugate_gradients(_Torch(), links, target, u, tolerance, max_steps)
    with ThreadPoolExecutor(threads) as pool:
        return _conjugate_gradients(_Numba(pool, threads), links, target, u, tolerance, max_steps)


def _conjugate_gradients(
    ops: _Sweeps, links: Tensor, f: Tensor, u: Tensor, tolerance: float, max_steps: int
) -> Tensor:
    """Preconditioned conjugate gradients with one step length per colour plane; u is overwritten."""
    levels = _build_levels(ops, links, f)
    fine = levels[0]
    r, z, q = torch.empty_like(f), torch.empty_like(f), fine.scratch  # q is free between two V-cycles
    p = torch.zeros_like(f)
    ops.residual(fine, u, f, r)
    rz = torch.ones_like(f[..., :1, :1])
    tiny = torch.finfo(f.dtype).tiny
    for _ in range(max_steps):
        if _root_mean_square(r) <= tolerance:
            return u
        _v_cycle(ops, levels, 0, r, z)
        rz_before, rz = rz, _dot(r, z)
        p.mul_(rz / rz_before.clamp_min(tiny)).add_(z)
        ops.apply(fine, p, q)
        alpha = rz / _dot(p, q).clamp_min(tiny)
        u.addcmul_(p, alpha)
        r.addcmul_(q, alpha, value=-1)
    found = _root_mean_square(r)
    if found <= tolerance:
        return u
    raise EngineError(
        f"screened Poisson system: residual {found:.2g} after {max_steps} steps, wanted {tolerance:g}; "
        "raise the tolerance, or check the picture for values that are not finite"
    )


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=(-2, -1), keepdim=True)


def _root_mean_square(r: Tensor) -> float:
    return float(_dot(r, r).amax().sqrt()) / math.sqrt(r.shape[-2] * r.shape[-1])


# ------------------------------------------------------------------------------------------------- multigrid


@dataclass(frozen=True)
class _Level:
    """One grid: its matrix and room to work in."""

    links: Tensor  # [N, 2 or 4, H, W]
    screening: Tensor  # [N, 1, H, W], number of fine pixels in a cell
    gain: Tensor  # [N, 1, H, W], 1 / diagonal
    scratch: Tensor  # [N, C, H, W]
    rhs: Tensor  # the same; on the finest grid it and the solution belong to the caller
    solution: Tensor
    inverse: Tensor | None  # [N, HW, HW] on the coarsest grid


def _build_levels(ops: _Sweeps, links: Tensor, like: Tensor) -> list[_Level]:
    links = _without_leaving_links(links.to(like.dtype))
    screening = torch.ones_like(links[:, :1])
    levels: list[_Level] = []
    while True:
        n, _, h, w = links.shape
        last = h * w <= _COARSEST_PIXELS
        gain = _diagonal(links, screening).reciprocal_()
        room = [like.new_empty(n, like.shape[1], h, w) for _ in range(3 if levels else 1)]
        level = _Level(links, screening, gain, room[0], room[-1], room[-2:][0], None)
        levels.append(_with_inverse(ops, level) if last else level)
        if last:
            return levels
        links, screening = _coarsen(links, screening)


def _without_leaving_links(links: Tensor) -> Tensor:
    links = links.clone(memory_format=torch.contiguous_format)
    links[:, 0, :, -1] = 0
    links[:, 1:, -1, :] = 0
    if links.shape[1] == 4:
        links[:, 2, :, -1] = 0
        links[:, 3, :, 0] = 0
    return links


def _diagonal(links: Tensor, screening: Tensor) -> Tensor:
    right, down, *diagonals = links.split(1, dim=1)
    d = screening + right + down
    d[..., 1:] += right[..., :-1]
    d[..., 1:, :] += down[..., :-1, :]
    if diagonals:
        down_right, down_left = diagonals
        d += down_right + down_left
        d[..., 1:, 1:] += down_right[..., :-1, :-1]
        d[..., 1:, :-1] += down_left[..., :-1, 1:]
    return d


def _coarsen(links: Tensor, screening: Tensor) -> tuple[Tensor, Tensor]:
    """Half the sum of the links between two blocks of 2x2, and the sum of the screening of a block."""
    h, w = links.shape[-2:]
    links, screening = (F.pad(t, (0, w % 2, 0, h % 2)) for t in (links, screening))
    top_left, top_right, bottom_left, bottom_right = (links[..., y::2, x::2] for y in (0, 1) for x in (0, 1))
    coarse = torch.empty_like(top_left, memory_format=torch.contiguous_format)
    coarse[:, 0] = top_right[:, 0] + bottom_right[:, 0]
    coarse[:, 1] = bottom_left[:, 1] + bottom_right[:, 1]
    if links.shape[1] == 4:
        coarse[:, 0] += top_right[:, 2]
        coarse[:, 0, :, :-1] += top_left[:, 3, :, 1:]  # leads to the block on its left
        coarse[:, 1] += bottom_left[:, 2] + bottom_right[:, 3]
        coarse[:, 2] = bottom_right[:, 2]
        coarse[:, 3] = bottom_left[:, 3]
    return coarse.mul_(0.5), 4 * F.avg_pool2d(screening, 2)


def _with_inverse(ops: _Sweeps, level: _Level) -> _Level:
    n, _, h, w = level.links.shape
    unit = torch.eye(h * w, dtype=level.gain.dtype, device=level.gain.device)
    columns = unit.view(1, h * w, h, w).repeat(n, 1, 1, 1)
    matrix = torch.empty_like(columns)
    ops.apply(level, columns, matrix)
    inverse = torch.linalg.inv(matrix.view(n, h * w, h * w))
    return _Level(level.links, level.screening, level.gain, level.scratch, level.rhs, level.solution, inverse)


def _v_cycle(ops: _Sweeps, levels: list[_Level], k: int, rhs: Tensor, out: Tensor) -> None:
    """One symmetric V-cycle from zero, so that out = M rhs with M symmetric and positive."""
    level = levels[k]
    if level.inverse is not None:
        torch.matmul(rhs.flatten(2), level.inverse, out=out.view(rhs.flatten(2).shape))
        return
    u, v, coarse = level.scratch, out, levels[k + 1]
    torch.mul(rhs, level.gain, out=u).mul_(_OMEGAS[0])
    ops.relax(level, u, rhs, v, _OMEGAS[1])
    ops.relax(level, v, rhs, u, _OMEGAS[2])
    ops.residual(level, u, rhs, v)
    ops.restrict(v, coarse.rhs)
    _v_cycle(ops, levels, k + 1, coarse.rhs, out=coarse.solution)
    ops.prolong_add(coarse.solution, u)
    ops.relax(level, u, rhs, v, _OMEGAS[2])
    ops.relax(level, v, rhs, u, _OMEGAS[1])
    ops.relax(level, u, rhs, v, _OMEGAS[0])


# ---------------------------------------------------------------------------------------------- sweeps: torch


class _Sweeps(Protocol):
    """What the solver asks of a device; the last tensor is written."""

    def apply(self, level: _Level, u: Tensor, out: Tensor) -> None: ...
    def residual(self, level: _Level, u: Tensor, f: Tensor, out: Tensor) -> None: ...
    def relax(self, level: _Level, u: Tensor, f: Tensor, out: Tensor, omega: float) -> None: ...
    def restrict(self, fine: Tensor, coarse: Tensor) -> None: ...
    def prolong_add(self, coarse: Tensor, fine: Tensor) -> None: ...


class _Torch:
    """Sweeps for every device."""

    def apply(self, level: _Level, u: Tensor, out: Tensor) -> None:
        torch.mul(u, level.screening, out=out)
        right, down, *diagonals = level.links.split(1, dim=1)
        _add_flux(out, u, right, (..., slice(None), slice(-1)), (..., slice(None), slice(1, None)))
        _add_flux(out, u, down, (..., slice(-1), slice(None)), (..., slice(1, None), slice(None)))
        if diagonals:
            _add_flux(
                out, u, diagonals[0], (..., slice(-1), slice(-1)), (..., slice(1, None), slice(1, None))
            )
            _add_flux(
                out, u, diagonals[1], (..., slice(-1), slice(1, None)), (..., slice(1, None), slice(-1))
            )

    def residual(self, level: _Level, u: Tensor, f: Tensor, out: Tensor) -> None:
        self.apply(level, u, out)
        torch.sub(f, out, out=out)

    def relax(self, level: _Level, u: Tensor, f: Tensor, out: Tensor, omega: float) -> None:
        self.residual(level, u, f, out)
        out.mul_(level.gain).mul_(omega).add_(u)

    def restrict(self, fine: Tensor, coarse: Tensor) -> None:
        h, w = fine.shape[-2:]
        r = F.pad(F.pad(fine, (0, w % 2, 0, h % 2)), (1, 1, 1, 1), mode="replicate")
        r = 0.75 * (r[..., 1:-1:2, :] + r[..., 2::2, :]) + 0.25 * (r[..., :-2:2, :] + r[..., 3::2, :])
        coarse.copy_(0.75 * (r[..., 1:-1:2] + r[..., 2::2]) + 0.25 * (r[..., :-2:2] + r[..., 3::2]))

    def prolong_add(self, coarse: Tensor, fine: Tensor) -> None:
        h, w = fine.shape[-2:]
        fine.add_(F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)[..., :h, :w])


def _add_flux(out: Tensor, u: Tensor, weight: Tensor, here: Any, there: Any) -> None:
    flux = (u[here] - u[there]).mul_(weight[here])
    out[here].add_(flux)
    out[there].sub_(flux)


# ---------------------------------------------------------------------------------------------- sweeps: numba


_APPLY, _RESIDUAL, _RELAX = 0, 1, 2
_VALUES_PER_THREAD = 1 << 16  # with less to do a thread costs more than it brings
_Array = npt.NDArray[Any]


class _Numba:
    """Sweeps for the CPU, split by rows over a pool of threads (numba releases the interpreter lock)."""

    def __init__(self, pool: ThreadPoolExecutor, threads: int) -> None:
        self._pool, self._threads = pool, threads

    def apply(self, level: _Level, u: Tensor, out: Tensor) -> None:
        self._stencil(_APPLY, level, u, u, out, 0.0)

    def residual(self, level: _Level, u: Tensor, f: Tensor, out: Tensor) -> None:
        self._stencil(_RESIDUAL, level, u, f, out, 0.0)

    def relax(self, level: _Level, u: Tensor, f: Tensor, out: Tensor, omega: float) -> None:
        self._stencil(_RELAX, level, u, f, out, omega)

    def restrict(self, fine: Tensor, coarse: Tensor) -> None:
        self._by_rows(_restrict_rows, coarse, fine.numpy(), coarse.numpy())

    def prolong_add(self, coarse: Tensor, fine: Tensor) -> None:
        self._by_rows(_prolong_rows, fine, coarse.numpy(), fine.numpy())

    def _stencil(self, mode: int, level: _Level, u: Tensor, f: Tensor, out: Tensor, omega: float) -> None:
        matrix = level.links.numpy(), level.screening.numpy(), level.gain.numpy()
        step = out.numpy().dtype.type(omega)  # a Python float would make the loop compute in float64
        self._by_rows(_stencil_rows, out, mode, *matrix, step, u.numpy(), f.numpy(), out.numpy())

    def _by_rows(self, kernel: Callable[..., None], out: Tensor, *args: object) -> None:
        rows = out.shape[0] * out.shape[2]
        parts = min(self._threads, rows, 1 + out.numel() // _VALUES_PER_THREAD)
        if parts == 1:
            kernel(*args, 0, rows)
            return
        cuts = [rows * i // parts for i in range(parts + 1)]
        jobs = [self._pool.submit(kernel, *args, a, b) for a, b in itertools.pairwise(cuts)]
        for job in jobs:
            job.result()


@numba.njit(nogil=True, cache=True, fastmath={"contract"})
def _stencil_rows(
    mode: int, links: _Array, screening: _Array, gain: _Array, step: float,
    u: _Array, f: _Array, out: _Array, first: int, last: int,
) -> None:  # fmt: skip
    """Rows first..last (of all pictures) of A u, f - A u or u + step D^-1 (f - A u); out is none of the inputs."""
    channels, h, w = u.shape[1:]
    for row in range(first, last):
        n, y = row // h, row % h
        above, below = max(y - 1, 0), min(y + 1, h - 1)  # beyond a border lies the pixel itself: no difference
        s, g = screening[n, 0, y], gain[n, 0, y]
        right, down, up = links[n, 0, y], links[n, 1, y], links[n, 1, above]
        for c in range(channels):
            o, v, va, vb, t = out[n, c, y], u[n, c, y], u[n, c, above], u[n, c, below], f[n, c, y]
            for x in (0, w - 1):
                xl, xr = max(x - 1, 0), min(x + 1, w - 1)
                o[x] = s[x] * v[x] + down[x] * (v[x] - vb[x]) + up[x] * (v[x] - va[x])
                o[x] += right[x] * (v[x] - v[xr]) + right[xl] * (v[x] - v[xl])
            for x in range(1, w - 1):
                vertical = down[x] * (v[x] - vb[x]) + up[x] * (v[x] - va[x])
                o[x] = s[x] * v[x] + vertical + right[x] * (v[x] - v[x + 1]) + right[x - 1] * (v[x] - v[x - 1])
            if links.shape[1] == 4 and y + 1 < h:
                for x in range(w - 1):
                    o[x] += links[n, 2, y, x] * (v[x] - vb[x + 1])
                for x in range(1, w):
                    o[x] += links[n, 3, y, x] * (v[x] - vb[x - 1])
            if links.shape[1] == 4 and y > 0:
                for x in range(w - 1):
                    o[x] += links[n, 3, above, x + 1] * (v[x] - va[x + 1])
                for x in range(1, w):
                    o[x] += links[n, 2, above, x - 1] * (v[x] - va[x - 1])
            if mode == _RESIDUAL:
                for x in range(w):
                    o[x] = t[x] - o[x]
            elif mode == _RELAX:
                for x in range(w):
                    o[x] = v[x] + step * g[x] * (t[x] - o[x])


@numba.njit(nogil=True, cache=True)
def _restrict_rows(fine: _Array, coarse: _Array, first: int, last: int) -> None:
    """Transpose of :func:`_prolong_rows`: each fine pixel gives its cell 9/16, two neighbours 3/16, one 1/16."""
    channels, h, w = fine.shape[1:]
    height, width = coarse.shape[2:]
    near, far = fine.dtype.type(0.75), fine.dtype.type(0.25)
    line = np.empty(w, fine.dtype)
    for row in range(first, last):
        n, y = row // height, row % height
        for c in range(channels):
            line[:] = 0
            for i in range(max(2 * y - 1, 0), min(2 * y + 3, h)):
                other = min(max(i // 2 + 2 * (i % 2) - 1, 0), height - 1)
                weight = near * (i // 2 == y) + far * (other == y)
                for x in range(w):
                    line[x] += weight * fine[n, c, i, x]
            o = coarse[n, c, y]
            for x in range(width):
                right = near * line[2 * x + 1] if 2 * x + 1 < w else 0 * near
                o[x] = near * line[2 * x] + right
            for x in range(1, width):
                o[x] += far * line[2 * x - 1]
                o[x - 1] += far * line[2 * x]
            o[0] += far * line[0]
            if w % 2 == 0:
                o[width - 1] += far * line[w - 1]


@numba.njit(nogil=True, cache=True)
def _prolong_rows(coarse: _Array, fine: _Array, first: int, last: int) -> None:
    """Add the bilinear interpolation of the cells, replicated at the border, to rows first..last of fine."""
    channels, h, w = fine.shape[1:]
    height, width = coarse.shape[2:]
    near, far = fine.dtype.type(0.75), fine.dtype.type(0.25)
    line = np.empty(width, fine.dtype)
    for row in range(first, last):
        n, y = row // h, row % h
        other = min(max(y // 2 + 2 * (y % 2) - 1, 0), height - 1)
        for c in range(channels):
            o = fine[n, c, y]
            for x in range(width):
                line[x] = near * coarse[n, c, y // 2, x] + far * coarse[n, c, other, x]
            for x in range(width):
                o[2 * x] += near * line[x] + far * line[max(x - 1, 0)]
            for x in range(w // 2):
                o[2 * x + 1] += near * line[x] + far * line[min(x + 1, width - 1)]
