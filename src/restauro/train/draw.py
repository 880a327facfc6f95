"""The curves of a run's losses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH_PX, PANEL_PX, GAP_PX = 720, 160, 12
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 76, 12, 26, 18  # inside a panel, around the axes
POINTS = 200  # a curve is drawn as medians of at most this many stretches


def curves(series: Mapping[str, Sequence[tuple[int, float]]]) -> Image.Image:
    """Draw one panel for each name: (iteration, value) as faint points, running medians as a line.

    The value axis is logarithmic where all values are positive and they span more than a factor of four.

    >>> curves({"l1": [(50 * k, 1 / (k + 1)) for k in range(40)]}).size
    (720, 172)
    """
    height = max(1, len(series)) * (PANEL_PX + GAP_PX)
    image = Image.new("RGB", (WIDTH_PX, height), "white")
    for index, (name, points) in enumerate(series.items()):
        _panel(ImageDraw.Draw(image), index * (PANEL_PX + GAP_PX), name, points)
    return image


def _panel(draw: ImageDraw.ImageDraw, top: int, name: str, points: Sequence[tuple[int, float]]) -> None:
    points = [(x, y) for x, y in points if math.isfinite(y)]
    left, right = LEFT_PX, WIDTH_PX - RIGHT_PX
    first, last = top + TOP_PX, top + PANEL_PX - BOTTOM_PX
    small = ImageFont.load_default(11)
    draw.text((left, top + 6), name, fill="black", font=ImageFont.load_default(13))
    draw.rectangle((left, first, right, last), outline="gainsboro")
    if not points:
        return
    line = _medians(points)
    draw.text((right, top + 8), f"{line[-1][1]:.4g}", fill="firebrick", font=small, anchor="ra")
    values = [y for _, y in points]
    low, high = min(values), max(values)
    logarithmic = low > 0 and high / low > 4
    scale = math.log if logarithmic else float
    bottom, span = scale(low), (scale(high) - scale(low)) or 1.0
    start, end = points[0][0], max(points[-1][0], points[0][0] + 1)

    def place(point: tuple[float, float]) -> tuple[float, float]:
        x = left + (right - left) * (point[0] - start) / (end - start)
        return x, last - (last - first) * (scale(point[1]) - bottom) / span

    for value in sorted({low, math.sqrt(low * high) if logarithmic else (low + high) / 2, high}):
        y = place((start, value))[1]
        draw.line((left, y, right, y), fill="gainsboro")
        draw.text((left - 6, y), f"{value:.4g}", fill="dimgray", font=small, anchor="rm")
    draw.text((left, last + 3), f"{start}", fill="dimgray", font=small)
    draw.text((right, last + 3), f"iteration {points[-1][0]}", fill="dimgray", font=small, anchor="ra")
    for point in points:
        x, y = place(point)
        draw.rectangle((x - 1, y - 1, x + 1, y + 1), fill="lightsteelblue")
    draw.line([place(point) for point in line], fill="firebrick", width=2)


def _medians(points: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
    """The median of each stretch of five points or more; a short curve is its points."""
    count = min(POINTS, len(points) // 5) if len(points) > 50 else len(points)
    parts = np.array_split(np.array(points, dtype=np.float64), count)
    return [(float(np.median(part[:, 0])), float(np.median(part[:, 1]))) for part in parts]
