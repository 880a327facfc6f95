"""Integer samples to float32 0..1 and back, in strips of rows so that one float copy is all the memory it takes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from restauro.codecs.source import Samples

_STRIP = 1 << 18  # samples per strip: a strip and its temporaries stay in the processor's cache


def strips(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of rows that cover an array of this shape, about 2^18 samples each."""
    rows = max(1, _STRIP // max(1, int(np.prod(shape[1:]))))
    for top in range(0, shape[0], rows):
        yield slice(top, top + rows)


def to_float(samples: Samples, bits: int) -> NDArray[np.float32]:
    """Samples to float32: v / (2^bits - 1); float samples (bits = 32) as they are. Always a new array.

    >>> to_float(np.array([0, 51, 255], np.uint8), 8)
    array([0. , 0.2, 1. ], dtype=float32)
    """
    out = np.empty(samples.shape, np.float32)
    if bits == 32:
        out[...] = samples
    else:
        np.divide(samples, np.float32((1 << bits) - 1), out=out)
    return out


def from_float(pixels: NDArray[np.float32], bits: int) -> Samples:
    """Float32 to samples: clipped to 0..1 and rounded to the nearest level; bits = 32 keeps every value.

    The inverse of :func:`to_float`, exactly, for 8 to 16 bits.

    >>> from_float(np.array([-0.1, 0.2, 0.502, 1.5], np.float32), 8)
    array([  0,  51, 128, 255], dtype=uint8)
    """
    if bits == 32:
        return np.ascontiguousarray(pixels, np.float32)
    out = np.empty(pixels.shape, np.uint8 if bits <= 8 else np.uint16)
    top = np.float32((1 << bits) - 1)
    for rows in strips(pixels.shape):
        strip = pixels[rows] * top
        strip += np.float32(0.5)
        np.clip(strip, 0, top, out=strip)
        out[rows] = strip.astype(out.dtype)  # truncation after + 0.5 rounds to nearest
    return out


def turned(samples: Samples, orientation: int) -> Samples:
    """Turn and mirror rows and columns as EXIF orientation 1..8 asks for; a view, nothing is copied.

    >>> turned(np.arange(6).reshape(2, 3, 1), 6)[..., 0]
    array([[3, 0],
           [4, 1],
           [5, 2]])
    """
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return samples
