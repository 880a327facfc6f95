"""Training throughput of the recipes: whole steps in float32 and bfloat16 side by side, on the device that is there.

    python -m benchmarks.training recipes/desmooth-general.toml --date 2026-11-20

Batches are noise in memory, so that reading and degrading pictures is left out. A recipe whose loss wants feature
weights that are not there is timed without that term, and its row says so. Writes ``training.json`` and
``training.md`` into ``--out``.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import ROOT, Spread, compare, facts, machine
from restauro.errors import ModelError
from restauro.nets.features import SQUEEZENET11_FILE, features_folder
from restauro.train.loop import Training
from restauro.train.recipe import Recipe, read_recipe

QUESTION = "How fast do the recipes train, and what is bfloat16 worth?"
PRECISIONS = ("bfloat16", "float32")  # the first is what ratios are of


def main(words: Sequence[str] | None = None) -> None:
    """Time the recipes that the command line names, or all of the repository."""
    words = sys.argv[1:] if words is None else words
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=QUESTION)
    parser.add_argument("recipes", nargs="*", type=Path, default=sorted((ROOT / "recipes").glob("*.toml")))
    parser.add_argument("--date", required=True, type=lambda text: datetime.date.fromisoformat(text).isoformat())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=machine()["cores"])
    parser.add_argument("--set", action="append", default=[], help="change a value of every recipe: a.b=c")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    given = parser.parse_args(words)
    torch.set_num_threads(given.threads)
    before = facts()
    rows = [row(read_recipe(path, tuple(given.set)), given.rounds) for path in given.recipes]
    report = {
        "benchmark": "training",
        "question": QUESTION,
        "command": shlex.join(["python", "-m", "benchmarks.training", *words]),
        "date": given.date,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else before["machine"]["cpu"],
        "rounds": given.rounds,
        "threads": given.threads,
        "facts": before,
        "rows": rows,
    }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "training.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (given.out / "training.md").write_text(markdown(report), encoding="utf-8")
    print(markdown(report))


def row(recipe: Recipe, rounds: int) -> dict[str, Any]:
    """Time one recipe's steps; pictures per second come from the median."""
    recipe, note = timed_form(recipe)
    source, truth = torch.rand(2, recipe.batch * recipe.accumulate, 3, recipe.patch_px, recipe.patch_px)
    states = {name: Training(recipe.model_copy(update={"precision": name})) for name in PRECISIONS}

    def step(name: str) -> None:
        states[name].step(source, truth)
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    seconds, ratios = compare({name: lambda name=name: step(name) for name in PRECISIONS}, rounds)
    return {
        "recipe": recipe.name,
        "batch": len(source),
        "patch_px": recipe.patch_px,
        "parameters": sum(p.numel() for p in states["float32"].net.parameters()),
        "seconds": {name: asdict(spread) for name, spread in seconds.items()},
        "ratio": asdict(next(iter(ratios.values()))),
        "note": note,
    }


def timed_form(recipe: Recipe) -> tuple[Recipe, str]:
    """The recipe without a feature loss whose weights are not there, and a word about it."""
    try:
        there = (features_folder() / SQUEEZENET11_FILE).is_file()
    except ModelError:
        there = False
    if there or not recipe.loss.features:
        return recipe.model_copy(update={"start": None}), ""
    loss = recipe.loss.model_copy(update={"features": 0.0})
    return recipe.model_copy(update={"loss": loss, "start": None}), "without the feature loss: no weights"


def markdown(report: dict[str, Any]) -> str:
    """The report as a table."""
    lines = [
        f"# {report['benchmark']}",
        "",
        report["question"],
        "",
        "| recipe | parameters | batch | crop | float32, it/s | bfloat16, it/s | float32 / bfloat16 | |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for one in report["rows"]:
        speed = {name: 1 / one["seconds"][name]["median"] for name in PRECISIONS}
        ratio = Spread(**one["ratio"])
        lines.append(
            f"| {one['recipe']} | {one['parameters'] / 1e6:.2f} M | {one['batch']} | {one['patch_px']} px | "
            f"{speed['float32']:.3g} | {speed['bfloat16']:.3g} | "
            f"{ratio.median:.2f} ({ratio.min:.2f} to {ratio.max:.2f}) | {one['note']} |"
        )
    host = report["facts"]["machine"]
    lines += [
        "",
        f"Steps on noise in memory; ratio of seconds within a round, median (range). `{report['command']}`, "
        f"{report['date']}, revision {report['facts']['revision']}; {report['rounds']} rounds, {report['threads']} "
        f"threads; {report['device']}, load {host['load_1min']} before.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
