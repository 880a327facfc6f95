from __future__ import annotations

from pathlib import Path

import pytest

from restauro.errors import DataError
from restauro.train.recipe import Recipe, read_recipe

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_recipe_of_the_repository_is_valid_and_named_like_its_file(path: Path):
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    train = {(s.folder, s.list) for s in recipe.data.train}
    assert not train & {(s.folder, s.list) for s in recipe.data.validation}, "a list that trains and validates"


def test_resolved_recipe_is_whole_and_reads_back():
    recipe = read_recipe(RECIPES[0])
    assert Recipe.model_validate_json(recipe.to_json()) == recipe
    assert '"warmup":' in recipe.to_json(), "defaults are spelled out"


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("optimiser.lrr=1", r"optimiser\.lrr.*nearest known key: 'lr'"),
        ("itterations=5", r"nearest known key: 'iterations'"),
        ("batch=0", r"batch: found 0"),
        ("precision=half", r"precision: found 'half'"),
        ("nonsense", r"wanted key=value"),
        ("name=1", r"name: found 1"),
    ],
)
def test_mistakes_are_named(override: str, says: str):
    with pytest.raises(DataError, match=says):
        read_recipe(RECIPES[0], (override,))


def test_overrides_are_typed_and_applied_in_order():
    recipe = read_recipe(RECIPES[0], ("iterations=5", "optimiser.lr=1e-3", "iterations=7"))
    assert recipe.iterations == 7
    assert recipe.optimiser.lr == 1e-3


def test_unreadable_files(tmp_path: Path):
    with pytest.raises(DataError, match="No such file"):
        read_recipe(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("a = [")
    with pytest.raises(DataError, match="wanted TOML"):
        read_recipe(tmp_path / "bad.toml")
