"""Every recipe of the repository trains: two iterations of two crops on generated pictures, as it stands otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from restauro.errors import ModelError
from restauro.models import build, find, save_weights
from restauro.nets.features import SQUEEZENET11_FILE, features_folder
from restauro.train.loop import train
from restauro.train.recipe import Recipe, read_recipe
from restauro.train.sections import PictureSet

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


def _generate(spec: PictureSet, root: Path, side: int, turn: int) -> None:
    """Two pictures for a set, under names that its globs take, on its list and with inputs where it has them."""
    globs = spec.only or ("*.png",)
    names = [glob.replace("*", f"{turn}{k}") for k, glob in enumerate((globs * 2)[:2])]
    names = [name if name.endswith(".png") else f"{name}.png" for name in names]
    folders = [spec.folder, *([spec.inputs] if spec.inputs else [])]
    for k, name in enumerate(names):
        pixels = np.roll(skimage.data.astronaut()[:side, :side], 37 * turn + 11 * k, axis=1)
        for folder in folders:
            path = root / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    if spec.list:
        listed = root / spec.list
        listed.parent.mkdir(parents=True, exist_ok=True)
        earlier = listed.read_text() if listed.exists() else ""
        listed.write_text(earlier + "".join(f"{name}\n" for name in names))


def _label(recipe: Recipe, spec: PictureSet, root: Path) -> None:
    """A map of every class for each picture of a set, and the class list."""
    assert recipe.labels
    assert spec.labels
    count = int(recipe.model.options["classes"])
    listed = root / recipe.labels.classes
    listed.parent.mkdir(parents=True, exist_ok=True)
    listed.write_text("id,name\n" + "".join(f"{k},class {k}\n" for k in range(count)))
    for path in sorted((root / spec.folder).iterdir()):
        with Image.open(path) as picture:
            ids = np.resize(np.arange(count, dtype=np.uint8).repeat(5), picture.size[::-1])
        target = root / spec.labels / f"{path.stem}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(ids).save(target)


def _overrides(recipe: Recipe, tmp_path: Path) -> tuple[str, ...]:
    # Where a processor cannot multiply in bfloat16, two iterations in it take several times as long.
    changes = ["iterations=2", "batch=2", "accumulate=1", "precision=auto"]
    try:
        there = (features_folder() / SQUEEZENET11_FILE).is_file()
    except ModelError:
        there = False
    if not there:  # these weights are other people's, and not in every clone
        changes += [f"loss.{term}=0" for term in ("features", "lpips") if getattr(recipe.loss, term)]
    if recipe.start:
        start = tmp_path / "start.safetensors"
        model = recipe.model
        save_weights(build(model.architecture, **model.options), start, model.architecture, model.options, {})
        changes.append(f"start={start}")
    return tuple(changes)


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_it_trains(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RESTAURO_CACHE", str(tmp_path / "cache"))
    recipe = read_recipe(path)
    for turn, spec in enumerate((*recipe.data.train, *recipe.data.validation)):
        _generate(spec, tmp_path / "root", recipe.patch_px * min(spec.shrink), turn)
        if recipe.labels:
            _label(recipe, spec, tmp_path / "root")
    made = train(read_recipe(path, _overrides(recipe, tmp_path)), root=tmp_path / "root", run=tmp_path / "run")
    assert made
    assert find(made).metadata["iterations"] == "2"
