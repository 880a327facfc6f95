"""``restauro train``."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from restauro.errors import UsageError
from restauro.train.loop import Progress
from restauro.train.loop import train as run_training
from restauro.train.recipe import read_recipe


def train(
    recipe: str,
    *,
    root: Annotated[str | None, Parameter(env_var="RESTAURO_DATA")] = None,
    run: str | None = None,
    resume: bool = False,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", consume_multiple=False)] = (),
    threads: int | None = None,
) -> int:
    """Train a network from a recipe and a folder of pictures.

    Examples:

    restauro train recipes/desmooth-general.toml --root ~/pictures

    restauro train recipes/desmooth-general.toml --root ~/pictures --resume

    Parameters
    ----------
    recipe
        A .toml file; everything that decides the result stands in it.
    root
        The folder that the recipe's picture sets are relative to.
    run
        Folder of this run; without it runs/NAME.
    resume
        Continue from the last checkpoint, to the same weights as an unbroken run.
    set_
        Change a value of the recipe, for example optimiser.lr=0.0003; may be given several times.
    threads
        Threads of torch on the CPU.
    """
    if root is None:
        raise UsageError("--root: found nothing, wanted the folder of the pictures; give it, or set RESTAURO_DATA")
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    settings = read_recipe(recipe, set_)
    weights = run_training(
        settings,
        root=Path(root),
        run=Path(run or f"runs/{settings.name}"),
        resume=resume,
        on_progress=_Ticker(),
        on_data=_tell_data,
    )
    sys.stdout.write(f"{weights}\n")
    return 0


class _Ticker:
    """A line every half minute, or one line that is rewritten on a terminal."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self.every = 0.5 if self.live else 30.0
        self.said = self.began = time.monotonic()
        self.first: int | None = None

    def __call__(self, now: Progress) -> None:
        self.first = now.iteration - 1 if self.first is None else self.first
        clock = time.monotonic()
        if clock - self.said < self.every and now.iteration != now.of:
            return
        self.said = clock
        speed = (now.iteration - self.first) / max(clock - self.began, 1e-9)
        left = (now.of - now.iteration) / speed / 60
        terms = " ".join(f"{name} {value:.4f}" for name, value in now.terms.items())
        text = f"{now.iteration}/{now.of}  {speed:.2f} it/s  {terms}  {left:.0f} min left"
        sys.stderr.write(f"\r\x1b[K{text}" if self.live and now.iteration != now.of else f"{text}\n")


def _tell_data(name: str, done: int, of: int) -> None:
    if done == of:
        sys.stderr.write(f"{name}: {of} pictures\n")
