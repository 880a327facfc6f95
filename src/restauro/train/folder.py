"""The folder of a run: log, loss plot, sample sheets, checkpoint, weights.

================== ===============================================================================
log.jsonl          a line every 50 iterations: iteration, learning rate, speed, each loss term
losses.png         the same as curves
samples/N.png      input | output | truth of fixed validation crops, by the averaged network, at N
checkpoint.pt      everything that resuming needs
NAME.safetensors   the finished weights
================== ===============================================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from restauro.train.data import Bytes3, Pair, PairSet, to_tensor
from restauro.train.draw import curves, sheet

LOG_EVERY = 50
SAMPLES_PER_SET, SAMPLE_PX = 3, 192


class RunFolder:
    """Writes one run's folder.

    Parameters
    ----------
    path
        Made if need be.
    iteration
        Where the run goes on: lines of the log after it are of a run that was broken off, and are dropped.
    samples
        What sheets show.
    """

    def __init__(self, path: Path, iteration: int, samples: list[Pair]) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path, self.samples = path, samples
        self.rows = [row for row in _read_log(path / "log.jsonl") if row["iteration"] <= iteration]
        text = "".join(json.dumps(row) + "\n" for row in self.rows)
        part = path / "log.jsonl.part"
        part.write_text(text, encoding="utf-8")
        part.replace(path / "log.jsonl")

    def log(self, row: dict[str, float]) -> None:
        """Append a line; it is on disk when this returns."""
        self.rows.append(row)
        with (self.path / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")

    def plot(self) -> None:
        """Draw ``losses.png`` from the log."""
        names = dict.fromkeys(name for row in self.rows for name in row if name not in ("iteration", "per_second"))
        series = {name: [(int(row["iteration"]), row[name]) for row in self.rows if name in row] for name in names}
        part = self.path / "losses.png.part"
        curves(series).save(part, format="png")
        part.replace(self.path / "losses.png")

    def show(self, restore: Callable[[Tensor], Tensor], iteration: int) -> None:
        """Write a sheet of what ``restore`` ([1, 3, H, W] to the same) makes of the samples."""
        if not self.samples:
            return
        rows = []
        for pair in self.samples:
            with torch.inference_mode():
                output = restore(to_tensor(pair.source[None])).float().clamp(0, 1).cpu()
            made = np.rint(output[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
            rows.append([pair.source, made, pair.truth])
        folder = self.path / "samples"
        folder.mkdir(exist_ok=True)
        sheet(rows, ["input", "output", "truth"]).save(folder / f"{iteration:07d}.png")


def sample_crops(sets: list[PairSet]) -> list[Pair]:
    """The middle of a few validation pictures of each set, evenly spaced: the same in every run."""
    chosen = []
    for one in sets:
        step = max(1, len(one.pairs) // SAMPLES_PER_SET)
        for pair in one.pairs[::step][:SAMPLES_PER_SET]:
            source, truth = _middle(pair.source), _middle(pair.truth)
            chosen.append(Pair(pair.name, pair.file_sha256, source, truth))
    return chosen


def _middle(pixels: Bytes3) -> Bytes3:
    top, left = (max(0, (side - SAMPLE_PX) // 2) for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + SAMPLE_PX, left : left + SAMPLE_PX])


def _read_log(path: Path) -> list[dict[str, float]]:
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # the line that a kill cut short
        if isinstance(row, dict) and "iteration" in row:
            rows.append(row)
    return rows
