"""The training queue, shipping, and the throughput benchmark, on recipes that take a second."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from restauro.models import find, load
from restauro.train.loop import train
from restauro.train.recipe import read_recipe
from tests.scripts import script

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def queue() -> Iterator[ModuleType]:
    with script("train_queue") as module:
        yield module


def _run(queue: ModuleType, monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["train_queue.py", *map(str, words)])
    code = queue.main()
    assert isinstance(code, int)
    return code


def test_queue_trains_reports_splits_and_joins(
    queue: ModuleType, recipe: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(queue, "PART_BYTES", 20_000)
    bad = tmp_path / "bad.toml"
    bad.write_text(recipe.read_text().replace("train.txt", "none.txt"))
    out, runs = tmp_path / "out", tmp_path / "runs"
    words = ("--root", root, "--runs", runs, "--out", out, "--minutes", 5)
    assert _run(queue, monkeypatch, bad, recipe, *words) == 1
    failed, done = json.loads((out / "report.json").read_text())["recipes"]
    assert failed["state"] == "failed"
    assert "none.txt: found no such file" in failed["why"]
    assert (done["state"], done["iterations"]) == ("done", 6)
    (weights,) = done["files"]
    assert len(weights["parts"]) > 1
    assert all((out / "tiny" / part).stat().st_size <= 20_000 for part in weights["parts"])
    assert _run(queue, monkeypatch, "--join", out) == 0
    whole = (runs / "tiny" / "tiny.safetensors").read_bytes()
    assert (out / "tiny" / "tiny.safetensors").read_bytes() == whole
    (out / "tiny" / weights["parts"][0]).write_bytes(b"other")
    assert _run(queue, monkeypatch, "--join", out) == 1
    assert _run(queue, monkeypatch, recipe, *words) == 0, "a second call finds it done"
    assert json.loads((out / "report.json").read_text())["recipes"][0]["state"] == "done before"


def test_queue_stops_in_time_and_goes_on(
    queue: ModuleType, recipe: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out, runs = tmp_path / "out", tmp_path / "runs"
    words = (recipe, "--root", root, "--runs", runs, "--out", out, "--checkpoints")
    assert _run(queue, monkeypatch, *words, "--minutes", 1e-6) == 0
    (entry,) = json.loads((out / "report.json").read_text())["recipes"]
    assert entry["state"] == "stopped"
    assert [one["file"] for one in entry["files"]] == ["checkpoint.pt"]
    (runs / "tiny" / "checkpoint.pt").unlink()
    assert _run(queue, monkeypatch, "--join", out) == 0
    (out / "tiny" / "checkpoint.pt").rename(runs / "tiny" / "checkpoint.pt")
    assert _run(queue, monkeypatch, *words, "--minutes", 5) == 0
    assert json.loads((out / "report.json").read_text())["recipes"][0]["state"] == "done"


def test_queue_trains_without_packages_that_a_training_machine_lacks(recipe: Path, root: Path, tmp_path: Path):
    words = ["train_queue.py", str(recipe), "--root", str(root), "--runs", str(tmp_path), "--out", str(tmp_path / "o")]
    code = (
        "import runpy, sys\n"
        "hidden = {'skimage', 'cyclopts', 'cv2', 'pytest', 'pillow_heif', 'imageio', 'matplotlib'}\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in hidden: raise ModuleNotFoundError(name)\n"
        f"sys.meta_path.insert(0, Hide())\nsys.argv = {words!r}\n"
        f"runpy.run_path({str(REPOSITORY / 'tools' / 'train_queue.py')!r}, run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| tiny | done | 6 of 6 |" in done.stdout


@pytest.fixture(scope="module")
def build() -> Iterator[ModuleType]:
    with script("build_weights") as module:
        yield module


def test_shipped_weights_carry_their_scores(
    build: ModuleType, recipe: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made = train(read_recipe(recipe), root=root, run=tmp_path / "run")
    for name in ("SHIPPED", "RESULTS"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(build, name, tmp_path / name)
    monkeypatch.setattr(build, "MANIFEST", tmp_path / "manifest.toml")
    monkeypatch.setattr(sys, "argv", ["build_weights.py", str(made), "--root", str(root)])
    build.main()
    shipped, before = find(tmp_path / "SHIPPED" / "tiny.safetensors"), find(made)
    entry = tomllib.loads((tmp_path / "manifest.toml").read_text())["tiny"]
    assert (entry["sha256"], entry["bytes"]) == (shipped.sha256, shipped.bytes)
    scores = json.loads(shipped.metadata["scores"])
    assert entry["scores"] == scores
    assert scores[0]["command"] == "restauro evaluate --model tiny --recipe recipes/tiny.toml"
    assert [{k: v for k, v in row.items() if k != "command"} for row in scores] == json.loads(before.metadata["scores"])
    ours, theirs = load(shipped).state_dict(), load(before).state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
    assert {k: v for k, v in shipped.metadata.items() if k != "scores"} == {
        k: v for k, v in before.metadata.items() if k != "scores"
    }
    assert shipped.sha256 in (tmp_path / "RESULTS" / "tiny.md").read_text()


@pytest.mark.parametrize(("processor", "more"), [("AVX512", set()), ("AVX2", {"float32, torch's"})])
def test_benchmark_times_both_precisions(
    processor: str, more: set[str], recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from benchmarks.run import main

    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: processor)
    words = ["training", "--date", "2026-11-20", "--rounds", "1", "--threads", "1", "--out", str(tmp_path)]
    main([*words, "--recipes", str(recipe)])
    (case,) = json.loads((tmp_path / "training.json").read_text())["cases"]
    medians = {name: spread["median"] for name, spread in case["seconds"].items()}
    assert set(medians) == {"float32", "bfloat16"} | more
    assert set(case["ratios"]) == {f"{name} / float32" for name in set(medians) - {"float32"}}
    assert case["ratios"]["bfloat16 / float32"]["median"] == pytest.approx(medians["bfloat16"] / medians["float32"])
    assert case["notes"]["bfloat16, it/s"] == pytest.approx(1 / medians["bfloat16"])
    assert case["notes"]["left out"] == "nothing"
    assert "| tiny |" in (tmp_path / "training.md").read_text()
