"""Similarities of the plane, and pictures resampled through them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from restauro.errors import SettingError

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Similarity:
    """A turn, a scale and a shift, from the picture to a square crop.

        x' = a x - b y + dx,    y' = b x + a y + dy

    Coordinates are those of :mod:`restauro.restore.faces.face`: pixel centres are at halves.

    Parameters
    ----------
    a, b
        Scale times cosine and sine of the turn.
    dx, dy
        Shift in px of the crop.
    size_px
        Side of the crop.

    Raises
    ------
    SettingError
        A scale of zero or not finite, or an empty crop.

    Examples
    --------
    >>> half = Similarity(0.5, 0.0, -10.0, 0.0, 64)
    >>> half.apply(np.array([[20.0, 8.0]])), half.inverse().apply(np.array([[0.0, 4.0]]))
    (array([[0., 4.]]), array([[20.,  8.]]))
    """

    a: float
    b: float
    dx: float
    dy: float
    size_px: int

    def __post_init__(self) -> None:
        if self.size_px < 1:
            raise SettingError("size_px", self.size_px, "a positive number")
        if not (np.isfinite([self.a, self.b, self.dx, self.dy]).all() and self.scale > 0):
            raise SettingError("similarity", (self.a, self.b, self.dx, self.dy), "finite numbers, a scale above 0")

    @property
    def scale(self) -> float:
        """Px of the crop per px of the picture."""
        return math.hypot(self.a, self.b)

    @property
    def corners(self) -> NDArray[np.float64]:
        """Corners of the crop in the picture, [4, 2], clockwise from the top left of the face."""
        s = float(self.size_px)
        return self.inverse().apply(np.array([[0, 0], [s, 0], [s, s], [0, s]]))

    def apply(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points [..., 2] of the picture, in the crop."""
        x, y = points[..., 0], points[..., 1]
        return np.stack([self.a * x - self.b * y + self.dx, self.b * x + self.a * y + self.dy], axis=-1)

    def inverse(self) -> Similarity:
        """From the crop to the picture (``size_px`` stays)."""
        square = self.scale**2
        a, b = self.a / square, -self.b / square
        return Similarity(a, b, -(a * self.dx - b * self.dy), -(b * self.dx + a * self.dy), self.size_px)


def between(centre: NDArray[np.floating], half_side: NDArray[np.floating], size_px: int) -> Similarity:
    """Similarity whose crop has this centre and whose right edge lies at ``centre + half_side``, in picture px.

    >>> between(np.array([50.0, 40.0]), np.array([16.0, 0.0]), 64).corners.tolist()
    [[34.0, 24.0], [66.0, 24.0], [66.0, 56.0], [34.0, 56.0]]
    """
    u, v = (float(value) for value in half_side)
    factor = size_px / 2 / (u * u + v * v)
    a, b = factor * u, -factor * v
    x, y = (float(value) for value in centre)
    return Similarity(a, b, size_px / 2 - (a * x - b * y), size_px / 2 - (b * x + a * y), size_px)


def resample(
    source: Floats,
    to_source: Similarity,
    box: tuple[int, int, int, int],
    outside: Literal["reflection", "zeros"] = "reflection",
) -> Floats:
    """Sample a picture on the pixels of another plane.

    Cubic (a = -0.75) where it grows; where it shrinks, that on a finer grid, then an antialiased cubic (a = -0.5).

    Parameters
    ----------
    source
        float32 [H, W, C].
    to_source
        From the target's plane to the source's.
    box
        Left, top, right, bottom in whole px of the target's plane: what to compute.
    outside
        What lies around the source.

    Returns
    -------
    ndarray
        float32 [bottom - top, right - left, C].

    Notes
    -----
    Cost: about 50 ns per source or target pixel, whichever are more, and 20 bytes of memory for each.
    """
    left, top, right, bottom = box
    fine = math.ceil(to_source.scale - 1e-6)  # source px per target px
    x = left + (torch.arange((right - left) * fine, dtype=torch.float64) + 0.5) / fine
    y = (top + (torch.arange((bottom - top) * fine, dtype=torch.float64) + 0.5) / fine)[:, None]
    u = to_source.a * x - to_source.b * y + to_source.dx
    v = to_source.b * x + to_source.a * y + to_source.dy
    # Only the part that is looked at, and the two pixels around it that the cubic needs.
    height, width = source.shape[:2]
    first_u, last_u = _reach(u, width)
    first_v, last_v = _reach(v, height)
    part = torch.from_numpy(np.ascontiguousarray(source[first_v:last_v, first_u:last_u])).permute(2, 0, 1)[None]
    grid = torch.stack(
        [2 * (u - first_u) / (last_u - first_u) - 1, 2 * (v - first_v) / (last_v - first_v) - 1], dim=-1
    ).float()[None]
    made = F.grid_sample(part, grid, mode="bicubic", padding_mode=outside, align_corners=False)
    if fine > 1:
        made = F.interpolate(made, (bottom - top, right - left), mode="bicubic", antialias=True, align_corners=False)
    return np.ascontiguousarray(made[0].permute(1, 2, 0).numpy())


def _reach(at: torch.Tensor, length: int) -> tuple[int, int]:
    first = min(max(math.floor(float(at.min())) - 3, 0), length - 1)
    return first, max(min(math.ceil(float(at.max())) + 3, length), first + 1)
