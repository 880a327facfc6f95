"""Fixtures that several rooms share. A picture comes from ``skimage.data``; nothing is fetched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]


# The same examples in every run: a red test is the change's doing, and a machine under load is no failure.
settings.register_profile("restauro", derandomize=True, deadline=None)
settings.load_profile("restauro")


def pytest_configure(config: pytest.Config) -> None:
    """Give each pytest-xdist worker one thread, and name the folder of feature weights where there is one."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        import torch

        torch.set_num_threads(1)
    features = ROOT.parent / "shared" / "data" / "weights"
    if features.is_dir():
        os.environ.setdefault("RESTAURO_FEATURES", str(features))


@pytest.fixture(scope="session")
def _astronaut() -> np.ndarray:
    from skimage.data import astronaut

    face = astronaut()[:192, 128:352]  # [192, 224, 3] uint8: a face, a flag, sides that differ
    pixels = np.asarray(face, np.float32) / 255
    pixels.setflags(write=False)
    return pixels


@pytest.fixture
def astronaut_array(_astronaut: np.ndarray) -> np.ndarray:
    """A photograph, [192, 224, 3] float32 in 0..1, the test's own copy."""
    return _astronaut.copy()


@pytest.fixture
def astronaut(_astronaut: np.ndarray) -> Tensor:
    """The same photograph as a tensor, [1, 3, 192, 224] float32 in 0..1, the test's own copy."""
    import torch

    return torch.from_numpy(_astronaut.copy()).permute(2, 0, 1)[None].contiguous()


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder of the development pictures; the test is skipped, and says so, where there is none."""
    set_by_user = os.environ.get("RESTAURO_DATA")
    root = Path(set_by_user) if set_by_user else ROOT.parent / "shared" / "data"
    if set_by_user and not root.is_dir():
        pytest.fail(f"RESTAURO_DATA={set_by_user}: no such folder; unset it, or point it at the development pictures")
    if not root.is_dir():
        pytest.skip("needs the development pictures: set RESTAURO_DATA to their folder")
    return root
