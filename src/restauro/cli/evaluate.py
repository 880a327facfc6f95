"""``restauro evaluate``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from restauro.errors import UsageError

if TYPE_CHECKING:
    from restauro.metrics.table import Table

DEFAULT_METRICS = "clean"


def evaluate(
    *,
    restored: str | None = None,
    truth: str | None = None,
    input_: Annotated[str | None, Parameter(name="--input")] = None,
    model: str | None = None,
    recipe: str | None = None,
    root: Annotated[str | None, Parameter(env_var="RESTAURO_DATA")] = None,
    training: int | None = None,
    draws: int = 1,
    in_place: bool = False,
    metrics: str = DEFAULT_METRICS,
    output: Annotated[str | None, Parameter(name=["--output", "-o"])] = None,
    json: bool = False,
) -> int:
    """Score restored pictures against the truth, or a model on the validation pictures of a recipe.

    Examples:

    restauro evaluate --restored out/ --truth originals/ --input degraded/

    restauro evaluate --model desmooth-general --recipe recipes/desmooth-general.toml --root ~/pictures

    Parameters
    ----------
    restored, truth
        Two folders; pictures are matched by name, never by position.
    input_
        A third folder, for the identity row: what the degraded pictures score by themselves.
    model, recipe
        A model (or a .safetensors file) and the recipe whose validation pictures are used.
    root
        The folder that the recipe's picture sets are relative to.
    training
        Score at most so many pictures of each training set of the recipe in place of its validation pictures. A model
        that does much better there has learned them by heart.
    draws
        How often each picture is degraded, by other draws of the recipe's law: the more, the less depends on chance.
    in_place
        A model that moves what it makes of an aligned face back to where it belongs is not to, as it does not in a
        picture.
    metrics
        Names with commas between, for example psnr,ssim,sc; groups: clean, paper, report. docs/metrics.md has them all.
    output
        A .md, .csv, .json or (for folders) .html file, one per picture set; without it Markdown on stdout.
    json
        JSON on stdout.
    """
    names = tuple(one.strip() for one in metrics.split(","))
    if (restored is None) == (model is None):
        raise UsageError("evaluate: wanted either --restored and --truth, or --model and --recipe")
    if training is not None and training < 1:
        raise UsageError(f"--training: found {training}, wanted a number of pictures from 1")
    if draws < 1:
        raise UsageError(f"--draws: found {draws}, wanted a whole number from 1")
    options = (("--training", training is not None), ("--draws", draws > 1), ("--in-place", in_place))
    for option, given in options:
        if restored is not None and given:
            raise UsageError(f"evaluate: found {option} with --restored, wanted it with --model and --recipe")
    if restored is not None:
        if truth is None:
            raise UsageError("evaluate: found --restored without --truth, wanted both folders")
        tables = {"": _folder_table(Path(restored), Path(truth), None if input_ is None else Path(input_), names)}
    else:
        if recipe is None or root is None or model is None:
            raise UsageError("evaluate: found --model without --recipe and --root, wanted all three")
        tables = _model_tables(model, recipe, Path(root), names, training, draws, in_place)
    for name, table in tables.items():
        if restored is not None and truth is not None and output is not None and output.endswith(".html"):
            _put_page(table, Path(restored), Path(truth), Path(output))
        else:
            _put(table, name, output, json)
    return 0


def _folder_table(restored: Path, truth: Path, given: Path | None, metrics: Sequence[str]) -> Table:
    from restauro.metrics.evaluate import evaluate_folders

    command = f"restauro evaluate --restored {restored} --truth {truth}"
    command += f" --input {given}" if given else ""
    command += _metrics_option(metrics)
    return evaluate_folders(restored, truth, given, metrics=metrics, about={"command": command})


def _metrics_option(metrics: Sequence[str]) -> str:
    """What a table's command has to say of its columns: nothing where they are those of the default."""
    return "" if tuple(metrics) == (DEFAULT_METRICS,) else f" --metrics {','.join(metrics)}"


def _put_page(table: Table, restored: Path, truth: Path, output: Path) -> None:
    from restauro.metrics.html import html_page
    from restauro.metrics.matching import match_by_name

    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(html_page(table, match_by_name(restored, truth)[0]), encoding="utf-8")
    sys.stdout.write(f"{output}\n")


def _model_tables(
    model: str, recipe: str, root: Path, metrics: Sequence[str], training: int | None, draws: int, in_place: bool
) -> dict[str, Table]:
    from restauro.models import facts_of, find, load
    from restauro.restore.recentre import held
    from restauro.train.loop import cache_folder
    from restauro.train.recipe import read_recipe
    from restauro.train.validate import score_table, training_sets, validation_sets, whole_picture

    weights = find(model)
    net = held(load(weights)) if in_place else load(weights)
    which = "" if training is None else f" --training {training}"
    which += "" if draws == 1 else f" --draws {draws}"
    which += " --in-place" if in_place else ""
    about = {
        "command": f"restauro evaluate --model {model} --recipe {recipe}{which}{_metrics_option(metrics)}",
        "weights sha256": weights.sha256,
        "training data sha256": weights.metadata.get("data_sha256", "unknown"),
    }
    if training is None:
        sets = validation_sets(read_recipe(recipe), root, cache_folder(), draws)
    else:
        sets = training_sets(read_recipe(recipe), root, cache_folder(), training, draws)
    return {
        one.name: score_table(one, {weights.name: whole_picture(net, facts_of(net))}, about, metrics=metrics)
        for one in sets
    }


def _put(table: Table, name: str, output: str | None, as_json: bool) -> None:
    from restauro.metrics.report import csv_text, json_text, markdown

    writers = {".md": markdown, ".csv": csv_text, ".json": json_text}
    if output is None:
        heading = f"## {name}\n\n" if name and not as_json else ""
        sys.stdout.write(heading + (json_text(table) if as_json else markdown(table)) + "\n")
        return
    path = Path(output)
    if path.suffix not in writers:
        raise UsageError(f"-o: found {output!r}, wanted a name that ends in {', '.join(writers)}")
    if name:
        path = path.with_name(f"{path.stem}.{name}{path.suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(writers[path.suffix](table), encoding="utf-8")
    sys.stdout.write(f"{path}\n")
