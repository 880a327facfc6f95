"""The run of a recipe: a look at the pictures, the iterations, a folder of what happened, weights with their scores.

The steps themselves, with losses, critic, AdamW and average, are :mod:`restauro.train.step`. Whatever is random in an
iteration is a function of (seed, iteration, process): batches, degradations, the generator of torch. So the number of
iterations done is all that resuming needs of them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from restauro.errors import DataError
from restauro.train import checkpoint
from restauro.train.batches import batches, first_inputs
from restauro.train.budget import resolved
from restauro.train.check import check_data
from restauro.train.data import PairSet, digest, label_notes, load_pairs
from restauro.train.folder import LOG_EVERY, RunFolder, sample_crops, tensorboard_writer
from restauro.train.parallel import agreed, first_goes_first, own_share
from restauro.train.recipe import Recipe
from restauro.train.step import Training
from restauro.train.validate import score_rows, score_shipped

Told = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Progress:
    """What a progress bar wants to know; ``per_second`` is a running average.

    ``seconds_given`` is what is left of the minutes that :func:`train` was given, or None.
    """

    iteration: int
    of: int
    terms: dict[str, float]
    per_second: float
    seconds_given: float | None = None

    @property
    def seconds_left(self) -> float:
        """Time to the last iteration at this speed."""
        return (self.of - self.iteration) / self.per_second


def train(
    recipe: Recipe,
    *,
    root: Path,
    run: Path,
    resume: bool = False,
    minutes: float | None = None,
    tensorboard: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_data: Told | None = None,
) -> Path | None:
    """Train one network, score it on the recipe's validation pictures, and write its weights.

    Parameters
    ----------
    recipe, root
        What to train, and the folder that the recipe's picture sets are relative to.
    run
        Folder of this run; see :mod:`restauro.train.folder`.
    resume
        Continue from the checkpoint in ``run``, to the same weights as an unbroken run. Without it, a run folder
        that holds a checkpoint is an error.
    minutes
        Stop after this time, with a checkpoint to resume from; None trains to the end. (A recipe's own ``minutes``
        decides how long its schedule is.)
    tensorboard
        Write scalars and sample sheets for TensorBoard too.
    on_progress, on_data
        Called after each iteration; called with (set, pictures loaded, pictures in all).

    Returns
    -------
    Path or None
        The finished weights (averaged, half precision; recipe, data digest and scores in their metadata); None where
        the minutes ran out before.

    Raises
    ------
    UsageError
        ``tensorboard`` without its package.
    DataError
        Wrong or missing data; a checkpoint of another recipe; a checkpoint in the way.
    ModelError
        ``start`` names weights of another network, or a loss wants features whose weights are not there.
    EngineError
        The loss is not finite.
    """
    began, share, kept = time.monotonic(), own_share(), run / "checkpoint.pt"
    writer = tensorboard_writer() if tensorboard else None
    if kept.exists() and not resume:
        raise DataError(f"{kept}: a run is already here; continue it with --resume, or name another folder")
    with first_goes_first():
        sets, held = _data(recipe, root, on_data)
    saved = checkpoint.load(kept) if kept.exists() else None
    recipe = resolved(recipe, saved, sets, share)
    wake = first_inputs(sets, recipe) if recipe.revive and saved is None else None
    state = Training(recipe, share, fresh=saved is None, wake=wake)
    state.notes |= label_notes(sets)
    data_digest = digest(sets)
    if saved is not None:
        state.restore(saved, data_digest)
    folder = RunFolder(run, state.iteration, sample_crops(held), writer) if share.rank == 0 else None
    if folder:
        folder.begin(state.iteration, state.facts())
    stop = None if minutes is None else began + 60 * minutes
    _iterate(sets, state, data_digest, folder, stop, on_progress)
    target = run / f"{recipe.name}.safetensors"
    done = state.iteration >= recipe.iterations
    if folder:
        _keep(folder, state, data_digest)
        if done:
            _finish(folder, state, data_digest, held, target)
        folder.close()
    with first_goes_first():  # so that the weights are there when any process returns
        return target if done else None


def cache_folder() -> Path:
    """Where degraded pictures are kept: RESTAURO_CACHE, or ``runs/cache``."""
    return Path(os.environ.get("RESTAURO_CACHE", "runs/cache"))


def _data(recipe: Recipe, root: Path, on_data: Told | None) -> tuple[list[PairSet], list[PairSet]]:
    """Training and validation pictures, after a look at all of them."""
    check_data(recipe, root).refuse()
    law, cache = recipe.degradation, cache_folder()
    train_sets = [
        load_pairs(
            spec,
            root,
            law,
            cache,
            minimum_px=recipe.patch_px,
            fresh=law.fresh,
            for_training=True,
            labels=recipe.labels,
            progress=on_data,
        )
        for spec in recipe.data.train
    ]
    held = [
        load_pairs(spec, root, law, cache, labels=recipe.labels, progress=on_data) for spec in recipe.data.validation
    ]
    return train_sets, held


def _iterate(
    sets: list[PairSet],
    state: Training,
    data_digest: str,
    folder: RunFolder | None,
    stop: float | None,
    on_progress: Callable[[Progress], None] | None,
) -> None:
    recipe = state.recipe
    saved = shown = last = time.monotonic()
    seconds = 0.0  # of an iteration, running average
    for source, truth in batches(sets, recipe, state.iteration, state.share):
        if stop is not None and agreed(time.monotonic() > stop):
            return
        terms = state.step(source, truth)
        now = time.monotonic()
        seconds = now - last if seconds == 0 else 0.95 * seconds + 0.05 * (now - last)
        last, speed = now, 1 / max(seconds, 1e-9)
        if folder and (state.iteration % LOG_EVERY == 0 or state.iteration == recipe.iterations):
            folder.log({"iteration": state.iteration, "lr": state.lr, "per_second": round(speed, 3), **terms})
        if folder and now - saved > 60 * recipe.checkpoint_minutes:
            checkpoint.save(folder.path / "checkpoint.pt", state.capture(data_digest))
            folder.plot()
            saved = now
        if folder and now - shown > 60 * recipe.sample_minutes:
            folder.show(state.restorer(), state.iteration)
            shown = now
        if on_progress:
            given = None if stop is None else max(0.0, stop - now)
            on_progress(Progress(state.iteration, recipe.iterations, terms, speed, given))


def _keep(folder: RunFolder, state: Training, data_digest: str) -> None:
    checkpoint.save(folder.path / "checkpoint.pt", state.capture(data_digest))
    folder.plot()
    folder.show(state.restorer(), state.iteration)


def _finish(folder: RunFolder, state: Training, data_digest: str, held: list[PairSet], target: Path) -> None:
    """Ship the weights, score the file that was shipped, and write the scores into it."""
    state.ship(target, data_digest)
    tables = score_shipped(target, held, state.device)
    if tables:
        folder.score(tables)
        state.ship(target, data_digest, score_rows(tables, state.recipe.name))
