"""Label maps for training: found beside their pictures, resized with them, and made planes crop by crop.

In memory a map is uint8 [H, W, 1]: the position of each pixel's class in the list; with borders between objects
[H, W, 2]; where it stands beside a degraded picture, that comes first: [H, W, 4] or [H, W, 5]. Planes of zeros and
ones exist for one batch only. Maps are resized by nearest neighbour, pictures by an antialiased bicubic.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from restauro.errors import DataError
from restauro.labels import ClassList, nearest, read_class_list, read_ids, read_labels
from restauro.models import build
from restauro.nets.layers.labels import instance_edges, semantic
from restauro.train.recipe import Recipe
from restauro.train.sections import LabelSection, PictureSet

Bytes = NDArray[np.uint8]
Pixels = NDArray[np.float32]

HOLE = "{}"


@dataclass(frozen=True)
class Planes:
    """How maps become what a network sees: a channel per class of the list, then one of borders if ``edges``.

    ``beside``: a picture comes first, in the maps and in what is made of them.

    Examples
    --------
    >>> from restauro.labels import LabelClass
    >>> planes = Planes(ClassList((LabelClass(1, "wall"), LabelClass(2, "window"))), edges=False)
    >>> planes(np.array([[[[1], [0]]]], np.uint8))[0, :, 0].tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """

    classes: ClassList
    edges: bool
    beside: bool = False

    def __call__(self, maps: Bytes) -> Tensor:
        """Maps [N, H, W, 1 or 2] as float32 [N, classes (+ 1), H, W]; behind a picture, 3 channels more of both."""
        first = 3 if self.beside else 0
        x = torch.from_numpy(np.ascontiguousarray(maps))
        borders = x[None, ..., first + 1].transpose(0, 1) if self.edges else None
        planes = semantic(x[..., first], len(self.classes), borders)
        return torch.cat([x[..., :first].permute(0, 3, 1, 2).float() / 255, planes], 1) if first else planes

    def shown(self, one: Bytes) -> Bytes:
        """A map [H, W, 1 or 2] in the colours of the list, or the picture that it stands beside: uint8 [H, W, 3]."""
        return one[..., :3] if self.beside else self.classes.painted(one[..., 0])


class Beside:
    """The files that belong to the pictures of a set, by name.

    Parameters
    ----------
    root
        The data root.
    where
        A folder whose files are called as the pictures, whatever the suffix; or a pattern such as
        ``"gtFine/train/{}_gtFine_labelIds.png"``, where ``{}`` is what the names have in common.
    names
        The same for the pictures' own names, without suffix: ``"{}_leftImg8bit"``.
    """

    def __init__(self, root: Path, where: str, names: str) -> None:
        self.where, self.names = root / where, names
        pattern = where if HOLE in where else f"{where.rstrip('/')}/{HOLE}"
        folder = root / pattern.partition(HOLE)[0].rpartition("/")[0]
        self.found: dict[str, Path] = {}
        for path in sorted(folder.rglob("*")):
            relative = path.relative_to(root)
            relative = relative if HOLE in where else relative.with_suffix("")
            key = _filling(pattern, relative.as_posix())
            if key is not None and path.is_file():
                self.found[key] = path

    def key(self, name: str) -> str | None:
        """What the file of a picture, named relative to its folder, has in common with it."""
        return _filling(self.names, Path(name).with_suffix("").as_posix())

    def get(self, name: str) -> Path | None:
        """The file that belongs to a picture."""
        key = self.key(name)
        return None if key is None else self.found.get(key)

    def lonely(self, names: list[str]) -> list[str]:
        """Files that belong to none of the pictures."""
        taken = {self.key(name) for name in names}
        return [path.name for key, path in self.found.items() if key not in taken]


class LabelReader:
    """Reads the label maps of one picture set.

    Raises
    ------
    DataError
        The class list cannot be read.
    """

    def __init__(self, spec: PictureSet, section: LabelSection, root: Path) -> None:
        self.planes = Planes(class_list(section, root), section.edges, section.beside)
        self.spec, self.section = spec, section
        self.labels = Beside(root, spec.labels or "", spec.names)
        self.instances = Beside(root, spec.instances, spec.names) if spec.instances else None

    def map_of(self, name: str, size: tuple[int, int]) -> tuple[Bytes, NDArray[np.integer], str]:
        """Classes and objects [H, W] of a picture of (height, width), and a hash of their files.

        Without instance maps the classes are the objects.
        """
        path = _found(self.labels, "label map", name)
        data = path.read_bytes()
        digest = hashlib.sha256(data)
        classes: Bytes = read_labels(path, self.planes.classes)
        objects: NDArray[np.integer] = classes
        _same_size(path, classes, size)
        if self.instances is not None and self.section.edges:
            path = _found(self.instances, "instance map", name)
            digest.update(path.read_bytes())
            objects = read_ids(path)
            _same_size(path, objects, size)
        return classes, objects, digest.hexdigest()

    def pairs(self, name: str, pixels: Pixels, minimum_px: int) -> list[tuple[str, str, Bytes, Pixels]]:
        """(name, hash of the map, map, picture) for each factor of ``shrink``, padded to ``minimum_px`` by reflection.

        ``load_px`` is applied first.
        """
        height, width = pixels.shape[:2]
        classes, objects, digest = self.map_of(name, (height, width))
        made = []
        for factor in self.spec.shrink:
            scale = (self.section.load_px or min(height, width)) / (min(height, width) * factor)
            size = round(height * scale), round(width * scale)
            layers = [nearest(classes, size)]
            if self.planes.edges:
                ids = torch.from_numpy(nearest(objects, size).astype(np.int64))
                layers.append(instance_edges(ids[None])[0, 0].numpy().astype(np.uint8))
            missing = [(0, max(0, minimum_px - side)) for side in size]
            source: Bytes = np.pad(np.stack(layers, axis=2), [*missing, (0, 0)], mode="reflect")
            truth: Pixels = np.pad(bicubic(pixels, size), [*missing, (0, 0)], mode="reflect")
            made.append((name + (f"@1/{factor}" if factor > 1 else ""), digest, source, truth))
        return made


def class_list(section: LabelSection, root: Path) -> ClassList:
    """The class list of a recipe."""
    named = section.classes
    return read_class_list(named if named == "cityscapes" else root / named).ignoring(section.ignored)


def misfit(recipe: Recipe, classes: ClassList) -> str | None:
    """What is wrong between a recipe's network and its labels, as one sentence; None where they fit."""
    assert recipe.labels is not None
    wanted, edges = len(classes), recipe.labels.edges
    with torch.device("meta"):
        net = build(recipe.model.architecture, **recipe.model.options)
    if recipe.labels.beside:
        return _misguided(net, wanted + edges)
    own: tuple[object, object] = getattr(net, "classes", None), getattr(net, "edges", None)
    if own == (wanted, edges):
        return None
    if None not in own:
        found = f"classes = {own[0]}, edges = {str(own[1]).lower()}"
        return (
            f"[model] has {found}, and the labels have {wanted} classes ({classes}) and edges = {str(edges).lower()}; "
            f"set options classes = {wanted}, edges = {str(edges).lower()}"
        )
    found_channels = input_channels(net)
    if found_channels == wanted + edges:
        return None
    return (
        f"[model] takes {found_channels} channels, and the labels give {wanted + edges} ({wanted} classes, edges = "
        f"{str(edges).lower()}); set its option (of spade: guide_channels) to {wanted + edges}"
    )


def _misguided(net: nn.Module, wanted: int) -> str | None:
    found = getattr(net, "guide_channels", None)
    if found == wanted:
        return None
    return (
        f"[model] takes a guide of {found or 'no'} channels beside the picture, and the labels give {wanted}; "
        f'take hifacegan with variant = "spade" or "lipspade" and guide_channels = {wanted}, or labels.beside = false'
    )


def input_channels(net: nn.Module) -> int:
    """Channels that a network takes: those of its first convolution."""
    return next(layer.in_channels for layer in net.modules() if isinstance(layer, nn.Conv2d))


def condition_channels(labels: LabelSection | None, net: nn.Module) -> int:
    """Channels of the input that a critic of this network sees beside the picture; 0 where it is a picture alone."""
    if labels is not None and labels.beside:
        return 3 + int(net.guide_channels)  # type: ignore[arg-type]
    return 0 if labels is None else input_channels(net)


def bicubic(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize a picture [H, W, C], antialiased."""
    if pixels.shape[:2] == size:
        return pixels
    x = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
    y = nn.functional.interpolate(x, size=size, mode="bicubic", antialias=True, align_corners=False)
    made: Pixels = y[0].permute(1, 2, 0).numpy()
    return made


def _filling(pattern: str, text: str) -> str | None:
    """What stands in the hole of a pattern."""
    found = re.fullmatch(re.escape(pattern).replace(re.escape(HOLE), "(.+)"), text)
    return found[1] if found else None


def _found(beside: Beside, what: str, name: str) -> Path:
    path = beside.get(name)
    if path is None:
        raise DataError(f"{beside.where}: no {what} for {name!r}; add it, or take the picture off the list")
    return path


def _same_size(path: Path, values: NDArray[np.integer], size: tuple[int, int]) -> None:
    height, width = values.shape
    if (height, width) != size:
        raise DataError(
            f"{path}: found {width}x{height}, its picture {size[1]}x{size[0]}; a pair needs one size: "
            "resize one of them (labels by nearest neighbour)"
        )
