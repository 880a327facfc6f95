"""Train and score the classifier of ``restauro inspect``.

    python tools/train_inspect.py --root FOLDER

FOLDER holds the development pictures (faces, natural, flowers, structures). Training uses the train lists of the free
ones only (CC0, CC BY, Unsplash, synthetic faces); scores are on the validation lists, and on research-only
photographs that nothing was trained on. It writes src/restauro/weights/inspect.safetensors and results/inspect.md;
the same pictures give the same bytes on the same machine. Features are kept in runs/inspect (--cache) and found again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch
from inspect_pictures import CHECKS, SOURCES, VISIBLE, base, collect, kept_at, names, picture
from inspect_scores import write_results
from torch import nn
from torch.nn import functional as F

from restauro.degrade.smoothers import draw_smoother
from restauro.models import MODELS, find, load, sorted_header
from restauro.restore.inspect.classifier import FILE, FORMAT, Classifier, mixed_strength
from restauro.restore.inspect.features import NAMES, pool
from restauro.restore.inspect.report import FEWEST

REPOSITORY = Path(__file__).resolve().parents[1]
WEIGHTS = REPOSITORY / "src" / "restauro" / "weights" / FILE
RESULTS = REPOSITORY / "results" / "inspect.md"
FAMILIES = ("none", "l0", "guided", "rtv", "fgs", "domain-transform", "beautify", "other")
#: How common each is taken to be: probabilities are calibrated for such a world.
PRIOR = {"none": 0.4, "other": 0.1}
#: Shrinks the regressions of the strength.
RIDGE = 100.0
FOLDS = 3
#: Share of untouched pictures that may be called smoothed, on pictures held out in training.
FALSE_ALARMS = 0.01
DRAWINGS = 3.0
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
TERMS = "free to use under Apache-2.0; trained on free pictures only (CC0, CC BY, Unsplash, synthetic faces)"


@dataclass(frozen=True, eq=False)
class Samples:
    """Versions of pictures: patches' features, and what was done."""

    rows: np.ndarray
    change: np.ndarray
    count: np.ndarray
    text: np.ndarray  # [S, 4]: source, picture, kind, everyday change
    strength: np.ndarray

    @cached_property
    def spans(self) -> list[slice]:
        """Where each sample's patches lie in ``rows``."""
        ends = np.cumsum(self.count)
        return [slice(int(end - count), int(end)) for end, count in zip(ends, self.count, strict=True)]

    @cached_property
    def pooled(self) -> np.ndarray:
        """[S, 4 F]."""
        return np.stack([pool(self.rows[span]) for span in self.spans])

    @cached_property
    def family(self) -> np.ndarray:
        """Index into FAMILIES; -1 for smoothers that it does not know."""
        known = {"bilateral": "guided"} | {name: name for name in FAMILIES}
        return np.array([FAMILIES.index(known[kind]) if kind in known else -1 for kind in self.text[:, 2]])

    @cached_property
    def fold(self) -> np.ndarray:
        """All versions of a picture are in one fold."""
        return np.array([hashlib.sha256(name.encode()).digest()[0] % FOLDS for name in self.text[:, 1]])

    @cached_property
    def weight(self) -> np.ndarray:
        """So that the families come as often as PRIOR says; drawings, which are few and flat by nature, count more."""
        rest = (1 - sum(PRIOR.values())) / (len(FAMILIES) - len(PRIOR))
        share = np.array([PRIOR.get(name, rest) for name in FAMILIES])
        weight = share[self.family] / np.bincount(self.family, minlength=len(FAMILIES))[self.family]
        weight = weight * np.where(self.text[:, 0] == "drawings", DRAWINGS, 1.0)
        return (weight / weight.mean()).astype(np.float32)


def main() -> None:
    """Features, training, scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("runs/inspect"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    arguments.cache.mkdir(parents=True, exist_ok=True)
    for split in ("train", "val"):
        for source in SOURCES:
            collect(source, split, arguments.root, arguments.cache)
    samples = read_samples("train", arguments.cache)
    decided = decide(samples) | {"suggestions": suggestions(arguments.root, arguments.cache)}
    write(fit_picture(samples) | fit_patch(samples), decided, samples)
    write_results(RESULTS, WEIGHTS, read_samples("val", arguments.cache), FAMILIES, tuple(CHECKS))


def read_samples(split: str, cache: Path) -> Samples:
    """All sets of a split, without versions that are too small for a verdict."""
    files = [np.load(kept) for source in SOURCES if (kept := kept_at(source, split, cache)).exists()]
    rows, change, count, text, strength = (
        np.concatenate([f[key] for f in files]) for key in ("rows", "change", "count", "text", "strength")
    )
    large = count >= FEWEST
    inside = np.repeat(large, count)
    return Samples(rows[inside], change[inside], count[large], text[large], strength[large])


def train_net(
    x: np.ndarray, hidden: int, outputs: int, loss: Loss, epochs: int, seed: int = 0
) -> dict[str, np.ndarray]:
    """One hidden layer of tanh on standardised features, by AdamW with a cosine; ``loss(out, index)`` is a mean."""
    mean, deviation = x.mean(0), x.std(0) + 1e-3
    z = torch.from_numpy(np.clip((x - mean) / deviation, -5, 5).astype(np.float32))
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Linear(z.shape[1], hidden), nn.Tanh(), nn.Linear(hidden, outputs))
    for parameter in net.parameters():
        with torch.no_grad():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * parameter.shape[-1] ** -0.5)
    batch = 256
    steps = epochs * (len(z) // batch)
    optimiser = torch.optim.AdamW(net.parameters(), lr=4e-3, weight_decay=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(epochs):
        for index in torch.randperm(len(z), generator=generator)[: len(z) // batch * batch].split(batch):
            noisy = z[index] * (torch.rand(batch, z.shape[1], generator=generator) > 0.15)  # a feature may be missing
            optimiser.zero_grad()
            loss(net(noisy), index).backward()
            optimiser.step()
            schedule.step()
    one, _, two = net
    found = {"hidden.weight": one.weight, "hidden.bias": one.bias, "out.weight": two.weight, "out.bias": two.bias}
    arrays = {name: value.detach().numpy().astype(np.float32) for name, value in found.items()}
    return {"mean": mean.astype(np.float32), "deviation": deviation.astype(np.float32), **arrays}


def fit_picture(samples: Samples, keep: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Families by cross entropy; the strength by one ridge regression per family."""
    keep = np.ones(len(samples.count), bool) if keep is None else keep
    family, weight = torch.from_numpy(samples.family[keep]), torch.from_numpy(samples.weight[keep])

    def loss(out: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        return (F.cross_entropy(out, family[index], reduction="none") * weight[index]).mean()

    made = train_net(samples.pooled[keep], 32, len(FAMILIES), loss, epochs=60)
    z = np.clip((samples.pooled[keep] - made["mean"]) / made["deviation"], -5, 5).astype(np.float64)
    slopes, bases = np.zeros((len(FAMILIES), z.shape[1])), np.zeros(len(FAMILIES))
    for index in range(1, len(FAMILIES) - 1):
        own = samples.family[keep] == index
        x, y = z[own], samples.strength[keep][own]
        centre, middle = x.mean(0), y.mean()
        x = x - centre
        slopes[index] = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ (y - middle))
        bases[index] = middle - centre @ slopes[index]
    made |= {"strength.weight": slopes.astype(np.float32), "strength.bias": bases.astype(np.float32)}
    return {f"picture.{name}": value for name, value in made.items()}


def fit_patch(samples: Samples, keep: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Was this patch smoothed? Patches that the smoother hardly changed are left out."""
    rows, smoothed = patch_labels(samples, keep)
    target = torch.from_numpy(smoothed.astype(np.float32))
    weight = torch.where(target > 0, 0.5 / target.mean(), 0.5 / (1 - target.mean()))

    def loss(out: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        return F.binary_cross_entropy_with_logits(out[:, 0], target[index], weight[index])

    made = train_net(rows, 16, 1, loss, epochs=3)
    return {f"patch.{name}": value for name, value in made.items()}


def patch_labels(samples: Samples, keep: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Rows [n, F] and whether each was smoothed."""
    family = np.repeat(samples.family, samples.count)
    by_smoother = ~np.isin(family, [FAMILIES.index("none"), FAMILIES.index("other")])
    use = ~by_smoother | (samples.change >= VISIBLE)
    if keep is not None:
        use &= np.repeat(keep, samples.count)
    return samples.rows[use], by_smoother[use]


def decide(samples: Samples) -> dict[str, object]:
    """Temperatures, the margins of the strength and the thresholds, all on pictures held out in three folds."""
    raw = np.zeros((len(samples.count), len(FAMILIES)), np.float32)
    strengths = np.zeros_like(raw)
    plain = {"families": FAMILIES, "temperature": 1.0, "patch_temperature": 1.0}
    patch_logits, patch_truth = [], []
    for fold in range(FOLDS):
        held = samples.fold == fold
        judge = Classifier(fit_picture(samples, ~held) | fit_patch(samples, ~held), plain, "")
        raw[held], strengths[held] = (
            judge.logits("picture", samples.pooled[held]),
            judge.strengths(samples.pooled[held]),
        )
        rows, truth = patch_labels(samples, held)
        patch_logits.append(judge.logits("patch", rows)[:, 0])
        patch_truth.append(truth)
    temperature = best_temperature(raw, samples.family, samples.weight)
    patch, truth = np.concatenate(patch_logits), np.concatenate(patch_truth).astype(int)
    balance = np.where(truth == 1, 0.5 / truth.mean(), 0.5 / (1 - truth.mean()))
    chances = softmax(raw / temperature)
    smoothed = 1 - chances[:, 0] - chances[:, -1]
    false = np.quantile(smoothed[samples.family == 0], 1 - FALSE_ALARMS)
    among = mixed_strength(chances, strengths)
    error = np.abs(among - samples.strength)
    margins = [
        0.0 if n in PRIOR else float(np.quantile(error[samples.family == k], 0.8)) for k, n in enumerate(FAMILIES)
    ]
    return {
        "families": FAMILIES,
        "temperature": temperature,
        "patch_temperature": best_temperature(np.stack([np.zeros_like(patch), patch], axis=1), truth, balance),
        "strength_margins": [round(margin, 3) for margin in margins],
        "smoothed_from": round(float(max(0.6, false)), 3),
        "untouched_to": 0.5,
    }


def best_temperature(logits: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> float:
    """Guo et al. 2017: the divisor that makes held-out answers likeliest."""

    def surprise(temperature: float) -> float:
        chosen = softmax(logits / temperature)[np.arange(len(truth)), truth]
        return float(-(weight * np.log(chosen + 1e-12)).sum())

    return round(float(min(np.arange(0.5, 4, 0.05), key=surprise)), 2)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Along the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def suggestions(root: Path, cache: Path, pictures: int = 6, side: int = 128) -> dict[str, object]:
    """Family -> the shipped model that helps most, and its best dial at three strengths.

    The best dial for an input y of a picture x and a proposal p is in closed form: <x - y, p - y> / <p - y, p - y>,
    summed over training pictures. A model counts for a family when it gains 0.1 dB or more at its dial.
    """
    hashes = {name: find(name).sha256 for name, spec in MODELS.items() if spec.verb == "desmooth"}
    kept = cache / f"suggestions-{hashlib.sha256(json.dumps(hashes).encode()).hexdigest()[:16]}.json"
    if kept.exists():
        known: dict[str, object] = json.loads(kept.read_text())
        return known
    at = (0.1, 0.5, 0.9)
    truths = []
    for source in SOURCES[:2]:
        for name in names(source, "train", root)[:: max(1, source.train // pictures)][: pictures // 2]:
            x = base(picture(source, name, root), torch.Generator().manual_seed(0), fixed=True)
            truths.append(x[..., :side, :side] if min(x.shape[-2:]) >= side else None)
    clean = torch.cat([x for x in truths if x is not None])
    best: dict[str, dict[str, object]] = {}
    for family in FAMILIES[1:-1]:
        for name, net in ((name, load(name)) for name in hashes):
            dial, gain = zip(*(dial_and_gain(net, clean, family, strength) for strength in at), strict=True)
            found = {"model": name, "weights_sha256": hashes[name], "at": at, "dial": dial, "gain_db": gain}
            if max(gain) >= 0.1 and sum(gain) > sum(best.get(family, {"gain_db": (0.0,)})["gain_db"]):
                best[family] = found
    kept.write_text(json.dumps(best))
    return best


def dial_and_gain(net: nn.Module, clean: torch.Tensor, family: str, strength: float) -> tuple[float, float]:
    """The dial that serves these pictures best, and the PSNR it gains."""
    y = torch.cat(
        [draw_smoother(family, strength, torch.Generator().manual_seed(k))(x[None]) for k, x in enumerate(clean)]
    )
    with torch.inference_mode():
        step = torch.cat([net(one[None]) for one in y]).clamp(0, 1) - y
    dial = min(1.0, max(0.0, float(((clean - y) * step).sum() / (step.square().sum() + 1e-12))))
    before, after = (float((clean - z).square().mean()) for z in (y, y + dial * step))
    return round(dial, 2), round(10 * float(np.log10(before / after)), 2)


def write(tensors: dict[str, np.ndarray], decided: dict[str, object], samples: Samples) -> None:
    """The weights, with everything that decided them."""
    data = hashlib.sha256("\n".join(sorted({f"{a}/{b}" for a, b in samples.text[:, :2]})).encode())
    metadata = {
        "format": FORMAT,
        "features": ",".join(NAMES),
        "decided": json.dumps(decided, sort_keys=True),
        "made by": "tools/train_inspect.py",
        "pictures": str(len(set(samples.text[:, 1]))),
        "pictures_sha256": data.hexdigest(),
        "features_sha256": hashlib.sha256(samples.rows.tobytes()).hexdigest(),
        "terms": TERMS,
    }
    WEIGHTS.write_bytes(
        sorted_header(safetensors.numpy.save({name: tensors[name] for name in sorted(tensors)}, metadata=metadata))
    )


if __name__ == "__main__":
    main()
