"""Pictures for training: found, decoded, and degraded once (cached by content) or left for each crop to degrade.

A :class:`PairSet` holds 8-bit pairs in memory; :mod:`restauro.train.batches` draws from it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from restauro.deconvolution.planes import REVISION, Deconvolution
from restauro.degrade.laws import degrade_tensor
from restauro.degrade.steps import counter_seed
from restauro.errors import DataError
from restauro.metrics.table import draw_name
from restauro.picture import read
from restauro.train.labels import LabelReader, Planes
from restauro.train.sections import DegradationSection, LabelSection, PictureSet

Bytes3 = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]  # [H, W, 3]


@dataclass(frozen=True)
class Pair:
    """One input with its truth, both uint8 [H, W, 3]; ``file_sha256`` is of the file that the truth came from.

    With ``planes`` the source is a label map, [H, W, 1] or [H, W, 2], perhaps behind a degraded picture (see
    :mod:`restauro.train.labels`); the hash covers its file too. In training it may have the planes of a deconvolution
    beside its colours, [H, W, 11].
    """

    name: str
    file_sha256: str
    source: Bytes3
    truth: Bytes3
    planes: Planes | None = None

    def given(self) -> Tensor:
        """What a network sees: float32 [1, C, H, W]."""
        return network_input(self.source[None], self.planes)

    def shown(self) -> Bytes3:
        """The source as a picture."""
        return self.source[..., :3] if self.planes is None else self.planes.shown(self.source)


@dataclass(frozen=True)
class PairSet:
    """The pairs of one picture set; with a ``law``, their sources are the truths and each crop is degraded anew.

    ``turns``: crops are turned by quarters too, evenly. ``vary``: the share of crops that are varied, ``bend`` and
    ``mix`` how. ``draws``: each picture is there so often, under names of
    :func:`restauro.metrics.table.draw_name`, degraded by other draws.
    """

    name: str
    weight: float
    pairs: tuple[Pair, ...]
    law: DegradationSection | None = None
    turns: bool = False
    vary: float = 0.0
    bend: float = 0.0
    mix: float = 0.0
    draws: int = 1


def evenly(one: PairSet, most: int | None) -> PairSet:
    """The set with at most so many of its pairs (None: all), evenly spaced in its list, first and last included."""
    return one if most is None else replace(one, pairs=tuple(one.pairs[k] for k in _spaced(len(one.pairs), most)))


def _spaced(count: int, most: int | None) -> list[int]:
    """At most so many places of ``count``, first and last included."""
    places = np.linspace(0, count - 1, count if most is None else min(most, count))
    return [int(place) for place in places.round()]


def listed_names(spec: PictureSet, root: Path) -> list[str]:
    """Names of a picture set relative to its folder, in the order of its list (or sorted, without one).

    Raises
    ------
    DataError
        The folder or the list is missing, or nothing is left after ``only``.
    """
    folder = root / spec.folder
    if not folder.is_dir():
        raise DataError(f"{folder}: found no such folder, wanted picture set {spec.name!r}; name its root with --root")
    if spec.list is None:
        names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    else:
        lines = root / spec.list
        if not lines.is_file():
            raise DataError(
                f"{lines}: found no such file, wanted the list of picture set {spec.name!r}; write one name per line, "
                "or take 'list' out of the recipe"
            )
        names = _with_suffixes(folder, [line for line in lines.read_text(encoding="utf-8").splitlines() if line])
    if spec.only:
        names = [name for name in names if any(fnmatch(name, glob) for glob in spec.only)]
    if not names:
        raise DataError(f"{folder}: no picture is left in set {spec.name!r}; see its list and its 'only'")
    return names


def _with_suffixes(folder: Path, names: list[str]) -> list[str]:
    """Listed names as files are called; those that no file goes by, as they are."""
    if all((folder / name).is_file() for name in names):
        return names
    files = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    whole = {path.with_suffix("").as_posix(): path.as_posix() for path in files}
    return [name if (folder / name).is_file() else whole.get(name, name) for name in names]


def partners(spec: PictureSet, root: Path) -> dict[str, Path]:
    """The inputs of a paired set: name without suffix -> path."""
    folder = root / (spec.inputs or "")
    return {p.relative_to(folder).with_suffix("").as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}


def find_pictures(spec: PictureSet, root: Path) -> list[Path]:
    """Paths of a picture set, in the order of :func:`listed_names`.

    Raises
    ------
    DataError
        As :func:`listed_names`, or a listed file does not exist.
    """
    folder, names = root / spec.folder, listed_names(spec, root)
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"{folder}: {len(missing)} of {len(names)} listed pictures are missing, first {missing[0]}; "
            "copy them there, or take them off the list"
        )
    return [folder / name for name in names]


def load_pairs(
    spec: PictureSet,
    root: Path,
    law: DegradationSection,
    cache: Path,
    *,
    minimum_px: int = 1,
    most: int | None = None,
    fresh: bool = False,
    for_training: bool = False,
    draws: int = 1,
    labels: LabelSection | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> PairSet:
    """Decode and degrade a picture set, or ``most`` of it, evenly spaced in its list.

    Pictures with a side under ``minimum_px`` are left out.
    Degraded pictures are kept under ``cache``, named by the hash of pixels and law, so that a second call is quick; a
    law that draws at random draws by the picture's content. ``fresh`` leaves the degrading to :func:`batches`;
    ``for_training`` makes as many versions, with the planes, that the law wants for training; without it there are
    ``draws`` of each picture. A paired set reads its inputs and needs no law, nor does one of label maps, which are
    described by ``labels``; its small pictures are padded.

    Raises
    ------
    DataError
        Pictures that cannot be read or are too small, or more than one draw where nothing is drawn: of inputs that no
        law makes, or by a law without chance.
    """
    if draws > 1 and (spec.inputs or labels is not None):
        raise DataError(f"set {spec.name!r}: found {draws} draws, wanted 1: its inputs are files, not drawn by a law")
    paths = find_pictures(spec, root)
    paths = [paths[place] for place in _spaced(len(paths), most)]
    inputs = partners(spec, root) if spec.inputs else {}
    reader = LabelReader(spec, labels, root) if labels else None
    pairs: list[Pair] = []
    for index, path in enumerate(paths):
        data = path.read_bytes()
        pixels, file_sha256 = read(data).rgb(), hashlib.sha256(data).hexdigest()
        if reader is not None:
            name = path.relative_to(root / spec.folder).as_posix()
            made = _labelled(reader, name, file_sha256, pixels, minimum_px)
            pairs += made if not reader.planes.beside else _behind(made, law, cache, fresh, for_training)
        given = read(_partner(inputs, spec, path, root).read_bytes()).rgb() if spec.inputs else None
        for factor in () if reader else spec.shrink:
            truth = to_bytes(_shrink(pixels, factor))
            if min(truth.shape[:2]) < minimum_px:
                continue
            name = path.relative_to(root / spec.folder).as_posix() + (f"@1/{factor}" if factor > 1 else "")
            if given is not None:
                source = to_bytes(_shrink(given, factor))
                sources = [_with_planes(source, cache) if for_training and law.deconvolve else source]
            elif fresh:
                sources = [truth]
            else:
                sources = list(_degraded(truth, law, cache, for_training, draws))
            for draw, source in enumerate(sources, 1):
                pairs.append(Pair(name if for_training else draw_name(name, draw), file_sha256, source, truth))
        if progress:
            progress(spec.name, index + 1, len(paths))
    if not pairs:
        raise DataError(f"{root / spec.folder}: every picture of set {spec.name!r} is smaller than {minimum_px} px")
    _require_sound(pairs, spec, root, law, draws)
    anew = law if fresh and not spec.inputs and (labels is None or labels.beside) else None
    found = PairSet(spec.name, spec.weight, tuple(pairs), anew, spec.turns, draws=draws)
    return replace(found, vary=spec.vary, bend=spec.bend, mix=spec.mix) if anew else found


def _require_sound(pairs: list[Pair], spec: PictureSet, root: Path, law: DegradationSection, draws: int) -> None:
    """Raise DataError where draws of a picture do not differ, or pictures of several sizes are to be mixed."""
    if draws > 1 and all(np.array_equal(a.source, b.source) for a, b in _neighbours(pairs, draws)):
        raise DataError(f"set {spec.name!r}: found {draws} draws, wanted 1: the law {law.law!r} draws nothing")
    sizes = {pair.truth.shape for pair in pairs}
    if spec.mix and len(sizes) > 1:
        raise DataError(
            f"{root / spec.folder}: pictures of {len(sizes)} sizes in set {spec.name!r}, wanted one size to mix them; "
            "crop them alike, or take 'mix' out of the recipe"
        )


def _neighbours(pairs: list[Pair], draws: int) -> Iterator[tuple[Pair, Pair]]:
    """Each picture's draws, as they follow each other."""
    return ((a, b) for place, (a, b) in enumerate(pairwise(pairs), 1) if place % draws)


def digest(sets: list[PairSet]) -> str:
    """SHA-256 over names and file hashes: two trainings with the same digest saw the same pictures."""
    total = hashlib.sha256()
    for one in sets:
        for pair in one.pairs:
            total.update(f"{one.name}/{pair.name} {pair.file_sha256}\n".encode())
    return total.hexdigest()


def label_notes(sets: list[PairSet]) -> dict[str, str]:
    """What has to travel with weights that take labels: their class list."""
    planes = sets[0].pairs[0].planes
    return {"classes": planes.classes.to_json()} if planes else {}


def to_tensor(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Tensor:
    """uint8 [N, H, W, 3] to float32 [N, 3, H, W] in 0..1."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def network_input(sources: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], planes: Planes | None) -> Tensor:
    """Sources [N, H, W, C] of pairs as a network sees them: pictures, or planes of labels."""
    return to_tensor(sources) if planes is None else planes(sources)


def _labelled(
    reader: LabelReader, name: str, file_sha256: str, pixels: np.ndarray[tuple[int, ...], np.dtype[np.float32]], px: int
) -> list[Pair]:
    made, planes = [], reader.planes
    for whole, digest, source, truth in reader.pairs(name, pixels, px):
        both = hashlib.sha256(f"{file_sha256} {digest} {planes.classes.to_json()}".encode()).hexdigest()
        made.append(Pair(whole, both, source, to_bytes(truth), planes))
    return made


def _behind(made: list[Pair], law: DegradationSection, cache: Path, fresh: bool, for_training: bool) -> Iterator[Pair]:
    """Pairs of maps as pairs of degraded pictures with the maps behind."""
    for pair in made:
        pictures = [pair.truth] if fresh else _degraded(pair.truth, law, cache, for_training)
        for picture in pictures:
            yield replace(pair, source=np.concatenate([picture, pair.source], axis=2))


def _partner(inputs: dict[str, Path], spec: PictureSet, path: Path, root: Path) -> Path:
    name = path.relative_to(root / spec.folder)
    found = inputs.get(name.with_suffix("").as_posix())
    if found is None:
        raise DataError(
            f"{root / (spec.inputs or '')}: no input for {name.as_posix()!r}; add it, or unlist the picture"
        )
    return found


def _degraded(
    truth: Bytes3, law: DegradationSection, cache: Path, for_training: bool, draws: int = 1
) -> Iterator[Bytes3]:
    """A picture after the law; each version draws by a seed of its own."""
    key: list[object] = [law.law, sorted(law.settings.items()), truth.shape]
    first = int(hashlib.sha256(truth.tobytes()).hexdigest()[:8], 16)
    for version in range(law.versions if for_training else draws):

        def made(seed: int = counter_seed(first, version) if version else first) -> Bytes3:
            return degraded(truth, law, seed)

        source = _kept(cache / law.law, key + [version] * bool(version), truth, made)
        yield _with_planes(source, cache) if for_training and law.deconvolve else source


def degraded(truth: Bytes3, law: DegradationSection, seed: int) -> Bytes3:
    """What the law makes of a picture."""
    y, _ = degrade_tensor(to_tensor(truth[None]), law.law, law.settings, seed=seed)
    return to_bytes(y[0].permute(1, 2, 0).numpy())


def _with_planes(source: Bytes3, cache: Path) -> Bytes3:
    """A picture [H, W, 3] and beside it what its deconvolution shows, [H, W, 11]."""

    def made() -> Bytes3:
        pixels = source.astype(np.float32) / np.float32(255)
        return to_bytes(Deconvolution(pixels).planes(pixels))

    key: list[object] = ["deconvolution", REVISION, source.shape]
    return np.concatenate([source, _kept(cache / "deconvolution", key, source, made)], axis=2)


def _kept(folder: Path, key: list[object], pixels: Bytes3, make: Callable[[], Bytes3]) -> Bytes3:
    """What ``make`` gives, from the folder where it was made before of these pixels with this key."""
    name = hashlib.sha256(json.dumps(key).encode())
    name.update(pixels.tobytes())
    path = folder / f"{name.hexdigest()[:32]}.npy"
    if path.exists():
        stored: Bytes3 = np.load(path)
        return stored
    made = make()
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")  # several processes may make the same one
    with part.open("wb") as file:
        np.save(file, made)
    part.replace(path)
    return made


def to_bytes(pixels: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Bytes3:
    """Pixels in 0..1 as levels, rounded and clipped."""
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
