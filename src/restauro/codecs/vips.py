"""The door to libvips: loading and saving from memory, and its colour transforms. pyvips is imported on first use."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from restauro.codecs.source import Samples, check_size, damaged, too_big
from restauro.errors import PictureError

_FORMAT = {"uint8": "uchar", "uint16": "ushort", "float32": "float"}
_INTERPRETATION = {"grey": "b-w", "rgb": "srgb", "cmyk": "cmyk"}
_INTERPRETATION_16 = {"grey": "grey16", "rgb": "rgb16", "cmyk": "cmyk"}


@cache
def pyvips() -> Any:
    """The module, with its log silenced: warnings about odd files are for errors to say, not for a user's terminal."""
    # Without any handler Python prints warnings of this logger to stderr.
    logging.getLogger("pyvips").addHandler(logging.NullHandler())
    import pyvips as module

    # Its log callback decodes strictly and so trips, loudly, over warnings that quote bytes of a damaged
    # file.
    module._to_string = _lenient_text
    return module


def _lenient_text(value: Any) -> str:
    value = value if isinstance(value, bytes | str) else pyvips().ffi.string(value)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def load(name: str, data: bytes, kind: str, max_pixels: int) -> Any:
    """Open ``data`` with the loader ``kind`` (``"png"``, ``"heif"``, ...); only the header is read.

    Raises
    ------
    PictureError
        The header is damaged, or promises more than ``max_pixels``.
    """
    try:
        image = getattr(pyvips().Image, f"{kind}load_buffer")(data, access="sequential", fail_on="error")
    except (pyvips().Error, UnicodeDecodeError) as error:
        raise damaged(name, _shown(kind), detail(error)) from None
    check_size(name, image.width, image.height, max_pixels)
    return image


def samples(name: str, image: Any, kind: str) -> Samples:
    """Decode to [H, W, B].

    Raises
    ------
    PictureError
        The file ends too early or is damaged, or memory does not suffice.
    """
    try:
        return cast("Samples", image.numpy().reshape(image.height, image.width, image.bands))
    except (pyvips().Error, UnicodeDecodeError) as error:
        raise damaged(name, _shown(kind), detail(error)) from None
    except MemoryError:
        raise too_big(name) from None


def image_of(array: Samples, mode: str) -> Any:
    """A libvips image over the memory of [H, W, B] samples, nothing copied when they are contiguous."""
    array = np.ascontiguousarray(array)
    height, width, bands = array.shape
    image = pyvips().Image.new_from_memory(array.data, width, height, bands, _FORMAT[array.dtype.name])
    table = _INTERPRETATION if array.dtype == np.uint8 else _INTERPRETATION_16
    # A float picture keeps its plain tag: as scRGB it would be taken for linear light and converted.
    interpretation = _INTERPRETATION[mode] if array.dtype == np.float32 else table[mode]
    return image.copy(interpretation=interpretation)


def save(name: str, image: Any, kind: str, **options: Any) -> bytes:
    """Encode with the saver ``kind``.

    Raises
    ------
    PictureError
        The saver refuses, for example because of the size.
    """
    try:
        return bytes(getattr(image, f"{kind}save_buffer")(**options))
    except pyvips().Error as error:
        raise PictureError(
            name,
            f"a picture that cannot be written as {_shown(kind)} ({detail(error)})",
            "one that can",
            "choose PNG",
        ) from None


def field(image: Any, key: str) -> Any:
    """A header field, or ``None``."""
    return image.get(key) if image.get_typeof(key) else None


def blob(image: Any, key: str) -> bytes | None:
    """A binary header field, or ``None``."""
    value = field(image, key)
    return bytes(value) if value else None


def set_blob(image: Any, key: str, value: bytes) -> None:
    """Attach a binary header field to an image that was just made by :func:`image_of`."""
    image.set_type(pyvips().GValue.blob_type, key, value)


@cache
def builtin_profile(name: Literal["srgb", "p3", "cmyk"]) -> bytes:
    """An ICC profile that libvips carries."""
    return bytes(pyvips().Operation.call("profile_load", name))


def to_lab(array: Samples, icc: bytes, mode: str) -> NDArray[np.float32]:
    """Device samples (8 or 16 bit) to CIE Lab at D50, relative colorimetric, [H, W, 3] float32."""
    image = image_of(array, mode)
    set_blob(image, "icc-profile-data", icc)
    lab = image.icc_import(embedded=True, pcs="lab", intent="relative")
    return cast("NDArray[np.float32]", lab.numpy().reshape(*array.shape[:2], 3))


def from_lab(lab: NDArray[np.float32], icc: bytes, bits: int) -> Samples:
    """CIE Lab at D50 to device samples of 8 or 16 bit."""
    image = pyvips().Image.new_from_memory(lab.data, lab.shape[1], lab.shape[0], 3, "float")
    image = image.copy(interpretation="lab")
    set_blob(image, "icc-profile-data", icc)
    device = image.icc_export(pcs="lab", intent="relative", depth=bits)
    return cast("Samples", device.numpy().reshape(*lab.shape[:2], device.bands))


def accepts_profile(icc: bytes, mode: str) -> bool:
    """Whether libvips can use the profile in both directions, tried on one pixel."""
    bands = {"grey": 1, "rgb": 3, "cmyk": 4}[mode]
    try:
        one = from_lab(to_lab(np.zeros((1, 1, bands), np.uint8), icc, mode), icc, 8)
    except pyvips().Error:
        return False
    return bool(one.shape[-1] == bands)


def detail(error: Exception) -> str:
    """The part of a libvips message that says what is wrong: its last distinct line but the call's name."""
    if isinstance(error, UnicodeDecodeError):  # pyvips decodes messages, which may quote the file
        return ""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("unable to ")]
    return lines[0].rstrip(".") if lines else ""


def _shown(kind: str) -> str:
    return {"heif": "AVIF", "webp": "WebP"}.get(kind, kind.upper())
