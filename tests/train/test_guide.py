"""The training guide: its worked example runs as printed, and no key of a recipe is missing from it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from restauro.cli.main import main
from restauro.train.recipe import Recipe

GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "training.md").read_text("utf-8")


def _block(language: str) -> str:
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    return block


def test_the_first_model_trains_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """With its minute cut to a few iterations; what a whole minute reaches depends on the machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RESTAURO_CACHE", raising=False)
    subprocess.run([sys.executable, "-c", _block("python")], check=True)
    Path("first.toml").write_text(_block("toml"))
    (commands,) = re.findall(r"^Then\n\n```\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    for line in commands.splitlines():
        words = line.split()
        assert words.pop(0) == "restauro"
        assert main([*words, *(["--set", "minutes=0.02"] if words[0] == "train" else [])]) == 0
    assert "cat, psnr:rgb:" in capsys.readouterr().out
    table = Path("runs/first/scores.md").read_text()
    assert "| first |" in table
    assert "4 pictures" in table
    assert json.loads(Path("runs/first/log.jsonl").read_text().splitlines()[0])["precision"] in ("bfloat16", "float32")


def _keys(section: type[BaseModel]) -> set[str]:
    keys: set[str] = set()
    for name, field in section.model_fields.items():
        inner = [t for t in (field.annotation, *getattr(field.annotation, "__args__", ())) if isinstance(t, type)]
        sections = [t for t in inner if issubclass(t, BaseModel)]
        keys |= set.union(*map(_keys, sections)) if sections else {name}
    return keys


def test_every_key_is_explained():
    named = {key.rpartition(".")[2] for key in re.findall(r"`([a-z0-9_.]+)`", GUIDE)}
    missing = _keys(Recipe) - named
    assert not missing, f"docs/guide/training.md says nothing of {', '.join(sorted(missing))}"
