"""EXIF and XMP after the pixels have changed: orientation 1, the new size, no thumbnail of the old picture.

EXIF is patched in place, so that everything else in it, maker notes with their absolute offsets included,
stays as the camera wrote it. Tags: Exif 2.32, table 4 (Orientation 0x0112) and table 8 (PixelXDimension
0xA002).
"""

from __future__ import annotations

import re
import struct

from restauro.codecs import ifd

ORIENTATION = 0x0112
_WIDTH = {0: (0x0100, 0x0101), ifd.EXIF_IFD: (0xA002, 0xA003)}
_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>)\s*)([1-8])(?=\s*["'<])""")


def plain_exif(block: bytes | None) -> bytes | None:
    r"""An EXIF block without the ``Exif\0\0`` mark that JPEG puts before it; ``None`` for an empty one."""
    if block and block.startswith(b"Exif\0"):
        block = block[6:]
    return block or None


def orientation(exif: bytes | None, xmp: bytes | None = None) -> int:
    """Orientation 1..8 from EXIF, else from XMP, else 1; a value outside 1..8 counts as 1.

    >>> orientation(None, b'<rdf:Description tiff:Orientation="6"/>')
    6
    """
    if exif:
        try:
            found = ifd.parse(exif)
        except ifd.IfdError:
            return 1
        if ORIENTATION in found.entries:
            value = found.number(ORIENTATION, 1)
            return value if 1 <= value <= 8 else 1
    match = _XMP_ORIENTATION.search(xmp or b"")
    return int(match[2]) if match else 1


def dpi(exif: bytes | None) -> tuple[float, float] | None:
    """Resolution in dots per inch from EXIF or TIFF tags; ``None`` without a unit."""
    try:
        found = ifd.parse(exif or b"")
    except ifd.IfdError:
        return None
    per_inch = {2: 1.0, 3: 2.54}.get(found.number(0x0128, 2))
    x, y = found.numbers(0x011A), found.numbers(0x011B)
    return (x[0] * per_inch, y[0] * per_inch) if per_inch and x and y and x[0] > 0 and y[0] > 0 else None


def plausible_dpi(dpi: tuple[float, float] | None) -> tuple[float, float] | None:
    """The resolution, or ``None`` where it is nonsense that no header could hold.

    >>> plausible_dpi((300.0, 300.0)), plausible_dpi((1e9, 0.0))
    ((300.0, 300.0), None)
    """
    return dpi if dpi and all(1 <= value <= 65_000 for value in dpi) else None


def upright_exif(exif: bytes | None, width: int | None = None, height: int | None = None) -> bytes | None:
    """EXIF with orientation 1, no thumbnail and, where it names them, the new width and height.

    A block that cannot be read is returned as it came: it cannot turn the picture either.
    """
    try:
        found = ifd.parse(exif or b"")
    except ifd.IfdError:
        return exif
    data = bytearray(exif or b"")
    _put(data, found, ORIENTATION, 1)
    if width and height:
        for where, (tag_x, tag_y) in _WIDTH.items():
            part = found.children.get(where) if where else found
            if part is not None:
                _put(data, part, tag_x, width)
                _put(data, part, tag_y, height)
    if found.next:
        _drop_thumbnail(data, found)
    return bytes(data)


def upright_xmp(xmp: bytes | None) -> bytes | None:
    """XMP with ``tiff:Orientation`` 1, as attribute or element.

    >>> upright_xmp(b'<tiff:Orientation>8</tiff:Orientation>')
    b'<tiff:Orientation>1</tiff:Orientation>'
    """
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp) if xmp else xmp


def _put(data: bytearray, part: ifd.Directory, tag: int, value: int) -> None:
    entry = part.entries.get(tag)
    code = {3: "H", 4: "I"}.get(entry.kind, "") if entry else ""
    if entry and code and entry.count == 1 and not (code == "H" and value > 0xFFFF):
        struct.pack_into(part.order + code, data, entry.at, value)


def _drop_thumbnail(data: bytearray, found: ifd.Directory) -> None:
    # Unlinked and blanked, not cut out: nothing after it moves.
    try:
        second = ifd.directory(bytes(data), found.order, found.next)
    except ifd.IfdError:
        return
    start, size = second.number(0x0201, 0), second.number(0x0202, 0)
    if 0 < start < len(data) and size > 0:
        end = min(len(data), start + size)
        data[start:end] = bytes(end - start)
    struct.pack_into(found.order + "I", data, found.next_at, 0)
