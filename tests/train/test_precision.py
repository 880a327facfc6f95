"""Which precision a run takes, that it says so, and that a resumed run keeps it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from restauro.models import find
from restauro.train import precision
from restauro.train.loop import train
from restauro.train.precision import choose_precision
from restauro.train.step import Training
from tests.train.small import tiny

CPU = torch.device("cpu")


def _processor(monkeypatch: pytest.MonkeyPatch, *, avx512_bf16: bool = False, amx: bool = False) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)


@pytest.mark.parametrize(
    ("has", "wanted", "says"),
    [
        ({"avx512_bf16": True}, "bfloat16", "AVX512-BF16"),
        ({"amx": True}, "bfloat16", "AMX"),
        ({}, "float32", "neither"),
    ],
)
def test_auto_asks_the_processor(monkeypatch: pytest.MonkeyPatch, has: dict[str, bool], wanted: str, says: str):
    _processor(monkeypatch, **has)
    chosen = choose_precision("auto", CPU)
    assert chosen.name == wanted
    assert says in chosen.why
    with chosen.autocast(CPU):
        assert str((torch.ones(2, 2) @ torch.ones(2, 2)).dtype) == f"torch.{wanted}"


@pytest.mark.parametrize("has", [True, False])
def test_auto_asks_the_gpu(monkeypatch: pytest.MonkeyPatch, has: bool):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has and not including_emulation)
    assert choose_precision("auto", torch.device("cuda")).name == ("bfloat16" if has else "float32")


def test_a_named_precision_is_kept_and_emulation_is_said(monkeypatch: pytest.MonkeyPatch):
    _processor(monkeypatch)
    assert "emulated" in choose_precision("bfloat16", CPU).why
    assert choose_precision("bfloat16", CPU).name == "bfloat16"
    _processor(monkeypatch, amx=True)
    assert choose_precision("bfloat16", CPU).why == choose_precision("float32", CPU).why == "named by the recipe"


def test_log_and_weights_say_what_was_chosen(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert tiny().model_copy(update={"precision": "auto"}).precision == type(tiny()).model_fields["precision"].default
    _processor(monkeypatch, avx512_bf16=True)
    made = train(tiny(precision="auto", iterations=1), root=root, run=tmp_path / "run")
    first = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[0])
    assert first["precision"] == find(made).metadata["precision"] == "bfloat16"
    assert first["why"] == "auto: the processor has AVX512-BF16"
    named = train(tiny(iterations=1), root=root, run=tmp_path / "named")
    assert "precision" not in find(named).metadata, "its recipe says it"


def test_a_run_goes_on_in_the_precision_that_it_began_in(monkeypatch: pytest.MonkeyPatch):
    recipe = tiny(precision="auto")
    _processor(monkeypatch, amx=True)
    saved = Training(recipe).capture("")
    _processor(monkeypatch)
    state = Training(recipe)
    assert state.precision.name == "float32"
    state.restore(saved, "")
    assert state.precision == precision.Precision("bfloat16", "as the run began")
    del saved["precision"]  # a checkpoint from before this key
    state = Training(tiny())
    saved["recipe"] = tiny().to_json()
    state.restore(saved, "")
    assert state.precision.name == "float32"
