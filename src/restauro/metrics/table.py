"""The table: rows of scores that may stand beside each other, and a refusal for those that may not.

A :class:`Row` holds every picture's own values under their full convention names (``ssim:gauss11,rgb,valid``, never
"SSIM"). A :class:`Table` is one set of pictures, one set of conventions, an identity row (the input handed through
unchanged), and the account of what was left out. Means carry bootstrap intervals over pictures, and every other row
its paired difference to the identity row. Nothing here imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from restauro.errors import DataError
from restauro.metrics.interval import Interval, mean_interval, paired_difference

IDENTITY = "identity"


def draw_name(picture: str, draw: int) -> str:
    """Name of a picture under the draw of that number, from 1; the first has the picture's own."""
    return picture if draw == 1 else f"{picture} #{draw}"


def picture_of(name: str) -> str:
    """The picture that a name of :func:`draw_name` is of.

    >>> picture_of(draw_name("a.png", 12)), picture_of("a.png")
    ('a.png', 'a.png')
    """
    return re.sub(r" #\d+$", "", name)


@dataclass(frozen=True)
class Column:
    """One metric under its full name.

    Parameters
    ----------
    name
        The convention, for example ``psnr:rgb``; two columns are comparable exactly when their names are equal.
    better
        "higher" or "lower".
    digits
        Decimals in Markdown; CSV and JSON keep every digit.
    unit
        "dB", "px", ... or nothing.
    per_picture
        False for metrics of a whole set (Frechet distances), which have one value and no interval.
    note
        What a reader has to know beside the number, printed under the table.
    infinite
        What an infinite value means. Where it is a fault of the picture and not the best possible score, the pictures
        are listed by name.
    """

    name: str
    better: Literal["higher", "lower"]
    digits: int = 4
    unit: str = ""
    per_picture: bool = True
    note: str = ""
    infinite: str = "equal to the truth"


@dataclass(frozen=True)
class Row:
    """The scores of one method.

    Parameters
    ----------
    method
        What made the pictures; ``identity`` is the input unchanged.
    values
        metric name -> picture name -> value, for per-picture metrics.
    whole_set
        metric name -> value, for metrics of the whole set.
    empty
        metric name -> why this row has no value for it.
    skipped
        picture name -> why it was left out.
    names
        The scored pictures; needed only where every metric is one of the whole set.
    truth_digest
        SHA-256 over names and bytes of the true pictures, so that equal names with other pixels do not pass for
        equal.
    """

    method: str
    values: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    whole_set: Mapping[str, float] = field(default_factory=dict)
    empty: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    truth_digest: str = ""

    @property
    def pictures(self) -> tuple[str, ...]:
        """Names of the pictures that were scored, sorted."""
        return tuple(sorted({*self.names, *(name for column in self.values.values() for name in column)}))

    @property
    def conventions(self) -> frozenset[str]:
        """Every metric this row knows of, empty ones included."""
        return frozenset(self.values) | frozenset(self.whole_set) | frozenset(self.empty)


@dataclass(frozen=True)
class Table:
    """Rows of one set of pictures and one set of conventions.

    Parameters
    ----------
    columns
        In the order of printing.
    rows
        The identity row among them; it is printed first.
    about
        Where the numbers come from: command, seed, digests. Printed under the table.
    seed
        Of the bootstrap: the same table prints the same intervals.
    draws
        How many values each picture has, under names of :func:`draw_name`: its input was made so often by chance.
        Means are over all of them, intervals over pictures.

    Raises
    ------
    DataError
        The rows do not belong together, or there is no identity row.

    Examples
    --------
    >>> psnr = Column("psnr:rgb", "higher", digits=2, unit="dB")
    >>> def row(method, *values):
    ...     return Row(method, {"psnr:rgb": dict(zip("abc", values))})
    >>> table = Table((psnr,), (row("identity", 20, 21, 25), row("ours", 24, 25, 26)), about={"command": "x"})
    >>> table.gain("ours", "psnr:rgb").mean
    3.0
    >>> Table((psnr,), (row("identity", 20, 21, 25), row("ours", 24, 25)))
    Traceback (most recent call last):
    ...
    restauro.errors.DataError: ours: found other pictures than in row identity (c), wanted the same 3; ...
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    about: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    draws: int = 1

    def __post_init__(self) -> None:
        if not any(row.method == IDENTITY for row in self.rows):
            raise DataError(
                f"table: found rows {_few([row.method for row in self.rows])}, wanted also {IDENTITY!r}; "
                "score the unchanged input too, or give it an empty row that says why there is none"
            )
        methods = [row.method for row in self.rows]
        twice = sorted({name for name in methods if methods.count(name) > 1})
        if twice:
            raise DataError(f"table: found {_few(twice)} twice, wanted one row per method; rename one")
        first = next((row for row in self.rows if row.pictures), self.rows[0])
        for row in self.rows:
            _same_conventions(self.columns, row)
            _same_pictures(first, row)

    @property
    def identity(self) -> Row:
        """The row of the unchanged input."""
        return next(row for row in self.rows if row.method == IDENTITY)

    def interval(self, method: str, metric: str) -> Interval | None:
        """Mean of a per-picture metric with its 95 % interval; None where the row has no values for it."""
        values = self._row(method).values.get(metric)
        if not values:
            return None
        names = sorted(values)
        of = None if self.draws == 1 else [picture_of(name) for name in names]
        in_order = [values[name] for name in names]
        return mean_interval(in_order, generator=np.random.default_rng(self.seed), pictures=of)

    def gain(self, method: str, metric: str, over: str = IDENTITY) -> Interval | None:
        """Paired difference `method` minus `over` with its 95 % interval; None where either has no values."""
        first, second = self._row(method).values.get(metric), self._row(over).values.get(metric)
        if not first or not second:
            return None
        of = None if self.draws == 1 else picture_of
        return paired_difference(first, second, generator=np.random.default_rng(self.seed), picture=of)

    def with_row(self, row: Row) -> Table:
        """Return this table with one more row, if it belongs here.

        Raises
        ------
        DataError
            Other conventions, other pictures, or the method is there already.
        """
        return Table(self.columns, (*self.rows, row), self.about, self.seed, self.draws)

    def _row(self, method: str) -> Row:
        found = [row for row in self.rows if row.method == method]
        if not found:
            methods = _few([row.method for row in self.rows])
            raise DataError(f"table: found no row {method!r}, wanted one of {methods}")
        return found[0]


def _same_conventions(columns: Sequence[Column], row: Row) -> None:
    wanted = {column.name for column in columns}
    unlike = sorted(wanted ^ row.conventions)
    if unlike:
        raise DataError(
            f"{row.method}: found other conventions than the table's ({_few(unlike)} in only one of them), "
            f"wanted {_few(sorted(wanted))}; score both with the same metrics"
        )
    for column in columns:
        holder = row.values if column.per_picture else row.whole_set
        if (column.name in holder) == (column.name in row.empty):
            raise DataError(
                f"{row.method}: found neither or both of a value and a reason for {column.name}, wanted one of them"
            )


def _same_pictures(first: Row, row: Row) -> None:
    if not row.pictures:
        return
    for name, column in {"its pictures": dict.fromkeys(row.pictures, 0.0), **row.values}.items():
        unlike = sorted(set(first.pictures) ^ set(column))
        if unlike:
            where = "" if name == "its pictures" else f" under {name}"
            raise DataError(
                f"{row.method}: found other pictures{where} than in row {first.method} ({_few(unlike)}), "
                f"wanted the same {len(first.pictures)}; score both on the pictures they share"
            )
    if row.truth_digest != first.truth_digest:
        raise DataError(
            f"{row.method}: found true pictures with the names of row {first.method} but other bytes, "
            "wanted the same files; score both against one folder"
        )


def _few(names: Sequence[str], most: int = 4) -> str:
    more = [] if len(names) <= most else [f"... {len(names)} in all"]
    return ", ".join([*names[:most], *more])
