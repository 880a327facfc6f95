from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from skimage.filters import unsharp_mask

from restauro.cli import main as cli
from restauro.errors import DataError, SettingError
from restauro.metrics.report import from_json, json_text, markdown
from restauro.metrics.table import IDENTITY
from restauro.models import save_weights
from restauro.nets.residual_unet import ResidualUNet
from restauro.train.data import Pair, PairSet, load_pairs
from restauro.train.loop import train
from restauro.train.recipe import read_recipe
from restauro.train.sections import DegradationSection, PictureSet
from restauro.train.validate import score_table, unsharp


@pytest.fixture
def pairs() -> PairSet:
    truth = skimage.data.astronaut()[:64, :64]
    made = []
    for k in range(3):
        one = np.ascontiguousarray(np.roll(truth, 7 * k, axis=1))
        blurred = np.rint((one.astype(float) + np.roll(one, 1, 0) + np.roll(one, 1, 1)) / 3).astype(np.uint8)
        made.append(Pair(f"{k}", hashlib.sha256(one.tobytes()).hexdigest(), blurred, one))
    return PairSet("v", 1.0, tuple(made))


def test_table_holds_identity_unsharp_and_the_method(pairs: PairSet):
    table = score_table(pairs, {"perfect": lambda x: x * 0 + 0.5}, {"command": "test"})
    assert table.rows[0].method == IDENTITY
    assert table.rows[1].method.startswith("unsharp sigma=")
    gain = table.gain("perfect", "psnr:rgb")
    assert gain is not None
    assert gain.mean < 0, "grey is worse than the blurred picture, and the table says so"


def test_a_method_that_gives_back_the_input_scores_like_the_identity(pairs: PairSet):
    table = score_table(pairs, {"copy": lambda x: x}, {})
    gain = table.gain("copy", "ssim:gauss11,rgb,valid")
    assert gain is not None
    assert gain.mean == gain.low == gain.high == 0


def test_training_pictures_are_scored_where_they_are_asked_for(
    recipe: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    weights = train(read_recipe(recipe), root=root, run=tmp_path / "run")
    words = ["evaluate", "--model", str(weights), "--recipe", str(recipe), "--root", str(root), "--json"]
    assert cli.main([*words, "--training", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["about"]["set"] == "t-training"
    assert "--training 2" in found["about"]["command"]
    scored = found["rows"][0]["values"]["psnr:rgb"]
    assert list(scored) == ["0.png", "2.png"], "evenly spaced, the first and the last"
    for wrong in ([*words, "--training", "0"], ["evaluate", "--restored", ".", "--truth", ".", "--training", "2"]):
        assert cli.main(wrong) != 0
        assert "--training" in capsys.readouterr().err


def test_draws_are_means_over_all_and_intervals_over_pictures(root: Path, tmp_path: Path):
    spec = PictureSet(name="v", folder="pictures")
    law = DegradationSection(law="noise")
    once, often = (load_pairs(spec, root, law, tmp_path, draws=draws) for draws in (1, 3))
    assert [pair.name for pair in often.pairs[:4]] == ["0.png", "0.png #2", "0.png #3", "1.png"]
    for k, pair in enumerate(once.pairs):
        assert np.array_equal(pair.source, often.pairs[3 * k].source), "the first draw is the one that always was"
    assert len({pair.source.tobytes() for pair in often.pairs}) == len(often.pairs)
    table = score_table(often, {"ours": lambda x: x / 2}, {}, metrics=("psnr",))
    values = table.rows[0].values["psnr:rgb"]
    found = table.interval(IDENTITY, "psnr:rgb")
    assert found is not None
    assert found.mean == pytest.approx(np.mean(list(values.values())))
    assert found.count == len(often.pairs)
    words = markdown(table)
    assert f"{len(once.pairs)} pictures. Mean over pictures and 3 draws of each" in words
    assert from_json(json_text(table)) == table


def test_draws_are_refused_where_nothing_is_drawn(
    recipe: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    paired = PictureSet(name="p", folder="pictures", inputs="pictures")
    with pytest.raises(DataError, match="found 2 draws"):
        load_pairs(paired, root, DegradationSection(), tmp_path, draws=2)
    fixed = DegradationSection(law="jpeg", settings={"severity": 1.0})
    with pytest.raises(DataError, match="the law 'jpeg' draws nothing"):
        load_pairs(PictureSet(name="v", folder="pictures"), root, fixed, tmp_path, draws=2)
    for wrong in (
        ["evaluate", "--restored", ".", "--truth", ".", "--draws", "2"],
        ["evaluate", "--model", "renovate-faces", "--recipe", str(recipe), "--root", str(root), "--draws", "0"],
    ):
        assert cli.main(wrong) != 0
        assert "--draws" in capsys.readouterr().err


def test_in_place_scores_a_network_without_its_moves(
    recipe: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("RESTAURO_CACHE", str(tmp_path / "cache"))
    options = {"width": 4, "blocks": 1, "growth": "1 1", "recentre": 8}
    torch.manual_seed(0)
    net = ResidualUNet(4, 1, growth="1 1", recentre=8)  # untrained, it changes nothing but by its moves
    torch.nn.init.normal_(net.recentre.last.weight, std=30.0)
    weights = tmp_path / "moves.safetensors"
    save_weights(net, weights, "residual-unet", options, {"verb": "renovate"})
    line = ["evaluate", "--model", str(weights), "--recipe", str(recipe), "--root", str(root), "--metrics", "psnr"]

    def gain(*more: str) -> str:
        assert cli.main([*line, *more]) == 0
        said = capsys.readouterr().out
        assert ("--in-place" in said.split("command: ")[1]) == bool(more)
        return [row.split("|")[2] for row in said.splitlines() if row.startswith("| moves |")][1]

    assert float(gain().split()[0]) < -0.01
    assert float(gain("--in-place").split()[0]) == 0.0
    assert cli.main(["evaluate", "--restored", ".", "--truth", ".", "--in-place"]) != 0
    assert "--in-place" in capsys.readouterr().err


def test_row_named_like_the_baseline_is_refused(pairs: PairSet):
    with pytest.raises(SettingError, match="each picture once"):
        score_table(pairs, {IDENTITY: lambda x: x}, {})


@pytest.mark.parametrize(("sigma", "amount"), [(1.0, 0.5), (2.0, 1.0)])
def test_unsharp_agrees_with_scikit_image_inside(sigma: float, amount: float):
    picture = skimage.data.astronaut()[:96, :96].astype(np.float32) / 255
    ours = unsharp(torch.from_numpy(picture).permute(2, 0, 1)[None], sigma, amount)[0].permute(1, 2, 0).numpy()
    theirs = unsharp_mask(picture, radius=sigma, amount=amount, channel_axis=2)
    inside = slice(10, -10)
    np.testing.assert_allclose(ours[inside, inside], theirs[inside, inside], atol=6e-3)  # they cut at 4 sigma, we at 3
