"""Checkpoints: the whole state of a run in one file, replaced atomically.

Resuming continues to the same weights as an unbroken run, because nothing that decides them is left out: network,
averaged network, optimiser, and the number of iterations done (batches are drawn by that number alone).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from restauro.errors import DataError


def save(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` beside ``path`` and rename: after a crash the last whole checkpoint is still there."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint (tensors and plain values only: nothing in it is executed)."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DataError(f"{path}: found {type(error).__name__}, wanted a checkpoint of this run; remove it") from error
    return state
