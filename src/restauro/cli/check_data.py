"""``restauro check-data``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from restauro.errors import UsageError


def check_data(
    recipe: str,
    *,
    root: Annotated[str | None, Parameter(env_var="RESTAURO_DATA")] = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", consume_multiple=False)] = (),
) -> int:
    """Look at the pictures of a recipe before training: what is there, and what to change.

    Prints a line for each picture set, each label histogram and each finding. The exit code is 1 where a finding keeps
    the recipe from training, else 0.

    Example:

    restauro check-data recipes/desmooth-general.toml --root ~/pictures

    Parameters
    ----------
    recipe
        A .toml file.
    root
        The folder that the recipe's picture sets are relative to.
    set_
        Change a value of the recipe, for example patch_px=96; may be given several times.
    """
    from restauro.train.check import check_data as look
    from restauro.train.recipe import read_recipe

    if root is None:
        raise UsageError("--root: found nothing, wanted the folder of the pictures; give it, or set RESTAURO_DATA")
    report = look(read_recipe(recipe, set_), Path(root))
    for one in report.sets:
        sizes = [f"{width}x{height}" for width, height in (one.smallest, one.median, one.largest)]
        described = f"{one.pictures} pictures, {one.mib:.1f} MiB, {sizes[0]} to {sizes[2]}, median {sizes[1]}"
        sys.stdout.write(f"{one.role} {one.name}: {described}\n")
    for summary in report.labels:
        sys.stdout.write(f"{summary}\n")
    for finding in report.findings:
        sys.stdout.write(f"{finding}\n")
    if not report.findings:
        sys.stdout.write("nothing to change\n")
    return 1 if report.errors else 0
