"""The data sets of texture removal as their authors hand them out, put into the folders that the recipes read.

SPS (Feng, Deng, Xu, Jiang, Ding, Liu 2021, *Easy2Hard*): 200 flattened photographs, each with every texture. It comes
as truths and textures to blend (:func:`write_sps`), or as pictures with the truth left and the input right
(:func:`unpack_sps`). NKS (Xu, Liu, Liu, Shen 2020, *PNLS*): 20 vector drawings S1..S20 under 10 natural textures
T1..T10, for tests only (:func:`unpack_nks`). Neither states a licence: for your own research.

Each function writes ``truth/NAME.png`` and ``input/NAME.png``, and the lists ``train.txt``, ``tune.txt`` and
``validation.txt``. A recipe takes them as a paired set::

    [[data.train]]
    name = "sps"
    folder = "sps/truth"
    inputs = "sps/input"
    list = "sps/train.txt"

The published split draws a tenth of the *blended* pictures, so that truths and textures are the same in training and
validation (``split = "random"``). ``"disjoint"`` holds back a tenth of the truths and of the textures, validates on
the ones with the others, and leaves out of training whatever has either.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from restauro.errors import DataError
from restauro.picture import from_array, read, write

Bytes = NDArray[np.uint8]
T = TypeVar("T")
Split = Literal["random", "disjoint"]

SPS_TRUTHS = 200  # blended pictures are numbered texture * 200 + truth
HELD = 0.1
TUNING = 40
_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
_NKS_INPUT = re.compile(r"s(\d+)_?t(\d+)", re.IGNORECASE)
_NKS_TRUTH = re.compile(r"s(\d+)", re.IGNORECASE)


def blend(truth: Bytes, texture: Bytes) -> Bytes:
    """Put a texture on a picture, as SPS was made.

    The texture is made grey (with the weights of R and B exchanged, as the published script does), repeated from the
    top left without resizing, freed of its mean, and added to all channels.

    Parameters
    ----------
    truth, texture
        [H, W, 3] each, of any size.

    Returns
    -------
    NDArray
        [H, W, 3] of the truth's size, rounded and clipped to 8 bits.

    Examples
    --------
    >>> truth = np.full((2, 3, 3), 100, np.uint8)
    >>> blend(truth, np.array([[[90] * 3, [110] * 3]], np.uint8))[0, :, 0].tolist()
    [93, 113, 93]
    """
    grey = texture.astype(np.float64) @ np.array([0.114, 0.587, 0.299])
    height, width = truth.shape[:2]
    tiled = grey[np.ix_(np.arange(height) % grey.shape[0], np.arange(width) % grey.shape[1])]
    blended = truth + (tiled - tiled.mean())[..., None]
    result: Bytes = np.clip(np.rint(blended), 0, 255).astype(np.uint8)
    return result


def write_sps(truths: Path, textures: Path, out: Path, *, split: Split = "disjoint", seed: int = 0) -> dict[str, int]:
    """Blend every texture with every truth of two folders; returns the number of pairs of each list.

    Raises
    ------
    DataError
        A folder without pictures.
    """
    first, second = _pictures(truths), _pictures(textures)
    names = {}
    for t, texture in enumerate(second):
        grain = _pixels(texture)
        for s, structure in enumerate(first):
            name = f"{t * len(first) + s:05d}"
            truth = _pixels(structure)
            _write_pair(out, name, truth, blend(truth, grain))
            names[name] = (s, t)
    return _write_lists(out, _split(names, split, seed))


def unpack_sps(folder: Path, out: Path, *, split: Split = "disjoint", seed: int = 0) -> dict[str, int]:
    """Cut pictures with the truth left and the input right; returns the number of pairs of each list.

    ``"disjoint"`` reads truth and texture off the number that each name ends in (:data:`SPS_TRUTHS`).

    Raises
    ------
    DataError
        No pictures; one whose width is odd; names without numbers where the split needs them.
    """
    names = {}
    for path in _pictures(folder):
        both = _pixels(path)
        if both.shape[1] % 2:
            raise DataError(f"{path}: found a width of {both.shape[1]}, wanted truth and input side by side")
        number = re.search(r"(\d+)$", path.stem)
        if number is None and split == "disjoint":
            raise DataError(
                f"{path}: found a name without a number, wanted texture * {SPS_TRUTHS} + truth; take split 'random'"
            )
        texture, truth = divmod(int(number[1]) if number else 0, SPS_TRUTHS)
        half = both.shape[1] // 2
        _write_pair(out, path.stem, both[:, :half], both[:, half:])
        names[path.stem] = (truth, texture)
    return _write_lists(out, _split(names, split, seed))


def unpack_nks(folder: Path, out: Path, *, seed: int = 0) -> dict[str, int]:
    """Pair the inputs SiTj of a folder with their truths Si, wherever below it they lie; returns the lists' sizes.

    A truth may also be called SiTj in a folder of its own, whose name then has ``gt``, ``truth`` or ``structure`` in
    it. All pairs are for validation; filters are tuned on some of the same ones, as in the papers.

    Raises
    ------
    DataError
        No input, an input without a truth, or two sizes in a pair.
    """
    truths: dict[str, Path] = {}
    inputs: dict[str, Path] = {}
    for path in _pictures(folder):
        apart = any(word in path.parent.name.lower() for word in ("gt", "truth", "structure"))
        if _NKS_INPUT.fullmatch(path.stem) and not apart:
            inputs[path.stem.upper().replace("_", "")] = path
        elif _NKS_INPUT.fullmatch(path.stem) or _NKS_TRUTH.fullmatch(path.stem):
            truths[path.stem.upper().replace("_", "")] = path
    if not inputs:
        raise DataError(f"{folder}: found no picture called SiTj, wanted the folder of NKS; name it")
    for name, path in inputs.items():
        truth = truths.get(name) or truths.get(name.split("T")[0])
        if truth is None:
            raise DataError(f"{path}: found no truth {name.split('T')[0]}, wanted one; copy it below {folder}")
        pair = _pixels(truth), _pixels(path)
        if pair[0].shape != pair[1].shape:
            sizes = " and ".join(f"{one.shape[1]} x {one.shape[0]}" for one in pair)
            raise DataError(f"{path}: found {sizes} px, wanted truth and input of one size; copy both again")
        _write_pair(out, name, *pair)
    names = sorted(inputs)
    return _write_lists(out, {"train": [], "tune": _some(names, TUNING, seed), "validation": names})


def _split(names: Mapping[str, tuple[int, int]], split: Split, seed: int) -> dict[str, list[str]]:
    """Lists of names, by (truth, texture) of each."""
    order = sorted(names)
    if split == "random":
        held = set(_some(order, math.ceil(HELD * len(order)), seed))
        lists = {"train": [n for n in order if n not in held], "validation": sorted(held)}
    else:
        apart = [set(_some(sorted({key[axis] for key in names.values()}), None, seed + axis)) for axis in (0, 1)]
        kept = [n for n in order if not any(names[n][axis] in apart[axis] for axis in (0, 1))]
        lists = {"train": kept, "validation": [n for n in order if all(names[n][a] in apart[a] for a in (0, 1))]}
    tuned = set(_some(lists["train"], min(TUNING, len(lists["train"]) // 10), seed))
    return {
        "train": [n for n in lists["train"] if n not in tuned],
        "tune": sorted(tuned),
        "validation": lists["validation"],
    }


def _some(ordered: Sequence[T], count: int | None, seed: int) -> list[T]:
    """`count` of them, or a tenth and at least one, drawn by the seed and in order."""
    wanted = max(1, math.ceil(HELD * len(ordered))) if count is None else min(count, len(ordered))
    chosen = np.random.default_rng(seed).permutation(len(ordered))[:wanted]
    return [ordered[k] for k in sorted(chosen.tolist())]


def _write_lists(out: Path, lists: Mapping[str, Sequence[str]]) -> dict[str, int]:
    for name, stems in lists.items():
        (out / f"{name}.txt").write_text("".join(f"{stem}.png\n" for stem in stems), encoding="utf-8")
    return {name: len(stems) for name, stems in lists.items()}


def _write_pair(out: Path, name: str, truth: Bytes, source: Bytes) -> None:
    for role, pixels in (("truth", truth), ("input", source)):
        (out / role).mkdir(parents=True, exist_ok=True)
        write(from_array(pixels), out / role / f"{name}.png")


def _pictures(folder: Path) -> list[Path]:
    found = list(_files(folder))
    if not found:
        raise DataError(f"{folder}: found no picture, wanted a folder of the data set; name it")
    return found


def _files(folder: Path) -> Iterator[Path]:
    yield from (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in _SUFFIXES)


def _pixels(path: Path) -> Bytes:
    return np.rint(255 * read(path).rgb()).astype(np.uint8)
