"""The score tables of ``restauro inspect``: results/inspect.md. tools/train_inspect.py uses this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from scipy.stats import binomtest, rankdata

from restauro.metrics.interval import mean_interval
from restauro.restore.inspect.classifier import Strength, load
from restauro.restore.inspect.report import too_little

COMMAND = "python tools/train_inspect.py --root FOLDER"


class Samples(Protocol):
    """What of train_inspect.Samples is needed here."""

    rows: np.ndarray
    change: np.ndarray
    count: np.ndarray
    text: np.ndarray
    strength: np.ndarray
    spans: list[slice]
    family: np.ndarray


class Judged:
    """Every validation version with the report's answers."""

    def __init__(self, samples: Samples, weights: Path, families: Sequence[str]) -> None:
        judge = load(weights)
        self.samples, self.families, self.sha256 = samples, tuple(families), judge.sha256
        self.decided = judge.decided
        self.source, self.picture, self.kind, self.after = samples.text.T
        chances: list[list[float]] = []
        verdicts: list[str] = []
        self.strength: list[Strength] = []
        for span in samples.spans:
            rows = samples.rows[span]
            found, strength = judge.picture(rows)
            chances.append([found[name] for name in families])
            self.strength.append(strength)
            smoothed = 1 - found["none"] - found["other"]
            verdicts.append("cannot tell" if too_little(rows) else judge.verdict(smoothed))
        self.chances, self.verdict = np.array(chances), np.array(verdicts)
        self.smoothed = 1 - self.chances[:, 0] - self.chances[:, -1]
        self.places = judge.places(samples.rows)

    def rate(self, mask: np.ndarray, verdict: str = "smoothed") -> str:
        """How often a verdict falls where ``mask`` holds, with Wilson's interval (one version per picture)."""
        n, hits = int(mask.sum()), int((self.verdict[mask] == verdict).sum())
        if not n:
            return "-"
        interval = binomtest(hits, n).proportion_ci(method="wilson")
        return f"{100 * hits / n:.1f} % [{100 * interval.low:.1f}, {100 * interval.high:.1f}] of {n}"

    def mean(self, values: np.ndarray, mask: np.ndarray, form: Callable[[float], str]) -> str:
        """Mean over pictures, each picture's versions averaged first, with a bootstrap interval."""
        pictures = sorted(set(self.picture[mask]))
        each = [float(values[mask & (self.picture == name)].mean()) for name in pictures]
        found = mean_interval(each, generator=np.random.default_rng(0))
        return f"{form(found.mean)} [{form(found.low)}, {form(found.high)}] over {found.count} pictures"


def write_results(
    target: Path, weights: Path, samples: Samples, families: Sequence[str], checks: Sequence[str]
) -> None:
    """All tables."""
    judged = Judged(samples, weights, families)
    parts = [
        "# inspect\n",
        f"Scores of the classifier `weights/inspect.safetensors` (sha256 {judged.sha256[:16]}...) on validation lists "
        f"that it was not trained on.\nMade by `{COMMAND}`. Intervals are 95 %. What it means: "
        "[docs/guide/inspect.md](../docs/guide/inspect.md).\n",
        *_alarms(judged, checks),
        *_found(judged),
        *_confusion(judged),
        *_calibration(judged),
        *_strength(judged),
        *_unseen(judged),
        *_where(judged),
        *_suggestions(judged),
    ]
    target.write_text("\n".join(parts), encoding="utf-8")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(row) + " |" for row in rows)]
    return "\n".join(lines) + "\n"


def _alarms(judged: Judged, checks: Sequence[str]) -> list[str]:
    none = judged.kind == "none"
    rows = [
        [check, judged.rate(none & (judged.after == check)), judged.rate(none & (judged.after == check), "cannot tell")]
        for check in checks
    ]
    hit = (judged.verdict == "smoothed").astype(float)
    sources = sorted(set(judged.source))
    by_source = [[name, judged.mean(hit, none & (judged.source == name), _percent)] for name in sources]
    other = judged.kind == "other"
    ruined = [[what, judged.rate(other & (judged.after == what))] for what in sorted(set(judged.after[other]))]
    return [
        "## False alarms: never smoothed, and called smoothed\n",
        f"All everyday changes together: {judged.mean(hit, none, _percent)}. "
        "Versions too small for a verdict (six places of 64 px) are left out.\n",
        _table(["never smoothed, then", "called smoothed", "cannot tell"], rows),
        _table(["set", "called smoothed (all everyday changes)"], by_source),
        _table(["ruined otherwise", "called smoothed"], ruined),
    ]


def _found(judged: Judged) -> list[str]:
    strength = judged.samples.strength
    known = ~np.isnan(strength)
    hit = (judged.verdict == "smoothed").astype(float)
    plain = known & (judged.after == "as it is")
    missed = (judged.verdict == "not smoothed").astype(float)
    rows = []
    for method in sorted(set(judged.kind[known])):
        for as_it_is, name in ((True, "as it is"), (False, "after an everyday change")):
            mask = known & (judged.kind == method) & ((judged.after == "as it is") == as_it_is)
            parts = [mask & (strength >= low) & (strength < low + 1 / 3) for low in (0, 1 / 3, 2 / 3)]
            rows.append([method, name, *(judged.rate(part) for part in parts)])
    return [
        "## Found: smoothed, and called smoothed\n",
        f"As they are: {judged.mean(hit, plain, _percent)}; "
        f"called not smoothed {judged.mean(missed, plain, _percent)}. "
        f"After an everyday change: {judged.mean(hit, known & ~plain, _percent)}.\n"
        f"Called smoothed from a probability of {100 * judged.decided['smoothed_from']:.1f} %, not smoothed up to "
        f"{100 * judged.decided['untouched_to']:.0f} %.\n",
        _table(["smoother", "then", "strength 0 to 1/3", "1/3 to 2/3", "2/3 to 1"], rows),
    ]


def _confusion(judged: Judged) -> list[str]:
    known = judged.samples.family >= 0
    named = judged.chances.argmax(1)
    right = (named == judged.samples.family).astype(float)
    smoothed = known & ~np.isnan(judged.samples.strength)
    strong = smoothed & (judged.samples.strength > 1 / 3)
    rows = []
    for index, family in enumerate(judged.families):
        of = judged.samples.family == index
        rows.append(
            [
                f"**{family}**",
                *(f"{100 * (named[of] == k).mean():.0f}" for k in range(len(judged.families))),
                str(int(of.sum())),
            ]
        )
    return [
        "## Which smoother: the likeliest family, in % of each row\n",
        f"Right: {judged.mean(right, known, _percent)} (all versions, everyday changes included); "
        f"smoothed ones {judged.mean(right, smoothed, _percent)}; those of strength above 1/3 "
        f"{judged.mean(right, strong, _percent)}.\n",
        _table(["truth", *judged.families, "versions"], rows),
    ]


def _calibration(judged: Judged) -> list[str]:
    known = judged.samples.family >= 0
    index = np.array([judged.families.index("none"), judged.families.index("other")])
    truth = ~np.isin(judged.samples.family, index)
    weight = _prior_weight(judged)
    rows, error = [], 0.0
    total = weight[known].sum()
    for low in np.arange(0, 1, 0.1):
        mask = known & (judged.smoothed >= low) & (judged.smoothed < low + 0.1 + 1e-9 * (low > 0.85))
        if not mask.any():
            continue
        said = np.average(judged.smoothed[mask], weights=weight[mask])
        was = np.average(truth[mask], weights=weight[mask])
        error += weight[mask].sum() / total * abs(said - was)
        rows.append(
            [
                f"{100 * low:.0f} to {100 * low + 10:.0f} %",
                f"{100 * said:.1f}",
                f"{100 * was:.1f}",
                str(int(mask.sum())),
            ]
        )
    return [
        '## Calibration of "smoothed"\n',
        f"Expected calibration error {100 * error:.1f} points, in a world where 40 % of pictures are untouched, 10 % "
        "ruined otherwise and the rest smoothed, all families alike.\n",
        _table(["said", "mean said, %", "was smoothed, %", "versions"], rows),
    ]


def _prior_weight(judged: Judged) -> np.ndarray:
    family = judged.samples.family
    share = {0: 0.4, len(judged.families) - 1: 0.1}
    rest = 0.5 / (len(judged.families) - 2)
    return np.array([share.get(f, rest) / max(1, (family == f).sum()) for f in family])


def _strength(judged: Judged) -> list[str]:
    truth = judged.samples.strength
    value, low, high = (np.array([getattr(s, name) for s in judged.strength]) for name in ("value", "low", "high"))
    known = ~np.isnan(truth)
    error, inside = np.abs(value - truth), ((truth >= low) & (truth <= high)).astype(float)
    found = known & (judged.verdict == "smoothed")
    rows = [["all", judged.mean(error, known, _two), judged.mean(inside, known, _percent)]]
    rows.append(["all that are called smoothed", judged.mean(error, found, _two), judged.mean(inside, found, _percent)])
    for method in sorted(set(judged.kind[known])):
        mask = known & (judged.kind == method)
        rows.append([method, judged.mean(error, mask, _two), judged.mean(inside, mask, _percent)])
    spread = np.abs(truth[known] - np.median(truth[known])).mean()
    return [
        "## Strength, on the scale 0 to 1\n",
        f"Saying the middle every time would err by {spread:.2f}. The interval is meant to hold the truth in 80 %.\n",
        _table(["smoother", "mean absolute error", "truth in the interval"], rows),
    ]


def _unseen(judged: Judged) -> list[str]:
    rows = []
    for kind in sorted({k for k in judged.kind if k.startswith("unseen")}):
        mask = judged.kind == kind
        named = judged.chances[mask].argmax(1)
        order = np.bincount(named, minlength=len(judged.families)).argsort()[::-1][:2]
        taken = ", ".join(
            f"{judged.families[k]} {100 * (named == k).mean():.0f} %" for k in order if (named == k).any()
        )
        rows.append([kind.removeprefix("unseen "), judged.rate(mask), taken])
    return [
        "## Smoothers it has never seen (default settings)\n",
        _table(["smoother", "called smoothed", "taken for"], rows),
    ]


def _where(judged: Judged) -> list[str]:
    """Area under the ROC curve of the places, among versions that were not moved about."""
    family = np.repeat(judged.samples.family, judged.samples.count)
    still = np.repeat(judged.after == "as it is", judged.samples.count)
    by = (family > 0) & (family < len(judged.families) - 1) & still
    changed, alone = by & (judged.samples.change >= 0.7), (family == 0) & still
    inside = by & (family == judged.families.index("beautify"))
    untouched = inside & (judged.samples.change < 0.1)
    rows = [
        ["smoothed places against those of untouched pictures", _area(judged.places, changed, alone)],
        [
            "within pictures with a beauty filter: smoothed places against the rest",
            _area(judged.places, inside & changed, untouched),
        ],
    ]
    return ["## Where: area under the ROC curve of the places (64 px)\n", _table(["comparison", "area"], rows)]


def _area(scores: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> str:
    if not positive.any() or not negative.any():
        return "-"
    ranks = rankdata(np.concatenate([scores[positive], scores[negative]]))
    n, m = int(positive.sum()), int(negative.sum())
    area = (ranks[:n].sum() - n * (n + 1) / 2) / (n * m)
    return f"{area:.3f} ({n} and {m} places)"


def _suggestions(judged: Judged) -> list[str]:
    rows = []
    for family, known in judged.decided["suggestions"].items():
        cells = [f"{dial:.2f} ({gain:+.2f} dB)" for dial, gain in zip(known["dial"], known["gain_db"], strict=True)]
        rows.append([family, known["model"], *cells])
    text = "Measured on six training pictures of 128 px; families without a line have no model that gains 0.1 dB.\n"
    return ["## What it suggests\n", text, _table(["family", "model", "dial at strength 0.1", "0.5", "0.9"], rows)]


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _two(value: float) -> str:
    return f"{value:.3f}"
