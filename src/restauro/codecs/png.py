"""PNG: chunks read and written here, pixels by libvips (8 and 16 bit) or Pillow (palettes).

Source: PNG (Third Edition), sections 5 and 11; XMP part 3, section 1.1.5.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from restauro.codecs import metadata, palette, profile, vips
from restauro.codecs.source import Decoded, Mode, Raster, Source, check_size, damaged

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_XMP_KEY: Final = "XML:com.adobe.xmp"
_CARRIED: Final = (b"gAMA", b"cHRM", b"sRGB")
_INFLATED: Final = 16 << 20  # compressed text and profiles may be bombs too
_RAW_PROFILES: Final = ("Raw profile type exif", "Raw profile type APP1")
_INCH_M: Final = 0.0254


def decode(name: str, data: bytes, max_pixels: int) -> Decoded:
    """Decode PNG of any colour type and depth, interlaced or not; ``tRNS`` becomes alpha.

    Raises
    ------
    PictureError
        The file is damaged, too large, or HDR.
    """
    chunks = list(_chunks(data))
    if not any(kind == b"IEND" for kind, _ in chunks):
        raise damaged(name, "PNG", "the end is missing")
    first = dict(reversed(chunks))
    if len(first.get(b"IHDR", b"")) != 13:
        raise damaged(name, "PNG", "the header is missing")
    width, height, coded_bits, colour_type = struct.unpack(">IIBB", first[b"IHDR"][:10])
    check_size(name, width, height, max_pixels)
    image = vips.load(name, data, "png", max_pixels)
    samples = vips.samples(name, image, "png")
    mode: Mode = {0: "grey", 3: "palette", 4: "grey"}.get(colour_type, "rgb")  # type: ignore[assignment]
    text = tuple(_texts(chunks))
    exif = metadata.plain_exif(first.get(b"eXIf")) or _raw_profile(text)
    xmp = next((value.encode() for key, value in text if key == _XMP_KEY), None)
    icc = _inflated(first[b"iCCP"].partition(b"\0")[2][1:]) if b"iCCP" in first else None
    if icc is None and len(first.get(b"cICP", b"")) == 4:
        icc = profile.of_code_points(name, first[b"cICP"][0], first[b"cICP"][1])
    frames = int.from_bytes(first.get(b"acTL", b"")[:4], "big")
    source = Source(
        name, "png", mode,
        bits=max(8, coded_bits), coded_bits=coded_bits, icc=icc, exif=exif, xmp=xmp,
        text=tuple(pair for pair in text if pair[0] not in (_XMP_KEY, *_RAW_PROFILES)),
        dpi=_dpi(first.get(b"pHYs", b"")),
        png_chunks=tuple((kind, first[kind]) for kind in _CARRIED if kind in first),
        lossless=True, notes=(f"first frame of {frames}",) if frames > 1 else (),
    )  # fmt: skip
    alpha = samples.shape[-1] in (2, 4)
    raster = Raster(samples, source.bits, "grey" if samples.shape[-1] < 3 else "rgb", alpha, icc)
    return Decoded(raster, source, metadata.orientation(exif, xmp))


def encode(raster: Raster, source: Source, quality: int | None) -> bytes:
    """Write 8 or 16 bit, a palette, or 1, 2 or 4 bit grey where the samples fit; ``quality`` means nothing here."""
    del quality
    if raster.mode == "palette":
        plain = palette.encoded(raster, source, "PNG")
    else:
        image = vips.image_of(raster.samples, raster.mode)
        bits = palette.packed_bits(raster, source)
        plain = vips.save(source.name, image, "png", keep="none", bitdepth=bits, filter="none" if bits < 8 else "all")
    added = _metadata_chunks(raster, source)
    head = len(_SIGNATURE) + 25  # the IHDR chunk, which comes first
    kept = b"".join(_chunk(kind, body) for kind, body in _chunks(plain) if kind in (b"PLTE", b"tRNS", b"IDAT"))
    return plain[:head] + added + kept + _chunk(b"IEND", b"")


def _metadata_chunks(raster: Raster, source: Source) -> bytes:
    parts = []
    if raster.icc:
        parts.append(_chunk(b"iCCP", b"icc\0\0" + zlib.compress(raster.icc)))
    parts += [_chunk(kind, body) for kind, body in source.png_chunks if not (raster.icc and kind == b"sRGB")]
    if source.dpi is not None:
        parts.append(_chunk(b"pHYs", struct.pack(">IIB", *(round(v / _INCH_M) for v in source.dpi), 1)))
    if source.exif:
        parts.append(_chunk(b"eXIf", source.exif))
    if source.xmp:
        parts.append(_text_chunk(_XMP_KEY, source.xmp.decode("utf-8", "replace")))
    parts += [_text_chunk(key, value) for key, value in source.text]
    return b"".join(parts)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_SIGNATURE)
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        if at + 12 + size > len(data):
            return
        yield kind, body
        at += 12 + size
        if kind == b"IEND":
            return


def _text_chunk(key: str, value: str) -> bytes:
    try:
        plain = value.encode("latin-1")
    except UnicodeEncodeError:
        plain = None
    if plain is not None and key != _XMP_KEY and b"\0" not in plain:
        return _chunk(b"tEXt", key.encode("latin-1", "replace") + b"\0" + plain)
    return _chunk(b"iTXt", key.encode("latin-1", "replace") + b"\0\0\0\0\0" + value.encode())


def _texts(chunks: list[tuple[bytes, bytes]]) -> Iterator[tuple[str, str]]:
    for kind, body in chunks:
        raw_key, _, rest = body.partition(b"\0")
        key = raw_key.decode("latin-1")
        if kind == b"tEXt":
            yield key, rest.decode("latin-1")
        elif kind == b"zTXt":
            yield key, (_inflated(rest[1:]) or b"").decode("latin-1")
        elif kind == b"iTXt" and len(rest) >= 4:
            value = rest[2:].split(b"\0", 2)[-1]
            yield key, ((_inflated(value) or b"") if rest[0] else value).decode("utf-8", "replace")


def _inflated(data: bytes) -> bytes | None:
    try:
        return zlib.decompressobj().decompress(data, _INFLATED) or None
    except zlib.error:
        return None


def _raw_profile(text: tuple[tuple[str, str], ...]) -> bytes | None:
    # ImageMagick's older way to keep EXIF: a name, a length, and hexadecimal digits.
    for key, value in text:
        if key in _RAW_PROFILES:
            try:
                return metadata.plain_exif(bytes.fromhex("".join(value.split()[2:])))
            except ValueError:
                continue
    return None


def _dpi(physical: bytes) -> tuple[float, float] | None:
    if len(physical) != 9 or physical[8] != 1:
        return None
    x, y = struct.unpack(">II", physical[:8])
    return (x * _INCH_M, y * _INCH_M) if x and y else None
