"""A folder of pictures, and one thread of torch: the networks here are so small that a second one only waits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.train.small import make_pictures


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
