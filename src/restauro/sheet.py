"""Sheets: pictures side by side on white, with titles. A leaf: demo, training and reports draw with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from restauro.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
Bytes3 = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]  # [H, W, 3]

GAP_PX = 12


@dataclass(frozen=True)
class Panel:
    """One column of a comparison: float32 [H, W, 3] in 0..1, a title, and a line below it."""

    pixels: Array
    title: str
    line: str = ""


def grid(
    rows: Sequence[Sequence[Bytes3]], titles: Sequence[str], lines: Sequence[str] = (), text_px: int = 14
) -> Image:
    """Put pictures into a grid: a row for each sample, a titled column for each state.

    Parameters
    ----------
    rows
        uint8 [H, W, 3] each, as many in a row as there are titles; a row is as tall as its tallest.
    titles, lines
        What stands over each column, and a second, grey line below that.
    text_px
        Size of the titles.

    Returns
    -------
    PIL.Image.Image
        RGB.

    Examples
    --------
    >>> black = np.zeros((32, 48, 3), np.uint8)
    >>> grid([[black, black, black]] * 2, ["input", "output", "truth"]).size
    (168, 112)
    """
    from PIL import Image, ImageDraw, ImageFont

    caption = text_px + 10 + (text_px + 2 if lines else 0)
    wide = max(picture.shape[1] for row in rows for picture in row)
    high = [max(picture.shape[0] for picture in row) for row in rows]
    size = len(titles) * (wide + GAP_PX) - GAP_PX, caption + sum(high) + GAP_PX * len(rows)
    image = Image.new("RGB", size, "white")
    draw, top = ImageDraw.Draw(image), caption
    for column, title in enumerate(titles):
        draw.text((column * (wide + GAP_PX), 3), title, fill="black", font=ImageFont.load_default(text_px))
    for column, line in enumerate(lines):
        place = column * (wide + GAP_PX), text_px + 8
        draw.text(place, line, fill="dimgray", font=ImageFont.load_default(text_px - 4))
    for row, tall in zip(rows, high, strict=True):
        for column, picture in enumerate(row):
            image.paste(Image.fromarray(picture), (column * (wide + GAP_PX), top))
        top += tall + GAP_PX
    return image


def comparison(panels: Sequence[Panel], detail: tuple[int, int, int, int]) -> Array:
    """The same picture in several states, with an enlarged detail below each.

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

    Raises
    ------
    UsageError
        No pictures, or pictures of different sizes.
    """
    if not panels or len({panel.pixels.shape for panel in panels}) != 1:
        raise UsageError("sheet: found pictures of different sizes or none, wanted one size")
    top, left, height, width = detail
    columns = panels[0].pixels.shape[1]
    zoom = max(1, columns // width)
    whole = [_to_bytes(panel.pixels) for panel in panels]
    crops = [pixels[top : top + height, left : left + width] for pixels in whole]
    large = [crop.repeat(zoom, axis=0).repeat(zoom, axis=1)[:, :columns] for crop in crops]
    titles, lines = [panel.title for panel in panels], [panel.line for panel in panels]
    result: Array = np.asarray(grid([whole, large], titles, lines, text_px=18), np.float32) / np.float32(255)
    return result


def _to_bytes(pixels: Array) -> Bytes3:
    result: Bytes3 = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    return result
