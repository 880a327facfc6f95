"""The door to Pillow: arrays in and out without the limits and warnings of ``Image.open``. Imported on first use."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from restauro.codecs.source import Samples, check_size, damaged, too_big
from restauro.errors import PictureError

if TYPE_CHECKING:
    from PIL import Image

# What Pillow's decoders raise on files that are damaged in one way or another.
DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
    OverflowError,
)


def image_of(samples: Samples, mode: str) -> Image.Image:
    """A Pillow image of mode L, P, RGB, RGBA or CMYK over 8-bit samples [H, W] or [H, W, B]."""
    from PIL import Image

    samples = np.ascontiguousarray(samples)
    size = (samples.shape[1], samples.shape[0])
    return Image.frombuffer(mode, size, samples, "raw", mode, 0, 1)


def saved(name: str, image: Image.Image, kind: str, **options: Any) -> bytes:
    """Encode with Pillow's writer ``kind``.

    Raises
    ------
    PictureError
        The writer refuses.
    """
    buffer = io.BytesIO()
    try:
        image.save(buffer, kind, **options)
    except (OSError, ValueError, struct.error) as error:
        raise PictureError(
            name, f"a picture that cannot be written as {kind} ({error})", "one that can", "choose PNG"
        ) from None
    return buffer.getvalue()


def opened(name: str, data: bytes, plugin: Any, kind: str, max_pixels: int) -> Image.Image:
    """Decode with one plugin class, the size checked first.

    The class is called directly because ``Image.open`` has a pixel limit of its own, which warns.

    Raises
    ------
    PictureError
        The file is damaged, or promises more than ``max_pixels``.
    """
    try:
        image: Image.Image = plugin(io.BytesIO(data))
    except DAMAGED as error:
        raise damaged(name, kind, str(error)) from None
    check_size(name, image.width, image.height, max_pixels)
    try:
        image.load()
    except DAMAGED as error:
        raise damaged(name, kind, str(error)) from None
    except MemoryError:
        raise too_big(name) from None
    return image
