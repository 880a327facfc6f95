"""TIFF: tags read and written here, pixels by libvips (8 and 16 bit, float) or Pillow (palettes).

Source: TIFF 6.0; TIFF Technical Note 3 (floating point); Adobe Photoshop TIFF technical notes (ICC tag 34675,
XMP 700).
"""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any, Final

import numpy as np

from restauro.codecs import ifd, metadata, palette, vips
from restauro.codecs.source import Decoded, Mode, Raster, Source, check_size, damaged
from restauro.errors import PictureError

_XMP, _ICC, _EXTRA, _UNASSOCIATED = 700, 34675, 338, 2
# Tags that describe how this one file stores its samples, or hold a second copy of the picture; all others travel.
_STRUCTURAL: Final = frozenset(
    (254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281, 284, 288, 289, 290,
     291, 292, 293, 297, 301, 317, 320, 321, 322, 323, 324, 325, 330, 332, 333, 334, 336, 338, 339, 340, 341, 347,
     512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, _XMP, 34377, _ICC, 37724)
)  # fmt: skip
_COMPRESSION: Final = {
    1: "none",
    4: "ccittfax4",
    5: "lzw",
    8: "deflate",
    32773: "packbits",
    32946: "deflate",
    50000: "zstd",
}  # fmt: skip
_PILLOW: Final = {1: "raw", 5: "tiff_lzw", 32773: "packbits"}
_COLOURS: Final = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3}
_MODES: Final[dict[int, Mode]] = {0: "grey", 1: "grey", 2: "rgb", 3: "palette", 5: "cmyk", 6: "rgb"}
_BIG = 4_000_000_000  # bytes from which 32-bit offsets are too small


def decode(name: str, data: bytes, max_pixels: int) -> Decoded:
    """Decode the first page: 1 to 16 bit integers, 16 or 32 bit floats; grey, RGB, palette or CMYK; alpha or not.

    Raises
    ------
    PictureError
        The file is damaged, too large, not finite, a camera raw file, or stores something that is no such
        picture.
    """
    try:
        tags = ifd.parse(data)
    except ifd.IfdError as error:
        raise damaged(name, "TIFF", str(error)) from None
    photometric, bits = tags.number(262, 1), tags.number(258, 1)
    is_float = tags.number(339, 1) == 3
    check_size(name, tags.number(256, 0), tags.number(257, 0), max_pixels)
    alpha, notes = _check(name, data, tags)
    premultiplied = alpha and tags.number(_EXTRA, 0) == 1
    if premultiplied:  # undone in float by the caller; libvips would undo it in integers, or not, by version
        data = _patched(data, tags, _EXTRA, _UNASSOCIATED)
    image = vips.load(name, data, "tiff", max_pixels)
    samples = vips.samples(name, image, "tiff")
    if samples.dtype.name not in ("uint8", "uint16", "float32"):
        raise _unsupported(name, f"{samples.dtype.name} samples")
    if is_float and not np.isfinite(samples).all():
        raise PictureError(
            name,
            "values that are not finite (NaN or infinity)",
            "finite values",
            "replace them, for example by 0",
        )
    if (pages := vips.field(image, "n-pages") or 1) > 1:
        notes.append(f"first page of {pages}")
    if is_float and bits == 16:
        notes.append("16-bit float is written back as 32-bit float")
    mode = _MODES[photometric]
    source = Source(
        name, "tiff", mode,
        bits=32 if is_float else max(8, bits), is_float=is_float, coded_bits=bits,
        icc=_bytes(tags, _ICC), exif=_described(tags), xmp=_bytes(tags, _XMP),
        dpi=metadata.dpi(_described(tags)), tiff_compression=tags.number(259, 1), premultiplied=premultiplied,
        lossless=tags.number(259, 1) not in (6, 7), notes=tuple(notes),
    )  # fmt: skip
    raster = Raster(samples, source.bits, "rgb" if mode == "palette" else mode, alpha, source.icc)
    return Decoded(raster, source, metadata.orientation(data))


def encode(raster: Raster, source: Source, quality: int | None) -> bytes:
    """Write with the source's compression where it loses nothing, else deflate; ``quality`` means nothing here."""
    del quality
    number = source.tiff_compression
    if raster.mode == "palette":
        plain = palette.encoded(raster, source, "TIFF", compression=_PILLOW.get(number or 0, "tiff_adobe_deflate"))
    else:
        bits = palette.packed_bits(raster, source)
        method = _COMPRESSION.get(number or 8, "deflate")
        if method == "ccittfax4" and bits != 1:
            method = "deflate"
        predictor = "none" if bits < 8 else "float" if raster.bits == 32 else "horizontal"
        options: dict[str, Any] = {"bitdepth": bits} if bits < 8 else {}
        plain = vips.save(
            source.name, vips.image_of(raster.samples, raster.mode), "tiff",
            keep="none", compression=method, predictor=predictor, bigtiff=raster.samples.nbytes > _BIG,
            **options,
        )  # fmt: skip
    return _with_tags(plain, _added(raster, source))


def _check(name: str, data: bytes, tags: ifd.Directory) -> tuple[bool, list[str]]:
    """Refuse what is no picture of a kind that can be given back; otherwise whether there is alpha, and notes."""
    photometric, bits, form = tags.number(262, 1), set(tags.numbers(258) or (1,)), tags.number(339, 1)
    bands = tags.number(277, 1)
    if 50706 in tags.entries or data[8:10] == b"CR" or (tags.number(254, 0) & 1 and 330 in tags.entries):
        raise PictureError(name, "a camera raw file", "a developed picture", "export it as TIFF or JPEG first")
    if photometric not in _COLOURS:
        raise _unsupported(name, f"colours of kind {photometric} (Lab, raw or other)")
    if (form, *bits) not in {(1, b) for b in (1, 2, 4, 8, 16)} | {(3, 16), (3, 32)}:
        kind = {1: "unsigned integer", 2: "signed integer", 3: "float", 5: "complex", 6: "complex"}.get(form, "untyped")
        raise _unsupported(name, f"{kind} samples of {'/'.join(str(int(b)) for b in sorted(bits))} bits")
    extra = bands - _COLOURS[photometric]
    if extra not in (0, 1) or (extra and _EXTRA not in tags.entries):
        raise _unsupported(name, f"{bands} channels")
    unlabelled = extra and tags.number(_EXTRA, 0) == 0
    return bool(extra), ["an unlabelled extra channel is taken as alpha"] if unlabelled else []


def _patched(data: bytes, tags: ifd.Directory, tag: int, value: int) -> bytes:
    copy = bytearray(data)
    struct.pack_into(tags.order + "H", copy, tags.entries[tag].at, value)
    return bytes(copy)


def _unsupported(name: str, found: str) -> PictureError:
    return PictureError(
        name,
        found,
        "grey, RGB, palette or CMYK of 8 or 16 bit, or 32-bit float, with or without alpha",
        "convert it first",
    )


def _bytes(tags: ifd.Directory, tag: int) -> bytes | None:
    return tags.entries[tag].value if tag in tags.entries else None


def _described(tags: ifd.Directory) -> bytes | None:
    """The tags that describe the picture as an EXIF block, which every format can carry."""
    entries = {tag: entry for tag, entry in tags.entries.items() if tag not in _STRUCTURAL}
    return ifd.file_of(ifd.Directory(tags.order, entries, tags.children)) if entries else None


def _added(raster: Raster, source: Source) -> ifd.Directory:
    """Every tag to be merged into the new file, in the byte order of the EXIF block they come from."""
    children: dict[int, ifd.Directory] = {}
    entries: dict[int, ifd.Entry] = {}
    order = "<"
    if source.exif:
        try:
            found = ifd.parse(source.exif)
        except ifd.IfdError:
            found = ifd.Directory("<")
        order, children = found.order, found.children
        entries = {tag: entry for tag, entry in found.entries.items() if tag not in _STRUCTURAL}
    if source.dpi is not None and 282 not in entries:
        for tag, value in zip((282, 283), source.dpi, strict=True):
            ratio = Fraction(value).limit_denominator(10_000)
            entries[tag] = ifd.Entry(5, 1, struct.pack(order + "II", ratio.numerator, ratio.denominator))
        entries[296] = ifd.Entry(3, 1, struct.pack(order + "H", 2))
    if source.xmp:
        entries[_XMP] = ifd.Entry(1, len(source.xmp), source.xmp)
    if raster.icc:
        entries[_ICC] = ifd.Entry(7, len(raster.icc), raster.icc)
    if raster.alpha:
        kind = 1 if source.premultiplied else _UNASSOCIATED
        entries[_EXTRA] = ifd.Entry(3, 1, struct.pack(order + "H", kind))
    return ifd.Directory(order, entries, children)


def _with_tags(plain: bytes, added: ifd.Directory) -> bytes:
    """The file with a new first directory at its end that holds its own tags and the added ones."""
    own = ifd.parse(plain)
    big = plain[2:4] in (b"+\0", b"\0+")
    turned = ifd.reordered(added, own.order)
    entries = {tag: e for tag, e in own.entries.items() if tag not in (282, 283, 296)} | turned.entries
    merged = ifd.Directory(own.order, entries, turned.children)
    padded = plain + b"\0" * (len(plain) % 2)
    tail = ifd.serialise(merged, len(padded), big=big)
    pointer = struct.pack(own.order + ("Q" if big else "I"), len(padded))
    start = 8 if big else 4
    return padded[:start] + pointer + padded[start + len(pointer) :] + tail
