"""Between samples and pixels: turned and converted on the way in, shaped for a format on the way out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from restauro.codecs import metadata, profile
from restauro.codecs.formats import Format
from restauro.codecs.profile import Colour
from restauro.codecs.samples import from_float, strips, to_float, turned
from restauro.codecs.source import Decoded, Mode, Raster, Samples, Source
from restauro.errors import PictureError

Floats = NDArray[np.float32]


def to_pixels(decoded: Decoded) -> tuple[Floats, Floats | None, Source]:
    """Samples as a file holds them to upright sRGB pixels [H, W, C], straight alpha [H, W], and the facts."""
    raster, source, orientation = decoded
    samples = turned(raster.samples, orientation)
    alpha = to_float(samples[..., -1], raster.bits) if raster.alpha else None
    colour = samples[..., :-1] if raster.alpha else samples
    conversion = profile.choose(raster.icc, _colour(raster.mode))
    if source.premultiplied and alpha is not None:
        straight = to_float(colour, raster.bits)
        np.divide(straight, alpha[..., None], out=straight, where=alpha[..., None] > 0)
        pixels = conversion.to_working(straight, 32)
    else:
        pixels = conversion.to_working(colour, raster.bits)
    notes = list(source.notes)
    if conversion.note:
        notes.append(conversion.note)
    if raster.bits == 32:
        notes += range_notes(pixels)
    dpi = metadata.plausible_dpi(source.dpi)
    upright = replace(
        source,
        exif=metadata.upright_exif(source.exif),
        xmp=metadata.upright_xmp(source.xmp),
        dpi=dpi[::-1] if dpi and orientation >= 5 else dpi,
        notes=tuple(notes),
    )
    return pixels, alpha, upright


def range_notes(pixels: Floats) -> tuple[str, ...]:
    """A sentence when float values leave 0..1, because then they may not mean what the reader thinks."""
    low, high = float(pixels.min()), float(pixels.max())
    if low >= -0.01 and high <= 1.01:
        return ()
    return (f"values from {low:.4g} to {high:.4g}, where 0..1 is black to white",)


def carried(source: Source, width: int, height: int, *, strip: bool) -> Source:
    """The facts that go into a new file: EXIF that knows its size, and no metadata at all with ``strip``."""
    exif = metadata.upright_exif(source.exif, width, height)
    facts = replace(source, exif=exif, dpi=metadata.plausible_dpi(source.dpi))
    return replace(facts, exif=None, xmp=None, text=(), jpeg_segments=()) if strip else facts


def to_raster(pixels: Floats, alpha: Floats | None, source: Source, target: Format) -> Raster:
    """Pixels as the samples that ``target`` can hold, as near to the source's kind as it can.

    Raises
    ------
    PictureError
        There is transparency, and the format cannot hold it.
    """
    shape = _shape(source, pixels.shape[2], alpha is not None, target)
    conversion = profile.choose(shape.icc, _colour(shape.mode))
    if pixels.shape[2] == 1 and shape.mode != "grey":
        pixels = np.repeat(pixels, 3, axis=2)
    kept = _alpha(alpha, source.name, target)
    if kept is None:
        colour = conversion.from_working(pixels, shape.bits)
        return Raster(colour, shape.bits, shape.mode, alpha=False, icc=shape.icc)
    if source.premultiplied and target.name == "tiff":
        straight = conversion.from_working(pixels, 32)
        colour = from_float(cast("Floats", straight * kept[..., None]), shape.bits)
    else:
        colour = conversion.from_working(pixels, shape.bits)
    samples: Samples = np.empty((*colour.shape[:2], colour.shape[2] + 1), colour.dtype)
    samples[..., :-1] = colour
    for rows in strips(samples.shape):
        samples[rows, :, -1] = from_float(kept[rows], shape.bits)
    return Raster(samples, shape.bits, shape.mode, alpha=True, icc=shape.icc)


def losses(source: Source, channels: int, has_alpha: bool, target: Format) -> tuple[str, ...]:
    """What ``target`` cannot hold, one phrase each."""
    shape = _shape(source, channels, has_alpha, target)
    found = []
    if shape.bits < min(source.coded_bits, source.bits):
        found.append(f"{source.coded_bits} bit becomes {shape.bits} bit")
    if source.mode == "cmyk" and shape.mode != "cmyk":
        found.append("CMYK becomes RGB")
    if channels == 1 and shape.mode == "rgb":
        found.append("grey becomes RGB")
    if source.icc and not shape.icc:
        found.append("the colour profile is left out, colours are converted to sRGB")
    held = {"EXIF": (source.exif, "exif"), "XMP": (source.xmp, "xmp"), "text": (source.text, "text")}
    found += [f"{label} is left out" for label, (value, key) in held.items() if value and key not in target.keeps]
    return tuple(found)


@dataclass(frozen=True)
class _Shape:
    """How the samples of a new file are made."""

    mode: Mode
    bits: int
    icc: bytes | None


def _shape(source: Source, channels: int, has_alpha: bool, target: Format) -> _Shape:
    mode = _mode(source, channels, has_alpha, target)
    same_kind = _colour(mode) == _colour(source.mode)
    icc = source.icc if source.icc and "icc" in target.keeps else None
    if icc and not (same_kind or profile.fits(icc, _colour(mode))):
        icc = None
    return _Shape(mode, _bits(source, target), icc)


def _mode(source: Source, channels: int, has_alpha: bool, target: Format) -> Mode:
    if target.name == "gif":
        return "palette"
    if channels == 1:
        return "grey" if target.grey else "rgb"
    if source.mode == "cmyk" and target.cmyk:
        return "cmyk"
    # Of the formats with palettes only PNG and GIF have transparent entries.
    if source.mode == "palette" and target.palette and (not has_alpha or target.name == "png"):
        return "palette"
    return "rgb"


def _bits(source: Source, target: Format) -> int:
    if source.bits == 32 and target.floats:
        return 32
    if source.bits == 8 or target.bits == 8:
        return 8
    return 16 if target.bits == 16 else min(target.bits, source.coded_bits)


def _colour(mode: Mode) -> Colour:
    return "rgb" if mode == "palette" else mode


def _alpha(alpha: Floats | None, name: str, target: Format) -> Floats | None:
    if alpha is None or target.alpha == "full":
        return alpha
    if target.alpha == "none" and (alpha >= 1).all():
        return None
    if target.alpha == "binary" and ((alpha <= 0) | (alpha >= 1)).all():
        return alpha
    raise PictureError(
        name,
        f"transparency, which {target.name.upper()} cannot hold",
        "a format with alpha (PNG, WebP, TIFF, AVIF)",
        "choose one of these, or make the picture opaque first",
    )
