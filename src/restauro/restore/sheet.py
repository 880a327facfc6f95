"""Comparison sheets: the same picture in several states side by side, with an enlarged detail below each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from restauro.errors import UsageError

Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True)
class Panel:
    """One column of a sheet: float32 [H, W, 3] in 0..1, a title, and a line below it."""

    pixels: Array
    title: str
    line: str = ""


def sheet(panels: Sequence[Panel], detail: tuple[int, int, int, int]) -> Array:
    """Draw panels side by side.

    Parameters
    ----------
    panels
        Pictures of one size.
    detail
        (top, left, height, width) in pixels: what is enlarged below each picture, by whole factors and without
        interpolation, so that every pixel can be seen.

    Returns
    -------
    ndarray
        float32 [H, W, 3], on white.
    """
    from PIL import Image, ImageDraw, ImageFont

    if not panels or len({panel.pixels.shape for panel in panels}) != 1:
        raise UsageError("sheet: found pictures of different sizes or none, wanted one size")
    top, left, height, width = detail
    rows, columns = panels[0].pixels.shape[:2]
    zoom = max(1, columns // width)
    gap, caption = 12, 44
    total_height = caption + rows + gap + height * zoom
    canvas = np.ones((total_height, len(panels) * (columns + gap) - gap, 3), np.float32)
    for index, panel in enumerate(panels):
        x = index * (columns + gap)
        canvas[caption : caption + rows, x : x + columns] = np.clip(panel.pixels, 0, 1)
        crop = np.clip(panel.pixels[top : top + height, left : left + width], 0, 1)
        big = crop.repeat(zoom, axis=0).repeat(zoom, axis=1)[:, :columns]
        canvas[caption + rows + gap : caption + rows + gap + big.shape[0], x : x + big.shape[1]] = big
    image = Image.fromarray(np.rint(canvas * 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for index, panel in enumerate(panels):
        x = index * (columns + gap)
        draw.text((x, 0), panel.title, fill="black", font=ImageFont.load_default(18))
        draw.text((x, 23), panel.line, fill="dimgray", font=ImageFont.load_default(14))
    result: Array = np.asarray(image, np.float32) / np.float32(255)
    return result
