"""Palettes and few-bit greys: kept where the result still fits, so an untouched file comes back pixel for pixel."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from restauro.codecs import pil
from restauro.codecs.source import Raster, Source

Bytes = NDArray[np.uint8]


def packed_bits(raster: Raster, source: Source) -> int:
    """Bits of a grey sample: the source's 1, 2 or 4 where every value is one of its levels, else the raster's."""
    bits = source.coded_bits
    if bits not in (1, 2, 4) or raster.mode != "grey" or raster.alpha or raster.bits != 8:
        return raster.bits
    step = 255 // ((1 << bits) - 1)
    return bits if not np.any(raster.samples % step) else 8


def indexed(colour: Bytes, alpha: Bytes | None) -> tuple[Bytes, Bytes]:
    """Indices [H, W] and the palette [N, 4] (RGBA, N <= 256) of 8-bit [H, W, 3] colours.

    Up to 256 different colours are kept exactly; more are reduced (median cut, or an octree when there is
    transparency), without dithering.
    """
    opaque = np.full(colour.shape[:2], 255, np.uint8) if alpha is None else alpha
    pixels = np.ascontiguousarray(np.dstack([colour, opaque]))
    codes, places = np.unique(pixels.view(np.uint32)[..., 0], return_inverse=True)
    if len(codes) <= 256:
        return places.reshape(colour.shape[:2]).astype(np.uint8), codes.view(np.uint8).reshape(-1, 4)
    return _reduced(pixels, transparent=bool((opaque < 255).any()))


def _reduced(pixels: Bytes, *, transparent: bool) -> tuple[Bytes, Bytes]:
    from PIL import Image

    mode = "RGBA" if transparent else "RGB"
    method = Image.Quantize.FASTOCTREE if transparent else Image.Quantize.MEDIANCUT
    image = pil.image_of(pixels if transparent else pixels[..., :3], mode)
    reduced = image.quantize(256, method=method, dither=Image.Dither.NONE)
    colours = np.array(reduced.getpalette(mode), np.uint8).reshape(-1, len(mode))
    if not transparent:
        colours = np.pad(colours, ((0, 0), (0, 1)), constant_values=255)
    return np.asarray(reduced), colours


def encoded(raster: Raster, source: Source, kind: Literal["PNG", "GIF", "TIFF", "BMP"], **options: Any) -> bytes:
    """Write an 8-bit grey or RGB raster as a palette picture with Pillow's writer ``kind``."""
    colour = np.broadcast_to(raster.colour, (*raster.samples.shape[:2], 3))
    indices, colours = indexed(colour, raster.samples[..., -1] if raster.alpha else None)
    image = pil.image_of(indices, "P")
    image.putpalette(colours[:, :3].tobytes())
    if kind == "PNG":
        bits = (b for b in (1, 2, 4, 8) if b >= min(source.coded_bits, 8) and 1 << b >= len(colours))
        options["bits"] = next(bits)
        if raster.alpha:
            options["transparency"] = colours[:, 3].tobytes()
    elif kind == "GIF" and not colours[:, 3].all():
        options["transparency"] = int(colours[:, 3].argmin())
    return pil.saved(source.name, image, kind, **options)
