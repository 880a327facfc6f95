"""What the tools that make tables of networks have in common.

Which networks there are to score, what trains those that are missing, the words of the command line, and what a person
wrote below the numbers.
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from restauro.models import MODELS, Option, Weights, find
from restauro.train.draw import curves

#: The section of a page that is written by hand: what the numbers say, and why they differ from a paper's.
READING = "## How to read this"


def finished(verb: str, runs: Path, pattern: str) -> list[Weights]:
    """Networks of a verb: those that ship, then those that lie finished in a folder of runs under other names.

    >>> [one.name for one in finished("deblur", Path("nowhere"), "*")]
    ['deblur-general']
    """
    shipped = [find(name) for name, spec in MODELS.items() if spec.verb == verb]
    local = [find(path) for path in sorted(runs.glob(f"{pattern}/*.safetensors"))]
    names = {one.name for one in shipped}
    return shipped + [one for one in local if one.name not in names]


def training(
    recipe: str,
    root: Path,
    runs: Path,
    name: str,
    architecture: str,
    options: Mapping[str, Option],
    minutes: float,
    more: Sequence[str] = (),
) -> str:
    """The command that trains a recipe with another network on one thread; one that was broken off goes on.

    ``more`` are further changes of the recipe, ``"key=value"`` each.

    >>> training("a.toml", Path("D"), Path("runs"), "b", "unet", {"width": 8}, 2)
    "restauro train a.toml --root D --run runs/b --resume --threads 1 --set name=b --set ..."
    """
    inline = ", ".join(f"{key} = {json.dumps(value)}" for key, value in options.items())
    changes = (
        f"name={name}",
        f"model.architecture={architecture}",
        f"model.options={{{inline}}}",
        f"minutes={minutes:g}",
        *more,
    )
    words = ["restauro", "train", recipe, "--root", str(root), "--run", str(runs / name), "--resume", "--threads", "1"]
    return shlex.join([*words, *(word for change in changes for word in ("--set", change))])


def table_arguments(
    about: str | None, out: Path, *, pictures: int | None, queue: bool = True
) -> argparse.ArgumentParser:
    """The words that such a tool understands: --root, --runs, --pictures, --out, and --queue where it has one."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="what the picture sets of recipes are relative to")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of trained networks")
    parser.add_argument("--pictures", type=int, default=pictures, help="at most so many, evenly spaced in their list")
    parser.add_argument("--out", type=Path, default=out)
    if queue:
        parser.add_argument("--queue", action="store_true", help="print the trainings that are missing, and do no more")
    return parser


def write_page(path: Path, page: str) -> None:
    """Write a page of numbers, and keep the section :data:`READING` that the file has at its end."""
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    _, title, reading = old.partition(f"\n{READING}")
    path.write_text(page.rstrip() + "\n" + (f"\n{title.lstrip()}{reading}" if title else ""), encoding="utf-8")


def loss_curves(names: Iterable[str], runs: Path, page: Path, term: str = "l1") -> str:
    """Draw one loss term of several runs beside a page, a panel each; the section of the page that shows them."""
    series: dict[str, list[tuple[int, float]]] = {}
    for name in names:
        log = runs / name / "log.jsonl"
        rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.is_file() else []
        points = [(int(row["iteration"]), float(row[term])) for row in rows if term in row]
        if points:
            series[name] = points
    if not series:
        return ""
    target = page.with_name(f"{page.stem}-losses.png")
    curves(series).save(target, optimize=True)
    return f"## Loss curves\n\nThe term `{term}` on training crops, from the logs of the runs.\n\n![]({target.name})\n"
