"""``restauro renovate`` and ``restauro explain`` through the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from restauro.cli.main import main
from restauro.models import build, save_weights

OPTIONS = {"variant": "ours", "width": 4, "norm": "none", "residual": True}
BOX = "164,60,270,166"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a portrait, a wall and a network that changes pictures."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(skimage.data.astronaut()[0:280, 0:320]).save("aunt.png")
    Image.fromarray(skimage.data.brick()[:96, :96]).save("wall.png")
    torch.manual_seed(0)
    net = build("desmoothgan", **OPTIONS)
    torch.nn.init.normal_(net.head.weight, 0, 0.1)
    save_weights(net, Path("mine.safetensors"), "desmoothgan", OPTIONS, {})


def pixels(name: str) -> np.ndarray:
    return np.asarray(Image.open(name))


def call(verb: str, *argv: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main([verb, *argv, "--model", "mine.safetensors"])
    return code, *capsys.readouterr()


def test_faces_are_told_as_data(capsys: pytest.CaptureFixture[str]):
    argv = ("aunt.png", "--detector", "lbp", "--smallest", "72", "--json")
    code, out, _ = call("renovate", *argv, capsys=capsys)
    row = json.loads(out)
    assert (code, row["status"], row["model"]) == (0, "done", "mine")
    (face,) = row["faces"]
    assert face["detector"] == "lbp"
    assert len(face["box"]) == 4
    assert face["crop_px"] == 256
    assert (pixels("aunt.renovated.png") != pixels("aunt.png")).any()


def test_a_box_and_words_for_people(capsys: pytest.CaptureFixture[str]):
    argv = ("aunt.png", "--faces", BOX, "--detector", "lbp", "--smallest", "72", "-o", "new.png")
    code, out, _ = call("renovate", *argv, capsys=capsys)
    assert code == 0
    assert "note: face 0: box " in out
    assert "renovated at 256 px" in out


def test_no_face_is_skipped_and_said(capsys: pytest.CaptureFixture[str]):
    code, out, _ = call("renovate", "wall.png", "--detector", "lbp", capsys=capsys)
    assert code == 2
    why = "no face of 40 px or more was found in the picture or in a renovated copy (lbp)"
    assert out == f"wall.png: skipped, {why}\n"
    assert not Path("wall.renovated.png").exists()


def test_strength_zero_is_the_input(capsys: pytest.CaptureFixture[str]):
    assert call("renovate", "aunt.png", "--aligned", "--strength", "0", capsys=capsys)[0] == 0
    np.testing.assert_array_equal(pixels("aunt.renovated.png"), pixels("aunt.png"))


def test_historic_writes_a_sheet(capsys: pytest.CaptureFixture[str]):
    code, out, _ = call("renovate", "aunt.png", "--aligned", "--historic", "-o", "sheet.png", capsys=capsys)
    assert code == 0
    assert "NIQE" in out
    assert pixels("sheet.png").shape[1] == 2 * 512 + 12


def test_dry_run_computes_nothing(capsys: pytest.CaptureFixture[str]):
    code, out, _ = call("renovate", "aunt.png", "--dry-run", capsys=capsys)
    assert (code, out) == (0, "aunt.png -> aunt.renovated.png\n")
    assert not Path("aunt.renovated.png").exists()


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("renovate", "aunt.png", "--faces", "biggest"), "faces: found 'biggest'"),
        (("renovate", "aunt.png", "--faces", "9,9,3,3"), "box: found"),
        (("renovate", "aunt.png", "--aligned", "--whole"), "aligned: found it with whole"),
        (("renovate", "aunt.png", "--smallest", "3", "--detector", "lbp"), "smallest_px: found 3"),
        (("explain", "aunt.png", "--layer", "sft.9"), "layer: found 'sft.9', wanted one of sft.0"),
        (("explain", "aunt.png", "--pixel", "middle"), "--pixel: found 'middle'"),
        (("explain", "aunt.png", "--pixel", "5,900"), "pixel: found '5,900'"),
        (("explain", "aunt.png", "--side", "0"), "side_px: found 0"),
    ],
)
def test_bad_requests_are_one_line(argv: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]):
    code, out, err = call(*argv, capsys=capsys)
    assert code == 2
    assert out == ""
    assert says in err
    assert err.startswith("restauro: ")
    assert err.count("\n") == 1


def test_explain_writes_a_figure_and_tells_its_layers(capsys: pytest.CaptureFixture[str]):
    argv = ("aunt.png", "--side", "96", "--pixel", "200,100", "-o", "figure.png", "--json")
    code, out, _ = call("explain", *argv, capsys=capsys)
    row = json.loads(out)
    assert code == 0
    assert row["shown"] == ["sft.3", "attention.3"]
    assert row["pixel"] == [60, 30]
    assert row["layers"][0] == "sft.0"
    assert row["notes"] == ["reduced from 320 x 280 to 96 x 84 px for the figure"]
    assert pixels("figure.png").shape[1] > 1000
