"""The one loop behind every verb that turns pictures into pictures: read, change, write, report, go on."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from restauro.batch.walk import STREAM, Job, plan
from restauro.cli.options import FileOptions
from restauro.errors import PictureError, UsageError
from restauro.picture import Picture, encode, read, write
from restauro.restore.outcome import Evidence, Failed, Outcome, Restored, Skipped
from restauro.restore.verbs import Progress

Change = Callable[[Picture, Progress], Outcome]


def each_picture(inputs: Sequence[str], files: FileOptions, *, made: str, change: Change) -> int:
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
            _line(f"{job.source}: skipped, {job.skip}" if job.skip else f"{job.source} -> {job.target}")
        return 0
    done = failed = 0
    with _bar(sum(not job.skip for job in jobs)) as advance:
        for job in jobs:
            began = time.perf_counter()
            outcome = _one(job, files, change, advance)
            _report(job, outcome, time.perf_counter() - began, files)
            done += isinstance(outcome, Restored)
            failed += isinstance(outcome, Failed)
    if not done:
        return 2
    return 1 if failed else 0


def classical(name: str, make: Callable[[], Picture], *notes: str) -> Restored:
    """What a filter made, with the little evidence that a filter needs."""
    began = time.perf_counter()
    picture = make()
    return Restored(picture, Evidence(name, None, "cpu", "float32", 1, time.perf_counter() - began, notes))


def _one(job: Job, files: FileOptions, change: Change, advance: Progress) -> Outcome:
    if job.skip:
        return Skipped(job.source, job.skip)
    try:
        _refuse_own_input(job, files)
        picture = read(_input(job), max_pixels=files.max_pixels)
        outcome = change(picture, advance)
        if isinstance(outcome, Restored):
            _put(outcome.picture, job, files)
    except PictureError as error:
        return Failed(job.source, str(error))
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


def _report(job: Job, outcome: Outcome, seconds: float, files: FileOptions) -> None:
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
        _line(json.dumps(row, ensure_ascii=False))
    if not files.json or isinstance(outcome, Failed):
        quiet = isinstance(outcome, Failed) or job.target == STREAM
        _line(text, sys.stderr if quiet else sys.stdout)


def _line(text: str, stream: Any = None) -> None:
    (stream or sys.stdout).write(text + "\n")


@contextmanager
def _bar(pictures: int) -> Iterator[Progress]:
    """A progress bar on a terminal; nothing at all elsewhere."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"tiles ({pictures} picture{'s' * (pictures != 1)})", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
