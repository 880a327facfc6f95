"""tools/make_face_scores.py: every face in its set, gains that can be worked out by hand, and faces as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from tests.scripts import script

NAMES = ("london_001.jpg", "sfhq_0007.jpg", "sfhqt2i_0007.jpg", "stylegan2_0001.jpg", "else_1.jpg")


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    with script("make_face_scores") as module:
        yield module


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "faces" / "images"
    folder.mkdir(parents=True)
    random = np.random.default_rng(3)
    for name in NAMES:
        small = Image.fromarray(random.integers(0, 255, (5, 5, 3), dtype=np.uint8))
        small.resize((48, 48), Image.Resampling.BICUBIC).save(folder / name)
    (tmp_path / "faces" / "val.txt").write_text("\n".join(NAMES))
    return tmp_path


@pytest.fixture(autouse=True)
def _without_lpips(tool: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(tool, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(tool, "METRICS", (tool.PSNR, tool.SSIM))


def test_the_page_has_each_set_in_a_line_of_its_own(tool: ModuleType, root: Path):
    one = tool.faces(root, None, {"severity": 1.0}, 2)
    methods = {"renovate-faces": lambda x: x, "renovate-realism": lambda x: x.mean(1, keepdim=True).expand_as(x)}
    table, inside = tool.score(one, methods)
    skin = tool.by_skin(one, inside)
    large = tool.only(table, lambda name: name.startswith("london"))
    page = tool.page(table, large, {"1": table}, skin, table, [])
    found = {line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ") for line in page.splitlines()}
    assert {"london", "sfhq", "sfhqt2i", "stylegan2", "all but stylegan2"} <= set(found)
    assert not any("else" in name for name in found), "the recipe does not name these faces"
    assert [found[name][1] for name in ("1", "all but stylegan2", "sfhq")] == ["4", "3", "1"]
    assert found["1"][4].startswith("+0.00 ["), "nothing done, nothing gained"
    of_london = [name for name in table.identity.names if name.startswith("london")]
    assert len(of_london) == 2
    scores = table.identity.values[tool.PSNR]
    assert found["london"][2] == f"{np.mean([scores[name] for name in of_london]):.2f}"
    assert "nan" not in page
    of_large = page.partition("## At 512 px")[2].partition("\n## ")[0]
    assert [line.split(" | ")[:2] for line in of_large.splitlines() if line.startswith(("| all", "| lon", "| sf"))] == [
        ["| all", "1"],
        ["| london", "1"],
    ]


def test_larger_faces_are_those_of_their_folder(tool: ModuleType, root: Path):
    (root / tool.LARGE).mkdir()
    for name in ("london_001.jpg", "stylegan2_0001.jpg"):
        pixels = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / tool.LARGE / name)
    (pair,) = tool.faces(root, None, {}, 1, tool.LARGE).pairs
    assert pair.name.startswith("london_001")
    assert pair.truth.shape == (64, 64, 3)


def test_thirds_go_from_dark_to_light_and_count_the_inside_alone(tool: ModuleType, root: Path):
    greys = dict(zip(NAMES, (200, 40, 90, 140, 10), strict=True))
    for name, grey in greys.items():
        pixels = np.full((40, 40, 3), grey, np.uint8)
        pixels[:4] = 255 - grey  # above the brows
        Image.fromarray(pixels).save(root / "faces" / "images" / name, quality=100)
    one = tool.faces(root, None, {"severity": 1.0}, 2)
    methods = {name: lambda x: x.clone() for name in tool.MODELS}
    found = tool.by_skin(one, tool.score(one, methods)[1])
    sources = [{tool.source_of(name) for name in table.identity.names} for table in found.values()]
    assert sources == [{"sfhq", "sfhqt2i"}, {"stylegan2"}, {"london"}]
    assert tool.lightness_of(np.full((40, 40, 3), 119, np.uint8)) == pytest.approx(50, abs=0.2), "mid grey of CIELAB"
    x = tool.to_tensor(np.arange(1600, dtype=np.uint16).reshape(1, 40, 40, 1).repeat(3, 3).astype(np.uint8))
    assert tool.cut(x, tool.INSIDE).shape == (1, 3, 20, 20)


def test_faces_that_need_nothing_are_their_own_inputs(tool: ModuleType, root: Path):
    one = tool.faces(root, None, None, 1)
    assert len(one.pairs) == 4
    assert all(np.array_equal(pair.source, pair.truth) for pair in one.pairs)
    worse = tool.faces(root, None, {"severity": 0.5}, 1)
    assert not any(np.array_equal(pair.source, pair.truth) for pair in worse.pairs)
