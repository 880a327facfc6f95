"""Screened Poisson systems on the pixel grid, solved for all colours and pictures at once.

    (Id + L) u = f,      (L u)_p = sum over the links pq of  w_pq (u_p - u_q)

Every filter that asks a picture to stay near f and to be flat along weighted links ends here (RTV, WLS, SDF). L is
a 5-point Laplacian (links to the right and down) or an 8-neighbour one (two diagonals more).

Method: conjugate gradients (Hestenes, Stiefel 1952), preconditioned by one V-cycle of cell-centred multigrid
(Briggs, Henson, McCormick 2000, "A multigrid tutorial"; Khalil, Wesseling 1992 for cells), where

- a coarse pixel is a block of 2x2 and its screening the sum of the four. A coarse link is half the sum of the fine
  links between two blocks (the area doubles twice, the distance enters squared); along rows and columns the geometric
  mean of that and of the links in series from centre to centre, because the sum overrates links across an edge and
  the series underrates them;
- prolongation is bilinear, with the share of the next block cut by the ratio of the link towards it to the link inside
  the block, so that nothing is interpolated over an edge; restriction is its transpose;
- the smoother is the Chebyshev polynomial of degree 3 on the upper part of the spectrum of D^-1 A, which lies in
  (0, 2) whatever the weights, so that nothing is estimated and every pass is one sweep over memory;
- the coarsest grid is solved by a dense inverse.

Stopping: as Id + L >= Id, the error e obeys |e| <= |e|_A, the energy norm, and |e| <= |residual|. The squared energy
is the sum of what all later steps take off it (Strakos, Tichy 2002, "On error estimation in the conjugate gradient
method"), so the last three steps tell that of three steps ago. A root mean square of 1e-3 means 60 dB.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from restauro.errors import EngineError, SettingError
from restauro.smooth.grids import Grid, RowWork
from restauro.smooth.inputs import require_pictures
from restauro.smooth.sweeps import CompiledSweeps, Sweeps, TorchSweeps
from restauro.smooth.threads import threads

_COARSEST_PIXELS = 64
_DELAY = 3  # steps over which the error is estimated
_DEGREE, _LOW, _HIGH = 3, 0.15, 2.0  # the smoother damps eigenvalues of D^-1 A in _LOW.._HIGH
_OMEGAS = tuple(
    1 / ((_HIGH + _LOW) / 2 + (_HIGH - _LOW) / 2 * math.cos(math.pi * (k + 0.5) / _DEGREE)) for k in range(_DEGREE)
)


@torch.no_grad()
def solve_screened_poisson(
    links: Tensor, target: Tensor, *, start: Tensor | None = None, tolerance: float = 1e-3, max_steps: int = 300
) -> Tensor:
    """Solve (Id + L) u = target, where L is the weighted graph Laplacian of the pixel grid.

    Parameters
    ----------
    links
        [N, 2, H, W] or [N, 4, H, W], finite and not negative: weight of the link from pixel (y, x) to its neighbour
        on the right (y, x+1), below (y+1, x) and, with four, at (y+1, x+1) and (y+1, x-1). Entries that leave the
        picture are not looked at. All colours share them.
    target
        [N, C, H, W] float32 or float64. It is not changed.
    start
        First guess, same shape; by default ``target``.
    tolerance
        Largest root mean square error of a colour plane. It is an estimate: links that jump at random over six
        decades were seen to exceed it by half.
    max_steps
        Conjugate gradient steps after which the system is given up.

    Returns
    -------
    Tensor
        [N, C, H, W].

    Raises
    ------
    EngineError
        If ``tolerance`` is not met in ``max_steps`` steps, or a value is not finite.

    Notes
    -----
    Cost: 3 to 10 steps of about 10 sweeps over the picture, up to 10 times more where weights jump by 1e4 from pixel
    to pixel; 7 values of memory per value of target and 12 per pixel. Float32 on the CPU runs in compiled loops on as
    many threads as torch uses; float64, which is there to check against, and other devices in torch operations.
    Float32 bears weights up to 1e5, and a constant comes back bit for bit.

    Examples
    --------
    >>> f = torch.tensor([[[[0.0, 1.0]]]])
    >>> solve_screened_poisson(torch.ones(1, 2, 1, 2), f, tolerance=1e-6)  # u0 + (u0 - u1) = 0, u1 + (u1 - u0) = 1
    tensor([[[[0.3333, 0.6667]]]])
    """
    require_pictures(target, "target")
    require_pictures(links, "links", like=target)
    if start is not None and start.shape != target.shape:
        raise SettingError("start", list(start.shape), f"the shape of the target, {list(target.shape)}")
    if links.shape[1] not in (2, 4):
        raise SettingError("links", list(links.shape), "[N, 2, H, W] or [N, 4, H, W]")
    if not tolerance > 0:
        raise SettingError("tolerance", tolerance, "a number above 0 (1e-3 is usual)")
    target = target.contiguous()
    u = (target if start is None else start).clone(memory_format=torch.contiguous_format)
    if target.device.type != "cpu" or target.dtype == torch.float64:
        return _conjugate_gradients(TorchSweeps(), links, target, u, tolerance, max_steps)
    count = torch.get_num_threads()
    with threads(count) as for_each:
        return _conjugate_gradients(CompiledSweeps(RowWork(for_each, count)), links, target, u, tolerance, max_steps)


def _conjugate_gradients(
    sweeps: Sweeps, links: Tensor, f: Tensor, u: Tensor, tolerance: float, max_steps: int
) -> Tensor:
    """Overwrite u with the solution; every colour plane has its own step length."""
    levels = _build_levels(sweeps, links, f)
    fine, q = levels[0].grid, levels[0].scratch  # the scratch is free between two V-cycles
    r, z, p = torch.empty_like(f), torch.empty_like(f), torch.zeros_like(f)
    sweeps.residual(fine, u, f, r)
    rr, rz = sweeps.dot(r, r), torch.ones_like(f[..., :1, :1])
    tiny = torch.finfo(f.dtype).tiny
    drops: deque[Tensor] = deque(maxlen=_DELAY)  # squared energy norm that each of the last steps took off the error
    for _ in range(max_steps):
        converged = len(drops) == _DELAY and _worst(torch.stack(tuple(drops)).sum(dim=0), f) <= tolerance
        if converged or _worst(rr, f) <= tolerance:
            return u
        _v_cycle(sweeps, levels, 0, r, z)
        rz_before, rz = rz, sweeps.dot(r, z)
        sweeps.turn(rz / rz_before.clamp_min(tiny), z, p)
        sweeps.apply(fine, p, q)
        alpha = rz / sweeps.dot(p, q).clamp_min(tiny)
        rr = sweeps.advance(alpha, p, q, u, r)
        drops.append(alpha * rz)
    raise EngineError(
        f"screened Poisson system: residual {_worst(rr, f):.2g} after {max_steps} steps, wanted {tolerance:g}; "
        "raise the tolerance, or check the picture for values that are not finite"
    )


def _worst(squares: Tensor, plane: Tensor) -> float:
    """Largest root mean square, from the sums of squares of the colour planes."""
    return math.sqrt(float(squares.amax()) / (plane.shape[-2] * plane.shape[-1]))


@dataclass(frozen=True)
class _Level:
    """One grid and room to work in, [N, C, H, W] each."""

    grid: Grid
    scratch: Tensor
    rhs: Tensor  # on the finest grid it and the solution belong to the caller, and these are the scratch
    solution: Tensor
    inverse: Tensor | None = None  # [N, HW, HW] on the coarsest grid


def _v_cycle(sweeps: Sweeps, levels: list[_Level], k: int, rhs: Tensor, out: Tensor) -> None:
    """One symmetric V-cycle from zero: out = M rhs with M symmetric and positive."""
    level = levels[k]
    if level.inverse is not None:
        sweeps.multiply(rhs, level.inverse, out)
        return
    grid, u, v, coarse = level.grid, level.scratch, out, levels[k + 1]
    sweeps.relax_zero(grid, rhs, _OMEGAS[0], u)
    sweeps.relax(grid, u, rhs, _OMEGAS[1], v)
    sweeps.relax(grid, v, rhs, _OMEGAS[2], u)
    sweeps.residual(grid, u, rhs, v)
    sweeps.restrict(grid, v, coarse.rhs)
    _v_cycle(sweeps, levels, k + 1, coarse.rhs, coarse.solution)
    sweeps.add_interpolated(grid, coarse.solution, u)
    sweeps.relax(grid, u, rhs, _OMEGAS[2], v)
    sweeps.relax(grid, v, rhs, _OMEGAS[1], u)
    sweeps.relax(grid, u, rhs, _OMEGAS[0], v)


def _build_levels(sweeps: Sweeps, links: Tensor, like: Tensor) -> list[_Level]:
    grids = sweeps.grids(links, _COARSEST_PIXELS)
    levels = []
    for k, grid in enumerate(grids):
        n, _, h, w = grid.gain.shape
        room = [like.new_empty(n, like.shape[1], h, w) for _ in range(3 if k else 1)]
        levels.append(_Level(grid, room[0], room[-1], room[-2:][0]))
    levels[-1] = replace(levels[-1], inverse=_inverse(sweeps, grids[-1]))
    return levels


def _inverse(sweeps: Sweeps, grid: Grid) -> Tensor:
    n, _, h, w = grid.links.shape
    unit = torch.eye(h * w, dtype=grid.gain.dtype, device=grid.gain.device)
    columns = unit.view(1, h * w, h, w).repeat(n, 1, 1, 1)
    matrix = torch.empty_like(columns)
    sweeps.apply(grid, columns, matrix)
    inverse: Tensor = torch.linalg.inv(matrix.view(n, h * w, h * w))
    return inverse
