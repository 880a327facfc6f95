"""A table as text: Markdown for people, CSV for spreadsheets, JSON for machines (and back).

Markdown prints what a number needs beside it: how many pictures, the interval, the paired gain over the identity row,
what is left out and why, the small-sample warnings of the metrics, and where the numbers come from.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from restauro.errors import DataError
from restauro.metrics.interval import Interval
from restauro.metrics.table import IDENTITY, Column, Row, Table, picture_of

FORMAT = "restauro-table-1"
FEW_PICTURES = 10  # below this, percentile intervals are visibly too narrow: see interval.py
ARROWS = {"higher": "↑", "lower": "↓"}


def markdown(table: Table) -> str:
    """Two Markdown tables (means; gains over the identity row) and the notes that belong to them.

    Examples
    --------
    >>> column = Column("psnr:rgb", "higher", digits=1, unit="dB")
    >>> rows = [Row(m, {"psnr:rgb": {"a": v, "b": v + 2}}) for m, v in [("identity", 20.0), ("ours", 25.0)]]
    >>> for line in markdown(Table((column,), tuple(rows))).splitlines()[:7]: print(line)
    | method | psnr:rgb ↑ dB |
    |---|---|
    | identity | 21.0 [20.0, 22.0] |
    | ours | 26.0 [25.0, 27.0] |
    <BLANKLINE>
    | gain over identity, paired | psnr:rgb ↑ dB |
    |---|---|
    """
    means, gains = cells(table)
    lines = [*_grid(means), *(["", *_grid(gains)] if gains else [])]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes(table)), ""])


def cells(table: Table) -> tuple[list[list[str]], list[list[str]]]:
    """Text of the two tables, head line first: means, and gains over the identity row (or none)."""
    methods = [IDENTITY, *(row.method for row in table.rows if row.method != IDENTITY)]
    heads = [_head(column) for column in table.columns]
    means = [["method", *heads], *([m, *(_cell(table, m, c) for c in table.columns)] for m in methods)]
    gains = [[m, *(_gain_cell(table, m, c) for c in table.columns)] for m in methods[1:]]
    if not any(cell for line in gains for cell in line[1:]):
        return means, []
    return means, [["gain over identity, paired", *heads], *gains]


def notes(table: Table) -> Iterator[str]:
    """Sentences without which the numbers of `table` cannot be read rightly."""
    values = max(len(row.pictures) for row in table.rows)
    count = values // table.draws
    over = "pictures" if table.draws == 1 else f"pictures and {table.draws} draws of each"
    yield f"{count} pictures. Mean over {over}, 95 % bootstrap interval over pictures (seed {table.seed})."
    if count < FEW_PICTURES:
        yield f"Fewer than {FEW_PICTURES} pictures: such intervals are too narrow."
    for row in table.rows:
        for column in table.columns:
            found = table.interval(row.method, column.name)
            if found is not None and found.infinite:
                what = "pictures" if table.draws == 1 else "draws"
                why = column.infinite + _culprits(row, column, table.draws)
                yield (
                    f"{row.method}, {column.name}: {found.infinite} of {values} {what} are infinite ({why}) "
                    "and left out of the mean and of the gains."
                )
    for column in table.columns:
        if column.note:
            yield f"{column.name}: {column.note}"
    for reason, where in _by_reason(table).items():
        yield f"empty: {', '.join(where)}: {reason}"
    for row in table.rows:
        for name, reason in sorted(row.skipped.items()):
            yield f"skipped: {row.method}, {name}: {reason}"
    for key, value in table.about.items():
        yield f"{key}: {value}"


def shown(found: Interval | None, digits: int, sign: str = "") -> str:
    """A mean with its interval as a cell of a table; ``sign="+"`` for gains.

    >>> shown(Interval(3.14159, 3.0, 3.25, 10), 2, "+")
    '+3.14 [+3.00, +3.25]'
    """
    if found is None:
        return ""
    if found.count == 0:
        return "all infinite"
    mean = f"{found.mean:{sign}.{digits}f}"
    if math.isnan(found.low):
        return f"{mean} [one picture]"
    return f"{mean} [{found.low:{sign}.{digits}f}, {found.high:{sign}.{digits}f}]"


def csv_text(table: Table) -> str:
    """Every value: one line per method and picture, one column per metric.

    The line of picture ``*`` holds the whole-set metrics. Empty cells have no value; infinite ones read ``inf``.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["method", "picture", *(column.name for column in table.columns)])
    for row in table.rows:
        for name in row.pictures:
            cells = [row.values.get(column.name, {}).get(name, "") for column in table.columns]
            writer.writerow([row.method, name, *cells])
        if row.whole_set:
            writer.writerow([row.method, "*", *(row.whole_set.get(column.name, "") for column in table.columns)])
    return out.getvalue()


def json_text(table: Table) -> str:
    """Everything, the means and intervals included, as strict JSON; infinite values are the string ``"inf"``.

    :func:`from_json` reads it back; the summary is computed anew there.
    """
    summary = {
        row.method: {
            column.name: {"mean": asdict(found), "gain": gain and asdict(gain)}
            for column in table.columns
            if (found := table.interval(row.method, column.name)) is not None
            for gain in [table.gain(row.method, column.name)]
        }
        for row in table.rows
    }
    content = {"format": FORMAT, **asdict(table), "summary": summary}
    return json.dumps(_finite(content), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def from_json(text: str) -> Table:
    """Read what :func:`json_text` wrote, so that rows of different days can be put side by side.

    Raises
    ------
    DataError
        Not such a file, or its rows do not belong together.

    Examples
    --------
    >>> column = Column("psnr:rgb", "higher")
    >>> table = Table((column,), (Row("identity", {"psnr:rgb": {"a": float("inf")}}),))
    >>> from_json(json_text(table)) == table
    True
    """
    try:
        content: Any = json.loads(text)
        found = content["format"]
        if found != FORMAT:
            raise DataError(f"table file: found format {found!r}, wanted {FORMAT!r}; write it anew")
        rows = tuple(_row(row) for row in content["rows"])
        columns = tuple(Column(**column) for column in content["columns"])
        return Table(columns, rows, content["about"], content["seed"], content.get("draws", 1))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"table file: found {error!r}, wanted the JSON of evaluate; check the file") from error


def _row(row: Mapping[str, Any]) -> Row:
    values = {metric: _floats(column) for metric, column in row["values"].items()}
    content = {**row, "values": values, "whole_set": _floats(row["whole_set"]), "names": tuple(row["names"])}
    return Row(**content)


def _floats(column: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in column.items()}  # float("inf") undoes _finite


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None if math.isnan(content) else str(content)
    return content


def _grid(rows: list[list[str]]) -> list[str]:
    lines = [f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in rows]
    return [lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]


def _head(column: Column) -> str:
    return " ".join(filter(None, [column.name, ARROWS[column.better], column.unit]))


def _cell(table: Table, method: str, column: Column) -> str:
    row = next(row for row in table.rows if row.method == method)
    if column.name in row.whole_set:
        return f"{row.whole_set[column.name]:.{column.digits}f}"
    return shown(table.interval(method, column.name), column.digits)


def _gain_cell(table: Table, method: str, column: Column) -> str:
    return shown(table.gain(method, column.name), column.digits, "+")


def _culprits(row: Row, column: Column, draws: int) -> str:
    """Names of the pictures that have no finite value, where that is bad: ``: a, b``; with draws ``: a (2), b (1)``."""
    if column.better != "lower":
        return ""
    bad = [name for name, value in row.values[column.name].items() if math.isinf(value)]
    if draws == 1:
        return f": {', '.join(sorted(bad))}"
    return ": " + ", ".join(f"{name} ({times})" for name, times in sorted(Counter(map(picture_of, bad)).items()))


def _by_reason(table: Table) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in table.rows:
        for metric, reason in row.empty.items():
            found.setdefault(reason, []).append(f"{row.method} {metric}")
    return found
