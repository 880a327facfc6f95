"""Pictures: read any of eight file formats into float sRGB pixels, and write the same kind of file again.

What goes in comes out: depth, mode (grey, RGB, palette, CMYK), alpha, colour profile, size, EXIF, XMP, PNG
text and resolution. Work in between happens on float32 sRGB values. ``docs/guide/pictures.md`` says what each
format keeps.

>>> import numpy as np
>>> picture = from_array(np.full((2, 3, 3), 51, np.uint8))
>>> again = read(encode(picture, format="png"))
>>> again.width, again.height, again.source.bits, float(again.pixels[0, 0, 0])
(3, 2, 8, 0.2...)
"""

# ruff: noqa: A002 - "format" is the word for it
from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from restauro.codecs import bmp, files, formats, gif, heif, jpeg, png, tiff, transfer, webp
from restauro.codecs.samples import to_float
from restauro.codecs.source import Decoded, Mode, Raster, Source, too_big
from restauro.errors import PictureError, SettingError

Floats = NDArray[np.float32]

_DECODERS: Final[dict[str, Callable[[str, bytes, int], Decoded]]] = {
    "png": png.decode,
    "jpeg": jpeg.decode,
    "webp": webp.decode,
    "tiff": tiff.decode,
    "bmp": bmp.decode,
    "gif": gif.decode,
    "avif": heif.decode_avif,
    "heic": heif.decode_heic,
}
_ENCODERS: Final[dict[str, Callable[[Raster, Source, int | None], bytes]]] = {
    "png": png.encode,
    "jpeg": jpeg.encode,
    "webp": webp.encode,
    "tiff": tiff.encode,
    "bmp": bmp.encode,
    "gif": gif.encode,
    "avif": heif.encode_avif,
    "heic": heif.encode_heic,
}
_DEPTH: Final = {"uint8": 8, "uint16": 16, "float16": 32, "float32": 32, "float64": 32}


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels, alpha, and what the file was.

    Parameters
    ----------
    pixels
        float32 [H, W, C], C = 3 (RGB) or 1 (grey), sRGB-encoded, 0..1. Colours outside sRGB (from a
        wide-gamut profile, CMYK or a float file) lie outside 0..1; writing clips them in the file's own
        colour space.
    alpha
        float32 [H, W], 0..1, straight (colours are not multiplied by it), or ``None``.
    source
        Where it came from, and all it takes to write such a file again.

    Raises
    ------
    PictureError
        The arrays do not have these types and shapes.
    """

    pixels: Floats
    alpha: Floats | None
    source: Source

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if len(shape) != 3 or shape[2] not in (1, 3) or 0 in shape or self.pixels.dtype != np.float32:
            raise PictureError(
                self.source.name,
                f"pixels of shape {shape} and type {self.pixels.dtype}",
                "float32 [H, W, 3] or [H, W, 1]",
                "convert the array",
            )
        if self.alpha is not None and (self.alpha.shape != shape[:2] or self.alpha.dtype != np.float32):
            raise PictureError(
                self.source.name,
                f"alpha of shape {self.alpha.shape} and type {self.alpha.dtype} for pixels of shape {shape}",
                "float32 [H, W] of the same size",
                "scale alpha together with the pixels",
            )

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])

    @property
    def channels(self) -> int:
        """3 for RGB, 1 for grey."""
        return int(self.pixels.shape[2])

    def with_pixels(self, pixels: NDArray[Any]) -> Picture:
        """The same picture with other pixels, [H, W, C] or [H, W]; alpha and source stay.

        A grey picture given three channels becomes a colour picture; hand over :meth:`grey` of them to keep
        it grey.

        >>> from_array(np.zeros((2, 2), np.uint8)).with_pixels(np.ones((2, 2))).pixels.shape
        (2, 2, 1)
        """
        array = np.asarray(pixels, np.float32)
        return replace(self, pixels=array[..., None] if array.ndim == 2 else array)

    def rgb(self) -> Floats:
        """Pixels as float32 [H, W, 3], grey repeated; a copy only for grey."""
        return self.pixels if self.channels == 3 else np.repeat(self.pixels, 3, axis=2)

    def grey(self) -> Floats:
        """Pixels as float32 [H, W, 1]: luma with the weights of Rec. ITU-R BT.709; a copy only for RGB."""
        if self.channels == 1:
            return self.pixels
        return (self.pixels @ np.array([[0.2126], [0.7152], [0.0722]], np.float32)).astype(np.float32)


def from_array(array: NDArray[Any], *, name: str = "array") -> Picture:
    """Make a picture of an array.

    Parameters
    ----------
    array
        uint8, uint16 or float, [H, W], [H, W, 1], [H, W, 3] or [H, W, 4] (RGBA), sRGB-encoded; floats in
        0..1. It is copied.
    name
        What messages call it.

    Returns
    -------
    Picture
        With ``source.bits`` 8, 16 or 32 as the array had; ``source.format`` is ``"png"``.

    Raises
    ------
    PictureError
        Another type or shape, or values that are not finite.

    Examples
    --------
    >>> from_array(np.zeros((4, 5, 4), np.uint16)).alpha.shape
    (4, 5)
    """
    array = np.asarray(array)
    bits = _DEPTH.get(array.dtype.name)
    if bits is None:
        raise PictureError(name, f"an array of {array.dtype}", "uint8, uint16 or float", "convert it with astype")
    cube = array[..., None] if array.ndim == 2 else array
    if cube.ndim != 3 or cube.shape[2] not in (1, 3, 4) or 0 in cube.shape:
        raise PictureError(
            name,
            f"an array of shape {array.shape}",
            "[H, W], [H, W, 1], [H, W, 3] or [H, W, 4]",
            "rearrange its axes",
        )
    if bits == 32 and not np.isfinite(cube).all():
        raise PictureError(name, "values that are not finite (NaN or infinity)", "finite values", "replace them")
    alpha = to_float(cube[..., 3], bits) if cube.shape[2] == 4 else None
    pixels = to_float(cube[..., :3], bits)
    mode: Mode = "grey" if cube.shape[2] == 1 else "rgb"
    source = Source(
        name,
        "png",
        mode,
        bits=bits,
        is_float=bits == 32,
        coded_bits=bits,
        lossless=True,
        notes=transfer.range_notes(pixels),
    )
    return Picture(pixels, alpha, source)


def read(source: str | os.PathLike[str] | bytes | BinaryIO, *, max_pixels: int = 200_000_000) -> Picture:
    """Read a picture; what kind of file it is, its first bytes say, not its name.

    Parameters
    ----------
    source
        A path, the bytes of a file, or a binary stream.
    max_pixels
        Refuse a picture of more pixels, before decoding: a small file can hold a huge one.

    Returns
    -------
    Picture
        Turned upright, in sRGB values. ``picture.source.notes`` holds what a user should know, such as "first
        frame of 12".

    Raises
    ------
    PictureError
        One sentence: missing, empty, no picture, truncated, damaged, too large, not finite, or of a kind not
        supported.
    SettingError
        ``max_pixels`` is not a positive number.

    Notes
    -----
    Memory: the file, its samples, and the float32 pixels (12 bytes a pixel). Time: about 0.1 s for a JPEG of
    12 megapixels.

    Examples
    --------
    >>> read(b"plain words")
    Traceback (most recent call last):
    ...
    restauro.errors.PictureError: bytes: found text, wanted a PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF or HEIC
    picture; ...
    """
    if max_pixels < 1:
        raise SettingError("max_pixels", max_pixels, "a positive number")
    name, data = files.load(source)
    kind = formats.identify(name, data)
    try:
        return Picture(*transfer.to_pixels(_DECODERS[kind.name](name, data, max_pixels)))
    except MemoryError:
        raise too_big(name) from None


def encode(
    picture: Picture, *, format: str | None = None, quality: int | None = None, strip_metadata: bool = False
) -> bytes:
    """Encode a picture as the bytes of a file. The same picture gives the same bytes.

    Parameters
    ----------
    picture
        The picture.
    format
        ``"png"``, ``"jpeg"``, ``"webp"``, ``"tiff"``, ``"bmp"``, ``"gif"``, ``"avif"``, ``"heic"``; the
        source's by default.
    quality
        1..100 for JPEG, WebP, AVIF and HEIC. By default a JPEG gets its own quantisation tables and
        subsampling again, a lossless WebP stays lossless, and everything else gets the quality in
        ``restauro.codecs.formats``.
    strip_metadata
        Leave out EXIF, XMP, IPTC, comments and text; profile and resolution stay, because they decide how it
        looks.

    Returns
    -------
    bytes
        A whole file. What the format cannot hold is left out: ask :func:`losses` before.

    Raises
    ------
    PictureError
        Pixels that are not finite, alpha in a format without it, or a size or metadata the format cannot
        hold.
    SettingError
        An unknown format, or a quality outside 1..100.
    """
    if quality is not None and not (isinstance(quality, int) and 1 <= quality <= 100):
        raise SettingError("quality", quality, "a whole number in 1..100")
    target = formats.named(format or picture.source.format)
    name = picture.source.name
    formats.max_side(name, picture.width, picture.height, target)
    # The extremes are NaN or infinite if any value is, and need no temporary array.
    if not np.isfinite([picture.pixels.min(), picture.pixels.max()]).all():
        raise PictureError(
            name, "pixels that are not finite (NaN or infinity)", "finite pixels", "look at what made them"
        )
    facts = transfer.carried(picture.source, picture.width, picture.height, strip=strip_metadata)
    try:
        raster = transfer.to_raster(picture.pixels, picture.alpha, facts, target)
        return _ENCODERS[target.name](raster, facts, quality)
    except MemoryError:
        raise too_big(name) from None


def write(
    picture: Picture,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    quality: int | None = None,
    strip_metadata: bool = False,
    force: bool = False,
) -> Path:
    """Write a picture, all of it or nothing: to a temporary name beside the target, flushed, renamed.

    Parameters
    ----------
    picture, quality, strip_metadata
        As in :func:`encode`.
    path
        Where it goes. Its suffix chooses the format.
    format
        A format whatever the suffix says.
    force
        Replace an existing file.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    PictureError
        As :func:`encode`, or the target exists, or cannot be written. What was there before stays; no
        temporary file stays.
    SettingError
        As :func:`encode`.
    """
    chosen = formats.named(format) if format else formats.of_suffix(path)
    files.check_target(path, force=force)
    data = encode(picture, format=chosen.name, quality=quality, strip_metadata=strip_metadata)
    return files.write_bytes(data, path, force=force)


def losses(picture: Picture, *, format: str | None = None) -> tuple[str, ...]:
    """What a format cannot hold of a picture, one phrase each; empty when nothing is lost but to compression.

    >>> losses(from_array(np.zeros((2, 2), np.uint16)), format="webp")
    ('16 bit becomes 8 bit', 'grey becomes RGB')
    """
    target = formats.named(format or picture.source.format)
    return transfer.losses(picture.source, picture.channels, picture.alpha is not None, target)
