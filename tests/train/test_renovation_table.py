"""tools/make_renovation_table.py: the runs it queues are recipes, and its classical rows do what they are called."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor
from torch import Tensor

from restauro.degrade.laws import LAWS, degrade_tensor
from restauro.metrics.psnr import psnr
from restauro.metrics.table import Column, Row, Table
from restauro.models import build
from restauro.train.data import Pair, PairSet, to_tensor
from restauro.train.recipe import read_recipe
from tests.scripts import script

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    with script("make_renovation_table") as module:
        yield module


@pytest.fixture(scope="module")
def rows(tool: ModuleType) -> ModuleType:
    return sys.modules["classical_rows"]


def test_every_queued_run_is_a_recipe_for_a_network(tool: ModuleType, tmp_path: Path):
    commands = [shlex.split(line) for line in tool.queue(Path("pictures"), tmp_path, 4, "")]
    names = set()
    assert commands[0][1] == "tools/make_face_maps.py"
    for words in commands[1:]:
        changes = [words[index + 1] for index, word in enumerate(words) if word == "--set"]
        recipe = read_recipe(REPOSITORY / words[2], tuple(changes))
        names.add(recipe.name)
        assert recipe.minutes == 4
        assert recipe.degradation.law in LAWS
        with torch.device("meta"):
            build(recipe.model.architecture, **recipe.model.options)
    assert len(names) == len(commands) - 1 == (1 + len(tool.RIVALS)) * len(tool.TASKS) + 14


def test_what_is_trained_is_not_queued_again(tool: ModuleType, tmp_path: Path):
    done = tmp_path / "renovate-noise-unet" / "renovate-noise-unet.safetensors"
    done.parent.mkdir()
    done.touch()
    left = " ".join(tool.queue(Path("pictures"), tmp_path, 4, "renovate-noise"))
    assert "name=renovate-noise-hifacegan" in left
    assert "name=renovate-noise-unet" not in left


def test_a_guided_row_looks_the_map_up_by_its_picture(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RESTAURO_CACHE", str(tmp_path / "cache"))
    (run,) = (run for run in tool.runs() if run.guided and "alone" not in run.name)
    rng = np.random.default_rng(0)
    for folder in ("faces/images", "face-maps"):
        (tmp_path / folder).mkdir(parents=True)
    wanted = {}
    for name in ("sfhq_1", "sfhq_2"):
        picture, classes = rng.integers(0, 256, (64, 64, 3), np.uint8), rng.integers(0, 7, (64, 64), np.uint8)
        Image.fromarray(picture).save(tmp_path / "faces" / "images" / f"{name}.png")
        Image.fromarray(classes).save(tmp_path / "face-maps" / f"{name}.png")
        (worse,), _ = degrade_tensor(to_tensor(picture[None]), run.law)
        wanted[name] = (worse, classes)
    (tmp_path / "faces" / "val.txt").write_text("sfhq_1.png\nsfhq_2.png\n")
    lines = [f"{k},part{k},{k},{k},{k}" for k in range(7)]
    (tmp_path / "face-maps.csv").write_text("\n".join(["id,name,r,g,b", *lines]) + "\n")
    seen = []
    network = tool.Network("row", None, lambda x: seen.append(x) or x[:, :3])
    guided = tool._with_maps(network, run, tmp_path, 2)
    for name in ("sfhq_2", "sfhq_1"):
        source, classes = wanted[name]
        source = (source[None].clamp(0, 1) * 255).round() / 255
        assert torch.equal(guided.restore(source), source)
        assert (seen[-1][0, 3:].argmax(0).numpy() == classes).all()


def test_a_face_map_has_its_parts_where_the_landmarks_are():
    with script("make_face_maps") as maps:
        turn = np.linspace(np.pi, 0, 17)
        jaw = np.stack([128 + 70 * np.cos(turn), 110 + 90 * np.sin(turn)], 1)
        brows = np.concatenate([[[x, 85] for x in range(75, 116, 10)], [[x, 85] for x in range(141, 182, 10)]])
        nose = [[128, y] for y in (95, 105, 115, 125)] + [[x, 135] for x in (116, 122, 128, 134, 140)]
        ring = np.stack([np.cos(np.linspace(0, 2 * np.pi, 6, False)), np.sin(np.linspace(0, 2 * np.pi, 6, False))], 1)
        eyes = [ring * 10 + (95, 100), ring * 10 + (161, 100)]
        oval = np.linspace(0, 2 * np.pi, 12, False)
        lips = np.stack([128 + 25 * np.cos(oval), 165 + 12 * np.sin(oval)], 1)
        small = np.linspace(0, 2 * np.pi, 8, False)
        mouth = np.stack([128 + 15 * np.cos(small), 165 + 5 * np.sin(small)], 1)
        found = maps.painted(np.concatenate([jaw, brows, nose, *eyes, lips, mouth]), 256, 256)
    names = np.array(maps.CLASSES)
    for (x, y), part in {
        (128, 60): "skin",
        (95, 85): "brow",
        (95, 100): "eye",
        (161, 100): "eye",
        (128, 130): "nose",
        (106, 165): "lips",
        (128, 165): "mouth",
        (80, 140): "skin",
        (20, 20): "background",
        (128, 230): "background",
    }.items():
        assert names[found[y, x]] == part, (x, y)


@pytest.mark.parametrize(("law", "row", "gain"), [("noise", "non-local means", 5), ("blur", "Wiener", 0.3)])
def test_classical_rows_gain_where_they_should(rows: ModuleType, law: str, row: str, gain: float, astronaut: Tensor):
    astronaut = astronaut[..., 40:136, 60:156].contiguous()
    worse, _ = degrade_tensor(astronaut, law, {"gaussian": 1.0} | ({"motion": 0.0} if law == "blur" else {}), seed=1)
    source, truth = ((x[0].permute(1, 2, 0).numpy() * 255).round().astype("uint8") for x in (worse, astronaut))
    one = PairSet("faces", 1.0, (Pair("a", "", source, truth),))
    name, restore = (rows.non_local_means if law == "noise" else rows.deconvolved)(one)
    assert name.startswith(row)
    assert psnr(restore(worse).clamp(0, 1), astronaut).item() > psnr(worse, astronaut).item() + gain


def test_noise_is_measured_through_edges(rows: ModuleType, astronaut: Tensor):
    generator = torch.Generator().manual_seed(0)
    noisy = astronaut + 0.1 * torch.randn(astronaut.shape, generator=generator)
    assert rows.noise_deviation(noisy) == pytest.approx(0.1, rel=0.15)


def test_the_pressure_test_has_a_line_for_each_level_and_a_panel_for_each_metric_with_values(tool: ModuleType):
    inf = float("inf")
    columns = (Column("psnr:rgb", "higher", digits=2), Column("fed:dlib,8bit", "lower", digits=2))

    def at(psnr: float, fed: float) -> Table:
        values = {name: {"psnr:rgb": {"a": psnr}, "fed:dlib,8bit": {"a": fed}} for name in ("identity", "ours")}
        return Table(columns, tuple(Row(name, value) for name, value in values.items()))

    found = {"noise": {1.0: at(20, 0.3), 1.4: at(15, 0.4)}, "mosaic16": {16: at(19, inf), 64: at(12, inf)}}
    text = tool.pressure.lines("mosaic16", found["mosaic16"]).splitlines()
    assert text[2].split(" | ")[:2] == ["| mosaic of 16 px", "19.00"]
    assert text[3].endswith("| no face in all 1 | no face in all 1 |")
    three, two = tool.pressure.figure(found), tool.pressure.figure({"noise": found["noise"]})
    assert three.height > two.height, "two panels of noise, one of the mosaic, whose FED has no values"
    rows, columns_px = np.nonzero((np.asarray(two)[:150, :340] == ImageColor.getrgb("darkorange")).all(2))
    start, end = columns_px.argmin(), columns_px.argmax()
    assert columns_px[end] - columns_px[start] > 200
    assert rows[end] - rows[start] > 80, "PSNR falls with noise, and up is more"
