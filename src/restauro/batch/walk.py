"""From what a person typed (files, folders, globs, ``-``) to a list of jobs, each with one input and one output."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from restauro.errors import UsageError

STREAM = "-"

#: Names with these endings count as pictures when a folder is walked. A file named outright is always tried.
PICTURE_SUFFIXES = frozenset(
    {
        ".png",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".webp",
        ".tif",
        ".tiff",
        ".bmp",
        ".gif",
        ".avif",
        ".heic",
        ".heif",
    }
)


@dataclass(frozen=True)
class Job:
    """One picture to do. ``source`` and ``target`` are paths, or ``-`` for the standard streams.

    ``skip`` is the reason why it is left alone, or empty.
    """

    source: str
    target: str
    skip: str = ""


def plan(inputs: Sequence[str], output: str | None, *, made: str) -> list[Job]:
    """Decide every output before anything is computed.

    Parameters
    ----------
    inputs
        Files, folders (walked, hidden names left out), globs (``**`` allowed), or ``-``.
    output
        A file (for one input), a folder (mirrored below it), ``-``, or None: beside the input, as
        ``<stem>.<made>.<ending>``.
    made
        The word that marks results, for example ``"desmoothed"``; walked files that carry it are skipped.

    Raises
    ------
    UsageError
        No input; a glob or folder without a file; several pictures for one output file; two inputs for one output.

    Examples
    --------
    >>> plan(["aunt.jpg"], None, made="desmoothed")
    [Job(source='aunt.jpg', target='aunt.desmoothed.jpg', skip='')]
    """
    if not inputs:
        raise UsageError("input: found nothing, wanted files, folders, globs or - ; name at least one")
    found = [item for typed in inputs for item in _expand(typed)]
    into_folder = output not in (None, STREAM) and (
        len(found) > 1 or _is_folder(output) or any(Path(i).is_dir() for i in inputs)
    )
    if output == STREAM and len(found) > 1:
        raise UsageError(f"-o -: found {len(found)} pictures, wanted one; name a folder")
    jobs = [_job(source, relative, walked, output, into_folder, made) for source, relative, walked in found]
    _refuse_collisions(jobs)
    return jobs


def _expand(typed: str) -> list[tuple[str, Path, bool]]:
    """(path, path below the folder that was named, found by walking)."""
    if typed == STREAM:
        return [(STREAM, Path("stdin"), False)]
    path = Path(typed)
    if typed.startswith("-") and not path.exists():
        raise UsageError(f"{typed}: found no such option (and no such file), wanted one of those in --help")
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file() and not _hidden(p.relative_to(path)))
        if not files:
            raise UsageError(f"{typed}: found an empty folder, wanted one with pictures")
        return [(str(p), p.relative_to(path), True) for p in files]
    if not path.exists() and glob.has_magic(typed):
        files = sorted(Path(p) for p in glob.glob(typed, recursive=True) if Path(p).is_file())
        if not files:
            raise UsageError(f"{typed}: found no file that matches, wanted at least one")
        return [(str(p), Path(p.name), True) for p in files]
    return [(typed, Path(path.name), False)]


def _job(source: str, relative: Path, walked: bool, output: str | None, into_folder: bool, made: str) -> Job:
    if into_folder and output is not None:
        target = str(Path(output) / (relative if source != STREAM else "stdin.png"))
    elif output is not None:
        target = output
    elif source == STREAM:
        target = STREAM
    else:
        path = Path(source)
        target = str(path.with_name(f"{path.stem}.{made}{path.suffix}"))
    if walked and relative.suffix.lower() not in PICTURE_SUFFIXES:
        return Job(source, target, f"its name does not end like a picture's ({relative.suffix or 'no ending'})")
    if walked and output is None and relative.stem.endswith(f".{made}"):
        return Job(source, target, "it is a result of this verb already")
    return Job(source, target)


def _refuse_collisions(jobs: Sequence[Job]) -> None:
    taken: dict[str, str] = {}
    for job in jobs:
        if job.skip or job.target == STREAM:
            continue
        other = taken.setdefault(job.target, job.source)
        if other != job.source:
            raise UsageError(f"-o: {other} and {job.source} would both become {job.target}; do them one by one")


def _is_folder(output: str | None) -> bool:
    return output is not None and (output.endswith(("/", "\\")) or Path(output).is_dir())


def _hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)
