"""Folders against folders: by name, with everything that was left out, and an identity row."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from restauro.errors import DataError, SettingError
from restauro.metrics import dlib_models
from restauro.metrics.catalogue import CLEAN, METRICS, PAPER, TIME, Setup, find
from restauro.metrics.evaluate import evaluate_folders
from restauro.metrics.matching import match_by_name
from restauro.metrics.report import csv_text, from_json, json_text, markdown
from restauro.metrics.scoreboard import Scoreboard
from tools.make_golden import blur, noise, pictures

CHEAP = ("psnr", "ssim")


def truth_pictures() -> dict[str, np.ndarray]:
    whole = {name: (pictures(f"{name} blur")[0] * 255).round().astype(np.uint8) for name in ("astronaut", "coffee")}
    return {"a": whole["astronaut"][:40, :48], "b": whole["coffee"][:40, :44], "deep/c": whole["coffee"][50:90, :40]}


def save(folder: Path, name: str, pixels: np.ndarray) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path, Path]:
    restored, truth, given = (tmp_path / name for name in ("restored", "truth", "given"))
    for name, pixels in truth_pictures().items():
        save(truth, f"{name}.png", pixels)
        save(restored, f"{name}.bmp", blur(pixels))
        save(given, f"{name}.png", noise(pixels))
    return restored, truth, given


@pytest.fixture(autouse=True)
def _no_features(monkeypatch):
    monkeypatch.delenv("RESTAURO_FEATURES", raising=False)


def test_values_are_those_of_scikit_image_by_name(folders):
    table = evaluate_folders(*folders, metrics=CHEAP, method="blur", about={"command": "a test"})
    for method, change in (("blur", blur), ("identity", noise)):
        row = next(row for row in table.rows if row.method == method)
        assert row.pictures == ("a", "b", "deep/c")
        for name, pixels in truth_pictures().items():
            a, b = pixels / 255, change(pixels) / 255
            assert row.values["psnr:rgb"][name] == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1), rel=1e-6)
            options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
            expected = structural_similarity(a, b, channel_axis=2, data_range=1, **options)
            assert row.values["ssim:gauss11,rgb,valid"][name] == pytest.approx(expected, abs=1e-6)
    assert table.gain("blur", "psnr:rgb").count == 3
    text = markdown(table)
    assert "command: a test" in text
    assert "truth pictures: sha256" in text
    assert from_json(json_text(table)) == table
    assert len(csv_text(table).splitlines()) == 1 + 2 * 3


def test_same_folders_same_bytes(folders):
    first, second = (evaluate_folders(*folders, metrics=CHEAP, seed=3) for _ in range(2))
    assert json_text(first) == json_text(second)


def test_order_of_files_does_not_matter_but_names_do(folders, tmp_path):
    """By position, 'b' would meet 'a' here: one more file stands first in one folder only."""
    restored, truth, _ = folders
    save(restored, "0_extra.png", truth_pictures()["a"])
    (restored / "b.bmp").rename(restored / "z.bmp")
    table = evaluate_folders(restored, truth, metrics=CHEAP)
    row = table.rows[-1]
    assert row.pictures == ("a", "deep/c")
    assert row.skipped == {
        "0_extra": "not among the truth pictures",
        "z": "not among the truth pictures",
        "b": "not among the restored pictures",
    }
    expected = peak_signal_noise_ratio(truth_pictures()["a"], blur(truth_pictures()["a"]))
    assert row.values["psnr:rgb"]["a"] == pytest.approx(expected, rel=1e-6)


def test_unreadable_and_unequal_pictures_are_listed(folders):
    restored, truth, given = folders
    (restored / "a.bmp").write_bytes(b"BM plainly not a picture")
    save(given, "b.png", truth_pictures()["b"][:20])
    table = evaluate_folders(restored, truth, given, metrics=CHEAP)
    row = next(row for row in table.rows if row.method == "restored")
    assert row.pictures == table.identity.pictures == ("deep/c",)
    assert "a.bmp" in row.skipped["a"]
    assert "restored 44x40, truth 44x40, input 44x20 px" in row.skipped["b"]
    assert "skipped: restored, a:" in markdown(table)


def test_without_inputs_the_identity_row_is_empty_and_says_so(folders):
    restored, truth, _ = folders
    table = evaluate_folders(restored, truth, metrics=("psnr", "sc"))
    assert set(table.identity.empty.values()) == {"no folder of inputs was given"}
    assert table.rows[-1].empty == {"sc:l0(0.02),8bit": "needs the input pictures"}
    assert "| identity |  |  |" in markdown(table)


def test_missing_weights_leave_their_column_empty_with_the_reason(folders):
    table = evaluate_folders(*folders, metrics=("psnr", "lpips-squeeze-caffe", "fsd"))
    for row in table.rows:
        assert set(row.empty) == {"lpips-squeeze-caffe", "fsd"}
        assert all("RESTAURO_FEATURES" in reason for reason in row.empty.values())
    assert "lpips-squeeze-caffe" in markdown(table).splitlines()[0]


@pytest.mark.data
def test_metrics_with_weights(folders, monkeypatch, request):
    monkeypatch.undo()
    folder = os.environ.get("RESTAURO_FEATURES")
    if not folder:
        pytest.skip("needs pretrained weights: set RESTAURO_FEATURES to their folder")
    table = evaluate_folders(
        *folders, metrics=("lpips-squeeze-caffe", "fsd", "ksd"), setup=Setup(features=Path(folder))
    )
    same = evaluate_folders(folders[1], folders[1], metrics=("lpips-squeeze-caffe", "fsd"))
    blurred, identity = (next(row for row in table.rows if row.method == m) for m in ("restored", "identity"))
    assert all(value > 0.01 for value in blurred.values["lpips-squeeze-caffe"].values())
    assert blurred.whole_set["fsd"] > 0
    assert identity.whole_set["ksd"] > 0
    assert same.rows[-1].whole_set["fsd"] == pytest.approx(0, abs=1e-6)
    assert max(same.rows[-1].values["lpips-squeeze-caffe"].values()) < 1e-9


def test_a_picture_too_small_for_a_metric_empties_that_column_only(folders):
    table = evaluate_folders(*folders, metrics=("psnr", "ms-ssim"))
    for row in table.rows:
        reason = row.empty["ms-ssim:gauss11,rgb,valid"]
        assert reason.startswith("a: picture")
        assert "48x40 px" in reason
        assert len(row.values["psnr:rgb"]) == 3


def test_every_metric_of_the_catalogue_scores_or_says_why(tmp_path):
    changed, truth = ((x * 255).round().astype(np.uint8) for x in reversed(pictures("coffee blur")))
    for k in range(2):
        save(tmp_path / "t", f"{k}.png", truth[:, k : 200 + k])
        save(tmp_path / "r", f"{k}.png", changed[:, k : 200 + k])
    table = evaluate_folders(tmp_path / "r", tmp_path / "t", tmp_path / "r", metrics=tuple(METRICS))
    row = next(row for row in table.rows if row.method == "restored")
    without = {"lpips-squeeze-caffe", "lpips-squeeze-caffe:corners", "fsd", "fsd:mean-of-2", "ksd", TIME}
    without |= {name for name in METRICS if "dlib" in name and dlib_models.missing()}
    assert set(row.empty) == without
    assert set(row.values) == set(METRICS) - without
    found = {name: row.values[name]["0"] for name in row.values}
    assert found["psnr:rgb"] == pytest.approx(found["psnr:rgb,cap80,jpeg95"], abs=1.5)
    assert found["psnr:rgb"] != found["psnr:rgb,cap80,jpeg95"]
    assert markdown(table)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda r, t: (r / "a.png").write_bytes((t / "a.png").read_bytes()), "both a.bmp and a.png"),
        (lambda r, t: [path.unlink() for path in r.rglob("*.bmp")], "no name that all folders share"),
        (lambda r, t: t.rename(t.with_name("moved")), "no such folder"),
        (lambda r, t: [save(r, f"{n}.bmp", np.zeros((8, 8, 3), np.uint8)) for n in "ab"], "nothing to score"),
    ],
)
def test_folders_that_cannot_be_scored(folders, spoil, says):
    restored, truth, _ = folders
    (restored / "deep" / "c.bmp").unlink()
    spoil(restored, truth)
    with pytest.raises(DataError, match=says):
        evaluate_folders(restored, truth, metrics=CHEAP)


def test_hidden_and_foreign_files_are_passed_over(folders):
    restored, truth, _ = folders
    (restored / "notes.txt").write_text("x")
    (restored / ".thumbnails").mkdir()
    save(restored / ".thumbnails", "a.png", truth_pictures()["a"])
    matches, unmatched = match_by_name(restored, truth)
    assert list(matches) == ["a", "b", "deep/c"]
    assert not unmatched


class TestScoreboard:
    def test_methods_scored_on_different_pictures_are_refused(self):
        board = Scoreboard(CHEAP)
        x = torch.rand(1, 3, 16, 16)
        board.add("identity", "a", x, x)
        board.add("ours", "b", x, x)
        with pytest.raises(DataError, match="other pictures"):
            board.table()

    def test_a_picture_counts_once(self):
        board = Scoreboard(CHEAP)
        x = torch.rand(1, 3, 16, 16)
        board.add("ours", "a", x, x)
        with pytest.raises(SettingError, match="each picture once"):
            board.add("ours", "a", x, x)
        with pytest.raises(SettingError, match="one picture at a time"):
            board.add("ours", "b", x.repeat(2, 1, 1, 1), x.repeat(2, 1, 1, 1))

    def test_a_row_of_skipped_pictures_is_empty_and_says_so(self):
        board = Scoreboard(CHEAP)
        x = torch.rand(1, 3, 16, 16)
        board.add("identity", "a", x, x)
        board.skip("ours", "a", "out of memory")
        text = markdown(board.table())
        assert "no picture could be scored" in text
        assert "skipped: ours, a: out of memory" in text

    def test_time_is_per_megapixel_and_only_of_rows_that_took_some(self):
        board = Scoreboard(("time",))
        x = torch.rand(1, 3, 20, 50)
        board.add("identity", "a", x, x)
        board.add("ours", "a", x, x, seconds=0.003)
        identity, ours = board.table().rows
        assert identity.empty == {TIME: "no time was measured for this row"}
        assert ours.values[TIME] == {"a": pytest.approx(3000)}

    def test_no_metric_is_an_error(self):
        with pytest.raises(SettingError, match="at least one"):
            Scoreboard([])


def test_names_of_metrics():
    assert [m.column.name for m in find(("psnr", "psnr:rgb", "ciede2000"))] == ["psnr:rgb", "ciede2000:d65,mean"]
    assert tuple(m.column.name for m in find(("clean", "paper"))) == CLEAN + PAPER
    with pytest.raises(SettingError, match="ssim:gauss11,rgb,valid"):
        find(("ssim:gauss11",))
    assert "lpips" not in METRICS
    assert "fid" not in METRICS
