"""The one loop behind every verb that turns pictures into pictures: read, change, write, report, go on."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

from restauro.batch.walk import STREAM, Job, plan
from restauro.cli.options import FileOptions
from restauro.codecs.formats import of_suffix
from restauro.errors import PictureError, RestauroError, UsageError, surprise
from restauro.picture import Picture, encode, losses, read, write
from restauro.restore.outcome import Evidence, Failed, Outcome, Progress, Restored, Skipped

Opened = Callable[[str | bytes, int], Any]  # a path or bytes, and the most pixels allowed, to what Change takes
Change = Callable[[Any, Progress], Outcome]


def _picture(source: str | bytes, max_pixels: int) -> Picture:
    return read(source, max_pixels=max_pixels)


def each_picture(
    inputs: Sequence[str], files: FileOptions, *, made: str, change: Change, opened: Opened = _picture
) -> int:
    """Do every picture; a failure is reported and the rest go on.

    Returns
    -------
    int
        0 all done, 1 some failed, 2 nothing done.
    """
    jobs = plan(inputs, files.output, made=made)
    if files.json and any(job.target == STREAM for job in jobs):
        raise UsageError("--json: found a picture going to stdout too, wanted one of both; name a file with -o")
    if files.dry_run:
        for job in jobs:
            what = f"{job.source}: skipped, {job.skip}" if job.skip else f"{job.source} -> {job.target}"
            sys.stdout.write(what + "\n")
        return 0
    if any(job.source == STREAM or Path(job.source).exists() for job in jobs if not job.skip):
        import_module("restauro.restore.verbs")  # torch: not without something to do, nor on the first picture's clock
    done = failed = 0
    with _Bar(sum(not job.skip for job in jobs)) as bar:
        for job in jobs:
            began = time.perf_counter()
            outcome = _one(job, files, change, opened, bar)
            _report(job, outcome, time.perf_counter() - began, files, bar)
            done += isinstance(outcome, Restored)
            failed += isinstance(outcome, Failed)
    if not done:
        return 2
    return 1 if failed else 0


def classical(name: str, picture: Picture, began: float, *notes: str) -> Restored:
    """What a filter or a law has made since ``began`` (of the clock), with the little evidence that it needs."""
    return Restored(picture, Evidence(name, None, "cpu", "float32", 1, time.perf_counter() - began, notes))


def _one(job: Job, files: FileOptions, change: Change, opened: Opened, bar: _Bar) -> Outcome:
    if job.skip:
        return Skipped(job.source, job.skip)
    bar.begin(job.source)
    try:
        _refuse_own_input(job, files)
        outcome = change(opened(_input(job), files.max_pixels), bar.tiles)
        if isinstance(outcome, Restored):
            lost = losses(outcome.picture, format=_format(job, files))
            _put(outcome.picture, job, files)
            outcome = replace(outcome, evidence=replace(outcome.evidence, notes=(*outcome.evidence.notes, *lost)))
    except PictureError as error:
        return Failed(job.source, str(error))
    except RestauroError:
        raise  # the request itself is wrong: no other picture would fare better
    except Exception as error:  # noqa: BLE001 - a fault of ours must not stop the other pictures
        return Failed(job.source, f"{job.source}: {surprise(error)}")
    finally:
        bar.end()
    return outcome


def _refuse_own_input(job: Job, files: FileOptions) -> None:
    """Say it before computing: the target is there already."""
    if job.target != STREAM and not files.force and Path(job.target).exists():
        same = job.source != STREAM and Path(job.source).exists() and Path(job.target).samefile(job.source)
        what = "the input itself" if same else "a file that exists"
        raise PictureError(job.target, what, "a new file", "name another with -o, or add --force")


def _input(job: Job) -> str | bytes:
    if job.source != STREAM:
        return job.source
    data = sys.stdin.buffer.read()
    if not data:
        raise PictureError("stdin", "nothing", "the bytes of a picture", "pipe a file into it")
    return data


def _format(job: Job, files: FileOptions) -> str | None:
    """The format of the result: asked for, or the target's ending's, or (on a stream) the source's."""
    if files.format is not None or job.target == STREAM:
        return files.format
    return of_suffix(job.target).name


def _put(picture: Picture, job: Job, files: FileOptions) -> None:
    if job.target == STREAM:
        data = encode(picture, format=files.format, quality=files.quality, strip_metadata=files.strip_metadata)
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    parent = Path(job.target).parent
    if files.output is not None:
        try:
            parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PictureError(str(parent), error.strerror or "an error", "a folder", "name another with -o") from None
    write(
        picture,
        job.target,
        format=files.format,
        quality=files.quality,
        strip_metadata=files.strip_metadata,
        force=files.force,
    )


def _report(job: Job, outcome: Outcome, seconds: float, files: FileOptions, bar: _Bar) -> None:
    row: dict[str, Any] = {"input": job.source, "output": job.target}
    match outcome:
        case Restored(picture, evidence):
            row |= {"status": "done", **evidence.record(), "notes": [*picture.source.notes, *evidence.notes]}
            text = f"{job.source} -> {job.target} ({seconds:.1f} s)"
            text += "".join(f"\n  note: {note}" for note in row["notes"])
        case Skipped(_, reason):
            row |= {"status": "skipped", "reason": reason}
            text = f"{job.source}: skipped, {reason}"
        case Failed(_, reason):
            row |= {"status": "failed", "reason": reason}
            text = f"restauro: {reason}"
    if files.json:
        bar.say(json.dumps(row, ensure_ascii=False), sys.stdout)
    if not files.json or isinstance(outcome, Failed):
        quiet = isinstance(outcome, Failed) or job.target == STREAM
        bar.say(text, sys.stderr if quiet else sys.stdout)


class _Bar:
    """A progress bar over pictures (and the tiles of the one at work) on a terminal; nothing at all elsewhere."""

    def __init__(self, pictures: int) -> None:
        self.pictures, self.done = pictures, 0
        self.bar: Any = None
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
            # Redirection would send our own stdout, pictures included, to the terminal.
            self.bar = Progress(
                *columns,
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self.task = self.bar.add_task("", total=pictures)

    def __enter__(self) -> _Bar:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *problem: object) -> None:
        if self.bar:
            self.bar.stop()

    def say(self, text: str, stream: TextIO) -> None:
        """Write a line; on a terminal above the bar."""
        if self.bar and stream.isatty():
            self.bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            stream.write(text + "\n")

    def begin(self, name: str) -> None:
        """A picture is being worked on."""
        if self.bar:
            self.bar.update(self.task, description=f"{self.done + 1}/{self.pictures} {Path(name).name}")

    def tiles(self, done: int, of: int) -> None:
        """So many tiles of the picture at work are done."""
        if self.bar:
            self.bar.update(self.task, completed=self.done + done / max(1, of))

    def end(self) -> None:
        """The picture at work is finished, one way or the other."""
        self.done += 1
        if self.bar:
            self.bar.update(self.task, completed=self.done)
