"""Every bad input, through the command: one line that names it, a non-zero exit code, nothing written."""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import pyvips
import skimage.data
from PIL import Image

from restauro.cli.main import main

FACE = skimage.data.astronaut()[0:96, 160:256]


def _bytes(kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(FACE).save(out, kind)
    return out.getvalue()


def _tiff(pixels: np.ndarray) -> bytes:
    data: bytes = pyvips.Image.new_from_array(pixels).tiffsave_buffer()
    return data


def _nan() -> bytes:
    pixels = FACE.astype(np.float32) / 255
    pixels[3, 4, 1] = np.nan
    return _tiff(pixels)


def _bomb() -> bytes:
    out = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(out, "PNG")
    return out.getvalue()


BAD: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "empty": ("a.png", lambda: b"", "an empty file"),
    "text": ("a.jpg", lambda: b"dear aunt,\n", "found text"),
    "cut jpeg": ("a.jpg", lambda: _bytes("JPEG")[:-900], "truncated or damaged JPEG"),
    "cut png": ("a.png", lambda: _bytes("PNG")[:-900], "truncated or damaged PNG"),
    "bomb": ("a.png", _bomb, "900.0 megapixels"),
    "nan": ("a.tif", _nan, "not finite"),
    "seven bands": ("a.tif", lambda: _tiff(np.zeros((8, 8, 7), np.uint8)), "7"),
    "complex": ("a.tif", lambda: _tiff(np.zeros((8, 8), np.complex64)), "a.tif: found"),
}


@pytest.mark.parametrize("case", list(BAD))
@pytest.mark.parametrize("verb", ["desmooth", "smooth"])
def test_bad_files(
    case: str, verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    name, make, says = BAD[case]
    Path(name).write_bytes(make())
    assert main([verb, name]) == 2
    _one_line(capfd, name, says)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    assert main(["desmooth", "none.jpg"]) == 2
    _one_line(capfd, "none.jpg", "no such file")


def test_a_folder_as_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(FACE).save("a.png")
    (tmp_path / "folder").mkdir()
    assert main(["desmooth", "a.png", "--mask", "folder"]) == 1
    _one_line(capfd, "folder", "found a directory")


@pytest.mark.parametrize("target", ["a.png/b.png", "a.xyz", "folder"])
def test_unwritable_targets(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(FACE).save("a.png")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.png").mkdir()
    before = sorted(str(p) for p in tmp_path.rglob("*"))
    assert main(["smooth", "a.png", "-o", target]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("restauro: ")
    assert err.count("\n") == 1
    assert sorted(str(p) for p in tmp_path.rglob("*")) == before


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a limit on file sizes")
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")

    def small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    ran = subprocess.run(
        [sys.executable, "-m", "restauro.cli.main", "smooth", "a.png", "--strength", "0", "-o", "b.png"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=small_files_only,
        env={**os.environ, "NUMBA_DISABLE_CACHING": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.startswith("restauro: b.png: found")
    assert ran.stderr.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def _one_line(capfd: pytest.CaptureFixture[str], name: str, says: str) -> None:
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"restauro: {name}: found"), err
    assert says in err
    assert "wanted" in err
    assert err.count("\n") == 1
