"""The training loop, with nothing hidden: one network, pixel losses, AdamW, a cosine, an exponential average.

The average (EMA) is what is validated and shipped. Convolutions run in bfloat16 where the recipe says so; losses,
the optimiser and the master weights stay in float32.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from restauro.errors import DataError, EngineError
from restauro.models import build, save_weights
from restauro.train import checkpoint
from restauro.train.data import PairSet, batches, digest, load_pairs, refuse_overlap
from restauro.train.losses import Losses
from restauro.train.recipe import Recipe


@dataclass(frozen=True)
class Progress:
    """What a progress bar wants to know."""

    iteration: int
    of: int
    terms: dict[str, float]
    per_second: float


def train(
    recipe: Recipe,
    *,
    root: Path,
    run: Path,
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_data: Callable[[str, int, int], None] | None = None,
) -> Path:
    """Train one network and write its weights.

    Parameters
    ----------
    recipe, root
        What to train, and the folder that the recipe's picture sets are relative to.
    run
        Folder of this run: ``log.jsonl``, ``checkpoint.pt``, and at the end ``<name>.safetensors``.
    resume
        Continue from the checkpoint in ``run``, to the same weights as an unbroken run. Without it, a run folder
        that holds a checkpoint is an error.

    Returns
    -------
    Path
        The finished weights (averaged, half precision, the resolved recipe in their metadata).

    Raises
    ------
    DataError
        Wrong or missing data; a checkpoint of another recipe; a checkpoint in the way.
    EngineError
        The loss is not finite.
    """
    sets, data_digest = _data(recipe, root, on_data)
    state = _State(recipe)
    kept = run / "checkpoint.pt"
    if kept.exists():
        if not resume:
            raise DataError(f"{kept}: a run is already here; continue it with --resume, or name another folder")
        state.restore(checkpoint.load(kept), data_digest)
    run.mkdir(parents=True, exist_ok=True)
    with (run / "log.jsonl").open("a", encoding="utf-8", buffering=1) as log:
        _iterate(recipe, sets, state, data_digest, kept, log.write, on_progress)
    checkpoint.save(kept, state.capture(data_digest))
    target = run / f"{recipe.name}.safetensors"
    notes = {"recipe": recipe.to_json(), "data_sha256": data_digest, "iterations": str(state.iteration)}
    save_weights(state.average.module, target, recipe.model.architecture, recipe.model.options, notes)
    return target


def cache_folder() -> Path:
    """Where degraded pictures are kept: RESTAURO_CACHE, or ``runs/cache``."""
    return Path(os.environ.get("RESTAURO_CACHE", "runs/cache"))


def _data(recipe: Recipe, root: Path, on_data: Callable[[str, int, int], None] | None) -> tuple[list[PairSet], str]:
    cache = cache_folder()
    law = recipe.degradation
    train_sets = [
        load_pairs(spec, root, law, cache, minimum_px=recipe.patch_px, progress=on_data) for spec in recipe.data.train
    ]
    refuse_overlap(train_sets, [load_pairs(s, root, law, cache, progress=on_data) for s in recipe.data.validation])
    return train_sets, digest(train_sets)


def _iterate(
    recipe: Recipe,
    sets: list[PairSet],
    state: _State,
    data_digest: str,
    kept: Path,
    write: Callable[[str], object],
    on_progress: Callable[[Progress], None] | None,
) -> None:
    saved = last = time.monotonic()
    for source, truth in batches(sets, recipe, state.iteration):
        terms = state.step(source, truth)
        now = time.monotonic()
        if state.iteration % 50 == 0 or state.iteration == recipe.iterations:
            write(json.dumps({"iteration": state.iteration, "lr": state.lr, **terms}) + "\n")
        if on_progress:
            on_progress(Progress(state.iteration, recipe.iterations, terms, 1 / max(now - last, 1e-9)))
        last = now
        if now - saved > 60 * recipe.checkpoint_minutes:
            checkpoint.save(kept, state.capture(data_digest))
            saved = now


class _State:
    """Network, average and optimiser, and one step of training."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        torch.manual_seed(recipe.seed)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.net = build(recipe.model.architecture, **recipe.model.options).to(self.device).train()
        for parameter in self.net.parameters():
            if parameter.ndim == 4:  # convolutions in bfloat16 are fast in this layout
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self.average = AveragedModel(self.net, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)
        settings = recipe.optimiser
        self.optimiser = torch.optim.AdamW(
            self.net.parameters(), lr=settings.lr, betas=settings.betas, weight_decay=settings.weight_decay
        )
        self.losses = Losses(recipe.loss, self.device)
        self.iteration = 0

    @property
    def lr(self) -> float:
        """Linear warm-up, then a cosine to zero at the last iteration."""
        warmup = min(1.0, (self.iteration + 1) / max(1, self.recipe.optimiser.warmup))
        cosine = (1 + math.cos(math.pi * min(1.0, self.iteration / self.recipe.iterations))) / 2
        return self.recipe.optimiser.lr * warmup * cosine

    def step(self, source: Tensor, truth: Tensor) -> dict[str, float]:
        source = source.to(self.device, memory_format=torch.channels_last)
        truth = truth.to(self.device)
        for group in self.optimiser.param_groups:
            group["lr"] = self.lr
        half = self.recipe.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            output = self.net(source)
        total, terms = self.losses(output.float(), truth)
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.optimiser.clip)
        if not math.isfinite(float(norm)):
            raise EngineError(
                f"{self.recipe.name}: the gradient at iteration {self.iteration} is {float(norm)}; "
                "resume from the last checkpoint with a smaller optimiser.lr, or precision = 'float32'"
            )
        self.optimiser.step()
        self.average.update_parameters(self.net)
        self.iteration += 1
        return terms

    def capture(self, data_digest: str) -> dict[str, Any]:
        return {
            "recipe": self.recipe.to_json(),
            "data_sha256": data_digest,
            "iteration": self.iteration,
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def restore(self, state: dict[str, Any], data_digest: str) -> None:
        if state["recipe"] != self.recipe.to_json():
            raise DataError(
                f"the checkpoint of {self.recipe.name!r} was made by another recipe; use another run folder"
            )
        if state["data_sha256"] != data_digest:
            raise DataError(f"the checkpoint of {self.recipe.name!r} saw other pictures; use another run folder")
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.iteration = state["iteration"]
