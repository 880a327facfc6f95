"""Image file directories: the tags of TIFF files and of EXIF, which is a TIFF file without a picture.

Source: TIFF 6.0, section 2 (directories, types); BigTIFF for 64-bit offsets; Exif 2.32, section 4.6.3
(sub-directories).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

_SIZE: Final = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_CODE: Final = {
    1: "B",
    3: "H",
    4: "I",
    6: "b",
    8: "h",
    9: "i",
    11: "f",
    12: "d",
    13: "I",
    16: "Q",
    17: "q",
    18: "Q",
}
_RATIONAL: Final = {5: "II", 10: "ii"}

EXIF_IFD: Final = 0x8769
GPS_IFD: Final = 0x8825
INTEROP_IFD: Final = 0xA005
_CHILDREN: Final = (EXIF_IFD, GPS_IFD, INTEROP_IFD)


class IfdError(ValueError):
    """The bytes are not a directory; callers turn it into their own sentence."""


@dataclass(frozen=True)
class Entry:
    """One tag: its type, number of values, their bytes in the directory's byte order, and where those bytes lie."""

    kind: int
    count: int
    value: bytes
    at: int = 0


@dataclass(frozen=True)
class Directory:
    """One directory: tags, sub-directories (EXIF, GPS, interoperability) by tag, and the link to the next one."""

    order: str  # "<" or ">"
    entries: dict[int, Entry] = field(default_factory=dict)
    children: dict[int, Directory] = field(default_factory=dict)
    next_at: int = 0
    next: int = 0

    def numbers(self, tag: int) -> tuple[float, ...]:
        """Values of a numeric tag, rationals divided out; empty when the tag is missing or not numeric."""
        entry = self.entries.get(tag)
        if entry is None:
            return ()
        if entry.kind in _RATIONAL:
            flat = struct.unpack(f"{self.order}{entry.count * 2}{_RATIONAL[entry.kind][0]}", entry.value)
            return tuple(a / b if b else 0.0 for a, b in zip(flat[::2], flat[1::2], strict=True))
        if entry.kind not in _CODE:
            return ()
        return struct.unpack(f"{self.order}{entry.count}{_CODE[entry.kind]}", entry.value)

    def number(self, tag: int, default: int) -> int:
        """First value of an integer tag, or ``default``."""
        values = self.numbers(tag)
        return int(values[0]) if values else default


def parse(data: bytes) -> Directory:
    """Read the first directory of a TIFF or EXIF structure, with its EXIF, GPS and interoperability children.

    A tag whose bytes lie outside the data is left out.

    Raises
    ------
    IfdError
        The data does not start with a TIFF header, or the directory lies outside of it.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2], "")
    magic = struct.unpack(order + "H", data[2:4])[0] if order and len(data) >= 8 else 0
    if magic == 42:
        return directory(data, order, struct.unpack(order + "I", data[4:8])[0])
    if magic == 43 and len(data) >= 16:
        return directory(data, order, struct.unpack(order + "Q", data[8:16])[0], big=True)
    raise IfdError("no TIFF header")


def directory(data: bytes, order: str, start: int, *, big: bool = False, depth: int = 0) -> Directory:
    """Read the directory at byte ``start``."""
    head, row, offset_code = (8, 20, "Q") if big else (2, 12, "I")
    width = struct.calcsize(offset_code)
    if start < 8 or start + head > len(data):
        raise IfdError("a directory outside the file")
    count = struct.unpack_from(order + ("Q" if big else "H"), data, start)[0]
    if start + head + count * row > len(data):
        raise IfdError("a directory that ends too early")
    entries: dict[int, Entry] = {}
    children: dict[int, Directory] = {}
    for at in range(start + head, start + head + count * row, row):
        tag, kind, number = struct.unpack_from(order + "HH" + offset_code, data, at)
        size = _SIZE.get(kind, 0) * number
        value_at = at + row - width
        if size > width:
            value_at = struct.unpack_from(order + offset_code, data, value_at)[0]
        if size and value_at + size <= len(data):
            entries[tag] = Entry(kind, number, data[value_at : value_at + size], value_at)
    result = Directory(order, entries, children, start + head + count * row)
    for tag in _CHILDREN if depth < 2 else ():
        if tag in entries:
            try:
                children[tag] = directory(data, order, result.number(tag, 0), big=big, depth=depth + 1)
            except IfdError:
                continue
    end = result.next_at + width
    following = struct.unpack_from(order + offset_code, data, result.next_at)[0] if end <= len(data) else 0
    return Directory(order, entries, children, result.next_at, following)


def serialise(content: Directory, at: int, *, big: bool = False) -> bytes:
    """Bytes of a directory, which come first, its values and its children, to be placed at byte ``at`` (even)."""
    order = content.order
    head, row, offset_code = (8, 20, "Q") if big else (2, 12, "I")
    width = struct.calcsize(offset_code)
    tags = sorted((content.entries.keys() - set(_CHILDREN)) | content.children.keys())
    table = struct.pack(order + ("Q" if big else "H"), len(tags))
    tail = bytearray()
    tail_at = at + head + row * len(tags) + width
    for tag in tags:
        where = tail_at + len(tail)
        if tag in content.children:
            kind, count, value = (18 if big else 4), 1, struct.pack(order + offset_code, where)
            tail += serialise(content.children[tag], where, big=big)
        else:
            entry = content.entries[tag]
            kind, count, value = entry.kind, entry.count, entry.value
            if len(value) > width:
                tail += value
                value = struct.pack(order + offset_code, where)
        tail += b"\0" * (len(tail) % 2)
        table += struct.pack(order + "HH" + offset_code, tag, kind, count) + value.ljust(width, b"\0")
    return table + struct.pack(order + offset_code, 0) + bytes(tail)


def reordered(content: Directory, order: str) -> Directory:
    """The same directory with every value in another byte order (bytes of unknown meaning stay as they are)."""
    if content.order == order:
        return content
    entries = {tag: Entry(e.kind, e.count, _swapped(e)) for tag, e in content.entries.items()}
    return Directory(order, entries, {tag: reordered(child, order) for tag, child in content.children.items()})


def _swapped(entry: Entry) -> bytes:
    unit = {5: 4, 10: 4}.get(entry.kind, _SIZE[entry.kind])
    if unit == 1:
        return entry.value
    return b"".join(entry.value[i : i + unit][::-1] for i in range(0, len(entry.value), unit))


def file_of(content: Directory) -> bytes:
    """A complete TIFF structure without a picture, which is what an EXIF block is."""
    mark = b"II" if content.order == "<" else b"MM"
    return mark + struct.pack(content.order + "HI", 42, 8) + serialise(content, 8)
