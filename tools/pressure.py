"""The pressure test of tools/make_renovation_table.py: stronger and stronger degradation, as tables and as curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from PIL import Image

from restauro.metrics.table import Table
from restauro.train.draw import charts

METRICS = ("psnr", "fed", "identity")
#: Law -> the setting that grows, its values, and what a line of the table says of one.
LADDERS: Mapping[str, tuple[str, tuple[float, ...], str]] = {
    "noise": ("severity", (1.0, 1.2, 1.4), "noise at {} times its strong end"),
    "mosaic16": ("block_px", (16, 32, 48, 64), "mosaic of {} px"),
}
ACROSS = {"noise": "noise, times its strong end", "mosaic16": "mosaic, px"}


def lines(law: str, tables: Mapping[float, Table]) -> str:
    """One line per level, one column per method and metric: the mean, and how many pictures it is of."""
    first = next(iter(tables.values()))
    columns = [(row.method, column) for column in first.columns for row in first.rows]
    head = ["degradation", *(f"{method}: {column.name}" for method, column in columns)]
    found = [" | ".join(head), " | ".join("---" for _ in head)]
    for level, table in tables.items():
        cells = [_mean(table, method, column.name, column.digits) for method, column in columns]
        found.append(" | ".join([LADDERS[law][2].format(level), *cells]))
    return "\n".join(f"| {line} |" for line in found)


def figure(tables: Mapping[str, Mapping[float, Table]]) -> Image.Image:
    """A panel for each law and metric that has curves: means of the faces that have a value."""
    panels: dict[str, dict[str, Sequence[tuple[float, float]]]] = {}
    for law, ladder in tables.items():
        first = next(iter(ladder.values()))
        for column in first.columns:
            panel = {
                row.method: [
                    (level, found.mean)
                    for level, table in ladder.items()
                    if (found := table.interval(row.method, column.name)) is not None and math.isfinite(found.mean)
                ]
                for row in first.rows
            }
            if any(len(points) > 1 for points in panel.values()):
                panels[f"{column.name} against {ACROSS[law]}"] = panel
    return charts(panels)


def _mean(table: Table, method: str, metric: str, digits: int) -> str:
    found = table.interval(method, metric)
    if found is None:
        return "-"
    if not math.isfinite(found.mean):
        return f"no face in all {found.infinite}"
    lost = f" ({found.infinite} without a face)" if found.infinite else ""
    ends = f" [{found.low:.{digits}f}, {found.high:.{digits}f}]" if math.isfinite(found.low) else ""
    return f"{found.mean:.{digits}f}{ends}{lost}"
