"""One miniature training, end to end: data, loop, resume, weights that load."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrize

from restauro.errors import DataError, EngineError
from restauro.models import find, load
from restauro.nets.layers.spectral import SpectralConv2d
from restauro.train import data as train_data
from restauro.train.batches import batches
from restauro.train.loop import train
from restauro.train.muon import Muon
from restauro.train.sections import DegradationSection, PictureSet
from restauro.train.step import Training
from tests.train.small import tiny


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_training_changes_the_network_and_says_where_it_came_from(root: Path, tmp_path: Path):
    made = train(tiny(), root=root, run=tmp_path / "run")
    weights = find(made)
    assert json.loads(weights.metadata["recipe"])["iterations"] == 6
    assert len(weights.metadata["data_sha256"]) == 64
    x = torch.rand(1, 3, 32, 32)
    assert not torch.equal(load(made)(x), x), "an untrained residual network is the identity"
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["iteration"] == 6
    assert {"l1", "ssim", "lr"} <= set(log[-1])


def test_resumed_run_gives_the_same_bytes_as_an_unbroken_one(root: Path, tmp_path: Path):
    class Killed(Exception):
        pass

    def kill(progress: object) -> None:
        if progress.iteration == 4:  # type: ignore[attr-defined]
            raise Killed

    recipe = tiny(checkpoint_minutes=1e-9)  # a checkpoint after every iteration
    unbroken = train(recipe, root=root, run=tmp_path / "unbroken")
    with pytest.raises(Killed):
        train(recipe, root=root, run=tmp_path / "broken", on_progress=kill)
    resumed = train(recipe, root=root, run=tmp_path / "broken", resume=True)
    assert _digest(resumed) == _digest(unbroken)


def test_a_run_in_the_way_is_not_overwritten(root: Path, tmp_path: Path):
    train(tiny(iterations=1), root=root, run=tmp_path / "run")
    with pytest.raises(DataError, match="continue it with --resume"):
        train(tiny(iterations=1), root=root, run=tmp_path / "run")
    with pytest.raises(DataError, match="another recipe"):
        train(tiny(iterations=2), root=root, run=tmp_path / "run", resume=True)


def test_batch_number_alone_decides_a_batch(root: Path, tmp_path: Path):
    spec = tiny().data.train[0]
    one = train_data.load_pairs(spec, root, DegradationSection(), tmp_path / "c")
    whole = list(batches([one], tiny()))
    late = list(batches([one], tiny(), start=4))
    assert len(whole) == 6
    for (a, b), (c, d) in zip(whole[4:], late, strict=True):
        assert torch.equal(a, c)
        assert torch.equal(b, d)
    assert not torch.equal(whole[0][1], whole[1][1])


def test_degraded_pictures_are_cached_by_content(root: Path, tmp_path: Path):
    spec = PictureSet(name="t", folder="pictures", list="train.txt", shrink=(1, 2))
    first = train_data.load_pairs(spec, root, DegradationSection(), tmp_path / "c")
    files = sorted((tmp_path / "c").rglob("*.npy"))
    assert len(files) == len(first.pairs) == 6
    np.save(files[0], np.zeros_like(np.load(files[0])))
    second = train_data.load_pairs(spec, root, DegradationSection(), tmp_path / "c")
    assert sum(not p.source.any() for p in second.pairs) == 1, "the cache is read, not made again"
    train_data.load_pairs(spec, root, DegradationSection(settings={"lam": 0.05}), tmp_path / "c")
    assert len(list((tmp_path / "c").rglob("*.npy"))) == 12, "another law has its own entries"


def test_validation_pictures_never_train(root: Path, tmp_path: Path):
    (root / "pictures" / "again.png").write_bytes((root / "pictures" / "3.png").read_bytes())
    (root / "train.txt").write_text("0.png\nagain.png\n")
    with pytest.raises(DataError, match=r"'3.png' is training picture 'again.png'"):
        train(tiny(), root=root, run=tmp_path / "run")


def test_missing_data_is_said(root: Path, tmp_path: Path):
    (root / "train.txt").write_text("0.png\nnone.png\n")
    with pytest.raises(DataError, match=r"1 of 2 listed pictures are missing, first none\.png"):
        train(tiny(), root=root, run=tmp_path / "run")
    with pytest.raises(DataError, match="no such folder"):
        train(tiny(), root=tmp_path / "nowhere", run=tmp_path / "run")


def test_too_large_patches_are_said(root: Path, tmp_path: Path):
    with pytest.raises(DataError, match="smaller than 96 px"):
        train(tiny(patch_px=96), root=root, run=tmp_path / "run")


def test_divergence_stops_the_run(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    recipe = tiny(optimiser={"lr": 1e20, "warmup": 0})
    with pytest.raises(EngineError, match=r"the gradient at iteration \d is (nan|inf)"):
        train(recipe, root=root, run=tmp_path / "run")


def test_features_without_their_weights_stop_the_run(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from restauro.errors import RestauroError

    monkeypatch.delenv("RESTAURO_FEATURES", raising=False)
    with pytest.raises(RestauroError, match="RESTAURO_FEATURES"):
        train(tiny(loss={"l1": 1.0, "features": 0.1}), root=root, run=tmp_path / "run")


@pytest.mark.parametrize(
    "model",
    [
        {"architecture": "desmoothgan", "options": {"variant": "no-sft-fa", "width": 4, "residual": True}},
        {"architecture": "hifacegan", "options": {"variant": "nested", "width": 4, "norm": "instance"}},
    ],
    ids=["torch's spectral norm", "our own"],
)
def test_averaged_weights_have_their_own_spectral_norm(root: Path, tmp_path: Path, model: dict[str, object]):
    """The averages of u and v along the way are no singular vectors; divided by them, weights came out too strong."""
    fast = {"name": "muon", "lr": 0.05, "warmup": 0}
    made = train(tiny(model=model, optimiser=fast, ema=0.9, patch_px=64, iterations=8), root=root, run=tmp_path / "run")
    normed = {name: layer for name, layer in load(made).eval().named_modules() if is_normed(layer)}
    assert normed
    for name, layer in normed.items():
        weight = layer.weight() if isinstance(layer, SpectralConv2d) else layer.weight
        rows = weight.transpose(0, 1) if isinstance(layer, torch.nn.ConvTranspose2d) else weight
        assert torch.linalg.matrix_norm(rows.flatten(1), 2) == pytest.approx(1, abs=0.02), name


def is_normed(module: torch.nn.Module) -> bool:
    return isinstance(module, SpectralConv2d) or parametrize.is_parametrized(module)


def test_wide_layers_learn_slower_by_what_they_sum():
    options = {"width": 4, "norm": "none", "residual": True}
    model = {"architecture": "desmoothgan", "options": options}
    state = Training(tiny(optimiser={"fan_in": 64, "lr": 1e-3, "warmup": 0}, model=model))
    before = {name: value.clone() for name, value in state.net.state_dict().items()}
    state.net.head.weight.data.normal_()  # so that all layers get a gradient
    generator = torch.Generator().manual_seed(0)
    state.step(torch.rand(2, 3, 32, 32, generator=generator), torch.rand(2, 3, 32, 32, generator=generator))
    moved = {name: float((value - before[name]).abs().max()) for name, value in state.net.state_dict().items()}
    # AdamW's first step is the rate itself. 4 x 4 taps of 3, 4 and 16 channels; a quarter of them of 32 and of 8 + 8
    for name, share in {"down.0": 1, "down.1": 1, "down.3": 1 / 4, "up.0": 1 / 2, "up.3": 1}.items():
        assert moved[f"{name}.weight"] == pytest.approx(1e-3 * share, rel=0.02)
        assert moved[f"{name}.bias"] == pytest.approx(1e-3, rel=0.02), "biases sum nothing"


def test_fan_in_is_for_adamw():
    with pytest.raises(ValueError, match="fan_in with adamw"):
        tiny(optimiser={"name": "muon", "fan_in": 64})


def test_momentum_is_for_muon():
    with pytest.raises(ValueError, match="momentum with muon"):
        tiny(optimiser={"momentum": 0.5})
    state = Training(tiny(optimiser={"name": "muon", "momentum": 0.5}))
    assert isinstance(state.optimiser, Muon)
    assert state.optimiser.momentum == 0.5
