"""Networks, average and optimisers of a run, and one step of training.

The exponential average (EMA) is what is validated and shipped. Convolutions run in bfloat16 where recipe and processor
have it; losses, the optimisers and the master weights stay in float32.

Whatever is random in a step is a function of (seed, iteration, process): the generator of torch, the mixtures of the
gradient penalty. So the number of iterations done is all that resuming needs of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from restauro.degrade.steps import counter_seed
from restauro.errors import DataError, EngineError, ModelError
from restauro.models import build, facts_of, find, load, save_weights
from restauro.nets.desmoothgan import DeSmoothGAN
from restauro.nets.layers.spectral import find_spectra
from restauro.train.adversarial import Critic, CriticLoss, feature_matching, generator_objective, logits
from restauro.train.batches import Share
from restauro.train.labels import condition_channels
from restauro.train.losses import Losses
from restauro.train.low_rank import free_low_rank, merged_state
from restauro.train.muon import Muon
from restauro.train.parallel import only_last, own_device, shared
from restauro.train.precision import Precision, choose_precision
from restauro.train.recipe import Recipe
from restauro.train.revive import revive
from restauro.train.sections import OptimiserSection
from restauro.train.validate import ScoreRow, whole_picture
from restauro.train.winograd import pays, quicken

Net = TypeVar("Net", bound=nn.Module)


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
    wake
        Crops [N, 3, H, W] that decide which units of those weights are dead, and are revived; None for none.
    """

    def __init__(
        self, recipe: Recipe, share: Share | None = None, *, fresh: bool = True, wake: Tensor | None = None
    ) -> None:
        self.recipe, self.share = recipe, share or Share()
        self.notes: dict[str, str] = {}  # what else travels with the weights
        torch.manual_seed(recipe.seed)
        self.device = own_device()
        self.net = _placed(build(recipe.model.architecture, **recipe.model.options), self.device)
        self.start_sha256 = _start(self.net, recipe) if fresh and recipe.start else ""
        if recipe.adapt:
            free_low_rank(self.net, recipe.adapt.rank)
        if wake is not None:
            self._wake(wake)
        if pays(self.device):
            quicken(self.net)
        self.average = AveragedModel(self.net, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)
        self.optimiser = _optimiser(self.net, recipe.optimiser)
        self._compute_in(choose_precision(recipe.precision, self.device))
        self.shared_net = shared(self.net, self.device)
        self.critic: Critic | None = None
        if recipe.critic and recipe.adversarial:
            self.critic = _placed(Critic(recipe.critic, condition_channels(recipe.labels, self.net)), self.device)
            self.critic_optimiser = _optimiser(self.critic, recipe.critic.optimiser)
            self.critic_loss = shared(CriticLoss(self.critic, recipe.adversarial), self.device)
        self.iteration = 0

    def _wake(self, crops: Tensor) -> None:
        assert isinstance(self.net, DeSmoothGAN)
        found = revive(self.net, crops.to(self.device), torch.Generator().manual_seed(self.recipe.seed))
        self.notes["revived"] = ", ".join(f"{dead} of {units} in {name}" for name, (dead, units) in found.items())

    def _compute_in(self, precision: Precision) -> None:
        self.precision = precision
        self.losses = Losses(self.recipe.loss, self.device, bfloat16=precision.name == "bfloat16")

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
            group["lr"] = learning_rate(settings, self.iteration, self.recipe.iterations) * group.get("slowed", 1.0)
        norm = float(nn.utils.clip_grad_norm_(net.parameters(), settings.clip))
        if not math.isfinite(norm):
            whose = "critic.optimiser" if net is self.critic else "optimiser"
            raise EngineError(
                f"{self.recipe.name}: the gradient at iteration {self.iteration} is {norm}; "
                f"resume from the last checkpoint with a smaller {whose}.lr, or precision = 'float32'"
            )
        optimiser.step()

    def _precision(self) -> torch.autocast:
        return self.precision.autocast(self.device)

    def facts(self) -> dict[str, str]:
        """What a log should say of this run before its first line."""
        facts = {"torch": torch.__version__, "device": str(self.device), "processes": str(self.share.of)}
        facts |= {"precision": self.precision.name, "why": self.precision.why}
        vgg = self.losses.vgg
        if vgg:
            facts["vgg19_sha256"] = vgg.sha256
            facts["vgg19"] = "the published weights" if vgg.published else "not the published weights: given by path"
        return facts

    def restorer(self) -> Callable[[Tensor], Tensor]:
        """The averaged network on whole pictures [1, 3, H, W] of any size."""
        net = self._averaged().eval()
        restore = whole_picture(net, facts_of(net))
        return lambda x: restore(x.to(self.device))

    def ship(self, target: Path, data_digest: str, scores: Sequence[ScoreRow] = ()) -> None:
        """Write the averaged network with everything that it came from, and what it reached."""
        model = self.recipe.model
        notes = {"recipe": self.recipe.to_json(), "data_sha256": data_digest, "iterations": str(self.iteration)}
        notes |= self.notes
        if self.start_sha256:
            notes["start_sha256"] = self.start_sha256
        if self.recipe.precision == "auto":
            notes["precision"] = self.precision.name
        if self.losses.vgg:
            notes["vgg19_sha256"] = self.losses.vgg.sha256
        if scores:
            notes["scores"] = json.dumps(list(scores))
        save_weights(self._plain(), target, model.architecture, model.options, notes)

    def _averaged(self) -> nn.Module:
        """A copy of the averaged network, its spectral norms those of the averaged weights."""
        net: nn.Module = build(self.recipe.model.architecture, **self.recipe.model.options)
        if self.recipe.adapt:
            free_low_rank(net, self.recipe.adapt.rank)
        net.load_state_dict(self.average.module.state_dict())
        find_spectra(net)
        return net.to(self.device)

    def _plain(self) -> nn.Module:
        """The averaged network as it is built, with low-rank changes added in."""
        averaged = self._averaged()
        if not self.recipe.adapt:
            return averaged
        net = build(self.recipe.model.architecture, **self.recipe.model.options)
        net.load_state_dict(merged_state(averaged))
        return net

    def capture(self, data_digest: str) -> dict[str, Any]:
        """Everything that decides what comes next."""
        state = {
            "recipe": self.recipe.to_json(),
            "data_sha256": data_digest,
            "iteration": self.iteration,
            "start_sha256": self.start_sha256,
            "precision": self.precision.name,
            "notes": self.notes,
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
        self.notes |= state.get("notes", {})
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.critic:
            self.critic.load_state_dict(state["critic"])
            self.critic_optimiser.load_state_dict(state["critic_optimiser"])
        self.start_sha256 = state.get("start_sha256", "")
        if state.get("precision", self.precision.name) != self.precision.name:  # "auto", and now another processor
            self._compute_in(Precision(state["precision"], "as the run began"))
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
    free = [parameter for parameter in net.parameters() if parameter.requires_grad]
    if settings.name == "muon":
        return Muon(free, settings.lr, settings.betas, settings.weight_decay, settings.momentum)
    slowed = {} if settings.fan_in is None else _slowed(net, settings.fan_in)
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in free:
        groups.setdefault(slowed.get(parameter, 1.0), []).append(parameter)
    rated = [{"params": some, "slowed": by} for by, some in groups.items()]
    return torch.optim.AdamW(rated, settings.lr, settings.betas, weight_decay=settings.weight_decay)


def _slowed(net: nn.Module, fan_in: int) -> dict[nn.Parameter, float]:
    """The share of the learning rate that weights have whose outputs sum more inputs than ``fan_in``."""
    shares = {}
    for layer in net.modules():
        weight = layer._parameters.get("weight")
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)) and weight is not None:
            inputs = weight[0].numel()
            if isinstance(layer, nn.ConvTranspose2d):  # [inputs, outputs, kernel]; an output meets some of its taps
                inputs = weight[:, 0].numel() // (layer.groups * math.prod(layer.stride))
            shares[weight] = min(1.0, fan_in / inputs)
    return shares


#: Parts of networks that change nothing at first: weights from before them are weights to start from.
BRANCHES = ("refine.", "recentre.")


def _start(net: nn.Module, recipe: Recipe) -> str:
    """Copy the weights that the recipe starts from; their SHA-256."""
    weights = find(str(recipe.start))
    given = load(weights).state_dict()
    own = {name: value for name, value in net.state_dict().items() if name.startswith(BRANCHES)}
    try:
        net.load_state_dict(own | given)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        wanted = f"{recipe.model.architecture} as in [model]"
        raise ModelError(
            f"start {recipe.start!r}: found {weights.architecture}, wanted {wanted}; correct one of them ({reason})"
        ) from None
    return weights.sha256


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
