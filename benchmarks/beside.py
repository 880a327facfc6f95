"""A filter beside its peer on pictures of several sizes: what those benchmarks share.

Such a benchmark is a module with ``CANDIDATES``: two names, ours first, each with a function that makes a picture
[H, W, 3] ready and returns the work, which returns the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

import numpy as np

from benchmarks.harness import Case, compare, in_fresh_process
from benchmarks.inputs import picture, use_threads

Candidates = Mapping[str, Callable[[np.ndarray], Callable[[], np.ndarray]]]


def prepare(module: str, candidate: str, megapixels: float, threads: int) -> Callable[[], None]:
    """Make one candidate ready in a fresh process: loaded, compiled, tried on a small picture."""
    use_threads(threads)
    make = _candidates(module)[candidate]
    make(picture(0))()
    work = make(picture(megapixels))

    def without_result() -> None:
        work()

    return without_result


def cases(module: str, megapixels: Sequence[float], rounds: int, threads: int) -> list[Case]:
    """Compare both on every size: time, memory, and how far the results agree."""
    use_threads(threads)
    return [_case(module, size, rounds, threads) for size in megapixels]


def _case(module: str, megapixels: float, rounds: int, threads: int) -> Case:
    pixels = picture(megapixels)
    works = {name: make(pixels) for name, make in _candidates(module).items()}
    seconds, ratios = compare(works, rounds)
    memory = {}
    for name in works:
        words = {"module": module, "candidate": name, "megapixels": megapixels, "threads": threads}
        memory[name] = in_fresh_process("benchmarks.beside:prepare", words)[1]
    ours, peer = (work().astype(np.float64) for work in works.values())
    agreement_db = float(-10 * np.log10(np.mean((ours - peer) ** 2) + 1e-30))
    height, width, _ = pixels.shape
    return Case(width, height, seconds, ratios, memory, {"agreement, dB": agreement_db})


def _candidates(module: str) -> Candidates:
    candidates: Candidates = import_module(module).CANDIDATES
    return candidates
