"""``restauro translate`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restauro.cli.main import main
from tests.restore.test_translate import IDS, weights


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    folder = tmp_path / "maps"
    folder.mkdir()
    Image.fromarray(IDS.astype(np.uint8)).save(folder / "a.png")
    Image.fromarray(IDS[:8].astype(np.uint8)).save(folder / "b.png")
    return folder


def test_a_folder_is_translated_and_told_as_json(maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    words = ["translate", str(maps), "-o", str(out), "--model", str(weights(tmp_path)), "--json", "--device", "cpu"]
    assert main(words) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["status"] for row in rows] == ["done", "done"]
    assert rows[0]["model"] == "asapnet"
    with Image.open(out / "a.png") as made:
        assert (made.size, made.mode) == ((37, 19), "RGB")


def test_unknown_ids_fail_their_map_and_the_others_go_on(
    maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    ids = IDS.astype(np.uint8)
    ids[2, :5] = 12
    Image.fromarray(ids).save(maps / "a.png")
    words = ["translate", str(maps), "-o", str(tmp_path / "out"), "--model", str(weights(tmp_path))]
    assert main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "a.png: found ids that no class has: 12 (5 px), wanted 3 wall, 5 window, 9 door" in line
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.png"]


def test_a_photograph_is_no_label_map(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.jpg")
    assert main(["translate", str(tmp_path / "photo.jpg"), "--model", str(weights(tmp_path))]) == 2
    assert "photo.jpg: found a JPEG picture, wanted a PNG" in capsys.readouterr().err


def test_dry_run_says_and_does_nothing(maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model = str(weights(tmp_path))
    assert main(["translate", str(maps / "a.png"), "--model", model, "--dry-run"]) == 0
    assert capsys.readouterr().out.strip().endswith("a.translated.png")
    assert not list(maps.glob("*.translated.*"))


def test_a_missing_model_and_a_missing_class_list_are_one_line(
    maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["translate", str(maps), "-o", str(tmp_path / "out"), "--model", "none.safetensors"]) == 1
    bare = str(weights(tmp_path, notes=False))
    assert main(["translate", str(maps), "-o", str(tmp_path / "out"), "--model", bare]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "none.safetensors" in first
    assert "--classes FILE" in second
    listed = tmp_path / "c.csv"
    listed.write_text("id,name\n3,a\n5,b\n9,c\n")
    words = ["translate", str(maps), "-o", str(tmp_path / "out"), "--model", bare, "--classes", str(listed)]
    assert main(words) == 0


def test_instance_maps_are_found_by_name(maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model, folder = str(weights(tmp_path, edges=True)), tmp_path / "instances"
    folder.mkdir()
    Image.fromarray((IDS * 100).astype(np.uint16)).save(folder / "a.png")
    words = ["translate", str(maps), "-o", str(tmp_path / "out"), "--model", model, "--instances", str(folder)]
    assert main(words) == 1
    assert "b.png: found no such file, wanted the instance map of that name" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def test_stdin_to_stdout(
    maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
):
    import io
    import sys

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((maps / "a.png").read_bytes())))
    assert main(["translate", "-", "--model", str(weights(tmp_path))]) == 0
    with Image.open(io.BytesIO(capsysbinary.readouterr().out)) as made:
        assert made.size == (37, 19)
