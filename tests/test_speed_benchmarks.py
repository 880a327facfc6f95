"""The speed benchmarks run end to end on tiny networks; memory in fresh processes is the harness's own test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import forms, run
from benchmarks.harness import Memory
from restauro.models import build, save_weights

TINY = {
    "sasnet": ("sasnet", {"width": 4, "depth": 1}),
    "desmooth-speed": ("desmoothgan", {"variant": "ours", "width": 4, "norm": "none"}),
    "renovate": ("hifacegan", {"width": 1}),
}


@pytest.mark.parametrize("name", list(TINY))
def test_forms_are_compared(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "in_fresh_process", lambda *_: ([1.0], Memory(100.0, 150.0), {}))
    architecture, options = TINY[name]
    model = tmp_path / "tiny.safetensors"
    net = build(architecture, **options)
    save_weights(forms.randomised(net, 0.3) if name == "sasnet" else net, model, architecture, options, {})
    words = [name, "--date", "2026-11-20", "--megapixels", "0.01", "--rounds", "2", "--threads", "1"]
    run.main([*words, "--model", str(model), "--out", str(tmp_path)])
    (case,) = json.loads((tmp_path / f"{name}.json").read_text())["cases"]
    assert list(case["seconds"]) == list(case["memory_mib"]) == ["bfloat16", "float32", "plain"]
    assert list(case["ratios"]) == ["float32 / bfloat16", "plain / bfloat16"]
    notes = case["notes"]
    assert notes["clock"] == "processor"
    assert notes["bfloat16 to plain, dB"] > 30
    assert notes["float32 to plain, largest error"] < 1e-4
    assert notes["GFLOP"] > 0
    assert notes["floor bfloat16, s"] > 0


def test_random_networks_do_something() -> None:
    from benchmarks import desmooth_speed, renovate, sasnet

    pixels = forms.crop(0)
    for net in (
        desmooth_speed.network(),
        renovate.network(width=1),
        sasnet.network(width=8, depth=1, attention=True),
    ):
        made = forms.work(net.eval().requires_grad_(False), "plain", pixels)()
        assert 0.01 < float(abs(made - pixels).mean()) < 1


def test_each_form_can_be_made_ready_in_a_process_of_its_own() -> None:
    options = {"width": 4, "depth": 1}
    for form in forms.FORMS:
        ready = forms.prepare("benchmarks.sasnet:network", options, form, 0.01, None, 1)
        assert ready() is None
