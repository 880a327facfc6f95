"""``desmooth`` from a thumbnail to a camera's full picture: time and memory, each size in a fresh process.

The engine is given one memory limit for all sizes. Its promise: memory is the result plus one tile, so that
beyond the result it stays flat while the picture grows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.harness import Case, Spread, in_fresh_process
from benchmarks.inputs import picture, use_threads
from restauro.models import facts_of, load
from restauro.restore.engine import EngineSettings, run

QUESTION = "How long does desmoothing take on the CPU, and does its memory stay flat as the picture grows?"
MEGAPIXELS = (0.25, 1.0, 4.0, 16.0)
MODEL = "desmooth-general"
LIMIT_MIB = 1024


def prepare(model: str, megapixels: float, threads: int, limit_mib: int) -> Callable[[], dict[str, Any]]:
    """Load a model and a picture in a fresh process, and try the model on a small one."""
    use_threads(threads)
    net = load(model)
    facts = facts_of(net)
    settings = EngineSettings(device="cpu", memory_limit=limit_mib * 2**20)
    run(net, facts, picture(0), settings)
    pixels = picture(megapixels)

    def work() -> dict[str, Any]:
        made = run(net, facts, pixels, settings)
        return {
            "tiles": made.tiles,
            "tile, px": made.tile_px,
            "precision": made.precision,
            "result, MiB": made.pixels.nbytes / 2**20,
        }

    return work


def cases(
    megapixels: Sequence[float],
    rounds: int,
    threads: int,
    model: str = MODEL,
    limit_mib: int = LIMIT_MIB,
) -> list[Case]:
    """Run one model on every size."""
    made = []
    for size in megapixels:
        height, width, _ = picture(size).shape
        arguments = {"model": model, "megapixels": size, "threads": threads, "limit_mib": limit_mib}
        seconds, memory, notes = in_fresh_process("benchmarks.desmooth:prepare", arguments, rounds + 1)
        times = {"desmooth": Spread.of(seconds[1:])}  # the first round is not yet warm
        made.append(Case(width, height, times, {}, {"desmooth": memory}, notes | {"limit, MiB": limit_mib}))
    return made
