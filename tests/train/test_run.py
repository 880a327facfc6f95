"""A run as a process: its folder, its end by force, its work in two processes, its fresh degradations."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from restauro.cli.models import _card, _readable
from restauro.degrade.laws import degrade_tensor
from restauro.errors import DataError, UsageError
from restauro.models import find, load
from restauro.train.batches import Share, batches
from restauro.train.data import load_pairs, to_tensor
from restauro.train.folder import RunFolder, sample_crops
from restauro.train.loop import Progress, Training, train
from restauro.train.recipe import Recipe
from tests.train.small import ADVERSARIAL, tiny

NOISE = {"law": "noise", "fresh": True, "margin_px": 4}


def test_folder_holds_log_plot_and_sheet(root: Path, tmp_path: Path):
    seen: list[Progress] = []
    made = train(tiny(), root=root, run=tmp_path / "run", on_progress=seen.append)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "checkpoint.pt",
        "log.jsonl",
        "losses.png",
        "samples",
        "scores.md",
        "scores.v.json",
        made.name,
    ]
    assert [now.iteration for now in seen] == [1, 2, 3, 4, 5, 6]
    assert seen[2].seconds_left == pytest.approx(3 / seen[2].per_second)
    sheet = np.asarray(Image.open(tmp_path / "run" / "samples" / "0000006.png"))
    assert sheet.shape == (24 + 64 + 12, 3 * 64 + 2 * 12, 3)
    truth = np.asarray(Image.open(root / "pictures" / "3.png"))
    assert np.array_equal(sheet[24:88, 152:], truth)
    assert not np.array_equal(sheet[24:88, :64], truth)


def test_the_finished_weights_carry_the_scores_of_the_file_that_was_shipped(root: Path, tmp_path: Path):
    made = train(tiny(), root=root, run=tmp_path / "run")
    rows = json.loads(find(made).metadata["scores"])
    assert {row["metric"] for row in rows} >= {"psnr:rgb", "ssim:gauss11,rgb,valid", "ciede2000:d65,mean"}
    (row,) = [row for row in rows if row["metric"] == "psnr:rgb"]
    recipe = tiny()
    (pair,) = load_pairs(recipe.data.validation[0], root, recipe.degradation, tmp_path / "c").pairs
    source, truth = (to_tensor(x[None]) for x in (pair.source, pair.truth))
    with torch.no_grad():
        restored = (load(made)(source).clamp(0, 1) * 255).round() / 255
    levels = [-10 * float(torch.log10((x - truth).square().mean())) for x in (restored, source)]
    assert row["mean"] == pytest.approx(levels[0], abs=1e-3)
    assert row["gain"] == pytest.approx(levels[0] - levels[1], abs=1e-3)
    assert (row["set"], row["pictures"]) == ("v", 1)
    assert "| tiny |" in (tmp_path / "run" / "scores.md").read_text()
    card = _card(find(made))
    assert card["scores"] == rows
    assert "v, psnr:rgb:" in _readable(card)
    alone = tiny(data={"train": [{"name": "t", "folder": "pictures"}]}, iterations=1)
    assert "scores" not in find(train(alone, root=root, run=tmp_path / "alone")).metadata


def test_tensorboard_gets_scalars_and_sheets(root: Path, tmp_path: Path):
    pytest.importorskip("tensorboard", reason="needs the extra: pip install 'restauro[tensorboard]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(tiny(), root=root, run=tmp_path / "run", tensorboard=True)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    (scalar,) = events.Scalars("l1")
    last = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert (scalar.step, scalar.value) == (6, pytest.approx(last["l1"]))
    (image,) = events.Images("samples")
    assert (image.width, image.height) == (3 * 64 + 2 * 12, 24 + 64 + 12)


def test_without_tensorboard_the_option_is_refused_before_anything_else(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match=r"pip install 'restauro\[tensorboard\]'"):
        train(tiny(), root=root, run=tmp_path / "run", tensorboard=True)
    assert not (tmp_path / "run").exists()


def test_a_resumed_log_drops_what_the_checkpoint_does_not_know(tmp_path: Path):
    lines = [json.dumps({"iteration": 50 * k, "l1": 1 / k}) for k in (1, 2, 3)]
    (tmp_path / "log.jsonl").write_text("\n".join(lines) + '\n{"iteration": 20')
    folder = RunFolder(tmp_path, 120, [])
    folder.log({"iteration": 150, "l1": 0.25})
    kept = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in kept] == [50, 100, 150]
    folder.plot()
    with Image.open(tmp_path / "losses.png") as plot:
        colours = plot.convert("RGB").getcolors(100000)
    assert (178, 34, 34) in {colour for _, colour in colours}, "the curve is there"


def test_minutes_stop_a_run_that_resumes_to_the_same_bytes(root: Path, tmp_path: Path):
    recipe = tiny(**ADVERSARIAL, degradation=NOISE)
    assert train(recipe, root=root, run=tmp_path / "a", minutes=0) is None
    assert not list((tmp_path / "a").glob("*.safetensors"))
    resumed = train(recipe, root=root, run=tmp_path / "a", resume=True)
    unbroken = train(recipe, root=root, run=tmp_path / "b")
    assert resumed.read_bytes() == unbroken.read_bytes()


def _process(code: str, recipe: Recipe, root: Path, run: Path, **environment: str) -> subprocess.Popen[str]:
    code = (
        "import sys, torch; torch.set_num_threads(1)\n"
        "from pathlib import Path\nfrom restauro.train.loop import train\nfrom restauro.train.recipe import Recipe\n"
        "recipe, root, run = Recipe.model_validate_json(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])\n" + code
    )
    command = [sys.executable, "-c", code, recipe.to_json(), str(root), str(run)]
    return subprocess.Popen(command, env={**os.environ, **environment}, text=True, stderr=subprocess.PIPE)


def test_killed_at_a_random_moment_and_resumed_it_gives_the_same_bytes(root: Path, tmp_path: Path):
    recipe = tiny(iterations=24, checkpoint_minutes=1e-9, sample_minutes=60, **ADVERSARIAL)
    run = tmp_path / "killed"
    process = _process("train(recipe, root=root, run=run)", recipe, root, run)
    while not (run / "checkpoint.pt").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.2))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it was killed before its end"
    done = torch.load(run / "checkpoint.pt", weights_only=True)["iteration"]
    assert 0 < done < 24
    resumed = train(recipe, root=root, run=run, resume=True)
    unbroken = train(recipe, root=root, run=tmp_path / "unbroken")
    assert resumed.read_bytes() == unbroken.read_bytes(), f"killed after iteration {done}"


def _three_steps(batch: int, share: Share) -> Training:
    """Adversarial steps on fixed noise, of which each process takes its share."""
    critic = {"architecture": "spade", "width": 4, "optimiser": {"warmup": 0}}
    state = Training(tiny(batch=batch, **{**ADVERSARIAL, "critic": critic}, optimiser={"warmup": 0}), share)
    source, truth = torch.rand(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    mine = slice(share.rank * batch, (share.rank + 1) * batch)
    for _ in range(3):
        state.step(source[mine], truth[mine])
    return state


def test_two_processes_take_the_steps_of_one_with_twice_the_batch(root: Path, tmp_path: Path):
    """Tolerance: 1e-4 on weights of about 0.1 that have moved by up to 2e-3, with Adam in float32.

    The critic is one without biases before a norm: their gradient is nothing but rounding, and Adam scales it up.
    """
    code = (
        "import os\nimport torch.distributed as dist\nfrom restauro.train.batches import Share\n"
        "from tests.train.test_run import _three_steps\nrank = int(os.environ['RANK'])\n"
        f"dist.init_process_group('gloo', init_method={(tmp_path / 'meet').as_uri()!r}, rank=rank, world_size=2)\n"
        "train(recipe, root=root, run=run)\nstate = _three_steps(2, Share(rank, 2))\n"
        "torch.save(state.capture(''), run / f'steps{rank}.pt')\ndist.destroy_process_group()"
    )
    flat = {"optimiser": {"warmup": 0}}
    at = {"GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(Path(__file__).parents[2])}
    both = [_process(code, tiny(batch=2, **flat), root, tmp_path / "two", RANK=rank, **at) for rank in "01"]
    train(tiny(batch=4, **flat), root=root, run=tmp_path / "one")
    stepped = _three_steps(4, Share()).capture("")
    for process in both:
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said
    trained, in_two = (torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("one", "two"))
    _alike(in_two["net"], trained["net"])
    for rank in (0, 1):
        state = torch.load(tmp_path / "two" / f"steps{rank}.pt", weights_only=True)
        _alike(state["net"], stepped["net"])
        _alike(state["critic"], stepped["critic"])


def _alike(found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, atol=1e-4, rtol=0, msg=lambda text, name=name: f"{name}: {text}")


def test_shares_of_a_batch_are_the_batch_of_one_process(root: Path, tmp_path: Path):
    recipe = tiny(batch=2, degradation=NOISE)
    one = load_pairs(recipe.data.train[0], root, recipe.degradation, tmp_path / "c", fresh=True)
    whole = next(batches([one], tiny(batch=4, degradation=NOISE)))
    shares = [next(batches([one], recipe, 0, Share(rank, 2))) for rank in (0, 1)]
    for k in (0, 1):
        assert torch.equal(whole[k], torch.cat([shares[0][k], shares[1][k]]))


def test_fresh_degradations_differ_by_iteration_and_return_after_a_restart(root: Path, tmp_path: Path):
    (root / "train.txt").write_text("0.png\n")
    recipe = tiny(degradation=NOISE, patch_px=64, batch=1)
    one = load_pairs(recipe.data.train[0], root, recipe.degradation, tmp_path / "c", fresh=True)
    assert not (tmp_path / "c").exists(), "nothing is cached"
    whole = list(batches([one], recipe))
    late = list(batches([one], recipe, start=3))
    assert len(whole) == 6
    for (a, b), (c, d) in zip(whole[3:], late, strict=True):
        assert torch.equal(a, c)
        assert torch.equal(b, d)
    noise = [(source - truth).std() for source, truth in whole]
    assert len({float(value) for value in noise}) == 6, "the same picture, another draw each time"


@pytest.mark.parametrize("fresh", [False, True])
def test_turns_are_of_both_pictures_of_a_pair_and_of_their_set_alone(root: Path, tmp_path: Path, fresh: bool):
    (root / "train.txt").write_text("0.png\n")
    none = {"law": "smoothers-mixed", "settings": {"none": 1e9}, "fresh": fresh}
    recipe = tiny(degradation=none, batch=8, patch_px=64)
    one = load_pairs(recipe.data.train[0], root, recipe.degradation, tmp_path / "c", fresh=fresh)
    wanted = to_tensor(one.pairs[0].truth[None])[0]

    def seen(turns: bool) -> set[tuple[int, bool]]:
        found = set()
        for sources, truths in batches([replace(one, turns=turns)], recipe):
            assert torch.equal(sources, truths)
            for truth in truths:
                ways = [
                    (quarters, flip)
                    for quarters in range(4)
                    for flip in (False, True)
                    if torch.equal(truth, torch.rot90(wanted.flip(2) if flip else wanted, quarters, (1, 2)))
                ]
                assert len(ways) == 1
                found.add(ways[0])
        return found

    assert len(seen(turns=True)) == 8
    assert seen(turns=False) == {(0, False), (0, True)}


def test_a_margin_as_wide_as_the_picture_gives_crops_of_the_degraded_picture(root: Path, tmp_path: Path):
    (root / "train.txt").write_text("0.png\n")
    recipe = tiny(degradation={"law": "sr4", "fresh": True, "margin_px": 64})
    one = load_pairs(recipe.data.train[0], root, recipe.degradation, tmp_path / "c", fresh=True)
    whole = to_tensor(one.pairs[0].truth[None])
    degraded = (degrade_tensor(whole, "sr4")[0] * 255).round() / 255
    windows = [x.unfold(2, 32, 1).unfold(3, 32, 1)[0] for x in (whole, degraded)]  # [3, 33, 33, 32, 32]
    for source, truth in batches([one], recipe):
        for crop, wanted in zip(source, truth, strict=True):
            here = [
                (top, left, flip)
                for flip in (False, True)
                for top, left in (windows[0] == (wanted.flip(2) if flip else wanted)[:, None, None])
                .all(4)
                .all(3)
                .all(0)
                .nonzero()
                .tolist()
            ]
            assert len(here) == 1, "the crop is found once in the picture"
            top, left, flip = here[0]
            assert torch.equal(crop.flip(2) if flip else crop, windows[1][:, top, left])


def test_validation_inputs_are_drawn_once_and_by_content(root: Path, tmp_path: Path):
    law = tiny(degradation=NOISE).degradation
    spec = tiny().data.train[0]
    first = load_pairs(spec, root, law, tmp_path / "c")
    again = load_pairs(spec, root, law, tmp_path / "d")
    for a, b in zip(first.pairs, again.pairs, strict=True):
        assert np.array_equal(a.source, b.source)
    residue = [pair.source.astype(int) - pair.truth for pair in first.pairs]
    assert not np.array_equal(residue[0], residue[1])
    assert [pair.name for pair in sample_crops([first])] == ["0.png", "1.png", "2.png"]


def test_other_recipes_do_not_resume(root: Path, tmp_path: Path):
    assert train(tiny(), root=root, run=tmp_path / "run", minutes=0) is None
    with pytest.raises(DataError, match="another recipe"):
        train(tiny(**ADVERSARIAL), root=root, run=tmp_path / "run", resume=True)
