"""A folder of pictures, and one thread of torch: the networks here are so small that a second one only waits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.train.small import TINY, make_pictures


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of four small pictures; degraded ones are cached beside it."""
    monkeypatch.setenv("RESTAURO_CACHE", str(tmp_path / "cache"))
    return make_pictures(tmp_path / "root")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """The tiny recipe as a file."""
    plain = "\n".join(f"{key} = {json.dumps(value)}" for key, value in TINY.items() if not isinstance(value, dict))
    path = tmp_path / "tiny.toml"
    path.write_text(
        f"{plain}\n[model]\narchitecture = 'desmoothgan'\noptions = {{ width = 4, norm = 'none', residual = true }}\n"
        "[[data.train]]\nname = 't'\nfolder = 'pictures'\nlist = 'train.txt'\n"
        "[[data.validation]]\nname = 'v'\nfolder = 'pictures'\nlist = 'val.txt'\n"
    )
    return path
