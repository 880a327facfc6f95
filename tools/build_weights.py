"""Ship a trained network: score it, put its weights into the package, and write its entry of the manifest.

    .venv/bin/python tools/build_weights.py runs/NAME/NAME.safetensors --root FOLDER

writes src/restauro/weights/NAME.safetensors, which carries its scores in its metadata, its entry in
src/restauro/weights/manifest.toml, and the score tables results/NAME.md and results/NAME.<set>.json. FOLDER is what the
recipe's picture sets are relative to.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from dataclasses import replace
from pathlib import Path

from restauro.metrics.report import json_text, markdown
from restauro.metrics.table import Table
from restauro.models import facts_of, find, load, save_weights
from restauro.train.loop import cache_folder
from restauro.train.recipe import Recipe
from restauro.train.validate import score_rows, score_table, validation_sets, whole_picture

REPOSITORY = Path(__file__).resolve().parent.parent
SHIPPED = REPOSITORY / "src" / "restauro" / "weights"
MANIFEST = SHIPPED / "manifest.toml"
RESULTS = REPOSITORY / "results"
LIMIT = 15 * 2**20


def main() -> None:
    """Parse the two arguments and ship."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--root", type=Path, required=True)
    arguments = parser.parse_args()
    name = arguments.weights.stem
    found = find(arguments.weights)
    if found.bytes > LIMIT:
        raise SystemExit(f"{arguments.weights}: found {found.bytes} bytes, wanted at most {LIMIT}")
    recipe = Recipe.model_validate_json(found.metadata["recipe"])
    net = load(found)
    command = f"restauro evaluate --model {name} --recipe recipes/{name}.toml"
    sets = validation_sets(recipe, arguments.root, cache_folder())
    restore = whole_picture(net, facts_of(net))
    tables = {one.name: score_table(one, {name: restore}, {"command": command}) for one in sets}
    scores = [{**row, "command": command} for row in score_rows(tables, name)]
    notes = {key: value for key, value in found.metadata.items() if key not in ("format", "architecture", "options")}
    target = SHIPPED / f"{name}.safetensors"
    save_weights(net, target, found.architecture, found.options, {**notes, "scores": json.dumps(scores)})
    shipped = find(target)
    about = {"weights sha256": shipped.sha256, "training data sha256": found.metadata["data_sha256"]}
    tables = {one: replace(table, about={**table.about, **about}) for one, table in tables.items()}
    for one, table in tables.items():
        (RESULTS / f"{name}.{one}.json").write_text(json_text(table) + "\n", encoding="utf-8")
    write_results(name, recipe, tables)
    entry = {
        "file": target.name,
        "bytes": shipped.bytes,
        "sha256": shipped.sha256,
        "parameters": sum(p.numel() for p in net.parameters()),
        "recipe": f"recipes/{name}.toml",
        "iterations": int(found.metadata["iterations"]),
        "data": ", ".join(spec.name for spec in recipe.data.train),
        "data_sha256": found.metadata["data_sha256"],
        "terms": recipe.terms,
        "scores": scores,
    }
    write_manifest(name, entry)
    print(f"{name}: {shipped.bytes / 2**20:.1f} MiB, sha256 {shipped.sha256}")


def write_results(name: str, recipe: Recipe, tables: dict[str, Table]) -> None:
    """results/NAME.md: what it is, then a table per validation set."""
    parts = [f"# {name}\n\n{recipe.summary[0].upper()}{recipe.summary[1:]}.\n"]
    parts += [f"## {one}\n\n{markdown(table)}\n" for one, table in tables.items()]
    (RESULTS / f"{name}.md").write_text("\n".join(parts), encoding="utf-8")


def write_manifest(name: str, entry: dict[str, object]) -> None:
    """Replace one entry of the manifest, and leave the others as they are."""
    entries = tomllib.loads(MANIFEST.read_text(encoding="utf-8")) if MANIFEST.exists() else {}
    entries[name] = entry
    lines = ["# Measured facts of the shipped weights. Written by tools/build_weights.py; do not edit by hand."]
    for key in sorted(entries):
        record = entries[key]
        lines += ["", f"[{key}]"]
        lines += [f"{field} = {json.dumps(value)}" for field, value in record.items() if field != "scores"]
        for score in record["scores"]:
            lines += [
                "",
                f"[[{key}.scores]]",
                *(f"{field} = {json.dumps(value)}" for field, value in score.items()),
            ]
    MANIFEST.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
