"""``restauro inspect``."""

from __future__ import annotations

import json as json_module
import sys
import time
from typing import TYPE_CHECKING

from restauro.batch.walk import STREAM, Job, plan
from restauro.cli.options import Inputs
from restauro.errors import ModelError, PictureError, RestauroError, surprise
from restauro.picture import read

if TYPE_CHECKING:
    from restauro.restore.inspect.report import Report


def inspect(*inputs: Inputs, json: bool = False, dry_run: bool = False, max_pixels: int = 200_000_000) -> int:
    """Estimate whether pictures were smoothed: by what, how strongly and where.

    It speaks of pixels, with probabilities, and says so when it cannot tell. It says nothing about people.

    Examples:

    restauro inspect portrait.jpg

    restauro inspect album/ --json

    Parameters
    ----------
    inputs
        Files, folders, globs, or - for stdin.
    json
        One JSON object per picture on stdout.
    dry_run
        Name the pictures that would be looked at, and do nothing.
    max_pixels
        Refuse pictures with more pixels than this, before decoding them.
    """
    jobs = plan(inputs, None, made="inspected")
    failed = done = 0
    for job in jobs:
        if dry_run:
            _say(f"{job.source}: skipped, {job.skip}" if job.skip else job.source)
            continue
        began = time.perf_counter()
        report, problem = _one(job, max_pixels)
        done, failed = done + (report is not None), failed + bool(problem)
        if json:
            seconds = round(time.perf_counter() - began, 3)
            _say(json_module.dumps(_row(job, report, problem, seconds), ensure_ascii=False))
        elif report is not None:
            _say(_readable(job.source, report))
        elif not problem:
            _say(f"{job.source}: skipped, {job.skip}")
        if problem:
            sys.stderr.write(f"restauro: {problem}\n")
    if not done and not dry_run:
        return 2
    return 1 if failed else 0


def _one(job: Job, max_pixels: int) -> tuple[Report | None, str]:
    from restauro.restore.inspect.report import inspect as inspect_picture

    if job.skip:
        return None, ""
    try:
        source = sys.stdin.buffer.read() if job.source == STREAM else job.source
        return inspect_picture(read(source, max_pixels=max_pixels)), ""
    except ModelError:
        raise  # no other picture would fare better
    except RestauroError as error:
        return None, str(error) if isinstance(error, PictureError) else f"{job.source}: {error}"
    except Exception as error:  # noqa: BLE001 - a fault of ours must not stop the other pictures
        return None, f"{job.source}: {surprise(error)}"


def _row(job: Job, report: Report | None, problem: str, seconds: float) -> dict[str, object]:
    if report is not None:
        return {"input": job.source, "status": "done", **report.record(), "seconds": seconds}
    if problem:
        return {"input": job.source, "status": "failed", "reason": problem}
    return {"input": job.source, "status": "skipped", "reason": job.skip}


def _readable(name: str, report: Report) -> str:
    lines = [f"{name}: {report.verdict}; {report.reason}"]
    if report.strength is not None:
        s = report.strength
        settings = "".join(f", {key} about {value:.2g}" for key, value in report.settings.items())
        lines.append(f"  strength: {s.value:.2f} of 1, likely {s.low:.2f} to {s.high:.2f}{settings}")
        lines.append(f"  where: {_where(report)}")
    if report.probabilities:
        ranked = sorted(report.probabilities.items(), key=lambda item: -item[1])[:3]
        lines.append("  likeliest: " + ", ".join(f"{family} {100 * chance:.0f} %" for family, chance in ranked))
    if report.suggestion is not None:
        s_ = report.suggestion
        lines.append(f"  try: restauro {s_.verb} {name} --model {s_.model} --strength {s_.strength:g}")
    elif report.verdict == "smoothed":
        lines.append("  try: no shipped model is known to help against this")
    return "\n".join(lines)


def _where(report: Report) -> str:
    """Share of the places, and on which side of the picture they are if they are not all over."""
    import numpy as np

    likely = report.places > 0.5
    count = f"{int(likely.sum())} of {likely.size} places"
    if not likely.any() or likely.mean() > 0.75:
        return count
    rows, columns = np.nonzero(likely)
    height, width = report.places.shape
    down, across = (rows.mean() + 0.5) / height, (columns.mean() + 0.5) / width
    vertical = "upper" if down < 0.4 else "lower" if down > 0.6 else "middle"
    horizontal = "left" if across < 0.4 else "right" if across > 0.6 else "middle"
    place = vertical if vertical == horizontal else f"{vertical} {horizontal}"
    return f"{count}, mostly {place}"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
