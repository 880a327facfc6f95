"""The records that pass between the codecs and :mod:`restauro.picture`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from numpy.typing import NDArray

from restauro.errors import PictureError

# libvips complains on stderr about more before it says no.
MAX_SIDE_PX = 100_000_000

Mode = Literal["grey", "rgb", "palette", "cmyk"]
Samples = NDArray[Any]  # uint8, uint16 or float32


@dataclass(frozen=True)
class Source:
    """What the file was that a picture came from: everything needed to write the same kind of file again.

    Parameters
    ----------
    name
        The path as it was given, or ``"bytes"``, ``"array"``, or the name of the stream.
    format
        ``"png"``, ``"jpeg"``, ``"webp"``, ``"tiff"``, ``"bmp"``, ``"gif"``, ``"avif"`` or ``"heic"``.
    mode
        How the file stores colour: ``"grey"``, ``"rgb"``, ``"palette"`` or ``"cmyk"``.
    bits, is_float
        Bits of one sample as the user knows them: 8, 16, or 32 with ``is_float`` (10 and 12 bit AVIF count as
        16).
    coded_bits
        Bits as they are coded in the file: 1, 2, 4, 8, 10, 12, 16 or 32.
    icc, exif, xmp
        Profile, EXIF (a TIFF structure, orientation already reset to 1, no thumbnail) and XMP packet.
    text
        ``(key, value)`` pairs of PNG text chunks.
    dpi
        ``(horizontal, vertical)`` dots per inch, or ``None``.
    jpeg_quality
        The quality (1..100) whose standard table is nearest to the file's own.
    jpeg_subsampling
        ``"4:4:4"``, ``"4:2:2"``, ``"4:2:0"``, ``"4:4:0"``, ``"4:1:1"`` or ``None`` (also kept for AVIF and
        HEIC).
    jpeg_tables, jpeg_progressive, jpeg_segments
        Quantisation tables (luma, chroma) in natural order, and the segments that travel unread: IPTC,
        extended XMP and comments.
    png_chunks
        ``gAMA``, ``cHRM`` and ``sRGB`` chunks as ``(kind, body)``: carried, not applied.
    tiff_compression
        The TIFF compression number (1 none, 5 LZW, 8 deflate, ...).
    premultiplied
        The file stores colours already multiplied by alpha (TIFF ``ExtraSamples`` = 1).
    lossless
        The file's coding loses nothing (WebP: decides how WebP is written).
    notes
        Sentences a user should see, for example ``"first frame of 12"``.
    """

    name: str
    format: str = "png"
    mode: Mode = "rgb"
    bits: int = 8
    is_float: bool = False
    coded_bits: int = 8
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    text: tuple[tuple[str, str], ...] = ()
    dpi: tuple[float, float] | None = None
    jpeg_quality: int | None = None
    jpeg_subsampling: str | None = None
    jpeg_tables: tuple[tuple[int, ...], ...] = ()
    jpeg_progressive: bool = False
    jpeg_segments: tuple[bytes, ...] = ()
    png_chunks: tuple[tuple[bytes, bytes], ...] = ()
    tiff_compression: int | None = None
    premultiplied: bool = False
    lossless: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Raster:
    """Samples as a file holds them: [H, W, B], 0..2^bits - 1, or float32 when ``bits`` is 32."""

    samples: Samples
    bits: int
    mode: Mode
    alpha: bool
    icc: bytes | None = None

    @property
    def colour(self) -> Samples:
        """The bands without alpha."""
        return self.samples[..., :-1] if self.alpha else self.samples


class Decoded(NamedTuple):
    """What a decoder returns; ``orientation`` (1..8, as in EXIF) is still to be applied."""

    raster: Raster
    source: Source
    orientation: int = 1


def check_size(name: str, width: int, height: int, max_pixels: int) -> None:
    """Refuse a header that promises more than ``max_pixels``, before anything is decoded.

    >>> check_size("a.png", 100_000, 100_000, 200_000_000)
    Traceback (most recent call last):
    ...
    restauro.errors.PictureError: a.png: found 100000 x 100000 = 10000.0 megapixels, wanted at most 200.0
    megapixels; raise the limit (max_pixels) if you trust this file
    """
    if width * height > max_pixels or max(width, height) > MAX_SIDE_PX:
        raise PictureError(
            name,
            f"{width} x {height} = {width * height / 1e6:.1f} megapixels",
            f"at most {max_pixels / 1e6:.1f} megapixels",
            "raise the limit (max_pixels) if you trust this file",
        )


def too_big(name: str) -> PictureError:
    """The error of a picture for which memory does not suffice."""
    return PictureError(name, "a picture too big for memory", "a smaller one", "scale it down or cut it")


def damaged(name: str, kind: str, detail: str) -> PictureError:
    """The error of a file that starts well and does not go on."""
    first = " ".join(detail.split()) or "no detail given"
    return PictureError(
        name,
        f"a truncated or damaged {kind} file ({first})",
        "a complete picture",
        "copy or download it again",
    )
