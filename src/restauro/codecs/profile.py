"""Between a file's own colours and sRGB: which conversion a profile asks for, and the conversion in both directions.

Three kinds. *Same*: no profile, or one that is sRGB; values are only scaled, so a round trip is exact.
*Matrix*: display and grey profiles, in float and unclipped (:mod:`restauro.codecs.icc`). *Tables*: CMYK and
other profiles built on tables, through libvips and Little CMS, relative colorimetric, by way of CIE Lab in
float, so that here too colours outside sRGB become values outside 0..1 instead of being cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from restauro.codecs import icc as icc_file
from restauro.codecs import vips
from restauro.codecs.samples import from_float, strips, to_float
from restauro.codecs.source import Samples
from restauro.errors import PictureError

Floats = NDArray[np.float32]
Colour = Literal["grey", "rgb", "cmyk"]

_SPACE = {"grey": "GRAY", "rgb": "RGB", "cmyk": "CMYK"}
_D50 = np.array([0.9642, 1.0, 0.8249], np.float32)


class Conversion(Protocol):
    """Samples of a file to sRGB values and back."""

    @property
    def note(self) -> str:
        """What a user should know; mostly empty."""

    def to_working(self, samples: Samples, bits: int) -> Floats:
        """Samples [H, W, B] to sRGB float32 [H, W, C]."""

    def from_working(self, pixels: Floats, bits: int) -> Samples:
        """SRGB float32 [H, W, C] to samples [H, W, B]."""


@dataclass(frozen=True)
class Same:
    """Values are sRGB already."""

    note: str = ""

    def to_working(self, samples: Samples, bits: int) -> Floats:
        """Divided by 2^bits - 1."""
        return to_float(samples, bits)

    def from_working(self, pixels: Floats, bits: int) -> Samples:
        """Clipped and rounded."""
        return from_float(pixels, bits)


@dataclass(frozen=True, eq=False)
class Matrix:
    """A display or grey profile."""

    profile: icc_file.MatrixProfile
    note: str = ""

    def to_working(self, samples: Samples, bits: int) -> Floats:
        """Curves, matrix, sRGB curve, strip by strip in place."""
        pixels = to_float(samples, bits)
        for rows in strips(pixels.shape):
            pixels[rows] = self.profile.to_srgb(pixels[rows])
        return pixels

    def from_working(self, pixels: Floats, bits: int) -> Samples:
        """The same backwards; clipping happens in the profile's own space."""
        kind = {8: np.uint8, 32: np.float32}.get(bits, np.uint16)
        out = np.empty(pixels.shape, kind)
        for rows in strips(pixels.shape):
            out[rows] = from_float(self.profile.from_srgb(pixels[rows]), bits)
        return out


@dataclass(frozen=True)
class Tables:
    """A profile built on tables; accuracy is that of its tables (16 bit)."""

    icc: bytes
    colour: Colour
    note: str = ""

    def to_working(self, samples: Samples, bits: int) -> Floats:
        """Device to Lab (libvips), Lab to sRGB here, strip by strip in place."""
        if bits not in (8, 16):
            samples, bits = from_float(to_float(samples, bits), 16), 16
        lab = vips.to_lab(np.ascontiguousarray(samples), self.icc, self.colour)
        pixels = np.empty((*lab.shape[:2], 1), np.float32) if self.colour == "grey" else lab
        for rows in strips(lab.shape):
            pixels[rows] = _srgb_of_lab(lab[rows])[..., : pixels.shape[-1]]
        return pixels

    def from_working(self, pixels: Floats, bits: int) -> Samples:
        """SRGB to Lab here, Lab to device (libvips)."""
        lab = np.empty((*pixels.shape[:2], 3), np.float32)
        for rows in strips(lab.shape):
            lab[rows] = _lab_of_srgb(np.broadcast_to(pixels[rows], (*pixels[rows].shape[:2], 3)))
        samples = vips.from_lab(lab, self.icc, 8 if bits == 8 else 16)
        return samples if bits in (8, 16) else from_float(to_float(samples, 16), bits)


def choose(icc: bytes | None, colour: Colour) -> Conversion:
    """The conversion for samples of kind ``colour`` that carry the profile ``icc``.

    A profile that does not fit the samples (an RGB profile on a grey picture), or that cannot be read, is kept in the
    file but not applied, and the conversion's ``note`` says so. CMYK without a usable profile is read through the CMYK
    profile that libvips carries.
    """
    if colour == "cmyk":
        return _cmyk(icc)
    return Same() if icc is None else _grey_or_rgb(icc, colour)


def _grey_or_rgb(icc: bytes, colour: Literal["grey", "rgb"]) -> Conversion:
    unfit = "" if fits(icc, colour) else f"it is {icc_file.space(icc) or 'damaged'}, the picture is {colour}"
    try:
        matrix = icc_file.parse(icc)
    except icc_file.IccError as error:
        if not unfit and vips.accepts_profile(icc, colour):
            return Tables(icc, colour)
        return Same(f"the colour profile is kept but not applied: {unfit or error}")
    if matrix.is_srgb():  # on a grey picture too: greys keep their values
        return Same()
    return Same(f"the colour profile is kept but not applied: {unfit}") if unfit else Matrix(matrix)


def _cmyk(icc: bytes | None) -> Tables:
    if icc is not None and fits(icc, "cmyk") and vips.accepts_profile(icc, "cmyk"):
        return Tables(icc, "cmyk")
    found = "without a profile" if icc is None else "with a profile that cannot be used"
    return Tables(vips.builtin_profile("cmyk"), "cmyk", f"CMYK {found}: read through a common one")


def fits(icc: bytes, colour: Colour) -> bool:
    """Whether a profile describes samples of this kind."""
    return icc_file.space(icc) == _SPACE[colour]


def of_code_points(name: str, primaries: int, transfer: int) -> bytes | None:
    """A profile for the colour code points (ITU-T H.273) that AVIF, HEIC and PNG may carry instead of a profile.

    Raises
    ------
    PictureError
        For HDR transfers (PQ, HLG) and for primaries other than sRGB and Display P3: read as sRGB they would
        be wrong.
    """
    if transfer in (16, 18):
        raise PictureError(name, "an HDR picture (PQ or HLG)", "a picture of standard range", "convert it to SDR first")
    if primaries in (1, 2):
        return None
    if primaries == 12:
        return vips.builtin_profile("p3")
    raise PictureError(
        name,
        f"colour primaries number {primaries}",
        "sRGB, Display P3, or an ICC profile",
        "convert it to one of these first",
    )


def _srgb_of_lab(lab: Floats) -> Floats:
    # CIE 15:2018, section 8.2.1, with the profile connection space's white D50.
    f = (lab[..., 0] + np.float32(16)) / np.float32(116)
    cubes = [_uncompressed(part) for part in (f + lab[..., 1] / np.float32(500), f, f - lab[..., 2] / np.float32(200))]
    xyz = np.stack(cubes, axis=-1) * _D50
    return icc_file.srgb_encode(icc_file.mixed(icc_file.XYZ_TO_SRGB.astype(np.float32), xyz))


def _lab_of_srgb(srgb: Floats) -> Floats:
    xyz = icc_file.mixed(icc_file.SRGB_TO_XYZ.astype(np.float32), icc_file.srgb_decode(srgb)) / _D50
    x, y, z = (_compressed(xyz[..., c]) for c in range(3))
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _uncompressed(t: Floats) -> Floats:
    return np.where(t > np.float32(6 / 29), t**3, (t - np.float32(4 / 29)) * np.float32(108 / 841))


def _compressed(t: Floats) -> Floats:
    return np.where(t > np.float32((6 / 29) ** 3), np.cbrt(t), t * np.float32(841 / 108) + np.float32(4 / 29))
