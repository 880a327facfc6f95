"""`train --few-shot`: from pairs of a user to a personal model, which is the start with low-rank changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from restauro.cli.main import main
from restauro.models import find, load
from restauro.train.few_shot import few_shot_recipe
from restauro.train.loop import train
from tests.train.small import tiny


@pytest.fixture
def start(root: Path, tmp_path: Path) -> Path:
    made = train(tiny(iterations=2), root=root, run=tmp_path / "start")
    assert made is not None
    return made


@pytest.fixture
def pairs(tmp_path: Path) -> tuple[Path, Path]:
    """Six crops of a photograph, and the same ones darker: a filter that no model was trained for."""
    truths, inputs = tmp_path / "pairs" / "truths", tmp_path / "pairs" / "inputs"
    for folder in (truths, inputs):
        folder.mkdir(parents=True)
    for index in range(6):
        crop = skimage.data.astronaut()[64 * index : 64 * index + 64, 200:264]
        Image.fromarray(crop).save(truths / f"{index}.png")
        Image.fromarray((0.7 * crop).astype(np.uint8)).save(inputs / f"{index}.png")
    return truths, inputs


def test_the_command_fits_low_rank_changes(start: Path, pairs: tuple[Path, Path], tmp_path: Path) -> None:
    truths, inputs = pairs
    words = ["train", "--few-shot", str(start), "--truths", str(truths), "--inputs", str(inputs), "--name", "mine"]
    words += ["--run", str(tmp_path / "mine"), "--set", "patch_px=32", "--set", "iterations=80", "--threads", "1"]
    assert main([*words, "--set", "adapt.rank=1", "--set", "optimiser.lr=0.01", "--set", "ema=0.5"]) == 0
    fitted = find(tmp_path / "mine" / "mine.safetensors")
    assert fitted.metadata["start_sha256"] == find(start).sha256
    before, after = load(start), load(fitted)
    x = torch.from_numpy(skimage.data.astronaut()[64:128, 300:364].copy()).permute(2, 0, 1)[None].float() / 255
    errors = [float((net(0.7 * x) - x).abs().mean()) for net in (before, after)]
    assert errors[1] < 0.8 * errors[0]
    changes = [
        (name, new - before.state_dict()[name]) for name, new in after.state_dict().items() if name.endswith("weight")
    ]
    ranks = [int(torch.linalg.matrix_rank(c.flatten(1), rtol=0.05)) for _, c in changes if c.ndim == 4 and c.any()]
    assert ranks
    assert max(ranks) == 1  # up to the rounding to half precision


def test_resumes_to_the_same_bytes(start: Path, pairs: tuple[Path, Path], tmp_path: Path) -> None:
    recipe, folder = few_shot_recipe(find(start), *pairs, "mine", iterations=4)
    recipe = recipe.model_copy(update={"patch_px": 32})
    whole = train(recipe, root=folder, run=tmp_path / "a")
    assert train(recipe, root=folder, run=tmp_path / "b", minutes=0) is None
    resumed = train(recipe, root=folder, run=tmp_path / "b", resume=True)
    assert whole is not None
    assert resumed is not None
    assert whole.read_bytes() == resumed.read_bytes()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], "--inputs and --truths"),
        (["--truths", "nowhere", "--inputs", "nowhere"], "nowhere: found no such folder"),
    ],
)
def test_bad_input_is_one_line(words: list[str], wanted: str, start: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--few-shot", str(start), *words]) in (1, 2)
    assert wanted in capsys.readouterr().err


def test_too_few_pairs(start: Path, pairs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    for path in sorted(pairs[0].iterdir())[4:]:
        path.unlink()
    words = ["train", "--few-shot", str(start), "--truths", str(pairs[0]), "--inputs", str(pairs[1])]
    assert main(words) != 0
    assert "found 4 pictures, wanted at least 5" in capsys.readouterr().err


def test_a_name_that_is_none_is_one_line(
    start: Path, pairs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--few-shot", str(start), "--truths", str(pairs[0]), "--inputs", str(pairs[1])]
    assert main([*words, "--name", "My Camera"]) == 1
    assert "name: found 'My Camera', wanted:" in capsys.readouterr().err
