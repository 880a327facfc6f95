"""GoPro's folders, on a look-alike of three scenes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restauro.train.check import check_data
from restauro.train.data import load_pairs
from restauro.train.recipe import read_recipe

TOOL = Path(__file__).parents[2] / "tools" / "make_gopro_recipe.py"
FRAMES = {"train/GOPR0372_07_00": 3, "train/GOPR0374_11_01": 1, "test/GOPR0384_11_00": 2}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Frames of one colour: red counts scenes, green frames; blue is 200 in sharp ones, 100 in blurred ones."""
    for scene, (folder, frames) in enumerate(FRAMES.items()):
        for frame in range(frames):
            for kind, blue in (("sharp", 200), ("blur", 100), ("blur_gamma", 50)):
                path = tmp_path / "GOPRO_Large" / folder / kind / f"{frame + 47:06d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.full((256, 256, 3), (scene * 40, frame * 40, blue), np.uint8)).save(path)
    return tmp_path


def _run(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOL), "GOPRO_Large", "--root", str(root), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("words", "blue"), [((), 100), (("--inputs", "blur_gamma"), 50)])
def test_every_frame_meets_its_own_blur(root: Path, tmp_path: Path, words: tuple[str, ...], blue: int):
    made = _run(root, *words)
    assert made.returncode == 0, made.stderr
    path = tmp_path / "gopro.toml"
    path.write_text(made.stdout)
    recipe = read_recipe(path)
    assert not check_data(recipe, root).errors
    assert [(spec.name, spec.weight) for spec in recipe.data.train] == [("GOPR0372_07_00", 3), ("GOPR0374_11_01", 1)]
    assert [spec.name for spec in recipe.data.validation] == ["GOPR0384_11_00"]
    for spec in (*recipe.data.train, *recipe.data.validation):
        one = load_pairs(spec, root, recipe.degradation, tmp_path / "cache", fresh=True)
        assert one.law is None
        for frame, pair in enumerate(one.pairs):
            assert pair.truth.shape == (128, 128, 3)
            assert pair.truth[0, 0].tolist()[1:] == [frame * 40, 200]
            assert pair.source[0, 0].tolist() == [pair.truth[0, 0, 0], frame * 40, blue]


def test_a_folder_that_is_no_gopro(tmp_path: Path):
    made = _run(tmp_path)
    assert made.returncode == 1
    assert "found no SCENE/sharp" in made.stderr
    assert made.stdout == ""
