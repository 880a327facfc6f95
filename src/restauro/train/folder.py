"""The folder of a run: log, loss plot, sample sheets, checkpoint, weights.

================== ===============================================================================
log.jsonl          a line at each start: device, precision and why; one every 50 iterations: iteration, learning
                   rate, speed, each loss term
losses.png         the same as curves
samples/N.png      input | output | truth of fixed validation crops, by the averaged network, at N
tensorboard/       the same scalars and sheets, where train was asked for them
scores.md          what the finished weights reach on each validation set; scores.SET.json has every value
checkpoint.pt      everything that resuming needs
NAME.safetensors   the finished weights
================== ===============================================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from restauro.errors import UsageError
from restauro.metrics.report import json_text, markdown
from restauro.metrics.table import Table
from restauro.sheet import grid
from restauro.train.data import Bytes3, Pair, PairSet
from restauro.train.draw import curves

Writer = Callable[..., Any]  # torch.utils.tensorboard.SummaryWriter

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
    writer
        What :func:`tensorboard_writer` gave; None writes nothing for TensorBoard.
    """

    def __init__(self, path: Path, iteration: int, samples: list[Pair], writer: Writer | None = None) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path, self.samples = path, samples
        self.board = writer(str(path / "tensorboard"), purge_step=iteration + 1) if writer else None
        self.rows = [row for row in _read_log(path / "log.jsonl") if int(row["iteration"]) <= iteration]
        text = "".join(json.dumps(row) + "\n" for row in self.rows)
        part = path / "log.jsonl.part"
        part.write_text(text, encoding="utf-8")
        part.replace(path / "log.jsonl")

    def begin(self, iteration: int, facts: dict[str, str]) -> None:
        """Say what the next lines of the log come from."""
        self._append({"iteration": iteration, **facts})

    def log(self, row: dict[str, float]) -> None:
        """Append a line; it is on disk when this returns."""
        self._append(row)
        if self.board:
            for name, value in row.items():
                if name != "iteration":
                    self.board.add_scalar(name, value, row["iteration"])

    def _append(self, row: Mapping[str, float | str]) -> None:
        self.rows.append(row)
        with (self.path / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")

    def plot(self) -> None:
        """Draw ``losses.png`` from the log."""
        series: dict[str, list[tuple[int, float]]] = {}
        for row in self.rows:
            for name, value in row.items():
                if name not in ("iteration", "per_second") and not isinstance(value, str):
                    series.setdefault(name, []).append((int(row["iteration"]), value))
        part = self.path / "losses.png.part"
        curves(series).save(part, format="png")
        part.replace(self.path / "losses.png")

    def show(self, restore: Callable[[Tensor], Tensor], iteration: int) -> None:
        """Write a sheet of what ``restore`` ([1, C, H, W] to [1, 3, H, W]) makes of the samples."""
        if not self.samples:
            return
        rows = []
        for pair in self.samples:
            with torch.inference_mode():
                output = restore(pair.given()).float().clamp(0, 1).cpu()
            made = np.rint(output[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
            rows.append([pair.shown(), made, pair.truth])
        folder = self.path / "samples"
        folder.mkdir(exist_ok=True)
        shown = grid(rows, ["input", "output", "truth"])
        shown.save(folder / f"{iteration:07d}.png")
        if self.board:
            self.board.add_image("samples", np.asarray(shown), iteration, dataformats="HWC")

    def score(self, tables: Mapping[str, Table]) -> None:
        """Write the scores of the finished weights."""
        parts = [f"## {name}\n\n{markdown(table)}" for name, table in tables.items()]
        (self.path / "scores.md").write_text("\n".join(parts), encoding="utf-8")
        for name, table in tables.items():
            (self.path / f"scores.{name}.json").write_text(json_text(table), encoding="utf-8")

    def close(self) -> None:
        """Nothing more comes."""
        if self.board:
            self.board.close()


def tensorboard_writer() -> Writer:
    """The class that writes for TensorBoard.

    Raises
    ------
    UsageError
        Its package is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError(
            "--tensorboard: found no package tensorboard; pip install 'restauro[tensorboard]', or leave the option out"
        ) from None
    return SummaryWriter


def sample_crops(sets: list[PairSet]) -> list[Pair]:
    """The middle of a few validation pictures of each set, evenly spaced: the same in every run."""
    chosen = []
    for one in sets:
        step = max(1, len(one.pairs) // SAMPLES_PER_SET)
        for pair in one.pairs[::step][:SAMPLES_PER_SET]:
            source, truth = _middle(pair.source), _middle(pair.truth)
            chosen.append(replace(pair, source=source, truth=truth))
    return chosen


def _middle(pixels: Bytes3) -> Bytes3:
    top, left = (max(0, (side - SAMPLE_PX) // 2) for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + SAMPLE_PX, left : left + SAMPLE_PX])


def _read_log(path: Path) -> list[Mapping[str, float | str]]:
    if not path.exists():
        return []
    rows: list[Mapping[str, float | str]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # the line that a kill cut short
        if isinstance(row, dict) and "iteration" in row:
            rows.append(row)
    return rows
