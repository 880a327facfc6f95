"""Drawing: maps in colour, curves, and rows of titled panels on one sheet. numpy and Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from restauro.axes import LABEL_PX, Axes
from restauro.sheet import Panel

Array = NDArray[np.float32]

GAP_PX, TITLE_PX, LINE_PX, HEADING_PX = 10, 19, 16, 34


@dataclass(frozen=True)
class Row:
    """Panels side by side, all of one height, under a heading."""

    heading: str
    panels: tuple[Panel, ...]


def jet(values: Array) -> Array:
    """The jet colours of 0 (dark blue) to 1 (dark red): [...] to [..., 3].

    >>> jet(np.array([0.0, 0.5, 1.0], np.float32)).tolist()
    [[0.0, 0.0, 0.5], [0.5, 1.0, 0.5], [0.5, 0.0, 0.0]]
    """
    peaks = np.array([3, 2, 1], np.float32)
    colours: Array = np.clip(1.5 - np.abs(4 * values[..., None] - peaks), 0, 1).astype(np.float32)
    return colours


def heat(values: Array, size: tuple[int, int], low: float | None = None, high: float | None = None) -> Array:
    """A map [h, w] in jet colours at ``size`` (height, width), each value a block; ``low`` and ``high`` are the ends.

    Without ends the map's own; a map of one value is drawn in the colour of the low end.
    """
    low = float(values.min()) if low is None else low
    high = float(values.max()) if high is None else high
    span = high - low or 1.0
    return enlarged(jet(np.clip((values - low) / span, 0, 1).astype(np.float32)), size)


def enlarged(picture: Array, size: tuple[int, int]) -> Array:
    """Every value repeated until the picture [h, w, 3] has ``size`` (height, width): nothing is made smooth."""
    rows, columns = (np.arange(target) * now // target for target, now in zip(size, picture.shape[:2], strict=True))
    made: Array = picture[rows][:, columns]
    return made


def marked(picture: Array, y: int, x: int) -> Array:
    """The picture with a ring around a pixel."""
    image = _image(picture)
    radius = max(4, min(picture.shape[:2]) // 40)
    draw = ImageDraw.Draw(image)
    for width, colour in ((4, "white"), (2, "black")):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=width)
    return _array(image)


def plot(t: Array, values: Array, ticks: Array, size: tuple[int, int], mark: float | None = None) -> Array:
    """A curve with its axes; ``ticks`` are strokes below it (where the data are), ``mark`` a vertical line."""
    height, width = size
    image = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(LABEL_PX)
    left, right, top, bottom = 58, width - 8, 8, height - 30
    first, last = float(t[0]), float(t[-1])
    axes = Axes((left, top, right, bottom), (first, last), (float(values.min()), float(values.max())))
    axes.grid(draw)
    for tick in ticks:
        x = axes.place(float(tick), axes.y[0])[0]
        draw.line((x, bottom + 1, x, bottom + 8), fill="steelblue")
    draw.text((left, bottom + 11), f"{first:.3g}", "dimgray", font, "la")
    draw.text((right, bottom + 11), f"{last:.3g}", "dimgray", font, "ra")
    draw.text(((left + right) / 2, bottom + 11), "t = g", fill="dimgray", font=font, anchor="ma")
    if mark is not None:
        x = axes.place(mark, axes.y[0])[0]
        draw.line((x, top, x, bottom), fill="darkorange", width=2)
    draw.line([axes.place(float(a), float(b)) for a, b in zip(t, values, strict=True)], fill="firebrick", width=2)
    return _array(image)


def board(title: str, rows: Sequence[Row]) -> NDArray[np.uint8]:
    """Draw rows of panels below each other: uint8 [H, W, 3], on white."""
    heights = [HEADING_PX + TITLE_PX + LINE_PX + row.panels[0].pixels.shape[0] + GAP_PX for row in rows]
    widths = [sum(panel.pixels.shape[1] + GAP_PX for panel in row.panels) + GAP_PX for row in rows]
    image = Image.new("RGB", (max(widths), HEADING_PX + sum(heights)), "white")
    draw, top = ImageDraw.Draw(image), HEADING_PX
    draw.text((GAP_PX, 8), title, fill="black", font=ImageFont.load_default(20))
    for row, height in zip(rows, heights, strict=True):
        draw.line((GAP_PX, top + 4, image.width - GAP_PX, top + 4), fill="gainsboro")
        draw.text((GAP_PX, top + 9), row.heading, fill="black", font=ImageFont.load_default(16))
        x, y = GAP_PX, top + HEADING_PX
        for panel in row.panels:
            draw.text((x, y), panel.title, fill="black", font=ImageFont.load_default(14))
            draw.text((x, y + TITLE_PX), panel.line, fill="dimgray", font=ImageFont.load_default(12))
            image.paste(_image(panel.pixels), (x, y + TITLE_PX + LINE_PX))
            x += panel.pixels.shape[1] + GAP_PX
        top += height
    return np.asarray(image)


def _image(picture: Array) -> Image.Image:
    return Image.fromarray(np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8))


def _array(image: Image.Image) -> Array:
    pixels: Array = np.asarray(image, np.float32) / np.float32(255)
    return pixels
