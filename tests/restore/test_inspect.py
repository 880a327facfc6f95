from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import astronaut, chelsea, coffee, rocket

import restauro
from restauro.cli.main import main
from restauro.degrade.jpeg import Jpeg
from restauro.degrade.smoothers import Smoother
from restauro.errors import ModelError
from restauro.models import MODELS
from restauro.picture import Picture, from_array, write
from restauro.restore.inspect.classifier import Classifier, load, shipped
from restauro.restore.inspect.features import NAMES
from restauro.restore.inspect.report import FAMILIES, Report, inspect

PHOTOGRAPHS = {
    "astronaut": astronaut()[:320, 60:380],
    "chelsea": chelsea(),
    "coffee": coffee(),
    "rocket": rocket()[:, 100:500],
}
L0 = Smoother("l0", {"lam": 0.02})
GUIDED = Smoother("guided", {"radius_px": 8, "eps": 0.06})


def tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def array(x: torch.Tensor) -> np.ndarray:
    return (x[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)


@pytest.fixture(scope="module")
def reports() -> dict[tuple[str, str], Report]:
    """Every photograph, as it is, as a JPEG, and smoothed in two ways."""
    made = {}
    for name, pixels in PHOTOGRAPHS.items():
        x = tensor(pixels)
        versions = {"original": x, "jpeg": Jpeg(85)(x), "l0": L0(x), "guided": GUIDED(x)}
        made |= {(name, how): inspect(from_array(array(y))) for how, y in versions.items()}
    return made


def test_originals_are_not_called_smoothed(reports: dict[tuple[str, str], Report]):
    for (name, how), report in reports.items():
        if how in ("original", "jpeg"):
            assert report.verdict != "smoothed", (name, how, report.reason)
            assert report.strength is None
            assert report.suggestion is None


def test_l0_is_found_and_named(reports: dict[tuple[str, str], Report]):
    found = [report for (_, how), report in reports.items() if how == "l0"]
    assert all(report.verdict == "smoothed" for report in found)
    assert sum(report.family == "l0" for report in found) >= 3
    assert np.mean([report.strength.value for report in found]) == pytest.approx(0.865, abs=0.25)
    assert all(report.strength.low <= report.strength.value <= report.strength.high for report in found)
    named = [report for report in found if report.family == "l0"]
    assert 0.005 < np.median([report.settings["lam"] for report in named]) <= 0.03


def test_guided_is_found_more_often_than_not(reports: dict[tuple[str, str], Report]):
    found = [report for (_, how), report in reports.items() if how == "guided"]
    assert sum(report.verdict == "smoothed" for report in found) >= 3
    assert sum(report.verdict == "not smoothed" for report in found) <= 1


def test_probabilities_are_probabilities(reports: dict[tuple[str, str], Report]):
    for report in reports.values():
        assert set(report.probabilities) == set(FAMILIES)
        assert sum(report.probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert report.places.shape == (len(report.tops), len(report.lefts))
        assert 0 <= report.places.min() <= report.places.max() <= 1
        assert json.loads(json.dumps(report.record())) == report.record()


def test_what_is_suggested_can_be_run(reports: dict[tuple[str, str], Report]):
    suggested = [report.suggestion for report in reports.values() if report.suggestion]
    assert suggested
    for suggestion in suggested:
        assert MODELS[suggestion.model].verb == suggestion.verb == "desmooth"
        assert 0 < suggestion.strength <= 1
    assert reports["astronaut", "l0"].suggestion is not None


def test_places_tell_where(reports: dict[tuple[str, str], Report]):
    pixels = PHOTOGRAPHS["astronaut"].copy()
    pixels[:, 160:] = array(L0(tensor(pixels)))[:, 160:]
    change = inspect(from_array(pixels)).places - reports["astronaut", "original"].places
    assert change[:, 3:].mean() > change[:, :2].mean() + 0.3


def test_grey_deep_and_large_pictures_and_twice_the_same():
    pixels = PHOTOGRAPHS["astronaut"]
    grey = inspect(from_array(pixels[..., 0]))
    assert grey.verdict != "smoothed"
    deep = inspect(from_array(pixels.astype(np.uint16) * 257))
    plain = inspect(from_array(pixels))
    assert deep.probabilities == plain.probabilities
    assert deep.record() == inspect(from_array(pixels)).record()
    large = inspect(from_array(np.tile(PHOTOGRAPHS["coffee"], (2, 2, 1))))
    assert large.places.shape == (10, 10)


@pytest.mark.parametrize(
    ("pixels", "why"),
    [
        (np.zeros((1, 1, 3), np.uint8), "too small: found 0 places"),
        (PHOTOGRAPHS["coffee"][:127, :127], "too small: found 1 places"),
        (np.full((300, 300, 3), 200, np.uint8), "next to nothing to see"),
    ],
)
def test_it_says_when_it_cannot_tell(pixels: np.ndarray, why: str):
    report = inspect(from_array(pixels))
    assert report.verdict == "cannot tell"
    assert report.reason.startswith(why)
    assert report.probabilities == {}
    assert report.smoothed is None
    json.dumps(report.record())


def test_verdicts_follow_the_thresholds():
    judge = Classifier({}, {"smoothed_from": 0.9, "untouched_to": 0.4}, "")
    assert [judge.verdict(p) for p in (0.1, 0.4, 0.5, 0.89, 0.9, 1)] == [
        *["not smoothed"] * 2,
        *["cannot tell"] * 2,
        *["smoothed"] * 2,
    ]
    assert shipped().decided["smoothed_from"] >= 0.6


def test_another_file_is_refused(tmp_path: Path):
    from safetensors.numpy import save

    other = tmp_path / "x.safetensors"
    with pytest.raises(ModelError, match=r"found .*No such file"):
        load(other)
    other.write_bytes(b"no weights")
    with pytest.raises(ModelError, match="wanted the classifier"):
        load(other)
    other.write_bytes(save({"a": np.zeros(2)}, metadata={"format": "restauro-inspect-1", "features": NAMES[0]}))
    with pytest.raises(ModelError, match="another classifier"):
        load(other)


def test_by_name():
    assert restauro.inspect is inspect


@pytest.fixture
def album(tmp_path: Path) -> Path:
    pictures: dict[str, Picture] = {
        "flat.png": from_array(array(L0(tensor(PHOTOGRAPHS["astronaut"])))),
        "plain.png": from_array(PHOTOGRAPHS["astronaut"]),
    }
    for name, picture in pictures.items():
        write(picture, tmp_path / name)
    return tmp_path


def test_the_command(album: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["inspect", str(album)]) == 0
    said = capsys.readouterr().out
    assert "flat.png: smoothed" in said
    assert "plain.png: smoothed" not in said
    assert "restauro desmooth" in said
    assert "strength: " in said


def test_the_command_as_json_and_a_bad_file(album: Path, capsys: pytest.CaptureFixture[str]):
    (album / "bad.png").write_bytes(b"no picture")
    assert main(["inspect", str(album), "--json"]) == 1
    out, err = capsys.readouterr()
    rows = {Path(row["input"]).name: row for row in map(json.loads, out.splitlines())}
    assert rows["bad.png"]["status"] == "failed"
    assert rows["flat.png"]["verdict"] == "smoothed"
    assert len(rows["flat.png"]["places"]["smoothed"]) == 5
    assert err.startswith("restauro: ")
    assert "bad.png" in err
    assert main(["inspect", str(album / "bad.png")]) == 2


def test_the_command_dry(album: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["inspect", str(album / "plain.png"), "--dry-run"]) == 0
    assert capsys.readouterr().out == f"{album / 'plain.png'}\n"
    assert main(["inspect"]) == 2
    assert main(["inspect", "--help"]) == 0
    assert "album/ --json" in capsys.readouterr().out
