from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from restauro import models
from restauro.errors import ModelError, UsageError

OPTIONS = {"variant": "pix2pix", "width": 4, "norm": "none", "residual": False}


@pytest.fixture
def local(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "mine.safetensors"
    models.save_weights(models.build("desmoothgan", **OPTIONS), path, "desmoothgan", OPTIONS, {"recipe": "{}"})
    return path


def test_a_local_path_is_accepted_and_remembers_what_it_is(local: Path):
    weights = models.find(local)
    assert weights.name == "mine"
    assert weights.options == OPTIONS
    assert weights.sha256 == hashlib.sha256(local.read_bytes()).hexdigest()
    net = models.load(str(local))
    assert not net.training
    assert models.facts_of(net).multiple == 32
    assert not any(p.requires_grad for p in net.parameters())


def test_loaded_weights_are_the_saved_ones_in_half_precision(local: Path):
    torch.manual_seed(0)
    original = models.build("desmoothgan", **OPTIONS).state_dict()
    for key, value in models.load(local).state_dict().items():
        torch.testing.assert_close(value, original[key].half().float(), atol=0, rtol=0)


def test_same_network_same_bytes(local: Path, tmp_path: Path):
    again = tmp_path / "again.safetensors"
    models.save_weights(models.load(local), again, "desmoothgan", OPTIONS, {"recipe": "{}"})
    assert again.read_bytes() == local.read_bytes()


def test_unknown_names_point_at_the_nearest():
    with pytest.raises(ModelError, match="'desmooth-general' perhaps"):
        models.find("desmooth-generl")
    with pytest.raises(UsageError, match="'desmoothgan' perhaps"):
        models.build("desmothgan")
    with pytest.raises(UsageError, match="'width' perhaps"):
        models.build("desmoothgan", widht=8)


@pytest.mark.parametrize("damage", ["cut", "flip", "text", "missing"])
def test_damaged_files_are_refused_in_one_line(local: Path, damage: str):
    data = local.read_bytes()
    if damage == "cut":
        local.write_bytes(data[: len(data) // 2])
    elif damage == "flip":
        local.write_bytes(b"\xff" * 8 + data[8:])
    elif damage == "text":
        local.write_text("hello")
    else:
        local.unlink()
    with pytest.raises(ModelError) as caught:
        models.load(local)
    assert "\n" not in str(caught.value)
    assert str(local) in str(caught.value)


def test_shipped_weights_are_verified_by_size_and_hash(monkeypatch: pytest.MonkeyPatch):
    name = next(iter(models.manifest()))
    record = dict(models.manifest()[name])
    monkeypatch.setattr(models, "manifest", lambda: {name: {**record, "sha256": "0" * 64}})
    with pytest.raises(ModelError, match="damaged or replaced"):
        models.find(name)


@pytest.mark.parametrize("name", list(models.MODELS))
def test_every_model_of_the_table_ships_loads_and_fits_its_budget(name: str):
    weights = models.find(name)
    assert weights.bytes <= 15 * 2**20
    assert weights.record["recipe"] == f"recipes/{name}.toml"
    assert weights.record["scores"], "a model without scores is not printed anywhere"
    net = models.load(weights)
    assert sum(p.numel() for p in net.parameters()) == weights.record["parameters"]
    channels = next(layer.in_channels for layer in net.modules() if isinstance(layer, torch.nn.Conv2d))
    x = torch.rand(
        1, 3 if models.MODELS[name].verb != "translate" else channels, *[models.facts_of(net).multiple * 2] * 2
    )
    assert torch.isfinite(net(x)).all()


def test_all_weights_together_fit_the_budget():
    assert sum(record["bytes"] for record in models.manifest().values()) <= 80 * 2**20
    assert set(models.manifest()) == set(models.MODELS)


@pytest.mark.parametrize("architecture", list(models.ARCHITECTURES))
def test_every_architecture_is_built_by_name_and_states_its_facts(architecture: str):
    with torch.device("meta"):
        net = models.build(architecture)
    assert models.facts_of(net).multiple >= 1
    assert sum(p.numel() for p in net.parameters()) > 0
