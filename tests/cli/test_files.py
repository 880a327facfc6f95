"""The verbs on real files: what a person types, what lies in the folder afterwards, and what the shell is told."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from restauro.cli.main import main

FACE = skimage.data.astronaut()[0:96, 160:256]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(FACE).save("aunt.png")
    return tmp_path


def _pixels(path: str | Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def _exif(path: str) -> dict[int, object]:
    with Image.open(path) as image:
        return dict(image.getexif())


def test_desmooth_writes_beside_the_input(here: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["desmooth", "aunt.png"]) == 0
    assert "aunt.png -> aunt.desmoothed.png" in capsys.readouterr().out
    assert _pixels("aunt.desmoothed.png").shape == FACE.shape
    assert not np.array_equal(_pixels("aunt.desmoothed.png"), FACE)


def test_strength_zero_is_the_input_bit_for_bit(here: Path):
    assert main(["desmooth", "aunt.png", "--strength", "0", "-o", "same.png"]) == 0
    assert np.array_equal(_pixels("same.png"), FACE)


def test_same_input_same_bytes(here: Path):
    for name in ("one.png", "two.png"):
        assert main(["desmooth", "aunt.png", "-o", name]) == 0
    assert Path("one.png").read_bytes() == Path("two.png").read_bytes()


def test_mask_keeps_black_areas(here: Path):
    mask = np.zeros(FACE.shape[:2], np.uint8)
    mask[:, 48:] = 255
    Image.fromarray(mask).save("mask.png")
    assert main(["smooth", "aunt.png", "--mask", "mask.png", "--set", "lam=0.1", "-o", "half.png"]) == 0
    assert np.array_equal(_pixels("half.png")[:, :48], FACE[:, :48])
    assert not np.array_equal(_pixels("half.png")[:, 48:], FACE[:, 48:])


def test_smooth_then_degrade_agree(here: Path):
    assert main(["smooth", "aunt.png", "--method", "l0", "--set", "lam=0.05", "-o", "a.png"]) == 0
    assert main(["degrade", "l0", "aunt.png", "--set", "lam=0.05", "-o", "b.png"]) == 0
    assert np.array_equal(_pixels("a.png"), _pixels("b.png"))


def test_degrade_records_what_was_done(here: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["degrade", "l0", "aunt.png", "--seed", "7", "-o", "b.png", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    record = json.loads(row["notes"][-1])
    assert record["law"] == "l0"
    assert record["seed"] == 7
    assert record["settings"]["lam"] == 0.02
    assert row["seconds"] > 1e-4, "the law's time, not that of handing its result on"


@pytest.mark.parametrize("words", [["--recipe", "noise", "aunt.png"], ["aunt.png", "--recipe", "noise"]])
def test_the_law_may_be_named_by_an_option(here: Path, words: list[str]):
    assert main(["degrade", "noise", "aunt.png", "--seed", "7", "-o", "a.png"]) == 0
    assert main(["degrade", *words, "--seed", "7", "-o", "b.png"]) == 0
    assert np.array_equal(_pixels("a.png"), _pixels("b.png"))


def test_json_says_what_happened_to_each(here: Path, capsys: pytest.CaptureFixture[str]):
    Path("text.jpg").write_text("hello")
    assert main(["smooth", "aunt.png", "text.jpg", "-o", "out", "--json"]) == 1
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["status"] for row in rows] == ["done", "failed"]
    assert "text.jpg" in rows[1]["reason"]
    assert "text.jpg" in err
    assert sorted(p.name for p in Path("out").iterdir()) == ["aunt.png"]


def test_a_folder_is_mirrored_and_one_bad_file_does_not_stop_it(here: Path, capsys: pytest.CaptureFixture[str]):
    album = here / "zdjęcia" / "ñ 图像"
    album.mkdir(parents=True)
    Image.fromarray(FACE).save(album / "#1.png")
    (album / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing")
    (album / "notes.txt").write_text("x")
    assert main(["smooth", "zdjęcia", "-o", "out"]) == 1
    assert [str(p.relative_to("out")) for p in Path("out").rglob("*.*")] == ["ñ 图像/#1.png"]
    out, err = capsys.readouterr()
    assert "notes.txt: skipped" in out
    assert "broken.jpg" in err
    assert "Traceback" not in err


def test_nothing_done_is_2(here: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["smooth", "none.png"]) == 2
    _, err = capsys.readouterr()
    assert err.startswith("restauro: none.png: found no")
    assert err.count("\n") == 1


def test_existing_files_are_kept_unless_forced(here: Path, capsys: pytest.CaptureFixture[str]):
    before = Path("aunt.png").read_bytes()
    assert main(["smooth", "aunt.png", "-o", "aunt.png"]) == 2
    assert "the input itself" in capsys.readouterr().err
    assert Path("aunt.png").read_bytes() == before
    assert main(["smooth", "aunt.png", "-o", "aunt.png", "--force"]) == 0
    assert Path("aunt.png").read_bytes() != before
    assert [p.name for p in here.iterdir()] == ["aunt.png"], "no temporary file is left"


def test_dry_run_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["desmooth", ".", "-o", "out", "--dry-run"]) == 0
    assert "aunt.png -> out/aunt.png" in capsys.readouterr().out
    assert [p.name for p in here.iterdir()] == ["aunt.png"]


def test_streams(here: Path, monkeypatch: pytest.MonkeyPatch):
    class Stream:
        def __init__(self, data: bytes = b""):
            self.buffer = io.BytesIO(data)

        def isatty(self) -> bool:
            return False

        def flush(self) -> None:
            self.buffer.flush()

        def write(self, text: str) -> int:
            raise AssertionError(f"text on stdout among picture bytes: {text!r}")

    out = Stream()
    monkeypatch.setattr(sys, "stdin", Stream(Path("aunt.png").read_bytes()))
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["desmooth", "-"]) == 0
    assert np.asarray(Image.open(io.BytesIO(out.buffer.getvalue()))).shape == FACE.shape


def test_json_and_a_picture_cannot_share_stdout(here: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["desmooth", "aunt.png", "-o", "-", "--json"]) == 2
    assert "wanted one of both" in capsys.readouterr().err


def test_metadata_survives_and_can_be_stripped(here: Path):
    exif = Image.Exif()
    exif[0x010E] = "my aunt"
    Image.fromarray(FACE).save("aunt.jpg", quality=92, subsampling=0, exif=exif, dpi=(300, 300))
    assert main(["smooth", "aunt.jpg"]) == 0
    assert _exif("aunt.smoothed.jpg")[0x010E] == "my aunt"
    assert main(["smooth", "aunt.jpg", "-o", "bare.jpg", "--strip-metadata"]) == 0
    assert 0x010E not in _exif("bare.jpg")


def test_sixteen_bits_stay_sixteen_bits(here: Path):
    wide = (np.linspace(0, 65535, 64 * 64).reshape(64, 64)).astype(np.uint16)
    Image.fromarray(wide).save("wide.png")
    assert main(["desmooth", "wide.png", "--strength", "0", "-o", "same.png"]) == 0
    assert np.array_equal(_pixels("same.png").astype(np.uint16), wide)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 33), (3, 500)])
def test_odd_sizes(here: Path, height: int, width: int):
    Image.fromarray(np.full((height, width, 3), 77, np.uint8)).save("odd.png")
    assert main(["desmooth", "odd.png", "-o", "d.png"]) == 0
    assert main(["smooth", "odd.png", "-o", "s.png"]) == 0
    assert _pixels("d.png").shape == (height, width, 3)
    assert np.array_equal(_pixels("s.png"), _pixels("odd.png")), "a constant picture has no detail to lose"


def test_what_the_target_cannot_hold_is_said(here: Path, capsys: pytest.CaptureFixture[str]):
    Image.fromarray(np.full((32, 32), 30000, np.uint16)).save("wide.png")
    assert main(["smooth", "wide.png", "-o", "narrow.jpg"]) == 0
    assert "note: 16 bit becomes 8 bit" in capsys.readouterr().out


def test_a_fault_of_ours_is_one_line_and_the_rest_goes_on(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    from restauro.cli import files

    def read(source: str, **settings: object) -> object:
        if source == "broken.png":
            raise ZeroDivisionError("division\nby zero")
        return real(source, **settings)

    real = files.read
    monkeypatch.setattr(files, "read", read)
    monkeypatch.delenv("RESTAURO_DEBUG", raising=False)
    assert main(["smooth", "broken.png", "aunt.png", "-o", "out"]) == 1
    out, err = capsys.readouterr()
    assert "aunt.png ->" in out
    assert err.count("\n") == 1
    assert "broken.png: found a fault of this program (ZeroDivisionError: division by zero)" in err
    monkeypatch.setenv("RESTAURO_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main(["smooth", "broken.png", "-o", "out/"])


def test_pictures_of_a_folder_are_degraded_differently_and_again_the_same(
    here: Path, capsys: pytest.CaptureFixture[str]
):
    Image.fromarray(FACE).save("bunt.png")  # the same picture under another name
    for folder in ("one", "two"):
        assert main(["degrade", "noise", "aunt.png", "bunt.png", "--seed", "3", "-o", folder, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [json.loads(row["notes"][-1])["seed"] for row in rows] == [3, 4, 3, 4]
    assert not np.array_equal(_pixels("one/aunt.png"), _pixels("one/bunt.png"))
    assert np.array_equal(_pixels("one/bunt.png"), _pixels("two/bunt.png"))
