"""AVIF by libvips, HEIC by the optional pillow-heif (its HEVC encoder is GPL, so it is an extra).

Source: ISO/IEC 23008-12 (items and properties), AV1 in ISOBMFF 1.3 (``av1C``), ITU-T H.273 (colour code
points). The file's own rotation is applied by the decoder; EXIF orientation says nothing here and is reset.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from restauro.codecs import metadata, profile, vips
from restauro.codecs.formats import FORMATS
from restauro.codecs.pil import DAMAGED
from restauro.codecs.source import Decoded, Raster, Samples, Source, check_size, damaged
from restauro.errors import PictureError

_EFFORT = 2  # of 0..9: about a second a megapixel on two cores; 4 takes six times as long for 1 % fewer bytes


def decode_avif(name: str, data: bytes, max_pixels: int) -> Decoded:
    """Decode AVIF of 8, 10 or 12 bits, the first frame of a sequence.

    Raises
    ------
    PictureError
        The file is damaged, too large, or HDR.
    """
    facts = _properties(data)
    for width, height in facts["sizes"]:
        check_size(name, width, height, max_pixels)
    image = vips.load(name, data, "heif", max_pixels)
    icc = vips.blob(image, "icc-profile-data")
    if icc is None and facts.get("primaries") is not None:
        icc = profile.of_code_points(name, facts["primaries"], facts["transfer"])
    samples = vips.samples(name, image, "heif")
    bits = vips.field(image, "bits-per-sample") or 8
    if samples.dtype == np.uint16:  # libvips moves 10 and 12 bits to the top of 16
        samples >>= 16 - bits
    alpha = samples.shape[-1] in (2, 4)
    if facts.get("grey"):
        samples = samples[..., [0, 3]] if alpha else samples[..., :1]
    exif = metadata.plain_exif(vips.blob(image, "exif-data"))
    frames = vips.field(image, "n-pages") or 1
    source = Source(
        name, "avif", "grey" if facts.get("grey") else "rgb",
        bits=8 if bits == 8 else 16, coded_bits=bits, icc=icc, exif=exif, xmp=vips.blob(image, "xmp-data"),
        dpi=metadata.dpi(exif), jpeg_subsampling=facts.get("subsampling"),
        notes=(f"picture 1 of {frames}",) if frames > 1 else (),
    )  # fmt: skip
    return Decoded(Raster(samples, bits, source.mode, alpha, icc), source)


def encode_avif(raster: Raster, source: Source, quality: int | None) -> bytes:
    """Write AVIF with the source's subsampling; grey is written as three equal channels."""
    raster = _three_channels(raster)
    image = vips.image_of(_shifted(raster), raster.mode)
    keep = []
    for key, value in (("icc", raster.icc), ("exif", source.exif), ("xmp", source.xmp)):
        if value:
            keep.append(key)
            marked = b"Exif\0\0" + value if key == "exif" else value
            vips.set_blob(image, "icc-profile-data" if key == "icc" else f"{key}-data", marked)
    asked = quality or FORMATS["avif"].quality
    return vips.save(
        source.name, image, "heif",
        compression="av1", bitdepth=raster.bits, Q=asked, effort=_EFFORT,
        subsample_mode="on" if _subsampled(source, asked) else "off", keep="|".join(keep) or "none",
    )  # fmt: skip


def decode_heic(name: str, data: bytes, max_pixels: int) -> Decoded:
    """Decode HEIC of 8, 10 or 12 bits with pillow-heif.

    Raises
    ------
    PictureError
        pillow-heif is not installed, or the file is damaged, too large, or HDR.
    """
    module = _pillow_heif(name)
    try:
        opened = module.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
        width, height = opened.size
        check_size(name, width, height, max_pixels)
        samples: Samples = np.array(opened)
    except (*DAMAGED, RuntimeError) as error:
        raise damaged(name, "HEIC", str(error)) from None
    samples = samples.reshape(*samples.shape[:2], -1)
    info: dict[str, Any] = opened.info
    bits = int(info.get("bit_depth", 8))
    if samples.dtype == np.uint16:
        samples >>= 16 - bits
    icc = info.get("icc_profile") or None
    if icc is None and (nclx := info.get("nclx_profile")):
        icc = profile.of_code_points(name, nclx["color_primaries"], nclx["transfer_characteristics"])
    exif = metadata.plain_exif(info.get("exif"))
    chroma = {444: "4:4:4", 422: "4:2:2", 420: "4:2:0"}.get(int(info.get("chroma") or 0))
    grey = samples.shape[-1] < 3
    source = Source(
        name, "heic", "grey" if grey else "rgb",
        bits=8 if bits == 8 else 16, coded_bits=bits, icc=icc, exif=exif, xmp=info.get("xmp") or None,
        dpi=metadata.dpi(exif), jpeg_subsampling=chroma,
        notes=(f"picture 1 of {len(opened)}",) if len(opened) > 1 else (),
    )  # fmt: skip
    return Decoded(Raster(samples, bits, source.mode, samples.shape[-1] in (2, 4), icc), source)


def encode_heic(raster: Raster, source: Source, quality: int | None) -> bytes:
    """Write HEIC of 8 or 10 bits with pillow-heif.

    Raises
    ------
    PictureError
        pillow-heif is not installed.
    """
    module = _pillow_heif(source.name)
    asked = quality or FORMATS["heic"].quality
    letters = {("grey", False): "L", ("grey", True): "LA", ("rgb", False): "RGB", ("rgb", True): "RGBA"}
    mode = letters[str(raster.mode), raster.alpha] + (";16" if raster.bits > 8 else "")
    height, width = raster.samples.shape[:2]
    buffer = io.BytesIO()
    carried = {"icc_profile": raster.icc, "exif": source.exif and b"Exif\0\0" + source.exif, "xmp": source.xmp}
    extras = {key: value for key, value in carried.items() if value}
    module.encode(
        mode, (width, height), np.ascontiguousarray(_shifted(raster)).tobytes(), buffer,
        quality=asked, chroma=420 if _subsampled(source, asked) else 444, **extras,
    )  # fmt: skip
    return buffer.getvalue()


def _pillow_heif(name: str) -> Any:
    try:
        import pillow_heif
    except ImportError:
        raise PictureError(
            name, "HEIC, which needs pillow-heif", "an installed pillow-heif", "pip install 'restauro[heic]'"
        ) from None
    return pillow_heif


def _shifted(raster: Raster) -> Samples:
    # Both libraries take 10 and 12 bits at the top of 16.
    return raster.samples << (16 - raster.bits) if raster.samples.dtype == np.uint16 else raster.samples


def _three_channels(raster: Raster) -> Raster:
    if raster.mode != "grey":
        return raster
    bands = [0, 0, 0, 1] if raster.alpha else [0, 0, 0]
    return replace(raster, samples=raster.samples[..., bands], mode="rgb")


def _subsampled(source: Source, quality: int) -> bool:
    return quality < 90 if source.jpeg_subsampling is None else source.jpeg_subsampling == "4:2:0"


def _properties(data: bytes) -> dict[str, Any]:
    """Sizes, colour code points, subsampling and greyness from the item properties in the ``meta`` box."""
    meta = _meta(data)
    facts: dict[str, Any] = {}
    at = meta.find(b"colrnclx")
    if at >= 0:
        facts["primaries"] = int.from_bytes(meta[at + 8 : at + 10], "big")
        facts["transfer"] = int.from_bytes(meta[at + 10 : at + 12], "big")
    facts["sizes"] = [struct.unpack(">II", box[4:12]) for box in _boxes(meta, b"ispe") if len(box) >= 12]
    codings = [box[2] for box in _boxes(meta, b"av1C") if len(box) > 2]
    colour = [flags for flags in codings if not flags & 0x10]  # monochrome items are alpha or depth
    facts["grey"] = bool(codings) and not colour
    if colour:
        facts["subsampling"] = {0: "4:4:4", 8: "4:2:2", 12: "4:2:0"}.get(colour[0] & 0x0C)
    return facts


def _boxes(meta: bytes, kind: bytes) -> Iterator[bytes]:
    """What follows the name of each property box of this kind, 16 bytes of it."""
    at = meta.find(kind)
    while at >= 0:
        yield meta[at + 4 : at + 20]
        at = meta.find(kind, at + 4)


def _meta(data: bytes) -> bytes:
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"meta":
            return data[at : at + size]
        if size < 8:
            break
        at += size
    return b""
