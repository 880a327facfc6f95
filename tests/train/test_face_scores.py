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
    table = tool.score(one, methods)
    page = tool.page(table, {"1": table}, table, [])
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


def test_faces_that_need_nothing_are_their_own_inputs(tool: ModuleType, root: Path):
    one = tool.faces(root, None, None, 1)
    assert len(one.pairs) == 4
    assert all(np.array_equal(pair.source, pair.truth) for pair in one.pairs)
    worse = tool.faces(root, None, {"severity": 0.5}, 1)
    assert not any(np.array_equal(pair.source, pair.truth) for pair in worse.pairs)
