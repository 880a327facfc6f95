"""Run a benchmark: ``python -m benchmarks.run NAME --date 2026-11-20``, from the root of the repository.

Writes ``benchmarks/results/NAME.json`` and ``NAME.md``, and shows the table.
"""

from __future__ import annotations

import argparse
import datetime
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import (
    attention,
    deblur,
    desmooth,
    desmooth_speed,
    filters,
    l0,
    pixelwise,
    renovate,
    rtv,
    sasnet,
    training,
)
from benchmarks.harness import ROOT, Report, facts, machine

BENCHMARKS = {
    "l0": l0,
    "filters": filters,
    "rtv": rtv,
    "desmooth": desmooth,
    "attention": attention,
    "pixelwise": pixelwise,
    "deblur": deblur,
    "training": training,
    "sasnet": sasnet,
    "desmooth-speed": desmooth_speed,
    "renovate": renovate,
}


def main(words: Sequence[str] | None = None) -> None:
    """Run one benchmark as told by the command line."""
    words = sys.argv[1:] if words is None else words
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description="Time and memory by picture size.")
    benchmarks = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, module in BENCHMARKS.items():
        options = benchmarks.add_parser(name, help=module.QUESTION, description=module.QUESTION)
        options.add_argument("--date", required=True, type=_day, help="the day, for the report: 2026-11-20")
        if module is training:
            options.add_argument("--recipes", nargs="+", type=Path, default=training.RECIPES, help="default: all")
        else:
            options.add_argument("--megapixels", nargs="+", type=float, default=module.MEGAPIXELS, metavar="MP")
        rounds = getattr(module, "ROUNDS", 7)
        options.add_argument("--rounds", type=int, default=rounds, help=f"timed rounds per size (default {rounds})")
        options.add_argument("--threads", type=int, default=machine()["cores"], help="default: all usable cores")
        options.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder of the report")
        if module in (sasnet, desmooth_speed, renovate):
            options.add_argument("--model", help="trained weights: a name, or the path of a .safetensors file")
        if module is desmooth:
            options.add_argument("--model", default=desmooth.MODEL, help="a name, or the path of a .safetensors file")
            options.add_argument("--limit-mib", type=int, default=desmooth.LIMIT_MIB, help="the engine's memory limit")
    given = vars(parser.parse_args(words))
    name, date, out = given.pop("name"), given.pop("date"), given.pop("out")
    module, before = BENCHMARKS[name], facts()
    report = Report(
        benchmark=name,
        question=module.QUESTION,
        command=shlex.join(["python", "-m", "benchmarks.run", *words]),
        date=date,
        rounds=given["rounds"],
        threads=given["threads"],
        facts=before,
        cases=module.cases(**given),
    )
    written = report.write(out)
    print(report.to_markdown())
    print("Written:", ", ".join(os.path.relpath(path) for path in written))


def _day(text: str) -> str:
    return datetime.date.fromisoformat(text).isoformat()


if __name__ == "__main__":
    main()
