"""A table as one HTML file that opens anywhere: numbers, plots, and the pictures themselves.

Pictures stand beside a CIEDE2000 map on one fixed scale, 0 to 20, so that maps of different methods and reports can
be compared by eye. Everything is inside the file: no scripts, no fonts, no network.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from restauro.errors import SettingError
from restauro.metrics.ciede2000 import MAP_TOP, ciede2000_map
from restauro.metrics.matching import Match
from restauro.metrics.report import cells, notes
from restauro.metrics.table import Column, Table
from restauro.picture import read

# Dark to bright through blue, red and yellow; brightness rises evenly, so it reads in grey too.
COLOURS = ((0, 0, 0), (45, 25, 110), (150, 40, 110), (230, 95, 60), (250, 185, 80), (255, 255, 230))

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
body { color: #1b1b1b; background: #fff; }
table { border-collapse: collapse; } td, th { padding: .3rem .7rem; text-align: right; border-bottom: 1px
solid #ccc; } td:first-child, th:first-child { text-align: left; } figure { margin: 0; } figcaption {
font-size: 13px; } .row { display: grid; grid-template-columns: repeat(4, 1fr); gap: .6rem; margin: .3rem 0
1.2rem; } .row img { width: 100%; height: auto; } svg { max-width: 100%; } .scale { height: .9rem; width:
16rem; } @media (prefers-color-scheme: dark) { body { color: #e6e6e6; background: #161616; } td, th {
border-color: #444; } }
"""


def html_page(
    table: Table,
    matches: Mapping[str, Match],
    *,
    method: str = "restored",
    most: int = 4,
    side_px: int = 320,
) -> str:
    """The report on one method.

    Parameters
    ----------
    table
        From :func:`restauro.metrics.evaluate.evaluate_folders`.
    matches
        Files by picture name, from :func:`restauro.metrics.matching.match_by_name`.
    method
        The row whose pictures are shown.
    most
        How many of the worst pictures are shown, and how many of the best, by the first column with values.
    side_px
        Longest side of a picture in the report.

    Returns
    -------
    str
        HTML, UTF-8; about 0.2 MB for each picture shown.

    Raises
    ------
    SettingError
        A setting is out of range, or the table has no such row.
    PictureError
        A file has become unreadable since it was scored.
    """
    if most < 0:
        raise SettingError("most", most, "a whole number from 0")
    if side_px < 1:
        raise SettingError("side_px", side_px, "a whole number from 1")
    if method not in [row.method for row in table.rows]:
        raise SettingError("method", method, f"one of {', '.join(row.method for row in table.rows)}")
    plots = "".join(_plot(table, column) for column in table.columns)
    parts = [
        f"<h1>Evaluation: {escape(method)}</h1>",
        _html_table(table),
        "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes(table)) + "</ul>",
        f"<h2>Every picture</h2>{plots}" if plots else "",
        *_pictures(table, matches, method, most, side_px),
    ]
    head = f'<meta charset="utf-8"><title>{escape(method)}: evaluation</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def error_colours(values: NDArray[np.floating], top: float = MAP_TOP) -> NDArray[np.uint8]:
    """Colours for a map of errors, on the fixed scale 0..`top`; larger is brighter.

    Parameters
    ----------
    values
        [H, W], not negative; above `top` counts as `top`.
    top
        The value of the brightest colour.

    Returns
    -------
    NDArray[np.uint8]
        [H, W, 3].

    Examples
    --------
    >>> error_colours(np.array([[0.0, 4.0, 50.0]])).tolist()
    [[[0, 0, 0], [45, 25, 110], [255, 255, 230]]]
    """
    at = np.clip(np.asarray(values, np.float64) / top, 0, 1) * (len(COLOURS) - 1)
    channels = [np.interp(at, range(len(COLOURS)), [colour[c] for colour in COLOURS]) for c in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def _html_table(table: Table) -> str:
    def line(tag: str, items: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(item)}</{tag}>" for item in items) + "</tr>"

    means, gains = cells(table)
    rows = [line("th", means[0]), *(line("td", row) for row in means[1:])]
    if gains:
        rows += [line("th", gains[0]), *(line("td", row) for row in gains[1:])]
    return f"<table>{''.join(rows)}</table>"


def _plot(table: Table, column: Column) -> str:
    """One line of dots per method, its mean as a bar and the interval as a thick line."""
    values = {row.method: row.values.get(column.name, {}) for row in table.rows}
    finite = [v for by_name in values.values() for v in by_name.values() if math.isfinite(v)]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    span = (high - low) or 1.0
    left, width, step = 170, 620, 34

    def x(value: float) -> float:
        return left + width * (value - low) / span

    drawn = []
    shown = [(method, by_name) for method, by_name in values.items() if by_name]
    for index, (method, by_name) in enumerate(shown):
        y = 40 + step * index
        drawn.append(f'<text x="0" y="{y + 5}" fill="currentColor">{escape(method[:22])}</text>')
        drawn += [
            f'<circle cx="{x(v):.1f}" cy="{y}" r="4" fill="#3b6ea8" fill-opacity=".45">'
            f"<title>{escape(name)}: {v:.{column.digits}f}</title></circle>"
            for name, v in sorted(by_name.items())
            if math.isfinite(v)
        ]
        found = table.interval(method, column.name)
        if found is not None and found.count > 1:
            drawn.append(
                f'<path d="M{x(found.low):.1f} {y}H{x(found.high):.1f}M{x(found.mean):.1f} {y - 9}v18" '
                'stroke="#d2572b" stroke-width="3" fill="none"/>'
            )
    ends = f'<text x="{left}" y="18" fill="currentColor">{low:.{column.digits}f}</text>'
    ends += f'<text x="{left + width}" y="18" text-anchor="end" fill="currentColor">{high:.{column.digits}f}</text>'
    size = f'viewBox="0 0 {left + width + 10} {40 + step * len(shown)}" width="{left + width + 10}"'
    return f"<h3>{escape(column.name)}</h3><svg {size} font-size='13'>{ends}{''.join(drawn)}</svg>"


def _pictures(table: Table, matches: Mapping[str, Match], method: str, most: int, side_px: int) -> list[str]:
    row = next(row for row in table.rows if row.method == method)
    column = next((column for column in table.columns if row.values.get(column.name)), None)
    if column is None or most == 0:
        return []
    values = row.values[column.name]
    # Names break ties, so that the same table always shows the same pictures.
    ranked = sorted(values, key=lambda name: (values[name], name), reverse=column.better == "lower")
    worst = ranked[:most]
    best = [name for name in reversed(ranked[-most:]) if name not in worst]
    ramp = _image(error_colours(np.linspace(0, MAP_TOP, 256)[None]), 256)
    parts = [f'<p>CIEDE2000 maps: 0 <img class="scale" src="{ramp}" alt="dark to bright"> {MAP_TOP:g} and more.</p>']
    for title, names in (("Worst", worst), ("Best", best)):
        if names:
            parts.append(f"<h2>{title} by {escape(column.name)}</h2>")
        for name in names:
            shown = f"{values[name]:.{column.digits}f} {column.unit}"
            parts.append(f"<h3>{escape(name)}: {shown}</h3>{_strip(matches[name], side_px)}")
    return parts


def _strip(match: Match, side_px: int) -> str:
    pixels = {role: np.clip(read(path).rgb(), 0, 1) for role, path in match.files().items()}
    restored, truth = (torch.from_numpy(pixels[role]).permute(2, 0, 1)[None] for role in ("restored", "truth"))
    errors = ciede2000_map(restored, truth)[0].cpu().numpy()
    order = [role for role in ("input", "restored", "truth") if role in pixels]
    shown: dict[str, NDArray[np.uint8]] = {role: (pixels[role] * 255).round().astype(np.uint8) for role in order}
    shown[f"CIEDE2000, mean {errors.mean():.2f}"] = error_colours(errors)
    figures = [
        f'<figure><img src="{_image(image, side_px)}" alt="{escape(title)}">'
        f"<figcaption>{escape(title)}</figcaption></figure>"
        for title, image in shown.items()
    ]
    return f'<div class="row">{"".join(figures)}</div>'


def _image(pixels: NDArray[np.uint8], side_px: int) -> str:
    image = Image.fromarray(pixels)
    image.thumbnail((side_px, side_px), Image.Resampling.BOX)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
