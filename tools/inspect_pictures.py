"""The pictures that the classifier of ``restauro inspect`` learns from and is scored on, as features.

Every picture is reduced or cut to 256 px or less, then left alone, smoothed or ruined in other ways, and perhaps
changed as pictures are every day. Only features (restauro.restore.inspect.features) are kept, in one file per set.
tools/train_inspect.py uses this.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from restauro.degrade.blur import MotionBlur
from restauro.degrade.jpeg import Jpeg
from restauro.degrade.noise import GaussianNoise
from restauro.degrade.smoothers import SCALES, draw_smoother
from restauro.degrade.steps import draw_choice, draw_seed, draw_uniform, draw_whole
from restauro.picture import read
from restauro.restore.inspect.features import PATCH_PX, features, patches_of
from restauro.smooth.catalogue import smooth_tensor

SIDE = 256
SEED = 5
#: Mean absolute change in levels from which a patch or a picture counts as smoothed.
VISIBLE = 0.7


@dataclass(frozen=True)
class Source:
    """A picture set: where it lies, which names, how many for training and validation at most, its licence."""

    name: str
    folder: str
    only: tuple[str, ...]
    train: int
    validation: int
    terms: str
    lists: str = "{folder}/{split}.txt"
    images: str = "{folder}/images"


SOURCES = (
    Source("faces", "faces", ("sfhq*", "sd3*", "london*"), 179, 47, "free"),
    Source("photographs", "natural", ("free_*", "gb82/*"), 110, 17, "free"),
    Source("flowers", "flowers", ("daisy/*", "dandelion/*", "roses/*", "sunflowers/*", "tulips/*"), 79, 19, "free"),
    Source("drawings", "structures", ("vector/*",), 24, 11, "free", images="{folder}"),
    Source("photographs (research only)", "natural", ("bsds/*",), 0, 39, "research only: never trained on"),
)
UNSEEN: dict[str, dict[str, float | int | str]] = {
    "wls": {},
    "ils": {},
    "rolling-guidance": {},
    "sgf": {},
}


@dataclass(frozen=True)
class Sample:
    """One version of one picture: its patches' features [P, F] and what was done to it.

    ``change`` is the mean absolute change of each patch by the smoother, in levels; ``strength`` is NaN for
    versions that no smoother made.
    """

    source: str
    base: str
    kind: str
    after: str
    strength: float
    rows: np.ndarray
    change: np.ndarray


Change = Callable[[Tensor, torch.Generator], Tensor]


def resized(x: Tensor, factor: float) -> Tensor:
    """Bicubic, antialiased; the middle 256 px of what is larger."""
    y = torch.nn.functional.interpolate(x, scale_factor=factor, mode="bicubic", antialias=True, align_corners=False)
    return middle(y.clamp(0, 1), SIDE)


def middle(x: Tensor, side: int) -> Tensor:
    """The middle of a picture, at most side x side."""
    height, width = x.shape[-2:]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return x[..., top : top + side, left : left + side].contiguous()


def blurred(x: Tensor, sigma_px: float) -> Tensor:
    """A true Gaussian."""
    y = gaussian_filter1d(gaussian_filter1d(x.numpy(), sigma_px, axis=2), sigma_px, axis=3)
    return torch.from_numpy(y)


def rounded(x: Tensor) -> Tensor:
    """To 8 bits."""
    return (x * 255).round().clamp(0, 255) / 255


#: What happens to pictures every day. It moves pixels in the first group only, and is no smoothing.
MOVES: dict[str, Change] = {
    "enlarged": lambda x, g: resized(x, draw_uniform(g, 1.3, 2.0)),
    "reduced": lambda x, g: resized(x, draw_uniform(g, 0.5, 0.8)),
}
EVERYDAY: dict[str, Change] = {
    "jpeg": lambda x, g: Jpeg(draw_whole(g, 75, 95))(x),
    "light noise": lambda x, g: GaussianNoise(draw_uniform(g, 0.5, 3.0), draw_seed(g))(x),
    "mild blur": lambda x, g: blurred(x, draw_uniform(g, 0.4, 0.9)),
    "sharpened": lambda x, g: x + draw_uniform(g, 0.2, 0.8) * (x - blurred(x, 1.0)),
}
OTHER: dict[str, Change] = {
    "blur": lambda x, g: blurred(x, draw_uniform(g, 1.6, 4.0)),
    "motion blur": lambda x, g: MotionBlur(draw_whole(g, 4, 10) * 2 + 1, draw_uniform(g, 0, 360))(x),
    "strong noise": lambda x, g: GaussianNoise(draw_uniform(g, 10, 35), draw_seed(g))(x),
    "strong jpeg": lambda x, g: Jpeg(draw_whole(g, 8, 40))(x),
}
REDUCED = "reduced 2x"
#: The fixed everyday changes that the false-alarm table lists. Reduced is the whole picture before it is cut.
CHECKS: dict[str, Change] = {
    "as it is": lambda x, _: x,
    "JPEG, quality 75": lambda x, _: Jpeg(75)(x),
    "JPEG, quality 85": lambda x, _: Jpeg(85)(x),
    "JPEG, quality 95": lambda x, _: Jpeg(95)(x),
    "noise of 2 levels": lambda x, g: GaussianNoise(2.0, draw_seed(g))(x),
    "enlarged 2x": lambda x, _: resized(x, 2.0),
    REDUCED: lambda x, _: resized(x, 0.5),
    "blur of 0.7 px": lambda x, _: blurred(x, 0.7),
}


def kept_at(source: Source, split: str, cache: Path) -> Path:
    """Where the features of a source are kept."""
    return cache / f"{split}-{source.name.replace(' ', '-').replace('(', '').replace(')', '')}.npz"


def names(source: Source, split: str, root: Path) -> list[str]:
    """Evenly spread over the list."""
    most = source.train if split == "train" else source.validation
    listed = (root / source.lists.format(folder=source.folder, split=split)).read_text().split()
    found = [name for name in listed if any(fnmatch(name, glob) for glob in source.only)]
    if not most or not found:
        return []
    return [found[k] for k in sorted({round(k) for k in np.linspace(0, len(found) - 1, min(most, len(found)))})]


def collect(source: Source, split: str, root: Path, cache: Path) -> None:
    """Make the features of a source and keep them; a second call finds them."""
    kept = kept_at(source, split, cache)
    if kept.exists():
        return
    samples = []
    chosen = names(source, split, root)
    for index, name in enumerate(chosen):
        digest = hashlib.sha256(f"{SEED} {split} {name}".encode()).hexdigest()
        generator = torch.Generator().manual_seed(int(digest[:8], 16))
        whole = picture(source, name, root)
        x = base(whole, generator, fixed=split == "val")
        make = training_versions if split == "train" else validation_versions
        flat_drawing = source.name == "drawings"
        for kind, after, strength, y, change in make(x, whole, generator, plain=flat_drawing, more=index % 4 == 0):
            samples.append(sample(source.name, name, kind, after, strength, y, change))
        sys.stderr.write(f"\r{split} {source.name} {index + 1}/{len(chosen)} ")
    if not samples:
        return
    sys.stderr.write("\n")
    np.savez(
        kept,
        rows=np.concatenate([s.rows for s in samples]),
        change=np.concatenate([s.change for s in samples]),
        count=np.array([len(s.rows) for s in samples]),
        text=np.array([[s.source, s.base, s.kind, s.after] for s in samples]),
        strength=np.array([s.strength for s in samples]),
    )


def picture(source: Source, name: str, root: Path) -> Tensor:
    """One picture, [1, 3, H, W]."""
    pixels = read(root / source.images.format(folder=source.folder) / name).rgb()
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].clamp(0, 1)


def base(x: Tensor, generator: torch.Generator, *, fixed: bool) -> Tensor:
    """Up to 256 px of a picture on 8-bit levels, at a drawn scale and place; now and then grey, now and then smaller.

    Reducing it first hides the JPEG grid of the file, so that no compression betrays an original.
    """
    smallest = min(x.shape[-2:])
    lowest = max(0.5, min(1.0, 200 / smallest))
    if draw_uniform(generator, 0, 1) < 0.7:
        factor = draw_uniform(generator, lowest, 1)
        x = torch.nn.functional.interpolate(x, scale_factor=factor, mode="bicubic", antialias=True).clamp(0, 1)
    side = SIDE if fixed else (160, 192, SIDE)[draw_choice(generator, (0.1, 0.6, 0.3))]
    height, width = x.shape[-2:]
    top, left = draw_whole(generator, 0, max(0, height - side)), draw_whole(generator, 0, max(0, width - side))
    x = x[..., top : top + side, left : left + side]
    if draw_uniform(generator, 0, 1) < 0.08:
        x = x.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    return rounded(x).contiguous()


Version = tuple[str, str, float, Tensor, Tensor]


def after(x: Tensor, change: Tensor, generator: torch.Generator, count: int) -> tuple[str, Tensor, Tensor]:
    """``count`` everyday changes, drawn; the map of the smoother's change moves along."""
    every = {**MOVES, **EVERYDAY}
    order = torch.randperm(len(every), generator=generator)[:count].tolist()
    chosen = [list(every)[k] for k in order]
    for name in chosen:
        if name in MOVES:
            both = MOVES[name](torch.cat([x, change], dim=1), generator)
            x, change = both[:, :3], both[:, 3:]
        else:
            x = EVERYDAY[name](x, generator)
        x = rounded(x)
    return " + ".join(chosen) or "as it is", x, change


def training_versions(
    x: Tensor, whole: Tensor, generator: torch.Generator, *, plain: bool, more: bool
) -> Iterator[Version]:
    """A picture as it was, smoothed in every way, and ruined in other ways, each perhaps with everyday changes."""
    nothing = torch.zeros_like(x[:, :1])
    for count in (0, 1, 1, 1, 1, 2):
        name, y, change = after(x, nothing, generator, count)
        yield "none", name, np.nan, y, change
    if plain:
        return
    extra = [list(SCALES)[k] for k in torch.randperm(len(SCALES), generator=generator)[:4].tolist()]
    for turn, method in enumerate((*SCALES, *extra)):
        late = turn >= len(SCALES)
        yield from smoothed(x, method, generator, 1 if late or draw_uniform(generator, 0, 1) < 0.4 else 0)
    for name in [list(OTHER)[k] for k in torch.randperm(len(OTHER), generator=generator)[:2].tolist()]:
        yield "other", name, np.nan, rounded(OTHER[name](x, generator)), nothing


def validation_versions(
    x: Tensor, whole: Tensor, generator: torch.Generator, *, plain: bool, more: bool
) -> Iterator[Version]:
    """The table of everyday changes, every method twice, the other ways; with ``more``, unseen smoothers too."""
    nothing = torch.zeros_like(x[:, :1])
    for name, change in CHECKS.items():
        yield "none", name, np.nan, rounded(change(whole if name == REDUCED else x, generator)), nothing
    if plain:
        return
    for method in SCALES:
        yield from smoothed(x, method, generator, 0)
        yield from smoothed(x, method, generator, 1)
    for name, change in OTHER.items():
        yield "other", name, np.nan, rounded(change(x, generator)), nothing
    for method, settings in UNSEEN.items() if more else ():
        y = rounded(smooth_tensor(x, method, settings).clamp(0, 1))
        yield f"unseen {method}", "as it is", np.nan, y, (y - x).abs().mean(1, keepdim=True)


def smoothed(x: Tensor, method: str, generator: torch.Generator, count: int) -> Iterator[Version]:
    """One smoother at a drawn strength; nothing where it changed next to nothing (a beauty filter without skin)."""
    strength = draw_uniform(generator, 0, 1)
    y = draw_smoother(method, strength, generator)(x)
    change = (y - x).abs().mean(1, keepdim=True)
    name, y, moved = after(y, change, generator, count)
    if float(change.mean()) * 255 >= VISIBLE / 2:
        yield method, name, strength, y, moved


def sample(source: str, name: str, kind: str, later: str, strength: float, y: Tensor, change: Tensor) -> Sample:
    """Features of one version."""
    found = patches_of(np.ascontiguousarray(y[0].permute(1, 2, 0).numpy()))
    moved = change[0, 0].numpy() * 255
    changes = [
        moved[top : top + PATCH_PX, left : left + PATCH_PX].mean() if moved.shape == y.shape[2:] else 0.0
        for top in found.tops
        for left in found.lefts
    ]
    return Sample(source, name, kind, later, strength, features(found.levels), np.array(changes, np.float32))
