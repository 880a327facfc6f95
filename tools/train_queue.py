"""Train recipes one after another inside a number of minutes, and hand over weights in parts and a report.

    python tools/train_queue.py recipes/A.toml recipes/B.toml --root FOLDER --minutes 120 --out FOLDER
    python tools/train_queue.py --join FOLDER

Each recipe trains in RUNS/NAME, from its checkpoint where there is one, with what minutes are left; the next one
follows when it is finished or cannot go on. OUT gets, for each finished recipe, NAME.safetensors in parts of at most
15 MiB with its log, plot, scores and last sheet; with --checkpoints also the checkpoint of each unfinished one.
report.json and report.md say what was done, on what, and the SHA-256 of every whole file; --join puts parts together
again and checks them. Needs torch, numpy, scipy, numba, Pillow, safetensors, pydantic and pyvips, and nothing else.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import shutil
import sys
import time
from pathlib import Path

import torch

from restauro.errors import RestauroError
from restauro.models import find
from restauro.train.loop import Progress, train
from restauro.train.recipe import read_recipe

PART_BYTES = 15 * 2**20


def main() -> int:
    """Parse the arguments; train or join. 1 where a recipe failed or a part is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", type=Path, nargs="*")
    parser.add_argument("--join", type=Path, help="put the parts in this folder together, and do nothing else")
    parser.add_argument("--root", type=Path, help="what the picture sets of the recipes are relative to")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, default=Path("queue"))
    parser.add_argument("--checkpoints", action="store_true", help="hand over checkpoints of unfinished recipes too")
    parser.add_argument("--set", action="append", default=[], help="change a value of every recipe: a.b=c")
    given = parser.parse_args()
    if given.join:
        return join(given.join)
    if not given.recipes or given.root is None:
        parser.error("found no recipes or no --root, wanted both")
    report = work(given.recipes, given.root, given.minutes, given.runs, tuple(given.set))
    given.out.mkdir(parents=True, exist_ok=True)
    for entry in report["recipes"]:
        hand_over(entry, given.runs / entry["name"], given.out, given.checkpoints)
    (given.out / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (given.out / "report.md").write_text(markdown(report), encoding="utf-8")
    print(markdown(report))
    return 1 if any(entry["state"] == "failed" for entry in report["recipes"]) else 0


def work(recipes: list[Path], root: Path, minutes: float, runs: Path, overrides: tuple[str, ...]) -> dict:
    """Train what there is time for; what was done, as JSON-able data."""
    began, entries = time.monotonic(), []
    for path in recipes:
        left = minutes - (time.monotonic() - began) / 60
        entry = {"name": path.stem, "recipe": path.name, "state": "not begun", "iterations": 0, "minutes": 0.0}
        entries.append(entry)
        if left <= 0:
            continue
        started = time.monotonic()
        try:
            recipe = read_recipe(path, overrides)
            entry["name"], entry["of"] = recipe.name, recipe.iterations

            def note(now: Progress, entry: dict = entry) -> None:
                terms = {name: round(value, 6) for name, value in now.terms.items()}
                entry |= {
                    "iterations": now.iteration,
                    "of": now.of,
                    "per_second": round(now.per_second, 2),
                    "terms": terms,
                }

            print(f"{recipe.name}: {left:.0f} minutes at most", file=sys.stderr, flush=True)
            run = runs / recipe.name
            finished = run / f"{recipe.name}.safetensors"
            if not finished.exists():
                made = train(recipe, root=root, run=run, resume=True, minutes=left, on_progress=note)
                entry["state"] = "done" if made else "stopped"
            else:
                entry["state"] = "done before"
            if finished.exists():
                said = find(finished).metadata
                entry["iterations"] = entry["of"] = int(said["iterations"])
                entry["scores"] = json.loads(said.get("scores", "[]"))
        except RestauroError as error:
            entry |= {"state": "failed", "why": str(error)}
        except torch.OutOfMemoryError as error:
            entry |= {"state": "failed", "why": f"out of memory: {str(error).splitlines()[0]}; lower batch"}
        entry["minutes"] = round((time.monotonic() - started) / 60, 2)
    return {"machine": machine(), "minutes given": minutes, "recipes": entries}


def machine() -> dict[str, str]:
    """What it ran on: no name, no path."""
    cuda = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if cuda else f"{platform.machine()}, {torch.get_num_threads()} threads"
    return {"device": device, "torch": torch.__version__, "python": platform.python_version()}


def hand_over(entry: dict, run: Path, out: Path, checkpoints: bool) -> None:
    """Copy a recipe's results into `out`, large files in parts, and note them in its entry."""
    whole = [run / f"{entry['name']}.safetensors"]
    if checkpoints and entry["state"] == "stopped":
        whole.append(run / "checkpoint.pt")
    entry["files"] = [split(path, out / entry["name"]) for path in whole if path.exists()]
    sheets = sorted((run / "samples").glob("*.png"))[-1:]
    scores = sorted(run.glob("scores.*"))
    for path in (run / "log.jsonl", run / "losses.png", *sheets, *scores):
        if path.exists():
            (out / entry["name"]).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, out / entry["name"] / path.name)


def split(path: Path, folder: Path) -> dict:
    """Write a file as NAME.part000 and so on, with a NAME.parts.json that says what the whole is."""
    folder.mkdir(parents=True, exist_ok=True)
    total, size, parts = hashlib.sha256(), 0, []
    with path.open("rb") as file:
        while piece := file.read(PART_BYTES):
            total.update(piece)
            size += len(piece)
            parts.append(f"{path.name}.part{len(parts):03d}")
            (folder / parts[-1]).write_bytes(piece)
    record = {"file": path.name, "bytes": size, "sha256": total.hexdigest(), "parts": parts}
    (folder / f"{path.name}.parts.json").write_text(json.dumps(record) + "\n", encoding="utf-8")
    return record


def join(folder: Path) -> int:
    """Put every split file below `folder` together, beside its parts; 1 where one is not what was split."""
    wrong = 0
    for note in sorted(folder.rglob("*.parts.json")):
        record = json.loads(note.read_text(encoding="utf-8"))
        missing = [name for name in record["parts"] if not (note.parent / name).exists()]
        data = b"" if missing else b"".join((note.parent / name).read_bytes() for name in record["parts"])
        if hashlib.sha256(data).hexdigest() == record["sha256"]:
            (note.parent / record["file"]).write_bytes(data)
            print(note.parent / record["file"])
        else:
            wrong = 1
            found = f"{len(missing)} parts missing" if missing else "other bytes than were split"
            print(f"{note.parent / record['file']}: found {found}; copy the parts again", file=sys.stderr)
    return wrong


def markdown(report: dict) -> str:
    """The report as a table."""
    lines = [
        f"# Training queue: {report['minutes given']:g} minutes on {report['machine']['device']}, "
        f"torch {report['machine']['torch']}",
        "",
        "| recipe | state | iterations | it/s | minutes | losses |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    for entry in report["recipes"]:
        terms = ", ".join(f"{name} {value:.4g}" for name, value in entry.get("terms", {}).items())
        done = f"{entry['iterations']} of {entry.get('of', '?')}"
        cells = [entry["name"], entry["state"], done, entry.get("per_second", ""), entry["minutes"]]
        lines.append("| " + " | ".join(str(cell) for cell in (*cells, entry.get("why", terms))) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
