"""Axes: a frame on a picture, values to pixels, and grid lines with their labels. A leaf: curves are drawn in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

LABEL_PX = 11


@dataclass(frozen=True)
class Axes:
    """A frame and the values at its sides.

    Parameters
    ----------
    frame
        Left, top, right and bottom, in pixels.
    x, y
        The values at the ends of the axes; where both are one value, it lies at the low end.
    logarithmic
        Whether the y axis is: its values must be positive then.
    margin
        Pixels between the frame and the ends of the axes, across and down.

    Examples
    --------
    >>> axes = Axes((10, 0, 110, 50), x=(0, 4), y=(1, 100), logarithmic=True)
    >>> axes.place(1, 10)
    (35.0, 25.0)
    """

    frame: tuple[float, float, float, float]
    x: tuple[float, float]
    y: tuple[float, float]
    logarithmic: bool = False
    margin: tuple[float, float] = (0, 0)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of these values lies, in pixels."""
        left, top, right, bottom = self.frame
        across, down = self.margin
        scale = math.log if self.logarithmic else float
        low, high = scale(self.y[0]), scale(self.y[1])
        part = (x - self.x[0]) / ((self.x[1] - self.x[0]) or 1.0)
        height = (scale(y) - low) / ((high - low) or 1.0)
        return left + across + (right - left - 2 * across) * part, bottom - down - (bottom - top - 2 * down) * height

    def grid(self, draw: ImageDraw, form: str = ".3g") -> None:
        """Draw the frame, and lines with labels at the ends and the middle of the y axis."""
        from PIL import ImageFont

        low, high = self.y
        left, _, right, _ = self.frame
        draw.rectangle(self.frame, outline="gainsboro")
        for value in sorted({low, math.sqrt(low * high) if self.logarithmic else (low + high) / 2, high}):
            y = self.place(self.x[0], value)[1]
            draw.line((left, y, right, y), fill="gainsboro")
            draw.text((left - 6, y), f"{value:{form}}", "dimgray", ImageFont.load_default(LABEL_PX), anchor="rm")
