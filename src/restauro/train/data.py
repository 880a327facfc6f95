"""Pictures for training: found, decoded, degraded once (cached by content), and drawn by counter.

A :class:`PairSet` holds 8-bit pairs in memory. Batch number i is a function of (seed, i) alone, so that a resumed
run sees exactly the batches that an unbroken one would have seen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from restauro.degrade.laws import degrade_tensor
from restauro.errors import DataError
from restauro.picture import read
from restauro.train.recipe import DegradationSection, PictureSet, Recipe

Bytes3 = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]  # [H, W, 3]


@dataclass(frozen=True)
class Pair:
    """One input with its truth, both uint8 [H, W, 3]; ``file_sha256`` is of the file that the truth came from."""

    name: str
    file_sha256: str
    source: Bytes3
    truth: Bytes3


@dataclass(frozen=True)
class PairSet:
    """The pairs of one picture set."""

    name: str
    weight: float
    pairs: tuple[Pair, ...]


def find_pictures(spec: PictureSet, root: Path) -> list[Path]:
    """Paths of a picture set, in the order of its list (or sorted, without one).

    Raises
    ------
    DataError
        The folder or the list is missing, a listed file does not exist, or nothing is left after ``only``.
    """
    folder = root / spec.folder
    if not folder.is_dir():
        raise DataError(f"{folder}: found no such folder, wanted picture set {spec.name!r}; name its root with --root")
    if spec.list is None:
        names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    else:
        lines = root / spec.list
        if not lines.is_file():
            raise DataError(f"{lines}: found no such file, wanted the list of picture set {spec.name!r}")
        names = [line for line in lines.read_text(encoding="utf-8").splitlines() if line]
    if spec.only:
        names = [name for name in names if any(fnmatch(name, glob) for glob in spec.only)]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise DataError(f"{folder}: {len(missing)} of {len(names)} listed pictures are missing, first {missing[0]}")
    if not names:
        raise DataError(f"{folder}: no picture is left in set {spec.name!r}; see its list and its 'only'")
    return [folder / name for name in names]


def load_pairs(
    spec: PictureSet,
    root: Path,
    law: DegradationSection,
    cache: Path,
    *,
    minimum_px: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> PairSet:
    """Decode and degrade a picture set; pictures with a side under ``minimum_px`` are left out.

    Degraded pictures are kept under ``cache``, named by the hash of pixels and law, so that a second call is quick.
    """
    paths = find_pictures(spec, root)
    pairs = []
    for index, path in enumerate(paths):
        data = path.read_bytes()
        pixels, file_sha256 = read(data).rgb(), hashlib.sha256(data).hexdigest()
        for factor in spec.shrink:
            truth = _to_bytes(_shrink(pixels, factor))
            if min(truth.shape[:2]) >= minimum_px:
                name = path.relative_to(root / spec.folder).as_posix() + (f"@1/{factor}" if factor > 1 else "")
                pairs.append(Pair(name, file_sha256, _degraded(truth, law, cache), truth))
        if progress:
            progress(spec.name, index + 1, len(paths))
    if not pairs:
        raise DataError(f"{root / spec.folder}: every picture of set {spec.name!r} is smaller than {minimum_px} px")
    return PairSet(spec.name, spec.weight, tuple(pairs))


def digest(sets: list[PairSet]) -> str:
    """SHA-256 over names and file hashes: two trainings with the same digest saw the same pictures."""
    total = hashlib.sha256()
    for one in sets:
        for pair in one.pairs:
            total.update(f"{one.name}/{pair.name} {pair.file_sha256}\n".encode())
    return total.hexdigest()


def refuse_overlap(train: list[PairSet], validation: list[PairSet]) -> None:
    """Raise DataError where a validation picture is also a training picture, compared by content."""
    seen = {pair.file_sha256: pair.name for one in train for pair in one.pairs}
    for one in validation:
        for pair in one.pairs:
            twin = seen.get(pair.file_sha256)
            if twin is not None:
                raise DataError(
                    f"validation picture {pair.name!r} is training picture {twin!r}; remove it from one list"
                )


def batches(sets: list[PairSet], recipe: Recipe, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches (input, truth), float32 [N, 3, patch, patch] in 0..1, for iterations ``start`` and after.

    Sets are drawn by weight, pictures of a set evenly, crops and horizontal flips evenly.
    """
    weights = np.array([one.weight for one in sets], dtype=np.float64)
    shares = weights / weights.sum()
    for iteration in range(start, recipe.iterations):
        rng = np.random.Generator(np.random.Philox(key=recipe.seed, counter=[0, 0, 0, iteration]))
        crops = [_crop(sets[int(rng.choice(len(sets), p=shares))], recipe.patch_px, rng) for _ in range(recipe.batch)]
        yield to_tensor(np.stack([a for a, _ in crops])), to_tensor(np.stack([b for _, b in crops]))


def to_tensor(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Tensor:
    """uint8 [N, H, W, 3] to float32 [N, 3, H, W] in 0..1."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def _crop(one: PairSet, side: int, rng: np.random.Generator) -> tuple[Bytes3, Bytes3]:
    pair = one.pairs[int(rng.integers(len(one.pairs)))]
    height, width = pair.truth.shape[:2]
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    window = (slice(top, top + side), slice(left, left + side))
    step = -1 if rng.random() < 0.5 else 1
    return pair.source[window][:, ::step], pair.truth[window][:, ::step]


def _degraded(truth: Bytes3, law: DegradationSection, cache: Path) -> Bytes3:
    key = hashlib.sha256(json.dumps([law.law, sorted(law.settings.items()), truth.shape]).encode())
    key.update(truth.tobytes())
    kept = cache / law.law / f"{key.hexdigest()[:32]}.npy"
    if kept.exists():
        stored: Bytes3 = np.load(kept)
        return stored
    y, _ = degrade_tensor(to_tensor(truth[None]), law.law, law.settings)
    made = _to_bytes(y[0].permute(1, 2, 0).numpy())
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(".part")
    with part.open("wb") as file:
        np.save(file, made)
    part.replace(kept)
    return made


def _to_bytes(pixels: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Bytes3:
    result: Bytes3 = np.ascontiguousarray(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8))
    return result


def _shrink(
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.float32]], factor: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Antialiased reduction by a whole factor (bicubic; the picture is cropped to a multiple of it first)."""
    if factor == 1:
        return pixels
    height, width = (side - side % factor for side in pixels.shape[:2])
    x = torch.from_numpy(np.ascontiguousarray(pixels[:height, :width])).permute(2, 0, 1)[None]
    size = (height // factor, width // factor)
    y = torch.nn.functional.interpolate(x, size=size, mode="bicubic", antialias=True, align_corners=False)
    return y[0].permute(1, 2, 0).numpy()
