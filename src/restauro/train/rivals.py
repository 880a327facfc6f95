"""What tables of networks have in common: which networks there are to score, and what trains those that are missing."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from restauro.models import MODELS, Option, Weights, find


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
