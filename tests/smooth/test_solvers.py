"""The screened Poisson solver against dense matrices, its two forms against each other, and its promises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor

from restauro.errors import EngineError, SettingError, UsageError
from restauro.smooth.grids import RowWork
from restauro.smooth.solvers import _build_levels, _conjugate_gradients, _v_cycle, solve_screened_poisson
from restauro.smooth.sweeps import CompiledSweeps, Sweeps, TorchSweeps
from restauro.smooth.threads import threads

OFFSETS = ((0, 1), (1, 0), (1, 1), (1, -1))


def dense_matrix(links: np.ndarray) -> np.ndarray:
    """Id + L of links [2 or 4, H, W], link by link."""
    count, h, w = links.shape
    a = np.eye(h * w)
    for k in range(count):
        for y in range(h):
            for x in range(w):
                yy, xx = y + OFFSETS[k][0], x + OFFSETS[k][1]
                if yy < h and 0 <= xx < w:
                    p, q, weight = y * w + x, yy * w + xx, links[k, y, x]
                    a[p, p] += weight
                    a[q, q] += weight
                    a[p, q] -= weight
                    a[q, p] -= weight
    return a


def dense_solution(links: Tensor, f: Tensor) -> Tensor:
    """u [N, C, H, W] by a direct solve."""
    planes = [
        np.linalg.solve(dense_matrix(one.numpy()), target.reshape(target.shape[0], -1).T.numpy()).T
        for one, target in zip(links.double(), f.double(), strict=True)
    ]
    return torch.from_numpy(np.stack(planes)).view(f.shape)


def rms(t: Tensor) -> float:
    return float(t.double().square().mean(dim=(-2, -1)).amax().sqrt())


def system(shape: tuple[int, int, int, int], count: int, jump: float = 1e3) -> tuple[Tensor, Tensor]:
    """Links over six decades below ``jump``, and a picture."""
    g = torch.Generator().manual_seed(7)
    n, _, h, w = shape
    links = jump * 10 ** (-6 * torch.rand(n, count, h, w, generator=g, dtype=torch.float64))
    return links, torch.rand(shape, generator=g, dtype=torch.float64)


@contextmanager
def both_sweeps() -> Iterator[tuple[Sweeps, Sweeps]]:
    with threads(2) as for_each:
        yield CompiledSweeps(RowWork(for_each, 2)), TorchSweeps()


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("shape", [(1, 3, 12, 15), (2, 2, 23, 30), (1, 1, 1, 1), (1, 3, 3, 50), (1, 1, 70, 1)])
def test_equals_the_dense_solution(shape: tuple[int, int, int, int], count: int) -> None:
    links, f = system(shape, count)
    u = solve_screened_poisson(links, f, tolerance=1e-10)
    assert rms(u - dense_solution(links, f)) < 1e-9


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("jump", [1.0, 1e2, 1e4])
def test_keeps_its_tolerance(jump: float, count: int) -> None:
    """The error is estimated; these links, white over six decades, are the worst that was found."""
    links, f = system((1, 3, 33, 30), count, jump)
    exact = dense_solution(links, f)
    for tolerance in (1e-2, 1e-4):
        assert rms(solve_screened_poisson(links, f, tolerance=tolerance) - exact) < 1.6 * tolerance


def test_float32_bears_strong_links() -> None:
    links, f = system((1, 3, 33, 30), 4, 1e5)
    u = solve_screened_poisson(links.float(), f.float(), tolerance=1e-4)
    assert rms(u - dense_solution(links, f)) < 1e-4


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("shape", [(1, 3, 12, 15), (2, 2, 23, 30), (1, 1, 1, 1), (1, 3, 3, 50), (1, 1, 70, 1)])
def test_float32_equals_the_dense_solution(shape: tuple[int, int, int, int], count: int) -> None:
    links, f = system(shape, count)
    u = solve_screened_poisson(links.float(), f.float(), tolerance=1e-4)
    assert u.dtype == torch.float32
    assert rms(u - dense_solution(links, f)) < 1e-4


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("shape", [(2, 2, 23, 30), (1, 1, 34, 17), (1, 2, 1, 300)])
def test_compiled_and_torch_sweeps_agree(shape: tuple[int, int, int, int], count: int) -> None:
    links, f = (t.float() for t in system(shape, count))
    links[0, 0, 0] = 0  # links may be cut
    with both_sweeps() as pair:
        grids = [sweeps.grids(links, 16) for sweeps in pair]
        for one, other in zip(*grids, strict=True):
            for name in ("links", "screening", "gain", "share"):
                torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=1e-5, atol=0)
        solutions = [_conjugate_gradients(sweeps, links, f, f.clone(), 1e-5, 300) for sweeps in pair]
    torch.testing.assert_close(*solutions, rtol=0, atol=1e-4)


def test_the_v_cycle_is_symmetric_and_positive() -> None:
    links, a = system((1, 1, 23, 30), 4)
    b = system((1, 1, 23, 31), 4)[1][..., 1:].contiguous()
    ma, mb = torch.empty_like(a), torch.empty_like(b)
    levels = _build_levels(TorchSweeps(), links, a)
    _v_cycle(TorchSweeps(), levels, 0, a, ma)
    _v_cycle(TorchSweeps(), levels, 0, b, mb)
    assert float((ma * b).sum()) == pytest.approx(float((mb * a).sum()), rel=1e-10)
    assert float((ma * a).sum()) > 0


def test_a_constant_comes_back_bit_for_bit() -> None:
    links, _ = system((1, 3, 30, 20), 4, 1e5)
    f = torch.tensor([0.1, 0.7, 0.0]).view(1, 3, 1, 1).expand(1, 3, 30, 20)
    assert torch.equal(solve_screened_poisson(links.float(), f), f)


def test_the_batch_and_the_threads_change_nothing() -> None:
    links, f = (t.float() for t in system((2, 3, 200, 130), 2))
    links[0] *= 1e-3
    alone = [solve_screened_poisson(links[k : k + 1], f[k : k + 1], tolerance=1e-5) for k in range(2)]
    together = solve_screened_poisson(links, f, tolerance=1e-5)
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-4)
    before = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(solve_screened_poisson(links, f))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_the_start_saves_steps_and_the_target_is_kept() -> None:
    links, f = system((1, 3, 40, 30), 2, 1e4)
    kept = f.clone()
    u = solve_screened_poisson(links, f, tolerance=1e-8)
    assert torch.equal(f, kept)
    again = solve_screened_poisson(links, f, start=u, tolerance=1e-6, max_steps=1)
    assert rms(again - u) < 1e-6
    with pytest.raises(EngineError, match="after 1 steps, wanted 1e-06"):
        solve_screened_poisson(links, f, tolerance=1e-6, max_steps=1)


def test_refuses_what_it_cannot_do() -> None:
    links, f = system((1, 3, 9, 8), 2)
    with pytest.raises(EngineError, match="not finite"):
        solve_screened_poisson(links, torch.full_like(f, torch.nan))
    with pytest.raises(SettingError, match="tolerance"):
        solve_screened_poisson(links, f, tolerance=0)
    with pytest.raises(SettingError, match="links"):
        solve_screened_poisson(links[:, :1], f)
    with pytest.raises(SettingError, match="start"):
        solve_screened_poisson(links, f, start=f[:, :1])
    with pytest.raises(UsageError, match="links"):
        solve_screened_poisson(links[..., 1:], f)
    with pytest.raises(UsageError, match="target"):
        solve_screened_poisson(links, f.half())
