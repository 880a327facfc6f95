"""The benchmarks run end to end on tiny pictures, and say where their numbers come from."""

from __future__ import annotations

import doctest
import json
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import harness

SPREAD = ["min", "q1", "median", "q3", "max"]


def hold_memory(mib: int, before_mib: int = 0):
    """For `in_fresh_process`: hold `mib` for a moment, after a larger block was held and given back."""
    np.ones(before_mib * 2**17)

    def work() -> dict[str, int]:
        block = np.ones(mib * 2**17)
        return {"bytes": block.nbytes}

    return work


def check_report(folder: Path, name: str, candidates: list[str]) -> dict:
    report = json.loads((folder / f"{name}.json").read_text())
    assert report["format"] == harness.FORMAT
    assert report["benchmark"] == name
    assert report["date"] == "2026-11-20"
    assert report["command"].startswith(f"python -m benchmarks.run {name} --date 2026-11-20")
    facts = report["facts"]
    assert facts["machine"]["cores"] >= 1
    assert facts["machine"]["memory_gib"] > 0
    assert {"Python", "restauro", "torch", "numpy"} <= set(facts["versions"])
    assert facts["revision"]
    for case in report["cases"]:
        assert case["megapixels"] == case["width"] * case["height"] / 1e6
        assert list(case["seconds"]) == list(case["memory_mib"]) == candidates
        for spread in [*case["seconds"].values(), *case["ratios"].values()]:
            assert list(spread) == SPREAD
            assert 0 < spread["min"] <= spread["q1"] <= spread["median"] <= spread["q3"] <= spread["max"]
        for memory in case["memory_mib"].values():
            assert memory is None or memory["added"] == memory["peak"] - memory["before"] >= 0
    table = (folder / f"{name}.md").read_text()
    assert report["command"] in table
    for case in report["cases"]:
        assert f"({case['width']}x{case['height']})" in table
    return report


def test_l0_beside_opencv(tmp_path: Path) -> None:
    from benchmarks import run

    words = ["l0", "--date", "2026-11-20", "--megapixels", "0.01", "--rounds", "2", "--threads", "1"]
    run.main([*words, "--out", str(tmp_path)])
    report = check_report(tmp_path, "l0", ["restauro", "OpenCV"])
    (case,) = report["cases"]
    assert list(case["ratios"]) == ["OpenCV / restauro"]
    assert case["notes"]["agreement, dB"] > 15


def test_desmooth_with_a_model_file(tmp_path: Path) -> None:
    from benchmarks import run
    from restauro.models import build, save_weights

    options = {"variant": "pix2pix", "width": 4}
    model = tmp_path / "tiny.safetensors"
    save_weights(build("desmoothgan", **options).eval(), model, "desmoothgan", options, {})
    words = ["desmooth", "--date", "2026-11-20", "--megapixels", "0.01", "--rounds", "2", "--threads", "1"]
    run.main([*words, "--model", str(model), "--out", str(tmp_path)])
    (case,) = check_report(tmp_path, "desmooth", ["desmooth"])["cases"]
    assert case["notes"]["tiles"] == 1
    assert case["notes"]["result, MiB"] == case["width"] * case["height"] * 12 / 2**20


@pytest.mark.parametrize("words", [["l0"], ["l0", "--date", "yesterday"], ["unknown", "--date", "2026-11-20"]])
def test_bad_usage_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks import run

    with pytest.raises(SystemExit) as end:
        run.main(words)
    assert end.value.code == 2
    assert "usage: python -m benchmarks.run" in capsys.readouterr().err


def test_candidates_take_turns() -> None:
    order: list[str] = []
    works = {
        "a": lambda: (order.append("a"), time.sleep(0.001)),
        "b": lambda: (order.append("b"), time.sleep(0.003)),
    }
    seconds, ratios = harness.compare(works, rounds=3)
    assert order == ["a", "b"] * 4  # one round is not timed
    assert list(seconds) == ["a", "b"]
    assert list(ratios) == ["b / a"]
    assert ratios["b / a"].median > 1


def test_memory_is_that_of_the_work_alone() -> None:
    own = np.ones(300 * 2**17)  # a fat parent must not show in its child
    times, memory, result = harness.in_fresh_process(
        "tests.test_benchmarks:hold_memory", {"mib": 50, "before_mib": 150}, rounds=3
    )
    assert own.size == 300 * 2**17
    assert result == {"bytes": 50 * 2**20}
    assert len(times) == 3
    if memory is None:
        pytest.skip("this system does not tell the peak memory of a process (it needs Linux's /proc)")
    assert memory.added == pytest.approx(50, abs=10)


def test_the_harness_does_what_its_examples_say() -> None:
    done = doctest.testmod(harness)
    assert done.attempted > 0
    assert done.failed == 0


def test_a_failing_child_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"no_such_function"):
        harness.in_fresh_process("benchmarks.harness:no_such_function", {})


@pytest.mark.parametrize(("megapixels", "shape"), [(0, (48, 64, 3)), (0.25, (432, 576, 3)), (1, (864, 1152, 3))])
def test_pictures_have_a_cameras_shape(megapixels: float, shape: tuple[int, ...]) -> None:
    from benchmarks.inputs import picture

    pixels = picture(megapixels)
    assert pixels.shape == shape
    assert pixels.dtype == np.float32
    assert 0 <= pixels.min() < pixels.max() <= 1
