"""Scores picture by picture, one row per method: what evaluate, training and benchmarks fill tables with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restauro.errors import ModelError, SettingError
from restauro.metrics.catalogue import Compare, Describe, PairMetric, SetMetric, Setup, TimeMetric, find
from restauro.metrics.inputs import picture_pair
from restauro.metrics.table import IDENTITY, Column, Row, Table

Features = dict[str, NDArray[np.float64]]


@dataclass
class _Scores:
    names: list[str] = field(default_factory=list)
    values: dict[str, dict[str, float]] = field(default_factory=dict)
    features: dict[object, Features] = field(default_factory=dict)
    empty: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


class Scoreboard:
    """Collects the scores of several methods on the same pictures.

    Pictures come one at a time, so that any number of any size fits into memory; only the features of whole-set
    metrics are kept.

    Parameters
    ----------
    metrics
        Names, see :func:`restauro.metrics.catalogue.find`.
    setup
        Where pretrained weights and pictures are. A metric whose weights are missing has an empty column that says
        so.

    Raises
    ------
    SettingError
        No metric, or an unknown one.

    Examples
    --------
    >>> truth = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    >>> board = Scoreboard(["psnr", "ssim"])
    >>> board.add("identity", "a", truth * 0.5, truth)
    >>> board.add("ours", "a", truth * 0.9, truth)
    >>> table = board.table(about={"command": "an example"})
    >>> round(table.gain("ours", "psnr:rgb").mean, 2)
    13.98
    """

    def __init__(self, metrics: Sequence[str], setup: Setup | None = None) -> None:
        if not metrics:
            raise SettingError("metrics", list(metrics), "at least one name")
        found = find(metrics)
        self.columns: tuple[Column, ...] = tuple(metric.column for metric in found)
        self._pairs = [metric for metric in found if isinstance(metric, PairMetric)]
        self._sets = [metric for metric in found if isinstance(metric, SetMetric)]
        self._clocks = [metric.column.name for metric in found if isinstance(metric, TimeMetric)]
        self._rows: dict[str, _Scores] = {}
        self._unavailable: dict[str, str] = {}
        self._compare: dict[str, Compare] = {}
        self._describe: dict[object, Describe] = {}  # one network serves all metrics that are built by one function
        self._true_features: dict[object, Features] = {}
        for metric in found:
            try:
                if isinstance(metric, PairMetric):
                    self._compare[metric.column.name] = metric.build(setup or Setup())
                elif isinstance(metric, SetMetric) and metric.describe not in self._describe:
                    self._describe[metric.describe] = metric.describe(setup or Setup())
            except ModelError as error:
                self._unavailable[metric.column.name] = str(error)

    @torch.no_grad()
    def add(
        self,
        method: str,
        name: str,
        restored: Tensor,
        truth: Tensor,
        given: Tensor | None = None,
        seconds: float | None = None,
    ) -> None:
        """Score one picture.

        Parameters
        ----------
        method
            The row; "identity" for the unchanged input.
        name
            The picture's name, the same for all methods.
        restored, truth
            Float [1,3,H,W], sRGB in 0..1, of one shape.
        given
            The input that `restored` was made from, same shape; without it, metrics against the input stay empty.
        seconds
            What making `restored` took; without it, times stay empty.

        Raises
        ------
        SettingError
            No pictures, other shapes, values outside 0..1, or a name that was scored already.
        """
        for other in (truth, given):
            if other is not None:
                picture_pair(restored, other)
        if restored.shape[0] != 1:
            raise SettingError("restored", list(restored.shape), "one picture at a time, [1, 3, H, W]")
        scores = self._rows.setdefault(method, _Scores())
        if name in scores.names:
            raise SettingError("name", name, f"each picture once in row {method}")
        scores.names.append(name)
        for metric in self._pairs:
            self._score(metric, scores, name, restored, given if metric.against == "input" else truth)
        for column in self._clocks:
            if seconds is None:
                scores.empty[column] = "no time was measured for this row"
            else:
                scores.values.setdefault(column, {})[name] = 1e9 * seconds / (restored.shape[2] * restored.shape[3])
        for key, describe in self._describe.items():
            try:
                found, true = _array(describe(restored)), self._true_features.setdefault(key, {})
                true[name] = true[name] if name in true else _array(describe(truth))
            except SettingError as error:
                columns = [metric.column.name for metric in self._sets if metric.describe is key]
                scores.empty.update(dict.fromkeys(columns, f"{name}: {error}"))
            else:
                scores.features.setdefault(key, {})[name] = found

    def skip(self, method: str, name: str, reason: str) -> None:
        """Note a picture that this row leaves out, and why."""
        self._rows.setdefault(method, _Scores()).skipped[name] = reason

    def skipped(self, method: str) -> dict[str, str]:
        """Pictures that a row leaves out so far, and why."""
        return dict(self._rows[method].skipped) if method in self._rows else {}

    def table(
        self,
        *,
        about: Mapping[str, str] | None = None,
        truth_digest: str = "",
        no_identity: str = "no input pictures were given",
        seed: int = 0,
        draws: int = 1,
    ) -> Table:
        """Everything scored so far.

        Parameters
        ----------
        about
            Command, seed, digests: where the numbers come from.
        truth_digest
            See :class:`restauro.metrics.table.Row`.
        no_identity
            Why the identity row is empty, where nothing was added to it.
        seed
            Of the bootstrap.
        draws
            How often each picture was added, under names of :func:`restauro.metrics.table.draw_name`.

        Raises
        ------
        DataError
            The rows were scored on different pictures.
        """
        rows = [self._row(method, scores, truth_digest) for method, scores in self._rows.items()]
        if IDENTITY not in self._rows:
            rows.insert(0, Row(IDENTITY, empty={column.name: no_identity for column in self.columns}))
        rows.sort(key=lambda row: row.method != IDENTITY)
        return Table(self.columns, tuple(rows), about or {}, seed, draws)

    def _score(
        self, metric: PairMetric, scores: _Scores, name: str, restored: Tensor, reference: Tensor | None
    ) -> None:
        column = metric.column.name
        if column in self._unavailable:
            return
        if reference is None:
            scores.empty[column] = "needs the input pictures"
            return
        try:
            value = float(self._compare[column](restored, reference)[0])
        except SettingError as error:
            # A column over some of the pictures only would be another table: one unfit picture empties it.
            scores.empty.setdefault(column, f"{name}: {error}")
        else:
            scores.values.setdefault(column, {})[name] = value

    def _row(self, method: str, scores: _Scores, truth_digest: str) -> Row:
        if not scores.names:
            nothing = dict.fromkeys((column.name for column in self.columns), "no picture could be scored")
            return Row(method, empty=nothing, skipped=scores.skipped)
        empty = {**self._unavailable, **scores.empty}
        whole_set: dict[str, float] = {}
        for metric in self._sets:
            column = metric.column.name
            if column in empty:
                continue
            found, true = scores.features[metric.describe], self._true_features[metric.describe]
            try:
                whole_set[column] = metric.distance(_stack(found, found), _stack(true, found))
            except SettingError as error:
                empty[column] = str(error)
        values = {column: by_name for column, by_name in scores.values.items() if column not in empty}
        return Row(method, values, whole_set, empty, scores.skipped, tuple(scores.names), truth_digest)


def _array(features: Tensor) -> NDArray[np.float64]:
    return features[0].cpu().double().numpy()


def _stack(features: Features, names: Iterable[str]) -> NDArray[np.float64]:
    return np.stack([features[name] for name in names])
