"""The tools of texture removal, on pictures that are drawn here: sets without leaks, a queue that trains, tables."""

from __future__ import annotations

import csv
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from restauro.models import build
from restauro.train.recipe import Recipe, read_recipe
from tests.scripts import script

REPOSITORY = Path(__file__).parents[2]
COUNTS = {"train": 6, "tune": 3, "validation": 4}


@pytest.fixture(scope="module")
def make_sps() -> Iterator[ModuleType]:
    with script("make_sps") as module:
        yield module


@pytest.fixture(scope="module")
def tables() -> Iterator[ModuleType]:
    with script("make_smoothing_tables") as module:
        yield module


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 ramps as structures, 20 noise tiles, and one of each that is not free."""
    root, rng, lines = tmp_path_factory.mktemp("sources"), np.random.default_rng(0), ["file,licence"]
    for folder, side in (("structures", 32), ("textures", 16)):
        listed = []
        for k in range(21):
            name = f"vector/{k:02d}.png"
            ramp = np.uint8(3 * np.arange(side)[None, :, None] + (5 * k + 20, 60, 70)) * np.ones((side, 1, 1), np.uint8)
            noise = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
            path = root / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(ramp if folder == "structures" else noise).save(path)
            lines.append(f"{folder}/{name},{'research use only' if k == 20 else 'CC0 1.0'}")
            listed.append(name)
        (root / folder / "train.txt").write_text("\n".join([*listed[:14], listed[20]]))
        (root / folder / "val.txt").write_text("\n".join(listed[14:20]))
    (root / "manifest.csv").write_text("\n".join(lines))
    return root


@pytest.fixture(scope="module")
def sets(make_sps: ModuleType, sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sets")
    make_sps.make_sets(sources, out, seed=3, side=32, counts=COUNTS)
    return out


def rows(sets: Path, name: str) -> list[dict[str, str]]:
    with (sets / name / "pairs.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_no_structure_and_no_texture_is_in_two_splits(sets: Path):
    used: dict[str, dict[str, set[str]]] = {"structure": {}, "texture": {}}
    for name in ("sps", "nks"):
        for row in rows(sets, name):
            split = row["file"].split("-")[0]
            for kind, by_split in used.items():
                by_split.setdefault(split, set()).update(set(row[kind].split()) - {"drawn"})
    for by_split in used.values():
        assert all(by_split[split] for split in COUNTS)
        assert not by_split["train"] & by_split["tune"]
        assert not (by_split["train"] | by_split["tune"]) & by_split["validation"]


def test_a_truth_is_the_structure_that_its_row_names(sets: Path, sources: Path):
    for row in rows(sets, "sps"):
        if not row["file"].startswith("train"):
            truth = np.asarray(Image.open(sets / "sps" / "truth" / row["file"]))
            structure = np.asarray(Image.open(sources / "structures" / row["structure"]))
            np.testing.assert_array_equal(truth, structure)


def test_only_free_pictures_with_their_licence(sets: Path):
    for row in (*rows(sets, "sps"), *rows(sets, "nks")):
        assert "20.png" not in row["structure"] + row["texture"]
        assert set(row["structure_licence"].split(" + ")) <= {"CC0 1.0", "generated"}
        assert set(row["texture_licence"].split(" + ")) <= {"CC0 1.0", "generated"}


@pytest.mark.parametrize(("name", "level"), [("sps", 20.3), ("nks", 28.0)])
def test_inputs_have_the_level_of_the_original(sets: Path, name: str, level: float):
    values = []
    for file in (sets / name / "validation.txt").read_text().split():
        x, truth = (np.asarray(Image.open(sets / name / role / file)).astype(float) for role in ("input", "truth"))
        values.append(10 * np.log10(255**2 / np.mean((x - truth) ** 2)))
    assert np.mean(values) == pytest.approx(level, abs=0.05)


def test_the_same_seed_gives_the_same_bytes(make_sps: ModuleType, sources: Path, sets: Path, tmp_path: Path):
    make_sps.make_sets(sources, tmp_path, seed=3, side=32, counts=COUNTS)
    files = sorted(p.relative_to(sets) for p in sets.rglob("*") if p.is_file())
    assert len(files) == 2 * (6 + 3 + 4) + 2 * (3 + 4) + 2 * 2 + 5
    assert all((tmp_path / file).read_bytes() == (sets / file).read_bytes() for file in files)


def test_training_pairs_differ_in_strength(sets: Path):
    strengths = [float(row["amplitude_255"]) for row in rows(sets, "sps") if row["file"].startswith("train")]
    assert max(strengths) > 1.2 * min(strengths)


def test_missing_sources_are_one_line(make_sps: ModuleType, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["make_sps.py", "--root", str(tmp_path), "--out", str(tmp_path / "out")])
    assert make_sps.main() == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def queued(tables: ModuleType, monkeypatch, capsys) -> list[Recipe]:
    monkeypatch.setattr(sys, "argv", ["tables", "queue"])
    assert tables.main() == 0
    recipes = []
    for line in capsys.readouterr().out.splitlines():
        if line.startswith("python"):
            words = shlex.split(line)
            overrides = tuple(words[k + 1] for k, word in enumerate(words) if word == "--set")
            recipes.append(read_recipe(REPOSITORY / words[2], overrides))
    return recipes


def test_every_queued_network_can_be_built(tables: ModuleType, monkeypatch, capsys):
    recipes = queued(tables, monkeypatch, capsys)
    assert [recipe.name for recipe in recipes] == [network.name for network in tables.NETWORKS]
    for recipe in recipes:
        net = build(recipe.model.architecture, **recipe.model.options)
        assert sum(p.numel() for p in net.parameters()) <= 7.5e6


def test_quality_and_ablations(tables: ModuleType, sets: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(
        tables, "GRIDS", {"l0": tables.grid(lam=(0.01, 0.1)), "bilateral": tables.grid(sigma_px=(2.0,))}
    )
    words = ["--root", str(sets), "--runs", str(tmp_path / "runs"), "--results", str(tmp_path), "--pictures", "2"]
    monkeypatch.setattr(sys, "argv", ["tables", "quality", *words, "--without", "bilateral"])
    assert tables.main() == 0
    text = (tmp_path / "smoothing.md").read_text()
    assert "| l0 | " in text
    assert "left out by --without" in text
    assert "not trained" in text
    monkeypatch.setattr(sys, "argv", ["tables", "quality", *words, "--keep"])
    assert tables.main() == 0
    again = (tmp_path / "smoothing.md").read_text()
    line = next(line for line in text.splitlines() if line.startswith("| l0 | "))
    assert line in again
    assert "left out by --without" not in again
    monkeypatch.setattr(sys, "argv", ["tables", "ablations", *words])
    assert tables.main() == 0
    assert "smooth-sasnet-x8" in (tmp_path / "smoothing-ablations.md").read_text()


def test_tuning_takes_the_setting_nearest_the_truth(tables: ModuleType, sets: Path):
    tuning = tables.pairs_of("sps", "tune", sets, 3)
    weak, strong = tables.tune(tuning, "l0")[0], tables.tune(tuning, "l0")[-1]
    assert strong > weak + 1  # noise, and nothing else that is small
    filters, notes = tables.tuned("sps", ["l0"], tuning)
    assert set(filters) == {"l0"}
    assert "lam=0.003 " not in notes["setting of l0"]


def test_a_sasnet_has_its_other_ways_to_run(tables: ModuleType, sets: Path):
    import torch

    net = build("sasnet", width=8, depth=2).eval()
    x = torch.rand(1, 3, 16, 16)
    ways = tables.modes(net)
    assert len(ways) == 3
    with torch.no_grad():
        for restore in ways.values():
            assert restore(x).shape == x.shape
            torch.testing.assert_close(restore(x), restore(x), rtol=0, atol=0)
