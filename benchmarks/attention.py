"""Full attention in linear time beside a table made in strips and beside torch's own attention, which are exact.

Independent normal f, g, h, one picture, float32; megapixels are those of the feature map: 0.065536 is 256 x 256. The
table is a softmax over some queries at a time, half a MiB of it: of 2^16 to 2^22 numbers the size that suits all maps
(strips that leave the cache take up to eight times as long). torch: ``scaled_dot_product_attention`` with one channel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from benchmarks.harness import Case, compare, in_fresh_process
from benchmarks.inputs import use_threads
from restauro.nets.layers.attend import attend, attention_curve

QUESTION = "How much faster than a table of n x n is full attention in linear time, and what memory does it take?"
MEGAPIXELS = tuple(side**2 / 1e6 for side in (64, 128, 256))
STRIP = 2**17

Work = Callable[[], object]


def maps(side: int) -> tuple[Tensor, Tensor, Tensor]:
    """f, g, h, [1, side * side] each."""
    f, g, h = torch.randn(3, 1, side * side, generator=torch.Generator().manual_seed(0))
    return f, g, h


def table(f: Tensor, g: Tensor, h: Tensor, queries: int | None = None) -> Tensor:
    """The softmax over i, a strip of queries j at a time; all of them, or the first ``queries``."""
    g = g[0, :queries, None]
    y = torch.empty_like(g[:, 0])
    step = max(1, STRIP // f.numel())
    for start in range(0, len(g), step):
        y[start : start + step] = torch.softmax(g[start : start + step] * f, 1) @ h[0]
    return y


def fast(side: int) -> Work:
    """Ours, without gradients."""
    f, g, h = maps(side)
    return lambda: attend(f, g, h)


def fast_with_gradients(side: int) -> Work:
    """Ours, forward and backward."""
    f, g, h = (x.requires_grad_() for x in maps(side))
    upstream = torch.ones_like(f)
    return lambda: torch.autograd.grad(attend(f, g, h), (f, g, h), upstream)


def by_table(side: int) -> Work:
    """The table in strips, without gradients."""
    f, g, h = maps(side)
    return lambda: table(f, g, h)


def by_torch(side: int) -> Work:
    """The attention that torch has, without gradients."""
    q, k, v = (x[:, None, :, None] for x in (maps(side)[i] for i in (1, 0, 2)))
    return lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=1)


CANDIDATES = {
    "linear": fast,
    "linear, with gradients": fast_with_gradients,
    "torch": by_torch,
    "table": by_table,
}


def prepare(candidate: str, side: int, threads: int) -> Work:
    """Make one candidate ready in a fresh process, tried on a small map."""
    use_threads(threads)
    CANDIDATES[candidate](16)()
    work = CANDIDATES[candidate](side)

    def without_result() -> None:
        work()

    return without_result


def cases(megapixels: Sequence[float], rounds: int, threads: int) -> list[Case]:
    """Compare on every size."""
    use_threads(threads)
    return [_case(round((size * 1e6) ** 0.5), rounds, threads) for size in megapixels]


def _case(side: int, rounds: int, threads: int) -> Case:
    seconds, ratios = compare({name: make(side) for name, make in CANDIDATES.items()}, rounds)
    memory = {
        name: in_fresh_process("benchmarks.attention:prepare", {"candidate": name, "side": side, "threads": threads})[1]
        for name in CANDIDATES
    }
    notes = {"terms": _terms(side), "largest error / range of h": _error(side)}
    return Case(side, side, seconds, ratios, memory, notes)


def _terms(side: int) -> int:
    return attention_curve(*maps(side)).coefficients.shape[1]


def _error(side: int, queries: int = 256) -> float:
    """Largest difference to a table in float64, at the first queries."""
    f, g, h = maps(side)
    exact = table(f.double(), g.double(), h.double(), queries)
    return float((attend(f, g, h)[0, :queries] - exact).abs().max() / (h.max() - h.min()))
