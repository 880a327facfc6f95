"""Curves: of a run's losses, and of several methods against a setting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from restauro.axes import LABEL_PX, Axes
from restauro.errors import SettingError

WIDTH_PX, PANEL_PX, CHART_PX, GAP_PX = 720, 160, 192, 12
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 76, 12, 26, 18  # inside a panel, around the axes
POINTS = 200  # a curve is drawn as medians of at most this many stretches
COLOURS = ("black", "darkorange", "royalblue", "seagreen", "mediumpurple", "peru", "firebrick", "deeppink", "gray")

Points = Sequence[tuple[float, float]]


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


def charts(panels: Mapping[str, Mapping[str, Points]]) -> Image.Image:
    """Draw panels of (x, y), two beside each other, and what each colour stands for below; at most nine methods.

    A method has one colour in all panels. Values that are not finite are left out.

    >>> charts({"PSNR, dB": {"ours": [(1.0, 30.0), (2.0, 28.5)], "identity": [(1.0, 20.0), (2.0, 17.0)]}}).size
    (720, 222)
    """
    names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    colours = dict(zip(names, COLOURS, strict=False))
    if len(colours) < len(names):
        raise SettingError("panels", f"{len(names)} methods", f"at most {len(COLOURS)}")
    rows, line = -(-len(panels) // 2), 18
    image = Image.new("RGB", (WIDTH_PX, rows * CHART_PX + line * -(-len(names) // 2) + GAP_PX), "white")
    draw, half = ImageDraw.Draw(image), WIDTH_PX // 2
    for index, (title, panel) in enumerate(panels.items()):
        _chart(draw, (index % 2 * half, index // 2 * CHART_PX), title, panel, colours)
    for index, name in enumerate(names):
        x, y = index % 2 * half + 20, rows * CHART_PX + index // 2 * line + 10
        draw.line((x, y, x + 24, y), fill=colours[name], width=3)
        draw.text((x + 32, y), name, fill="black", font=ImageFont.load_default(12), anchor="lm")
    return image


def _chart(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    title: str,
    panel: Mapping[str, Points],
    colours: Mapping[str, str],
) -> None:
    kept = {name: [(x, y) for x, y in points if math.isfinite(y)] for name, points in panel.items()}
    left, right = corner[0] + 48, corner[0] + WIDTH_PX // 2 - 16
    top, bottom = corner[1] + TOP_PX, corner[1] + CHART_PX - 2 * BOTTOM_PX
    small = ImageFont.load_default(LABEL_PX)
    draw.text((left, corner[1] + 6), title, fill="black", font=ImageFont.load_default(13))
    xs = sorted({x for points in kept.values() for x, _ in points})
    if not xs:
        draw.rectangle((left, top, right, bottom), outline="gainsboro")
        return
    ys = [y for points in kept.values() for _, y in points]
    axes = Axes((left, top, right, bottom), (xs[0], xs[-1]), (min(ys), max(ys)), margin=(8, 6))
    axes.grid(draw)
    for value in xs:
        draw.text((axes.place(value, min(ys))[0], bottom + 3), f"{value:g}", fill="dimgray", font=small, anchor="ma")
    for name, points in kept.items():
        places = [axes.place(x, y) for x, y in points]
        if len(places) > 1:
            draw.line(places, fill=colours[name], width=2)
        for x, y in places:
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colours[name])


def _panel(draw: ImageDraw.ImageDraw, top: int, name: str, points: Sequence[tuple[int, float]]) -> None:
    points = [(x, y) for x, y in points if math.isfinite(y)]
    left, right = LEFT_PX, WIDTH_PX - RIGHT_PX
    first, last = top + TOP_PX, top + PANEL_PX - BOTTOM_PX
    small = ImageFont.load_default(LABEL_PX)
    draw.text((left, top + 6), name, fill="black", font=ImageFont.load_default(13))
    if not points:
        draw.rectangle((left, first, right, last), outline="gainsboro")
        return
    line = _medians(points)
    draw.text((right, top + 8), f"{line[-1][1]:.4g}", fill="firebrick", font=small, anchor="ra")
    low, high = min(y for _, y in points), max(y for _, y in points)
    start, end = points[0][0], max(points[-1][0], points[0][0] + 1)
    axes = Axes((left, first, right, last), (start, end), (low, high), logarithmic=low > 0 and high / low > 4)
    axes.grid(draw, ".4g")
    draw.text((left, last + 3), f"{start}", fill="dimgray", font=small)
    draw.text((right, last + 3), f"iteration {points[-1][0]}", fill="dimgray", font=small, anchor="ra")
    for point in points:
        x, y = axes.place(*point)
        draw.rectangle((x - 1, y - 1, x + 1, y + 1), fill="lightsteelblue")
    draw.line([axes.place(*point) for point in line], fill="firebrick", width=2)


def _medians(points: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
    """The median of each stretch of five points or more; a short curve is its points."""
    count = min(POINTS, len(points) // 5) if len(points) > 50 else len(points)
    parts = np.array_split(np.array(points, dtype=np.float64), count)
    return [(float(np.median(part[:, 0])), float(np.median(part[:, 1]))) for part in parts]
