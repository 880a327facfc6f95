"""``restauro train``."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from restauro.errors import UsageError
from restauro.models import find

if TYPE_CHECKING:
    from restauro.train.loop import Progress
    from restauro.train.recipe import Recipe


@Parameter(name="*")
@dataclass(frozen=True)
class PairOptions:
    """A model fitted to pairs of a filter of one's own."""

    few_shot: str | None = None
    "Instead of a recipe: a model's name or file, to be fitted to 5 to 50 pairs of a filter of your own."
    truths: Path | None = None
    "With --few-shot: pictures as they were."
    inputs: Path | None = None
    "With --few-shot: the same pictures as the filter left them, under the same names."
    name: str = "personal"
    "With --few-shot: the name of the fitted model."


def train(
    recipe: str | None = None,
    *,
    root: Annotated[str | None, Parameter(env_var="RESTAURO_DATA")] = None,
    run: str | None = None,
    resume: bool = False,
    minutes: float | None = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", consume_multiple=False)] = (),
    threads: int | None = None,
    tensorboard: bool = False,
    pairs: PairOptions = PairOptions(),
) -> int:
    """Train a network from a recipe and a folder of pictures.

    First looks at the pictures, as check-data does. The run's folder gets a log, a plot of the losses, sample sheets
    and checkpoints, and at the end the weights with what they reach on the validation pictures. On several GPUs (or
    CPUs), where each process takes a batch of the recipe's size:

    torchrun --nproc-per-node 4 -m restauro.cli.main -- train RECIPE --root FOLDER

    Examples:

    restauro train recipes/desmooth-general.toml --root ~/pictures

    restauro train recipes/desmooth-general.toml --root ~/pictures --resume

    restauro train mine.toml --root ~/pictures --set minutes=30 --set optimiser.lr=0.0003

    restauro train --few-shot desmooth-general --inputs filtered/ --truths originals/ --name my-camera

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
    minutes
        Stop after this time; --resume goes on from there. To fit the schedule into a time: --set minutes=30.
    set_
        Change a value of the recipe, for example optimiser.lr=0.0003; may be given several times.
    threads
        Threads of torch on the CPU.
    tensorboard
        Write the log and the sheets for TensorBoard too (needs restauro[tensorboard]).
    """
    from restauro.train.loop import train as run_training
    from restauro.train.parallel import joined, own_share

    settings, folder_of_data = _from_pairs(pairs, set_) if pairs.few_shot else _from_recipe(recipe, root, set_)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    folder = Path(run or f"runs/{settings.name}")
    with joined():
        first = own_share().rank == 0
        weights = run_training(
            settings,
            root=folder_of_data,
            run=folder,
            resume=resume,
            minutes=minutes,
            tensorboard=tensorboard,
            on_progress=_Ticker() if first else None,
            on_data=_tell_data if first else None,
        )
    if first:
        _tell_end(weights, folder)
    return 0


def _from_recipe(recipe: str | None, root: str | None, overrides: tuple[str, ...]) -> tuple[Recipe, Path]:
    from restauro.train.recipe import read_recipe

    if recipe is None:
        raise UsageError("train: found no recipe, wanted a .toml file, or --few-shot MODEL with --inputs and --truths")
    if root is None:
        raise UsageError("--root: found nothing, wanted the folder of the pictures; give it, or set RESTAURO_DATA")
    return read_recipe(recipe, overrides), Path(root)


def _from_pairs(pairs: PairOptions, overrides: tuple[str, ...]) -> tuple[Recipe, Path]:
    from restauro.train.few_shot import few_shot_recipe
    from restauro.train.recipe import changed

    if pairs.truths is None or pairs.inputs is None:
        raise UsageError("--few-shot: found no pairs, wanted --inputs and --truths, two folders with the same names")
    recipe, root = few_shot_recipe(find(str(pairs.few_shot)), pairs.truths, pairs.inputs, pairs.name)
    return changed(recipe, overrides), root


def _tell_end(weights: Path | None, folder: Path) -> None:
    if weights:
        sys.stdout.write(f"{weights}\n")
        if (folder / "scores.md").exists():
            sys.stderr.write(f"what it reaches: {folder / 'scores.md'}\n")
    else:
        sys.stderr.write(f"{folder}: stopped after the minutes given; go on with --resume\n")


class _Ticker:
    """A line every half minute, or one line that is rewritten on a terminal."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self.every = 0.5 if self.live else 30.0
        self.said = time.monotonic()

    def __call__(self, now: Progress) -> None:
        clock, last = time.monotonic(), now.iteration == now.of
        if clock - self.said < self.every and not last:
            return
        self.said = clock
        text = progress_line(now)
        sys.stderr.write(f"\r\x1b[K{text}" if self.live and not last else f"{text}\n")


def progress_line(now: Progress) -> str:
    """What is done, how fast, the losses and the time left.

    >>> from restauro.train.loop import Progress
    >>> progress_line(Progress(250, 1000, {"l1": 0.031}, 4.0))
    '#####...............  250/1000  4.00 it/s  l1 0.0310  3:08 left'
    >>> progress_line(Progress(250, 1000, {"l1": 0.031}, 4.0, seconds_given=59.0))
    '#####...............  250/1000  4.00 it/s  l1 0.0310  0:59 until it stops'
    """
    terms = " ".join(f"{name} {value:.4f}" for name, value in now.terms.items())
    filled = 20 * now.iteration // now.of
    bar = "#" * filled + "." * (20 - filled)
    left = f"{_clock(now.seconds_left)} left"
    if now.seconds_given is not None and now.seconds_given < now.seconds_left:
        left = f"{_clock(now.seconds_given)} until it stops"
    return f"{bar}  {now.iteration}/{now.of}  {now.per_second:.2f} it/s  {terms}  {left}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _tell_data(name: str, done: int, of: int) -> None:
    if done == of:
        sys.stderr.write(f"{name}: {of} pictures\n")
