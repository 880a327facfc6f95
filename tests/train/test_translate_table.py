"""tools/make_translate_table.py: the segmenter reads maps off pictures, the page tells good pictures from bad ones."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from restauro.labels import ClassList
from restauro.train.data import load_pairs
from restauro.train.recipe import read_recipe
from restauro.train.sections import OptimiserSection
from tests.scripts import script
from tests.train.test_labels import CLASSES, facades_recipe, make_pairs

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    with script("make_translate_table") as module:
        monkeypatch.setattr(module, "CROP_PX", 48)
        monkeypatch.setattr(module, "METRICS", ("psnr",))
        monkeypatch.setattr(module, "RATE", OptimiserSection(name="muon", lr=1.5e-2, warmup=20))  # painted: easily read
        yield module


def test_the_page_says_what_a_segmenter_reads(tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RESTAURO_CACHE", str(tmp_path / "cache"))
    names = [f"train_{k}" for k in range(4)] + ["val_0", "val_1"]
    make_pairs(tmp_path / "facades", names, (48, 48), ClassList.from_csv(CLASSES))
    (tmp_path / "facades" / "classes.csv").write_text(CLASSES)
    for split, some in (("train", names[:4]), ("val", names[4:])):
        (tmp_path / "facades" / f"{split}.txt").write_text("\n".join(some))
    recipe, kept = facades_recipe(), tmp_path / "runs" / "segmenter.pt"
    segment = tool.segmenter(recipe, tmp_path, kept, 150)
    law = recipe.degradation
    one = load_pairs(recipe.data.validation[0], tmp_path, law, tmp_path, labels=recipe.labels)
    page = tool.scored(one.pairs, [], segment)
    table = page.partition("| mIoU |")[2].partition("##")[0]
    cells = [row.split("|") for row in table.splitlines() if row.startswith(("| photographs", "| class means"))]
    read = {row[1].strip(): [float(cell) for cell in row[2:4]] for row in cells}
    assert read["photographs"][1] > 0.5, "these pictures are painted class by class"
    assert read["class means"] == read["photographs"], "and so is this row"
    assert "ssim:gauss11,rgb,valid,signed" in page
    monkeypatch.setattr(tool, "fit", lambda *_: pytest.fail("the segmenter was kept"))
    tool.segmenter(recipe, tmp_path, kept, 150)


def test_the_queue_names_recipes_that_can_be_read(tool: ModuleType):
    lines = tool.queue(Path("DATA"), Path("runs"))
    assert len(lines) == len(tool.RIVALS)
    for line in lines:
        words = shlex.split(line)
        changes = tuple(words[k + 1] for k, word in enumerate(words) if word == "--set")
        recipe = read_recipe(REPOSITORY / words[2], changes)
        assert recipe.minutes == tool.MINUTES
        assert recipe.name in tool.RIVALS
