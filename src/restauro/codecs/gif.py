"""GIF: the first frame by libvips, written by Pillow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from restauro.codecs import palette, vips
from restauro.codecs.source import Decoded, Raster, Source


def decode(name: str, data: bytes, max_pixels: int) -> Decoded:
    """Decode the first frame; a note says how many there are.

    Raises
    ------
    PictureError
        The file is damaged or too large.
    """
    image = vips.load(name, data, "gif", max_pixels)
    samples = vips.samples(name, image, "gif")
    frames = vips.field(image, "n-pages") or 1
    source = Source(name, "gif", "palette", lossless=True, notes=(f"first frame of {frames}",) if frames > 1 else ())
    grey = samples.shape[-1] < 3
    return Decoded(Raster(samples, 8, "grey" if grey else "rgb", samples.shape[-1] in (2, 4)), source)


def encode(raster: Raster, source: Source, quality: int | None) -> bytes:
    """Write one frame with a palette of its own; alpha must be 0 or 255 everywhere; ``quality`` means nothing here."""
    del quality
    if raster.alpha:
        samples = raster.samples.copy()
        samples[samples[..., -1] == 0] = 0  # a GIF has a single transparent entry
        raster = replace(raster, samples=np.ascontiguousarray(samples))
    return palette.encoded(raster, source, "GIF")
