"""The training loop, with nothing hidden: a network, its losses, perhaps a critic, AdamW, a cosine, an average.

The exponential average (EMA) is what is validated and shipped. Convolutions run in bfloat16 where the recipe says so;
losses, the optimisers and the master weights stay in float32.

Whatever is random in an iteration is a function of (seed, iteration, process): batches, degradations, the generator of
torch, the mixtures of the gradient penalty. So the number of iterations done is all that resuming needs of them.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from restauro.degrade.steps import counter_seed
from restauro.errors import DataError, EngineError, ModelError
from restauro.models import build, facts_of, find, load, save_weights
from restauro.train import checkpoint
from restauro.train.adversarial import Critic, CriticLoss, feature_matching, generator_objective, logits
from restauro.train.check import check_data
from restauro.train.data import Pair, PairSet, Share, batches, digest, load_pairs
from restauro.train.folder import LOG_EVERY, RunFolder, sample_crops
from restauro.train.losses import Losses
from restauro.train.parallel import agreed, first_goes_first, only_last, own_device, own_share, shared
from restauro.train.recipe import OptimiserSection, Recipe
from restauro.train.validate import whole_picture

Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True)
class Progress:
    """What a progress bar wants to know; ``per_second`` is a running average."""

    iteration: int
    of: int
    terms: dict[str, float]
    per_second: float

    @property
    def seconds_left(self) -> float:
        """Time to the last iteration at this speed."""
        return (self.of - self.iteration) / self.per_second


def train(
    recipe: Recipe,
    *,
    root: Path,
    run: Path,
    resume: bool = False,
    minutes: float | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_data: Callable[[str, int, int], None] | None = None,
) -> Path | None:
    """Train one network and write its weights.

    Parameters
    ----------
    recipe, root
        What to train, and the folder that the recipe's picture sets are relative to.
    run
        Folder of this run; see :mod:`restauro.train.folder`.
    resume
        Continue from the checkpoint in ``run``, to the same weights as an unbroken run. Without it, a run folder
        that holds a checkpoint is an error.
    minutes
        Stop after this time, with a checkpoint to resume from; None trains to the end.

    Returns
    -------
    Path or None
        The finished weights (averaged, half precision, the resolved recipe in their metadata); None where the
        minutes ran out before.

    Raises
    ------
    DataError
        Wrong or missing data; a checkpoint of another recipe; a checkpoint in the way.
    ModelError
        ``start`` names weights of another network.
    EngineError
        The loss is not finite.
    """
    began, share, kept = time.monotonic(), own_share(), run / "checkpoint.pt"
    if kept.exists() and not resume:
        raise DataError(f"{kept}: a run is already here; continue it with --resume, or name another folder")
    with first_goes_first():
        sets, samples = _data(recipe, root, on_data)
    state = Training(recipe, share, fresh=not kept.exists())
    data_digest = digest(sets)
    if kept.exists():
        state.restore(checkpoint.load(kept), data_digest)
    folder = RunFolder(run, state.iteration, samples) if share.rank == 0 else None
    stop = None if minutes is None else began + 60 * minutes
    _iterate(sets, state, data_digest, folder, stop, on_progress)
    target = run / f"{recipe.name}.safetensors"
    done = state.iteration >= recipe.iterations
    if folder:
        _keep(folder, state, data_digest)
        if done:
            state.ship(target, data_digest)
    with first_goes_first():  # so that the weights are there when any process returns
        return target if done else None


def cache_folder() -> Path:
    """Where degraded pictures are kept: RESTAURO_CACHE, or ``runs/cache``."""
    return Path(os.environ.get("RESTAURO_CACHE", "runs/cache"))


def _data(
    recipe: Recipe, root: Path, on_data: Callable[[str, int, int], None] | None
) -> tuple[list[PairSet], list[Pair]]:
    """Training pictures and validation samples, after a look at all of them."""
    check_data(recipe, root).refuse()
    law, cache = recipe.degradation, cache_folder()
    train_sets = [
        load_pairs(spec, root, law, cache, minimum_px=recipe.patch_px, fresh=law.fresh, progress=on_data)
        for spec in recipe.data.train
    ]
    held = [load_pairs(spec, root, law, cache, progress=on_data) for spec in recipe.data.validation]
    return train_sets, sample_crops(held)


def _iterate(
    sets: list[PairSet],
    state: Training,
    data_digest: str,
    folder: RunFolder | None,
    stop: float | None,
    on_progress: Callable[[Progress], None] | None,
) -> None:
    recipe = state.recipe
    saved = shown = last = time.monotonic()
    seconds = 0.0  # of an iteration, running average
    for source, truth in batches(sets, recipe, state.iteration, state.share):
        if stop is not None and agreed(time.monotonic() > stop):
            return
        terms = state.step(source, truth)
        now = time.monotonic()
        seconds = now - last if seconds == 0 else 0.95 * seconds + 0.05 * (now - last)
        last, speed = now, 1 / max(seconds, 1e-9)
        if folder and (state.iteration % LOG_EVERY == 0 or state.iteration == recipe.iterations):
            folder.log({"iteration": state.iteration, "lr": state.lr, "per_second": round(speed, 3), **terms})
        if folder and now - saved > 60 * recipe.checkpoint_minutes:
            checkpoint.save(folder.path / "checkpoint.pt", state.capture(data_digest))
            folder.plot()
            saved = now
        if folder and now - shown > 60 * recipe.sample_minutes:
            folder.show(state.restorer(), state.iteration)
            shown = now
        if on_progress:
            on_progress(Progress(state.iteration, recipe.iterations, terms, speed))


def _keep(folder: RunFolder, state: Training, data_digest: str) -> None:
    checkpoint.save(folder.path / "checkpoint.pt", state.capture(data_digest))
    folder.plot()
    folder.show(state.restorer(), state.iteration)


class Training:
    """Networks, average and optimisers, and one step of training.

    Parameters
    ----------
    recipe
        Decides everything.
    share
        This process's part of each batch.
    fresh
        False where :meth:`restore` follows, so that weights to start from are not looked for.
    """

    def __init__(self, recipe: Recipe, share: Share | None = None, *, fresh: bool = True) -> None:
        self.recipe, self.share = recipe, share or Share()
        torch.manual_seed(recipe.seed)
        self.device = own_device()
        self.net = _placed(build(recipe.model.architecture, **recipe.model.options), self.device)
        self.start_sha256 = _start(self.net, recipe) if fresh and recipe.start else ""
        self.average = AveragedModel(self.net, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)
        self.optimiser = _optimiser(self.net, recipe.optimiser)
        self.losses = Losses(recipe.loss, self.device)
        self.shared_net = shared(self.net, self.device)
        self.critic: Critic | None = None
        if recipe.critic and recipe.adversarial:
            self.critic = _placed(Critic(recipe.critic), self.device)
            self.critic_optimiser = _optimiser(self.critic, recipe.critic.optimiser)
            self.critic_loss = shared(CriticLoss(self.critic, recipe.adversarial), self.device)
        self.iteration = 0

    @property
    def lr(self) -> float:
        """The network's learning rate in the next iteration."""
        return learning_rate(self.recipe.optimiser, self.iteration, self.recipe.iterations)

    def step(self, source: Tensor, truth: Tensor) -> dict[str, float]:
        """One iteration on this process's share of a batch, [N, 3, H, W] in 0..1; returns the loss terms."""
        torch.manual_seed(counter_seed(self.recipe.seed, self.iteration, self.share.rank))
        source = source.to(self.device, memory_format=torch.channels_last)
        truth = truth.to(self.device)
        rounds = self.recipe.accumulate
        parts = list(zip(source.chunk(rounds), truth.chunk(rounds), strict=True))
        terms, fakes = self._generator_step(parts)
        if self.critic:
            terms |= self._critic_steps(parts, fakes)
        self.average.update_parameters(self.net)
        self.iteration += 1
        return terms

    def _generator_step(self, parts: list[tuple[Tensor, Tensor]]) -> tuple[dict[str, float], list[Tensor]]:
        if self.critic:
            self.critic.requires_grad_(False)  # gradients pass through the critic, and leave nothing in it
        self.optimiser.zero_grad(set_to_none=True)
        rows, fakes = [], []
        for index, (source, truth) in enumerate(parts):
            with only_last(self.shared_net, index == len(parts) - 1):
                with self._precision():
                    output = self.shared_net(source)
                total, terms = self.losses(output.float(), truth)
                if self.critic:
                    adversarial, more = self._adversarial(self.critic, output.float(), source, truth)
                    total, terms = total + adversarial, terms | more
                (total / len(parts)).backward()
            rows.append(terms)
            fakes.append(output.detach().float())
        self._update(self.net, self.optimiser, self.recipe.optimiser)
        return _mean(rows), fakes

    def _adversarial(
        self, critic: Critic, output: Tensor, source: Tensor, truth: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        """The weighted sum of the generator's terms that a critic gives, and each by itself."""
        section = self.recipe.adversarial
        assert section is not None
        with self._precision():
            judged = critic(output, source)
        fooling = generator_objective(section.objective, logits(judged))
        total, terms = section.weight * fooling, {"adversarial": float(fooling.detach())}
        if section.feature_matching:
            with torch.no_grad(), self._precision():
                wanted = critic(truth, source)
            matching = feature_matching(judged, wanted)
            total = total + section.feature_matching * matching
            terms["matching"] = float(matching.detach())
        return total, terms

    def _critic_steps(self, parts: list[tuple[Tensor, Tensor]], fakes: list[Tensor]) -> dict[str, float]:
        section, critic_section = self.recipe.adversarial, self.recipe.critic
        assert self.critic is not None
        assert section is not None
        assert critic_section is not None
        self.critic.requires_grad_(True)
        rows = []
        if section.fake == "regenerated":
            with torch.no_grad(), self._precision():
                fakes = [self.net(source).float() for source, _ in parts]
        for repeat in range(section.critic_steps):
            self.critic_optimiser.zero_grad(set_to_none=True)
            mixes = self._mixes(repeat).chunk(len(parts))
            for index, ((source, truth), fake, mix) in enumerate(zip(parts, fakes, mixes, strict=True)):
                with only_last(self.critic_loss, index == len(parts) - 1):
                    with self._precision():
                        loss = self.critic_loss(source, truth, fake, mix)
                    (loss / len(parts)).backward()
                rows.append({"critic": float(loss.detach())})
            self._update(self.critic, self.critic_optimiser, critic_section.optimiser)
        return _mean(rows)

    def _mixes(self, repeat: int) -> Tensor:
        """Uniform [N, 1, 1, 1] of this process's share, drawn for all processes together."""
        mine = self.recipe.batch * self.recipe.accumulate
        generator = torch.Generator().manual_seed(counter_seed(self.recipe.seed, self.iteration, 0, repeat))
        drawn = torch.rand(mine * self.share.of, 1, 1, 1, generator=generator)
        return drawn[self.share.rank * mine : (self.share.rank + 1) * mine].to(self.device)

    def _update(self, net: nn.Module, optimiser: torch.optim.Optimizer, settings: OptimiserSection) -> None:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(settings, self.iteration, self.recipe.iterations)
        norm = float(nn.utils.clip_grad_norm_(net.parameters(), settings.clip))
        if not math.isfinite(norm):
            whose = "critic.optimiser" if net is self.critic else "optimiser"
            raise EngineError(
                f"{self.recipe.name}: the gradient at iteration {self.iteration} is {norm}; "
                f"resume from the last checkpoint with a smaller {whose}.lr, or precision = 'float32'"
            )
        optimiser.step()

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16")

    def restorer(self) -> Callable[[Tensor], Tensor]:
        """The averaged network on whole pictures [1, 3, H, W] of any size."""
        net = self.average.module.eval()
        restore = whole_picture(net, facts_of(net))
        return lambda x: restore(x.to(self.device))

    def ship(self, target: Path, data_digest: str) -> None:
        """Write the averaged network with everything that it came from."""
        model = self.recipe.model
        notes = {"recipe": self.recipe.to_json(), "data_sha256": data_digest, "iterations": str(self.iteration)}
        if self.start_sha256:
            notes["start_sha256"] = self.start_sha256
        save_weights(self.average.module, target, model.architecture, model.options, notes)

    def capture(self, data_digest: str) -> dict[str, Any]:
        """Everything that decides what comes next."""
        state = {
            "recipe": self.recipe.to_json(),
            "data_sha256": data_digest,
            "iteration": self.iteration,
            "start_sha256": self.start_sha256,
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        if self.critic:
            state |= {"critic": self.critic.state_dict(), "critic_optimiser": self.critic_optimiser.state_dict()}
        return state

    def restore(self, state: dict[str, Any], data_digest: str) -> None:
        """Go on from what :meth:`capture` gave."""
        if state["recipe"] != self.recipe.to_json():
            raise DataError(
                f"the checkpoint of {self.recipe.name!r} was made by another recipe; use another run folder"
            )
        if state["data_sha256"] != data_digest:
            raise DataError(f"the checkpoint of {self.recipe.name!r} saw other pictures; use another run folder")
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.critic:
            self.critic.load_state_dict(state["critic"])
            self.critic_optimiser.load_state_dict(state["critic_optimiser"])
        self.start_sha256 = state.get("start_sha256", "")
        self.iteration = state["iteration"]


def learning_rate(settings: OptimiserSection, iteration: int, iterations: int) -> float:
    """Linear warm-up, then a cosine to zero at the last iteration.

    >>> [round(learning_rate(OptimiserSection(lr=1.0, warmup=2), i, 8), 3) for i in (0, 1, 4, 8)]
    [0.5, 0.962, 0.5, 0.0]
    """
    warmup = min(1.0, (iteration + 1) / max(1, settings.warmup))
    cosine = (1 + math.cos(math.pi * min(1.0, iteration / iterations))) / 2
    return settings.lr * warmup * cosine


def _placed(net: Net, device: torch.device) -> Net:
    net = net.to(device).train()
    for parameter in net.parameters():
        if parameter.ndim == 4:  # convolutions in bfloat16 are fast in this layout
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return net


def _optimiser(net: nn.Module, settings: OptimiserSection) -> torch.optim.Optimizer:
    return torch.optim.AdamW(net.parameters(), lr=settings.lr, betas=settings.betas, weight_decay=settings.weight_decay)


def _start(net: nn.Module, recipe: Recipe) -> str:
    """Copy the weights that the recipe starts from; their SHA-256."""
    weights = find(str(recipe.start))
    try:
        net.load_state_dict(load(weights).state_dict())
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        wanted = f"{recipe.model.architecture} as in [model]"
        raise ModelError(
            f"start {recipe.start!r}: found {weights.architecture}, wanted {wanted}; correct one of them ({reason})"
        ) from None
    return weights.sha256


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
