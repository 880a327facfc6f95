"""The scores in the manifest, computed again from the shipped weights and the validation pictures."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from restauro.metrics import psnr, ssim
from restauro.models import MODELS, facts_of, find, load
from restauro.train.recipe import read_recipe
from restauro.train.validate import score_table, validation_sets, whole_picture

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.data
@pytest.mark.parametrize("name", list(MODELS))
def test_manifest_tells_the_truth(name: str, data_root: Path, tmp_path: Path):
    weights = find(name)
    net = load(weights)
    scores = {(score["set"], score["metric"]): score for score in weights.record["scores"]}
    recipe = read_recipe(ROOT / "recipes" / f"{name}.toml")
    root = next((r for r in (data_root, ROOT / "runs") if (r / recipe.data.validation[0].folder).is_dir()), None)
    if root is None:
        pytest.skip(f"the sets of {name} are made by a tool; see the head of its recipe")
    for one in validation_sets(recipe, root, tmp_path):
        methods = {name: whole_picture(net, facts_of(net))}
        table = score_table(one, methods, {}, metrics=(psnr.NAME, ssim.NAME))
        for metric, tolerance in ((psnr.NAME, 0.02), (ssim.NAME, 0.001)):
            gain = table.gain(name, metric)
            assert gain is not None
            assert gain.mean == pytest.approx(scores[one.name, metric]["gain"], abs=tolerance)
            if name.endswith("-realism"):
                assert metric != psnr.NAME or gain.mean >= 0, "not under the input"
                continue
            assert gain.low > 0, "better than the input, with an interval that excludes zero"
        if name.endswith("-realism"):
            continue
        if one.pairs[0].planes:  # a flat painting may be more like the photograph; it is no picture
            over_paint = table.gain(name, psnr.NAME, over="class means")
            assert over_paint is not None
            # Trained with a critic, as realism weights are: it may not be under the best flat painting of the map.
            assert over_paint.mean >= 0, "not under the best flat painting of the map"
            continue
        worn = replace(one, pairs=tuple(pair for pair in one.pairs if (pair.source != pair.truth).any()))
        if len(worn.pairs) < len(one.pairs):  # a picture that met no step has nothing to gain
            table = score_table(worn, methods, {}, metrics=(psnr.NAME, ssim.NAME))
        unsharp = next(row.method for row in table.rows if row.method.startswith("unsharp"))
        for metric in (psnr.NAME, ssim.NAME):
            over_unsharp = table.gain(name, metric, over=unsharp)
            assert over_unsharp is not None
            assert over_unsharp.low > 0, "better than the best unsharp mask of the grid"


def test_every_manifest_entry_is_written_by_the_tool():
    text = (ROOT / "src" / "restauro" / "weights" / "manifest.toml").read_text(encoding="utf-8")
    assert "do not edit by hand" in text.splitlines()[0]
    for name, record in tomllib.loads(text).items():
        recipe = read_recipe(ROOT / record["recipe"])
        assert recipe.name == name
        assert recipe.iterations == record["iterations"]
        assert recipe.terms == record["terms"]
