"""Matrix and grey ICC profiles in float: exact, unclipped and invertible, which 8 and 16 bit transforms are not.

A display profile is a curve for each channel and a 3x3 matrix to CIE XYZ at D50 (ICC.1:2022, section 8.3.3
and annex F.3); a grey one is a single curve (section 8.3.4, F.2). Colours outside sRGB become values outside
0..1, so nothing is lost on the way in. Profiles built on tables (most printers, all CMYK) are not handled
here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Linear sRGB to XYZ at D50, the columns every sRGB profile carries (IEC 61966-2-1, adapted by Bradford).
_SRGB_TO_XYZ: Final = np.array(
    [[0.436066, 0.385147, 0.143066], [0.222488, 0.716873, 0.060608], [0.013916, 0.097076, 0.714096]]
)
XYZ_TO_SRGB: Final = np.linalg.inv(_SRGB_TO_XYZ)
SRGB_TO_XYZ: Final = _SRGB_TO_XYZ


class IccError(ValueError):
    """The profile is damaged, or is not one of the kinds read here."""


def srgb_encode(linear: Floats) -> Floats:
    """Linear light to sRGB values (IEC 61966-2-1), mirrored at zero so that out-of-gamut values survive.

    >>> srgb_encode(np.array([0.0, 0.21404114, 1.0, -0.21404114], np.float32)).round(6)
    array([ 0. ,  0.5,  1. , -0.5], dtype=float32)
    """
    size = np.abs(linear)
    curved = np.float32(1.055) * np.power(size, np.float32(1 / 2.4)) - np.float32(0.055)
    return np.copysign(np.where(size <= np.float32(0.0031308), np.float32(12.92) * size, curved), linear)


def srgb_decode(encoded: Floats) -> Floats:
    """The inverse of :func:`srgb_encode`."""
    size = np.abs(encoded)
    curved = np.power((size + np.float32(0.055)) / np.float32(1.055), np.float32(2.4))
    return np.copysign(np.where(size <= np.float32(0.04045), size / np.float32(12.92), curved), encoded)


@dataclass(frozen=True, eq=False)
class Curve:
    """Y = (aX + b)^g + e for X >= d, else cX + f (``para``), or a table over 0..1 (``curv``); mirrored at zero."""

    g: float = 1.0
    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0
    e: float = 0.0
    f: float = 0.0
    table: NDArray[np.float64] | None = None

    def linear(self, encoded: Floats) -> Floats:
        """Device values to linear light."""
        size = np.abs(encoded)
        if self.table is not None:
            place = np.minimum(size, 1) * np.float32(len(self.table) - 1)
            low = np.minimum(place.astype(np.int32), len(self.table) - 2)
            start, step = self.table[:-1].astype(np.float32), np.diff(self.table).astype(np.float32)
            return np.copysign(start[low] + step[low] * (place - low), encoded)
        above = np.maximum(np.float32(self.a) * size + np.float32(self.b), 0)
        curved = above if self.g == 1.0 else np.power(above, np.float32(self.g))
        low = np.float32(self.c) * size + np.float32(self.f)
        return np.copysign(np.where(size >= np.float32(self.d), curved + np.float32(self.e), low), encoded)

    def device(self, linear: Floats) -> Floats:
        """Linear light to device values: the inverse of :meth:`linear`."""
        size = np.abs(linear)
        if self.table is not None:
            grid = np.linspace(0.0, 1.0, len(self.table))
            return np.copysign(np.interp(size, self.table, grid).astype(np.float32), linear)
        above = np.maximum(size - np.float32(self.e), 0)
        curved = above if self.g == 1.0 else np.power(above, np.float32(1 / self.g))
        curved = (curved - np.float32(self.b)) / np.float32(self.a)
        knee = max(self.a * self.d + self.b, 0.0) ** self.g + self.e
        low = (size - np.float32(self.f)) / np.float32(self.c) if self.c else np.full_like(size, self.d)
        return np.copysign(np.where(size >= np.float32(knee), curved, np.minimum(low, np.float32(self.d))), linear)


@dataclass(frozen=True, eq=False)
class MatrixProfile:
    """Curves and a matrix between device values and sRGB; one curve and no matrix for grey."""

    curves: tuple[Curve, ...]
    to_srgb_linear: NDArray[np.float32]

    def to_srgb(self, device: Floats) -> Floats:
        """[..., C] device values to sRGB values, C = 3 or 1."""
        light = np.stack([curve.linear(device[..., c]) for c, curve in enumerate(self.curves)], axis=-1)
        return srgb_encode(mixed(self.to_srgb_linear, light))

    def from_srgb(self, srgb: Floats) -> Floats:
        """[..., C] sRGB values to device values, not clipped."""
        light = mixed(self.from_srgb_linear, srgb_decode(srgb))
        return np.stack([curve.device(light[..., c]) for c, curve in enumerate(self.curves)], axis=-1)

    @property
    def from_srgb_linear(self) -> NDArray[np.float32]:
        """The matrix the other way."""
        return np.linalg.inv(self.to_srgb_linear.astype(np.float64)).astype(np.float32)

    def is_srgb(self) -> bool:
        """Whether it moves no colour by more than one level of 8 bit: the many files called "sRGB" differ by less."""
        axis = np.linspace(0, 1, 9, dtype=np.float32)
        count = len(self.curves)
        grid = np.stack(np.meshgrid(*[axis] * count, indexing="ij"), axis=-1)
        return bool(np.abs(self.to_srgb(grid) - grid).max() < 1 / 255)


def mixed(matrix: NDArray[np.float32], light: Floats) -> Floats:
    """``light @ matrix.T`` over the last axis, written out: BLAS is several times slower at three columns."""
    out = np.empty_like(light)
    for c, row in enumerate(matrix):
        out[..., c] = row[0] * light[..., 0]
        for weight, k in zip(row[1:], range(1, len(row)), strict=True):
            out[..., c] += weight * light[..., k]
    return out


def space(icc: bytes | None) -> str:
    """Colour space of the device side, such as ``"RGB"``, ``"GRAY"``, ``"CMYK"``; empty when this is no profile."""
    if not icc or len(icc) < 132 or icc[36:40] != b"acsp":
        return ""
    return icc[16:20].decode("latin-1").strip()


def parse(icc: bytes) -> MatrixProfile:
    """Read a matrix or grey profile.

    Raises
    ------
    IccError
        The profile uses tables, another colour space, curves that turn back, or is damaged.
    """
    try:
        return _parse(icc)
    except (struct.error, IndexError, KeyError, np.linalg.LinAlgError) as error:
        raise IccError(f"damaged profile ({error})") from None


def _parse(icc: bytes) -> MatrixProfile:
    if space(icc) not in ("RGB", "GRAY") or icc[20:24] != b"XYZ ":
        raise IccError("not a matrix profile")
    (count,) = struct.unpack_from(">I", icc, 128)
    rows = (struct.unpack_from(">4sII", icc, 132 + 12 * i) for i in range(min(count, 200)))
    tags = {name: icc[start : start + size] for name, start, size in rows}
    if tags.keys() & {b"A2B0", b"A2B1", b"D2B0", b"D2B1"}:
        raise IccError("a profile with tables")
    if space(icc) == "GRAY":
        return MatrixProfile((_curve(tags[b"kTRC"]),), np.ones((1, 1), np.float32))
    columns = [np.array(struct.unpack_from(">3i", tags[name], 8)) / 65536 for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    matrix = XYZ_TO_SRGB @ np.stack(columns, axis=1)
    if abs(np.linalg.det(matrix)) < 1e-6:
        raise IccError("a matrix without inverse")
    curves = tuple(_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC"))
    return MatrixProfile(curves, matrix.astype(np.float32))


def _curve(tag: bytes) -> Curve:
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return Curve()
        values = np.frombuffer(tag, ">u2", count, 12) if len(tag) >= 12 + 2 * count else np.zeros(2)
        if count == 1:
            return _checked(Curve(g=float(values[0]) / 256))
        if np.any(np.diff(values.astype(np.int64)) < 0) or values[0] == values[-1]:
            raise IccError("a curve that turns back")
        return Curve(table=values / 65535.0)
    if tag[:4] != b"para":
        raise IccError("an unknown curve")
    (kind,) = struct.unpack_from(">H", tag, 8)
    names = ("g", "gab", "gabc", "gabcd", "gabcdef")
    if kind >= len(names):
        raise IccError("an unknown curve")
    numbers = struct.unpack_from(f">{len(names[kind])}i", tag, 12)
    return _checked(_parametric(kind, [number / 65536 for number in numbers]))


def _parametric(kind: int, numbers: list[float]) -> Curve:
    # Table 68 of ICC.1:2022; types 1 and 2 are written as type 4 with the knee at -b/a.
    if kind == 0:
        return Curve(g=numbers[0])
    g, a, b, *rest = numbers
    if a <= 0:
        raise IccError("a curve that turns back")
    if kind == 1:
        return Curve(g, a, b, d=-b / a)
    if kind == 2:
        return Curve(g, a, b, d=-b / a, e=rest[0], f=rest[0])
    if kind == 3:
        return Curve(g, a, b, c=rest[0], d=rest[1])
    c, d, e, f = rest
    return Curve(g, a, b, c, d, e, f)


def _checked(curve: Curve) -> Curve:
    if not 0.1 <= curve.g <= 20 or curve.a <= 0 or curve.c < 0:
        raise IccError("a curve that turns back")
    return curve
