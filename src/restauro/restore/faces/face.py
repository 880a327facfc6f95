"""What a detector found: one face, in the pixels of its picture.

Coordinates are those of the picture plane: pixel (column i, row j) covers i..i+1, j..j+1, so its centre is at
(i + 0.5, j + 0.5), and a box's right and bottom lie outside of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restauro.errors import SettingError

Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Face:
    """One face.

    Parameters
    ----------
    box
        Left, top, right, bottom in px; may reach over the picture's border.
    score
        How sure the detector was; comparable between faces of one detector only.
    landmarks
        float64 [68, 2] in px (x, y), the points of the iBUG scheme; or [5, 2]: eyes, nose, corners of the mouth, the
        left of the picture first; or None where the detector has none.
    detector
        Name of the detector that found it; "given" for a box that somebody drew.

    Raises
    ------
    SettingError
        An empty box, or landmarks of another shape.

    Examples
    --------
    >>> Face((10, 20, 50, 60), 1.0).size_px
    40.0
    """

    box: Box
    score: float = 1.0
    landmarks: NDArray[np.float64] | None = None
    detector: str = "given"

    def __post_init__(self) -> None:
        left, top, right, bottom = self.box
        if not (np.isfinite(self.box).all() and left < right and top < bottom):
            raise SettingError("box", self.box, "left < right and top < bottom, in px")
        if self.landmarks is not None and self.landmarks.shape not in {(68, 2), (5, 2)}:
            raise SettingError("landmarks", list(self.landmarks.shape), "68 or 5 points, [68, 2] or [5, 2]")

    @property
    def size_px(self) -> float:
        """Side of the square of the box's area."""
        left, top, right, bottom = self.box
        return float(np.sqrt((right - left) * (bottom - top)))

    @property
    def centre(self) -> tuple[float, float]:
        """Centre of the box, (x, y) in px."""
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2


def overlaps(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of boxes [n, 4] with boxes [m, 4]: [n, m], in 0..1.

    >>> overlaps(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 3, 2], [5, 5, 6, 6]])).round(3)
    array([[0.333, 0.   ]])
    """
    a, b = a[:, None], b[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.clip(sides, 0, None).prod(axis=-1)
    areas = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1)
    return np.asarray(shared / (areas - shared))
