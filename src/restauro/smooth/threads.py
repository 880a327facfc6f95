"""Splits work over threads without a global pool.

The compiled loops of this folder and scipy.fft release the interpreter lock, so plain threads are enough.
numba's own pools are not used: one of them must not be entered from two threads, the other does not survive a
fork (data loaders, web servers). These threads live for one call and have neither limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

import torch

Item = TypeVar("Item")


class ForEach(Protocol):
    """``for_each(work, items)`` calls ``work`` once per item and returns when all are done."""

    def __call__(self, work: Callable[[Item], object], items: Sequence[Item]) -> None:
        """Call ``work`` on every item."""


@contextmanager
def threads(count: int) -> Iterator[ForEach]:
    """Lend ``count`` threads for the length of a ``with`` block.

    The first error of any item is raised in the caller. One thread, or one item, runs in the caller itself.

    >>> done = []
    >>> with threads(2) as for_each:
    ...     for_each(done.append, range(5))
    >>> sorted(done)
    [0, 1, 2, 3, 4]
    """

    def in_turn(work: Callable[[Item], object], items: Iterable[Item]) -> None:
        for item in items:
            work(item)

    if count == 1:
        yield in_turn
        return
    with ThreadPoolExecutor(count) as pool:

        def spread(work: Callable[[Item], object], items: Sequence[Item]) -> None:
            in_turn(work, items) if len(items) == 1 else list(pool.map(work, items))

        yield spread


def threads_for(values: int) -> int:
    """As many threads as torch uses, but no more than one for 100,000 values: below that they cost more than they do.

    >>> threads_for(99_999)
    1
    """
    return max(1, min(torch.get_num_threads(), values // 100_000))


def spans(length: int, pieces: int) -> list[tuple[int, int]]:
    """Cut 0..length into at most ``pieces`` runs of nearly equal length, none empty.

    >>> spans(10, 3), spans(2, 5)
    ([(0, 4), (4, 8), (8, 10)], [(0, 1), (1, 2)])
    """
    step = -(-length // max(1, min(pieces, length)))
    return [(start, min(start + step, length)) for start in range(0, length, step)]
