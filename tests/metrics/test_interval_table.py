"""Intervals that cover, tables that refuse, and text that can be read back."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from restauro.errors import DataError, SettingError
from restauro.metrics.interval import mean_interval, paired_difference
from restauro.metrics.report import csv_text, from_json, json_text, markdown
from restauro.metrics.table import Column, Row, Table

PSNR = Column("psnr:rgb", "higher", digits=2, unit="dB")
FSD = Column("fsd", "lower", per_picture=False, note="biased")


def rng(seed=0):
    return np.random.default_rng(seed)


def row(method, *values, **more):
    return Row(method, {"psnr:rgb": {f"{k}.png": v for k, v in zip("abcdef", values, strict=False)}}, **more)


def test_interval_agrees_with_scipy():
    values = rng(3).normal(30, 2, size=60)
    ours = mean_interval(values, generator=rng(), resamples=20000)
    theirs = bootstrap((values,), np.mean, method="percentile", n_resamples=20000, rng=rng(1)).confidence_interval
    assert ours.mean == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    draw = rng(11)
    found = [mean_interval(draw.normal(size=40), generator=draw, resamples=300) for _ in range(300)]
    assert 0.89 < np.mean([i.low <= 0 <= i.high for i in found]) < 0.98


def test_interval_is_reproducible_and_widens_with_the_level():
    values = rng(2).normal(size=20)
    first = mean_interval(values, generator=rng(5))
    assert first == mean_interval(values, generator=rng(5))
    wide = mean_interval(values, generator=rng(5), level=0.99)
    assert wide.low < first.low < first.mean < first.high < wide.high


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=20))
def test_interval_stays_inside_the_values(values):
    found = mean_interval(values, generator=rng(), resamples=50)
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9


def test_infinite_values_are_counted_not_averaged():
    found = mean_interval([30.0, 32.0, math.inf], generator=rng())
    assert (found.mean, found.count, found.infinite) == (31.0, 2, 1)
    alone = mean_interval([math.inf, math.inf], generator=rng())
    assert math.isnan(alone.mean)
    assert (alone.count, alone.infinite) == (0, 2)


def test_one_picture_has_no_interval_and_nan_is_refused():
    assert math.isnan(mean_interval([3.0], generator=rng()).low)
    with pytest.raises(SettingError, match="NaN"):
        mean_interval([3.0, math.nan], generator=rng())


def test_paired_difference_is_narrower_than_the_spread_between_pictures():
    hard = rng(1).normal(25, 5, size=50)
    names = [f"{i}" for i in range(50)]
    first = dict(zip(names, hard + 0.3 + 0.1 * rng(2).normal(size=50), strict=True))
    second = dict(zip(reversed(names), hard[::-1], strict=True))  # another order: matched by name
    gain = paired_difference(first, second, generator=rng())
    alone = mean_interval(list(first.values()), generator=rng())
    assert gain.mean == pytest.approx(0.3, abs=0.05)
    assert gain.low > 0.25
    assert (gain.high - gain.low) * 20 < alone.high - alone.low


def test_several_values_of_a_picture_are_drawn_together():
    pictures = rng(1).normal(25, 5, size=40)
    alone = mean_interval(list(pictures), generator=rng(3))
    owner = [f"{k}" for k in range(40) for _ in range(6)]
    copied = mean_interval(list(np.repeat(pictures, 6)), generator=rng(3), pictures=owner)
    assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high), rel=0.02), "copies say nothing new"
    believed = mean_interval(list(np.repeat(pictures, 6)), generator=rng(3))
    assert believed.high - believed.low < 0.5 * (alone.high - alone.low), "taken for pictures they would"
    first = {f"{k} #{draw}": 1.0 * k for k in range(9) for draw in range(1, 5)}
    gain = paired_difference(first, dict.fromkeys(first, 0.0), generator=rng(), picture=lambda name: name.split()[0])
    assert gain.count == 36
    assert gain.mean == 4
    assert gain.high - gain.low == pytest.approx(2 * 1.96 * np.std(range(9)) / 3, rel=0.1)


def test_lost_values_leave_the_others_of_their_picture():
    found = mean_interval([1.0, math.inf, 4.0, 6.0], generator=rng(), pictures=["a", "a", "b", "b"])
    assert (found.mean, found.count, found.infinite) == (pytest.approx(11 / 3), 3, 1)
    assert (found.low, found.high) == (1.0, 5.0)
    assert math.isnan(mean_interval([1.0, 2.0], generator=rng(), pictures=["a", "a"]).low)
    with pytest.raises(SettingError, match="one name for each"):
        mean_interval([1.0, 2.0], generator=rng(), pictures=["a"])


def test_paired_difference_leaves_out_infinities_and_refuses_other_pictures():
    inf = math.inf
    gain = paired_difference({"a": inf, "b": inf, "c": 2.0}, {"a": inf, "b": 1.0, "c": 1.0}, generator=rng())
    assert (gain.mean, gain.count, gain.infinite) == (1.0, 1, 2)
    with pytest.raises(SettingError, match="only one of the two"):
        paired_difference({"a": 1.0}, {"b": 1.0}, generator=rng())
    with pytest.raises(SettingError, match="NaN"):
        paired_difference({"a": math.nan}, {"a": 1.0}, generator=rng())


class TestRefusals:
    def test_other_conventions(self):
        other = Row("ours", {"ssim:gauss11,rgb,valid": {"a.png": 0.5, "b.png": 0.6}})
        with pytest.raises(DataError, match="other conventions"):
            Table((PSNR,), (row("identity", 20, 21), other))

    def test_other_pictures(self):
        with pytest.raises(DataError, match="other pictures"):
            Table((PSNR,), (row("identity", 20, 21), row("ours", 20, 21, 22)))

    def test_a_picture_missing_under_one_metric_only(self):
        second = Column("other", "lower")
        values = {"psnr:rgb": {"a": 1.0, "b": 2.0}, "other": {"a": 1.0}}
        with pytest.raises(DataError, match="other pictures under other"):
            Table((PSNR, second), (Row("identity", values),))

    def test_same_names_but_other_bytes(self):
        with pytest.raises(DataError, match="other bytes"):
            Table((PSNR,), (row("identity", 20, truth_digest="0a"), row("ours", 21, truth_digest="0b")))

    def test_no_identity_row(self):
        with pytest.raises(DataError, match="'identity'"):
            Table((PSNR,), (row("ours", 20),))

    def test_the_same_method_twice(self):
        with pytest.raises(DataError, match="twice"):
            Table((PSNR,), (row("identity", 20), row("ours", 21), row("ours", 22)))

    def test_a_missing_value_without_a_reason(self):
        with pytest.raises(DataError, match="fsd"):
            Table((PSNR, FSD), (row("identity", 20), row("ours", 21)))

    def test_a_row_added_later(self):
        table = Table((PSNR,), (row("identity", 20, 21),))
        assert table.with_row(row("ours", 22, 23)).gain("ours", "psnr:rgb").mean == 2
        with pytest.raises(DataError, match="other pictures"):
            table.with_row(row("ours", 22))


def full_table() -> Table:
    rows = (
        row("ours", 24, math.inf, 26, whole_set={"fsd": 3.25}, skipped={"d.png": "unreadable"}),
        row("identity", 20, 21, 25, empty={"fsd": "no features given"}),
    )
    return Table((PSNR, FSD), rows, {"command": "restauro evaluate", "data": "0f3a"}, seed=4)


def test_markdown_says_what_a_reader_needs():
    text = markdown(full_table())
    lines = text.splitlines()
    assert lines[0] == "| method | psnr:rgb ↑ dB | fsd ↓ |"
    assert lines[2].startswith("| identity | 22.00 [")
    assert lines[3].startswith("| ours | 25.00 [")
    assert lines[3].endswith("| 3.2500 |")
    for words in (
        "3 pictures",
        "seed 4",
        "too narrow",
        "1 of 3 pictures are infinite",
        "fsd: biased",
        "empty: identity fsd: no features given",
        "skipped: ours, d.png: unreadable",
        "command: restauro evaluate",
        "gain over identity, paired",
    ):
        assert words in text


def test_csv_holds_every_value():
    lines = list(csv.DictReader(io.StringIO(csv_text(full_table()))))
    assert len(lines) == 3 + 3 + 1
    assert {line["psnr:rgb"] for line in lines if line["method"] == "ours"} == {"24", "inf", "26", ""}
    assert [line["fsd"] for line in lines if line["picture"] == "*"] == ["3.25"]


def test_json_is_strict_and_comes_back():
    table = full_table()
    text = json_text(table)
    content = json.loads(text, parse_constant=lambda c: pytest.fail(f"{c} is no JSON"))
    assert content["summary"]["ours"]["psnr:rgb"]["mean"]["infinite"] == 1
    assert from_json(text) == table
    assert markdown(from_json(text)) == markdown(table)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "other"}', "1"])
def test_from_json_refuses_other_files(text):
    with pytest.raises(DataError, match="table file"):
        from_json(text)


def test_a_tampered_file_is_refused_like_any_other_table():
    content = json.loads(json_text(full_table()))
    content["rows"][0]["values"]["psnr:rgb"].pop("a.png")
    with pytest.raises(DataError, match="other pictures"):
        from_json(json.dumps(content))
