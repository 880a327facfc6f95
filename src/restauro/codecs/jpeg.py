"""JPEG: segments read here, pixels by libvips, written by Pillow, which can take the source's own quantisation tables.

Source: ITU-T T.81, annexes B (segments) and K (tables); JFIF 1.02; Exif 2.32, section 4.7; Adobe XMP part 3,
section 1.1.3.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from restauro.codecs import metadata, pil, vips
from restauro.codecs.formats import FORMATS
from restauro.codecs.source import Decoded, Mode, Raster, Source, damaged
from restauro.errors import PictureError

_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_MORE = b"http://ns.adobe.com/xmp/extension/\0"
_ICC = b"ICC_PROFILE\0"
_IRB = b"Photoshop 3.0\0"
_ROOM = 65_533  # bytes one segment can carry
_ZIGZAG: Final = np.array(sorted(range(64), key=lambda i: (i // 8 + i % 8, i // 8 if (i // 8 + i % 8) % 2 else i % 8)))
# T.81, table K.1, natural order.
_LUMA: Final = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
).ravel()
_SUBSAMPLING: Final = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (1, 2): "4:4:0", (4, 1): "4:1:1"}


@dataclass
class _Found:
    """What the segments before the first scan say."""

    precision: int = 8
    components: list[tuple[int, int, int]] = field(default_factory=list)  # horizontal, vertical factor, table number
    progressive: bool = False
    tables: dict[int, tuple[int, ...]] = field(default_factory=dict)
    exif: bytes | None = None
    xmp: bytes | None = None
    icc: dict[int, bytes] = field(default_factory=dict)
    dpi: tuple[float, float] | None = None
    carried: list[bytes] = field(default_factory=list)


def decode(name: str, data: bytes, max_pixels: int) -> Decoded:
    """Decode a grey, YCbCr, RGB, CMYK or YCCK JPEG of 8 bits.

    Raises
    ------
    PictureError
        The file is damaged, too large, or has 12-bit samples.
    """
    found = _scan(name, data)
    if found.precision != 8:
        raise PictureError(
            name, f"a JPEG of {found.precision} bits", "one of 8 bits", "convert it to TIFF or PNG first"
        )
    samples = vips.samples(name, vips.load(name, data, "jpeg", max_pixels), "jpeg")
    modes: dict[int, Mode] = {1: "grey", 3: "rgb", 4: "cmyk"}
    mode = modes[samples.shape[-1]]
    icc = b"".join(found.icc[key] for key in sorted(found.icc)) or None
    tables = tuple(found.tables[c[2]] for c in found.components if c[2] in found.tables)
    turn = metadata.orientation(found.exif, found.xmp)
    notes = ("the HDR gain map is not carried over",) if b"hdrgm:Version" in (found.xmp or b"") else ()
    source = Source(
        name, "jpeg", mode,
        icc=icc, exif=found.exif, xmp=found.xmp, dpi=found.dpi or metadata.dpi(found.exif),
        jpeg_quality=quality_of(tables[0]) if tables else None,
        jpeg_subsampling=_subsampling(found.components),
        jpeg_tables=tables, jpeg_progressive=found.progressive, jpeg_segments=tuple(found.carried),
        notes=notes,
    )  # fmt: skip
    return Decoded(Raster(samples, 8, mode, alpha=False, icc=icc), source, turn)


def encode(raster: Raster, source: Source, quality: int | None) -> bytes:
    """Write with the source's own tables and subsampling when it is a JPEG and ``quality`` is ``None``.

    Raises
    ------
    PictureError
        EXIF or XMP is longer than a JPEG segment.
    """
    grey = raster.mode == "grey"
    mode = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK"}[raster.mode]
    image = pil.image_of(raster.samples[..., 0] if grey else raster.samples, mode)
    options: dict[str, object] = {"extra": _segments(raster, source), "progressive": source.jpeg_progressive}
    if source.dpi is not None:
        options["dpi"] = source.dpi
    if quality is None and source.jpeg_tables:
        options["qtables"] = _written_tables(source, raster)
    else:
        options["quality"] = quality or FORMATS["jpeg"].quality
    if raster.mode == "rgb":
        options["subsampling"] = _written_subsampling(source, int(quality or FORMATS["jpeg"].quality))
    data = pil.saved(source.name, image, "JPEG", **options)
    if raster.mode == "cmyk" and source.dpi is not None:  # libjpeg writes no JFIF header, which holds the dpi, for CMYK
        density = struct.pack(">5sHBHHBB", b"JFIF", 0x0101, 1, *(round(v) for v in source.dpi), 0, 0)
        data = data[:2] + _segment(0xE0, density) + data[2:]
    return data


def _written_tables(source: Source, raster: Raster) -> list[list[int]]:
    # CMYK: one table for all four inks, since the source may have stored them as luma and chroma (YCCK).
    luma, *chroma = [list(table) for table in source.jpeg_tables]
    if raster.mode != "rgb" or not chroma:
        return [luma]
    return [luma, chroma[0]] if chroma[0] == chroma[-1] else [luma, *chroma[:2]]


def _written_subsampling(source: Source, quality: int) -> int:
    # Pillow knows three; what it does not know is written finer, never coarser.
    if source.jpeg_subsampling is None:
        return 0 if quality >= 90 else 2
    return {"4:2:0": 2, "4:2:2": 1, "4:1:1": 1}.get(source.jpeg_subsampling, 0)


def _segments(raster: Raster, source: Source) -> bytes:
    parts = []
    for label, mark, body in (("EXIF", _EXIF, source.exif), ("XMP", _XMP, source.xmp)):
        if body and len(mark) + len(body) > _ROOM:
            raise PictureError(
                source.name,
                f"{len(body)} bytes of {label}",
                f"at most {_ROOM - len(mark)} in a JPEG",
                "choose another format or --strip-metadata",
            )
        if body:
            parts.append(_segment(0xE1, mark + body))
    parts += source.jpeg_segments
    if raster.icc:
        room = _ROOM - len(_ICC) - 2
        pieces = [raster.icc[i : i + room] for i in range(0, len(raster.icc), room)]
        parts += [_segment(0xE2, _ICC + bytes((i + 1, len(pieces))) + piece) for i, piece in enumerate(pieces)]
    return b"".join(parts)


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def quality_of(luma: tuple[int, ...]) -> int:
    """The quality 1..100 whose standard luma table (libjpeg's scaling of table K.1) is nearest to this one.

    >>> quality_of(tuple([1] * 64))
    100
    """
    return int(np.abs(_STANDARD - np.array(luma)).sum(axis=1).argmin()) + 1


def _standard_tables() -> NDArray[np.int64]:
    quality = np.arange(1, 101)[:, None]
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    tables: NDArray[np.int64] = np.clip((_LUMA * scale + 50) // 100, 1, 255)
    return tables


_STANDARD: Final = _standard_tables()


def _scan(name: str, data: bytes) -> _Found:
    found = _Found()
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise damaged(name, "JPEG", "no marker where one belongs")
        marker = data[at + 1]
        if marker in (0xFF, 0x01) or 0xD0 <= marker <= 0xD7:  # fill byte, or a marker without a body
            at += 1 if marker == 0xFF else 2
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : end]
        if end > len(data) or end < at + 4:
            raise damaged(name, "JPEG", "it ends within its header")
        if marker == 0xDA:
            return found
        try:
            _take(found, marker, body, data[at:end])
        except (IndexError, ValueError, struct.error):
            raise damaged(name, "JPEG", f"segment {marker:02X} is too short") from None
        at = end
    raise damaged(name, "JPEG", "it ends within its header")


def _take(found: _Found, marker: int, body: bytes, whole: bytes) -> None:
    if marker == 0xDB:
        found.tables.update(_tables(body))
    elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
        found.precision, found.progressive = body[0], marker in (0xC2, 0xC6, 0xCA, 0xCE)
        rows = (body[6 + 3 * i : 9 + 3 * i] for i in range(body[5]))
        found.components = [(row[1] >> 4, row[1] & 15, row[2]) for row in rows]
    elif marker == 0xE0 and body.startswith(b"JFIF\0") and len(body) >= 12:
        unit, x, y = struct.unpack(">BHH", body[7:12])
        scale = {1: 1.0, 2: 2.54}.get(unit)
        found.dpi = (x * scale, y * scale) if scale and x and y else None
    elif marker == 0xE1 and body.startswith(_EXIF[:5]):
        found.exif = found.exif or metadata.plain_exif(body)
    elif marker == 0xE1 and body.startswith(_XMP):
        found.xmp = found.xmp or body[len(_XMP) :]
    elif marker == 0xE2 and body.startswith(_ICC):
        found.icc[body[len(_ICC)]] = body[len(_ICC) + 2 :]
    elif marker == 0xED and body.startswith(_IRB):
        found.carried.append(_segment(0xED, _IRB + _without_thumbnails(body[len(_IRB) :])))
    elif marker == 0xFE or (marker == 0xE1 and body.startswith(_XMP_MORE)):
        found.carried.append(whole)


def _tables(body: bytes) -> dict[int, tuple[int, ...]]:
    tables = {}
    at = 0
    while at < len(body):
        wide, number = body[at] >> 4, body[at] & 15
        values = np.frombuffer(body[at + 1 : at + 1 + (128 if wide else 64)], ">u2" if wide else "u1")
        if len(values) != 64:
            raise IndexError("a quantisation table that is too short")
        natural = np.empty(64, int)
        natural[_ZIGZAG] = values
        tables[number] = tuple(natural.tolist())
        at += 1 + (128 if wide else 64)
    return tables


def _subsampling(components: list[tuple[int, int, int]]) -> str | None:
    if len(components) != 3 or min(components[1][:2]) < 1:
        return None
    (h, v, _), (h1, v1, _) = components[:2]
    return _SUBSAMPLING.get((h // h1, v // v1))


def _without_thumbnails(resources: bytes) -> bytes:
    # Photoshop image resources 1033 and 1036 hold a small copy of the old picture.
    kept, at = [], 0
    while resources[at : at + 4] == b"8BIM" and at + 12 <= len(resources):
        number = int.from_bytes(resources[at + 4 : at + 6], "big")
        size_at = at + 6 + (resources[at + 6] + 2) // 2 * 2
        size = int.from_bytes(resources[size_at : size_at + 4], "big")
        end = size_at + 4 + size + size % 2
        if number not in (1033, 1036):
            kept.append(resources[at:end])
        at = end
    return b"".join(kept) + resources[at:]
