from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from restauro.cli.main import main
from restauro.models import build, save_weights


@pytest.fixture
def picture(tmp_path: Path, astronaut_array: np.ndarray) -> Path:
    path = tmp_path / "shaken.png"
    Image.fromarray(np.rint(astronaut_array[:64, :72] * 255).astype(np.uint8)).save(path)
    return path


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    path = tmp_path / "kernel.png"
    Image.fromarray(np.full((1, 5), 200, np.uint8)).save(path)
    return path


def test_with_a_kernel(picture: Path, kernel: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["deblur", str(picture), "--kernel", str(kernel), "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["model"] == "wiener balance=0.01"
    assert "kernel of 5x1 taps" in row["notes"][-1]
    made = picture.with_name("shaken.deblurred.png")
    assert pixels_of(made).shape == (64, 72, 3)
    command = ["deblur", str(picture), "--kernel", str(kernel), "-o", str(picture.with_name("rl.png"))]
    assert main([*command, "--method", "richardson-lucy", "--iterations", "3", "--linear-light"]) == 0
    assert "rl.png" in capsys.readouterr().out
    assert (pixels_of(made) != pixels_of(picture.with_name("rl.png"))).any()


def test_strength_zero_is_the_input(picture: Path, kernel: Path):
    out = picture.with_name("same.png")
    assert main(["deblur", str(picture), "--kernel", str(kernel), "--strength", "0", "-o", str(out)]) == 0
    assert np.array_equal(pixels_of(out), pixels_of(picture))


def test_with_weights_from_a_file(picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    weights, out = tmp_path / "own.safetensors", tmp_path / "out.png"
    options = {"width": 8, "blocks": 1, "norm": "none", "zero_start": True}
    save_weights(build("deblurgan", **options), weights, "deblurgan", options, {})
    assert main(["deblur", str(picture), "--model", str(weights), "-o", str(out)]) == 0
    assert np.array_equal(pixels_of(out), pixels_of(picture))  # starts as the identity
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--method", "wiener"], "found no --kernel beside it"),
        (["--balance", "0.1"], "found no --kernel beside it"),
        (["--kernel", "K", "--model", "desmooth-general"], "found --model and --kernel"),
        (["--kernel", "K", "--iterations", "4"], "add --method richardson-lucy"),
        (["--kernel", "K", "--method", "richardson-lucy", "--balance", "0.1"], "or use --iterations"),
        (["--kernel", "K", "--balance", "0"], "balance: found 0.0, wanted a number from 1e-09"),
        (["--kernel", "none.png"], "kernel none.png: found No such file"),
        (["--model", "desmooth-general"], "is for 'desmooth'"),
    ],
)
def test_bad_usage_is_one_line(
    picture: Path, kernel: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
):
    words = [str(kernel) if word == "K" else word for word in arguments]
    assert main(["deblur", str(picture), *words]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_picture_smaller_than_the_kernel_fails_and_the_rest_go_on(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    np.save(tmp_path / "big.npy", np.eye(31))
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / "small.png")
    command = ["deblur", str(tmp_path / "small.png"), str(picture), "--kernel", str(tmp_path / "big.npy")]
    assert main(command) == 1
    shown = capsys.readouterr()
    assert "small.png: found 20x20 px, wanted at least the kernel's 31x31" in shown.err
    assert "shaken.deblurred.png" in shown.out


def test_without_a_kernel_the_model_that_ships(picture: Path, astronaut_array: np.ndarray):
    blurred = picture.with_name("blurred.png")
    shaken = ndimage.uniform_filter(astronaut_array[:128, :160], (1, 7, 0))
    Image.fromarray(np.rint(shaken * 255).astype(np.uint8)).save(blurred)
    assert main(["deblur", str(blurred)]) == 0
    made = pixels_of(picture.with_name("blurred.deblurred.png"))
    assert made.shape == pixels_of(blurred).shape
    assert np.abs(made.astype(int) - pixels_of(blurred)).max() > 20


def test_a_sharp_picture_comes_back(picture: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["deblur", str(picture), "--json"]) == 0
    assert "no blur found" in json.loads(capsys.readouterr().out)["notes"][0]
    assert np.array_equal(pixels_of(picture.with_name("shaken.deblurred.png")), pixels_of(picture))


def test_dry_run_and_help(picture: Path, kernel: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["deblur", str(picture), "--kernel", str(kernel), "--dry-run"]) == 0
    assert "shaken.deblurred.png" in capsys.readouterr().out
    assert not picture.with_name("shaken.deblurred.png").exists()
    assert main(["deblur", "--help"]) == 0
    assert "restauro deblur shaken.jpg --kernel kernel.png" in capsys.readouterr().out
