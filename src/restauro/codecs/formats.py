"""The table of formats: what each is called, how it begins, and what it can hold."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, Literal

from restauro.errors import PictureError, SettingError


@dataclass(frozen=True)
class Format:
    """What one format can hold.

    Parameters
    ----------
    name, suffixes
        The name used everywhere, and the suffixes that mean it.
    bits
        The deepest integer samples it holds.
    floats, grey, cmyk, palette
        Whether it holds 32-bit float samples, a single grey channel, CMYK, a palette.
    alpha
        ``"none"``, ``"binary"`` (a pixel is there or not) or ``"full"``.
    keeps
        Which of ``icc exif xmp text dpi`` it holds.
    max_side_px
        The longest side it can hold.
    quality
        The quality written when nobody asks and the source does not say; 0 where nothing is lost.
    """

    name: str
    suffixes: tuple[str, ...]
    bits: int = 8
    floats: bool = False
    grey: bool = False
    cmyk: bool = False
    palette: bool = False
    alpha: Literal["none", "binary", "full"] = "none"
    keeps: tuple[str, ...] = ()
    max_side_px: int = 65_535
    quality: int = 0


_ALL = ("icc", "exif", "xmp", "dpi")

FORMATS: Final = {
    f.name: f
    for f in (
        Format("png", (".png", ".apng"), 16, grey=True, palette=True, alpha="full", keeps=(*_ALL, "text"),
               max_side_px=1_000_000),
        Format("jpeg", (".jpg", ".jpeg", ".jpe", ".jfif"), grey=True, cmyk=True, keeps=_ALL, quality=92),
        Format("webp", (".webp",), alpha="full", keeps=_ALL[:3], max_side_px=16_383, quality=90),
        Format("tiff", (".tif", ".tiff"), 16, floats=True, grey=True, cmyk=True, palette=True, alpha="full",
               keeps=_ALL, max_side_px=10_000_000),
        Format("bmp", (".bmp", ".dib"), grey=True, palette=True, keeps=("dpi",)),
        Format("gif", (".gif",), grey=True, palette=True, alpha="binary"),
        Format("avif", (".avif",), 12, alpha="full", keeps=_ALL[:3], max_side_px=16_384, quality=80),
        Format("heic", (".heic", ".heif", ".hif"), 10, grey=True, alpha="full", keeps=_ALL[:3],
        max_side_px=16_384,
               quality=85),
    )
}  # fmt: skip

_ALIASES: Final = {"jpg": "jpeg", "tif": "tiff", "heif": "heic"}
_BRANDS: Final = {
    **dict.fromkeys((b"avif", b"avis"), "avif"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "heic"),
}
_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\0", "tiff"), (b"MM\0*", "tiff"), (b"II+\0", "tiff"), (b"MM\0+", "tiff"),
    (b"GIF87a", "gif"), (b"GIF89a", "gif"),
)  # fmt: skip
# What people hand over by mistake, by its first bytes.
_STRANGERS: Final = (
    (b"%PDF", "a PDF document"),
    (b"8BPS", "a Photoshop document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"v/1\x01", "an OpenEXR picture"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"FUJIFILM", "a camera raw file"),
    (b"IIU\0", "a camera raw file"),
)


def wanted() -> str:
    """The formats as a sentence for error messages."""
    return "PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF or HEIC"


def named(name: str) -> Format:
    """The format of this name, as a user writes it.

    >>> named("JPG").name
    'jpeg'

    Raises
    ------
    SettingError
        There is no such format.
    """
    key = name.lower().lstrip(".")
    key = _ALIASES.get(key, key)
    if key not in FORMATS:
        raise SettingError("format", name, "one of " + ", ".join(FORMATS))
    return FORMATS[key]


def of_suffix(path: str | os.PathLike[str]) -> Format:
    """The format that a path's suffix means.

    Raises
    ------
    PictureError
        The suffix is missing or means none of the formats.
    """
    suffix = PurePath(path).suffix.lower()
    for candidate in FORMATS.values():
        if suffix in candidate.suffixes:
            return candidate
    found = f"the suffix {suffix!r}" if suffix else "a name without suffix"
    raise PictureError(os.fspath(path), found, ".png, .jpg, .webp, .tif, .bmp, .gif, .avif or .heic", "change the name")


def identify(name: str, data: bytes) -> Format:
    """The format of a file by its first bytes, whatever it is called.

    Raises
    ------
    PictureError
        It is not a picture of one of the formats; the sentence says what it looks like instead.
    """
    kind = _magic(data)
    if kind is None:
        found = _stranger(data)
        raise PictureError(name, found, f"a {wanted()} picture", "check the file, or convert it first")
    return FORMATS[kind]


def _magic(data: bytes) -> str | None:
    head = data[:16]
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    # "BM" alone also begins words; a bitmap goes on with the size of one of its headers.
    if head[:2] == b"BM" and data[14:18] in {size.to_bytes(4, "little") for size in (12, 40, 52, 56, 64, 108, 124)}:
        return "bmp"
    return _boxed(data) if head[4:8] == b"ftyp" else None


def _boxed(data: bytes) -> str | None:
    end = min(int.from_bytes(data[:4], "big"), 256)
    brands = [data[8:12], *(data[i : i + 4] for i in range(16, end, 4))]
    return next((_BRANDS[brand] for brand in brands if brand in _BRANDS), None)


def _stranger(data: bytes) -> str:
    for magic, found in _STRANGERS:
        if data.startswith(magic):
            return found
    try:
        text = (
            data[:4096].decode("utf-8", "strict" if len(data) <= 4096 else "ignore").lstrip("\ufeff").lstrip().lower()
        )
    except UnicodeDecodeError:
        return "an unknown kind of file"
    if "<svg" in text:
        return "an SVG drawing"
    if text.startswith(("<!doctype html", "<html")):
        return "a web page (HTML)"
    if text.startswith("version https://git-lfs"):
        return "a Git LFS pointer instead of the file"
    return "text" if all(letter.isprintable() or letter.isspace() for letter in text) else "an unknown kind of file"


def max_side(name: str, width: int, height: int, target: Format) -> None:
    """Refuse a picture that the format cannot hold.

    Raises
    ------
    PictureError
        A side is longer than the format allows.
    """
    if max(width, height) > target.max_side_px:
        raise PictureError(
            name,
            f"{width} x {height} pixels",
            f"sides of at most {target.max_side_px} pixels for {target.name.upper()}",
            "choose PNG or TIFF",
        )
