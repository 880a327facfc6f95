"""BMP, by Pillow: libvips has no bitmap codec. Few-bit and 16-bit bitmaps are widened to 8 bits a channel."""

from __future__ import annotations

import numpy as np

from restauro.codecs import palette, pil
from restauro.codecs.source import Decoded, Mode, Raster, Source


def decode(name: str, data: bytes, max_pixels: int) -> Decoded:
    """Decode a bitmap.

    Raises
    ------
    PictureError
        The file is damaged or too large.
    """
    from PIL.BmpImagePlugin import BmpImageFile

    image = pil.opened(name, data, BmpImageFile, "BMP", max_pixels)
    modes: dict[str, tuple[Mode, str]] = {"1": ("grey", "L"), "L": ("grey", "L"), "P": ("palette", "RGB")}
    mode, working = modes.get(image.mode, ("rgb", "RGBA" if image.mode == "RGBA" else "RGB"))
    samples = np.asarray(image.convert(working)).reshape(image.height, image.width, -1)
    source = Source(
        name, "bmp", mode, coded_bits=1 if image.mode == "1" else 8, dpi=image.info.get("dpi"), lossless=True
    )
    return Decoded(Raster(samples, 8, "grey" if mode == "grey" else "rgb", working == "RGBA"), source)


def encode(raster: Raster, source: Source, quality: int | None) -> bytes:
    """Write 8-bit grey, a palette, or 24-bit RGB; ``quality`` means nothing here."""
    del quality
    options = {"dpi": source.dpi} if source.dpi is not None else {}
    if raster.mode == "palette":
        return palette.encoded(raster, source, "BMP", **options)
    if raster.mode == "grey":
        image = pil.image_of(raster.samples[..., 0], "L")
        if palette.packed_bits(raster, source) == 1:
            image = image.point(lambda value: 255 if value > 127 else 0, "1")
        return pil.saved(source.name, image, "BMP", **options)
    return pil.saved(source.name, pil.image_of(raster.samples, "RGB"), "BMP", **options)
