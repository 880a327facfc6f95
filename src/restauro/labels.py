"""Label maps: which class each pixel belongs to, and the list that says what the classes are.

In a file a class has an *id* (0..65535, with gaps if it likes) or a colour. In this library it has a *position*: its
place in the :class:`ClassList`, which is its channel in what a network sees. This file goes from the one to the other
and refuses what the list does not have; nothing is rounded to the nearest class.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from restauro.codecs import files, formats, pil
from restauro.errors import DataError, PictureError

Bytes = NDArray[np.uint8]
Colour = tuple[int, int, int]

MAX_CLASSES = 255
MAX_ID = 65535
SHOWN = 6  # unknown ids or colours that a message names

_CITYSCAPES = """\
id,name,r,g,b,ignored
0,unlabeled,0,0,0,1
1,ego vehicle,0,0,0,1
2,rectification border,0,0,0,1
3,out of roi,0,0,0,1
4,static,0,0,0,1
5,dynamic,111,74,0,1
6,ground,81,0,81,1
7,road,128,64,128,0
8,sidewalk,244,35,232,0
9,parking,250,170,160,1
10,rail track,230,150,140,1
11,building,70,70,70,0
12,wall,102,102,156,0
13,fence,190,153,153,0
14,guard rail,180,165,180,1
15,bridge,150,100,100,1
16,tunnel,150,120,90,1
17,pole,153,153,153,0
18,polegroup,153,153,153,1
19,traffic light,250,170,30,0
20,traffic sign,220,220,0,0
21,vegetation,107,142,35,0
22,terrain,152,251,152,0
23,sky,70,130,180,0
24,person,220,20,60,0
25,rider,255,0,0,0
26,car,0,0,142,0
27,truck,0,0,70,0
28,bus,0,60,100,0
29,caravan,0,0,90,1
30,trailer,0,0,110,1
31,train,0,80,100,0
32,motorcycle,0,0,230,0
33,bicycle,119,11,32,0
34,unused,0,0,0,1
"""


class UnknownLabelError(PictureError):
    """A map has ids or colours that its class list has not; ``counts``: pixels of each, as messages name them."""

    def __init__(self, name: str, what: str, counts: dict[str, int], wanted: str) -> None:
        self.counts = counts
        listed = shown([f"{label} ({count} px)" for label, count in counts.items()])
        super().__init__(name, f"{what} that no class has: {listed}", wanted, _REPAIR)


@dataclass(frozen=True)
class LabelClass:
    """One class. An ``ignored`` one ("unlabelled") is a class like the others to a network, and not judged."""

    id: int
    name: str
    colour: Colour | None = None
    ignored: bool = False


@dataclass(frozen=True)
class ClassList:
    """The classes of a data set; the place of a class in it is its channel.

    Raises
    ------
    DataError
        No class or more than 255, an id twice or outside 0..65535, or colours for some of the classes only.

    Examples
    --------
    >>> two = ClassList((LabelClass(7, "road", (128, 64, 128)), LabelClass(255, "nothing", (0, 0, 0), ignored=True)))
    >>> two.positions(np.array([[7, 255]]), "map.png").tolist()
    [[0, 1]]
    >>> two.positions(np.array([[7, 9, 9]]), "map.png")
    Traceback (most recent call last):
    ...
    restauro.labels.UnknownLabelError: map.png: found ids that no class has: 9 (2 px), wanted 7 road, 255 nothing; ...
    """

    classes: tuple[LabelClass, ...]

    def __post_init__(self) -> None:
        ids = [one.id for one in self.classes]
        if not 1 <= len(ids) <= MAX_CLASSES:
            raise DataError(f"class list: found {len(ids)} classes, wanted 1 to {MAX_CLASSES}")
        twice = sorted({one for one in ids if ids.count(one) > 1})
        if twice:
            raise DataError(f"class list: found id {twice[0]} twice, wanted each once; remove one of the two")
        if min(ids) < 0 or max(ids) > MAX_ID:
            raise DataError(f"class list: found ids {min(ids)} to {max(ids)}, wanted 0 to {MAX_ID}")
        if len({one.colour is None for one in self.classes}) > 1:
            bare = next(one.name for one in self.classes if one.colour is None)
            raise DataError(f"class list: found no colour for {bare!r}, wanted one for each class or for none")

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def ids(self) -> tuple[int, ...]:
        """The id of each class, in order."""
        return tuple(one.id for one in self.classes)

    @property
    def padding(self) -> int | None:
        """Position of the first ignored class: what lies outside of a map; None where the list has none."""
        return next((place for place, one in enumerate(self.classes) if one.ignored), None)

    @property
    def evaluated(self) -> NDArray[np.int64]:
        """For each position its number among the classes that are judged, -1 for ignored ones.

        >>> CITYSCAPES.evaluated[[7, 8, 11, 33, 34]].tolist(), int(CITYSCAPES.evaluated.max()) + 1
        ([0, 1, 2, 18, -1], 19)
        """
        judged = np.array([not one.ignored for one in self.classes])
        return np.where(judged, np.cumsum(judged) - 1, -1)

    def ignoring(self, ids: Iterable[int]) -> ClassList:
        """The same list with more classes ignored."""
        more = set(ids)
        if more - set(self.ids):
            raise DataError(f"ignored: found id {min(more - set(self.ids))}, wanted ids of the class list ({self})")
        return ClassList(
            tuple(LabelClass(one.id, one.name, one.colour, one.ignored or one.id in more) for one in self.classes)
        )

    def positions(self, ids: NDArray[np.integer], name: str) -> Bytes:
        """Places in the list of a map of ids [H, W]; PictureError says which ids the list does not have, and where."""
        found, counts = np.unique(ids, return_counts=True)
        known = np.isin(found, self.ids)
        if not known.all():
            unknown = {str(one): int(count) for one, count in zip(found[~known], counts[~known], strict=True)}
            raise UnknownLabelError(name, "ids", unknown, str(self))
        places: Bytes = self._table[ids]
        return places

    def from_colours(self, pixels: Bytes, name: str) -> Bytes:
        """Places in the list of a map of colours [H, W, 3], matched exactly; the first of several alike."""
        if self.classes[0].colour is None:
            raise PictureError(
                name, "a picture in colours", "a grey PNG of ids: the class list has no colours", _REPAIR
            )
        codes = _codes(pixels)
        own = _codes(np.array([one.colour for one in self.classes], np.uint8))
        kinds, places = np.unique(own, return_index=True)
        where = np.searchsorted(kinds, codes).clip(max=len(kinds) - 1)
        wrong = kinds[where] != codes
        if wrong.any():
            found, counts = np.unique(codes[wrong], return_counts=True)
            by_count = sorted(zip(found, counts, strict=True), key=lambda pair: -pair[1])
            unknown = {f"({code >> 16}, {code >> 8 & 255}, {code & 255})": int(count) for code, count in by_count}
            raise UnknownLabelError(name, "colours", unknown, "those of the class list")
        positions: Bytes = places[where].astype(np.uint8)
        return positions

    def painted(self, positions: Bytes) -> Bytes:
        """A map [H, W] in the colours of the list, or in colours of our own; uint8 [H, W, 3]."""
        pixels: Bytes = self._colours[positions]
        return pixels

    def to_json(self) -> str:
        """One line; what :meth:`from_json` reads."""
        rows = [[one.id, one.name, one.colour, one.ignored] for one in self.classes]
        return json.dumps(rows, ensure_ascii=False)

    @staticmethod
    def from_json(text: str, name: str = "class list") -> ClassList:
        """Read what :meth:`to_json` wrote."""
        try:
            rows = [(int(a), str(b), None if c is None else _colour(c), bool(d)) for a, b, c, d in json.loads(text)]
        except (ValueError, TypeError) as error:
            raise DataError(f"{name}: found {error}, wanted [[id, name, colour, ignored], ...]") from None
        return ClassList(tuple(LabelClass(*row) for row in rows))

    @staticmethod
    def from_csv(text: str, name: str = "class list") -> ClassList:
        r"""Read a table with the columns id and name, and perhaps r, g, b and ignored (0 or 1).

        >>> str(ClassList.from_csv("id,name,r,g,b\n1,wall,0,48,255\n2,window,0,128,255\n"))
        '1 wall, 2 window'
        """
        rows = list(csv.DictReader(io.StringIO(text)))
        columns = set(rows[0]) if rows else set()
        if not {"id", "name"} <= columns:
            raise DataError(f"{name}: found columns {sorted(map(str, columns))}, wanted id,name or id,name,r,g,b")
        coloured = {"r", "g", "b"} <= columns
        classes = []
        for line, row in enumerate(rows, 2):
            try:
                colour = _colour([row["r"], row["g"], row["b"]]) if coloured else None
                ignored = bool(int(row.get("ignored") or 0))
                classes.append(LabelClass(int(row["id"]), str(row["name"]), colour, ignored))
            except (ValueError, TypeError) as error:
                raise DataError(f"{name}: line {line}: found {error}, wanted whole numbers; correct it") from None
        return ClassList(tuple(classes))

    @cached_property
    def _table(self) -> Bytes:
        table = np.zeros(MAX_ID + 1, np.uint8)
        table[list(self.ids)] = np.arange(len(self))
        return table

    @cached_property
    def _colours(self) -> Bytes:
        if self.classes[0].colour is not None:
            return np.array([one.colour for one in self.classes], np.uint8)
        turn = np.arange(len(self))[:, None] * 0.618034 + np.array([0, 1 / 3, 2 / 3])  # hues by the golden section
        colours: Bytes = np.rint(127.5 + 110 * np.cos(2 * np.pi * turn)).astype(np.uint8)
        return colours

    def __str__(self) -> str:
        return shown([f"{one.id} {one.name}" for one in self.classes])


_REPAIR = "correct the map, or name its class list"


def read_class_list(path: str | Path) -> ClassList:
    """Read a class list from a .csv file; the name ``cityscapes`` needs no file.

    Raises
    ------
    DataError
        No such file, or not such a table.
    """
    if str(path) == "cityscapes":
        return CITYSCAPES
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: found {error.strerror}, wanted a class list; name a .csv with id,name") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: found no text, wanted a class list; name a .csv with id,name") from None
    return ClassList.from_csv(text, str(path))


def nearest(values: NDArray[np.integer], size: tuple[int, int]) -> NDArray[np.integer]:
    """Resize a map [H, W] by nearest neighbour: pixel centres decide.

    >>> nearest(np.array([[1, 2, 3, 4]]), (1, 2)).tolist(), nearest(np.array([[1, 2]]), (2, 4)).tolist()
    ([[2, 4]], [[1, 1, 2, 2], [1, 1, 2, 2]])
    """
    rows, columns = (((2 * np.arange(new) + 1) * old // (2 * new)) for new, old in zip(size, values.shape, strict=True))
    chosen: NDArray[np.integer] = values[rows[:, None], columns]
    return chosen


def read_labels(source: str | Path | bytes, classes: ClassList, *, max_pixels: int = 200_000_000) -> Bytes:
    """Read a label map.

    Parameters
    ----------
    source
        A PNG, by path or by bytes. Grey of up to 16 bits: ids. RGB: colours of the list. Palette: by its colours where
        the list has all that occur, by its indices as ids where it has none of them (or the palette is a grey ramp),
        and refused in between.
    classes
        The list.
    max_pixels
        Refuse a larger map, before decoding.

    Returns
    -------
    uint8 [H, W]
        The position of each pixel's class in the list.

    Raises
    ------
    PictureError
        No PNG, a damaged one, or ids or colours that the list does not have, with their counts.
    """
    name, values, palette = _opened(source, max_pixels)
    if values.ndim == 3:
        return classes.from_colours(values.astype(np.uint8), name)
    if palette is not None and _by_colour(values, palette, classes, name):
        return classes.from_colours(palette[values], name)
    return classes.positions(values, name)


def read_ids(source: str | Path | bytes, *, max_pixels: int = 200_000_000) -> NDArray[np.integer]:
    """Read a grey or palette PNG as the numbers that stand in it, [H, W]: ids of classes or of objects."""
    name, values, _ = _opened(source, max_pixels)
    if values.ndim == 3:
        raise PictureError(name, "a picture in colours", "a grey PNG of ids", "convert it")
    return values


def _opened(source: str | Path | bytes, max_pixels: int) -> tuple[str, NDArray[np.integer], Bytes | None]:
    """Name, samples [H, W] or [H, W, 3], and the palette [256, 3] of a palette PNG."""
    from PIL.PngImagePlugin import PngImageFile

    name, data = files.load(source)
    kind = formats.identify(name, data)
    if kind.name != "png":
        raise PictureError(
            name, f"a {kind.name.upper()} picture", "a PNG: others change ids", "convert the map's source"
        )
    image = pil.opened(name, data, PngImageFile, "PNG", max_pixels)
    palette = None
    if image.mode == "P":
        palette = np.zeros((256, 3), np.uint8)
        colours = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
        palette[: len(colours)] = colours
    elif image.mode == "1":
        image = image.convert("L").point(lambda value: value // 255)
    elif image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        image = image.convert("RGB")
    elif image.mode not in ("L", "I;16", "I;16B", "I", "RGB"):
        raise PictureError(
            name, f"a PNG of mode {image.mode}", "grey, palette or RGB without transparency", "convert it"
        )
    return name, np.asarray(image), palette


def _by_colour(indices: NDArray[np.integer], palette: Bytes, classes: ClassList, name: str) -> bool:
    used = np.unique(indices)
    if classes.classes[0].colour is None or (palette[used] == used[:, None]).all():
        return False
    own = _codes(np.array([one.colour for one in classes.classes], np.uint8))
    known = np.isin(_codes(palette[used]), own)
    if known.any() and not known.all():
        odd = tuple(int(value) for value in palette[used[~known][0]])
        found = f"a palette of which {int(known.sum())} of {len(used)} used colours are those of classes (not {odd})"
        raise PictureError(name, found, "all of them, or none and ids as indices", _REPAIR)
    return bool(known.all())


def _codes(colours: Bytes) -> NDArray[np.int64]:
    """Colours [..., 3] as one number each."""
    codes: NDArray[np.int64] = colours.astype(np.int64) @ np.array([65536, 256, 1])
    return codes


def _colour(values: Iterable[int | str]) -> Colour:
    r, g, b = (int(value) for value in values)
    if min(r, g, b) < 0 or max(r, g, b) > 255:
        raise ValueError(f"colour ({r}, {g}, {b})")
    return r, g, b


def shown(items: list[str]) -> str:
    """The first few of a list, for a message."""
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


#: The 35 classes of Cityscapes, 19 of them judged (Cordts et al., CVPR 2016); 34 stands in no file.
CITYSCAPES = ClassList.from_csv(_CITYSCAPES)
