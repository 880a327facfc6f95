"""How sure a mean is: bootstrap intervals over pictures, for one method and for the difference of two.

The picture is the unit: resampling pixels or patches would make intervals far too narrow. Percentile bootstrap (Efron
1979): resample the pictures with replacement, take the mean, keep the middle 95 % of the means. It is too narrow for
few pictures: on normal data it caught the truth in 84 % of 2000 trials with 5 pictures, 89 % with 10, 93 % with 20
and 94 % with 50.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from restauro.errors import SettingError


@dataclass(frozen=True)
class Interval:
    """A mean and the range it may be in.

    Parameters
    ----------
    mean
        Mean over the pictures with a finite value; NaN where there are none.
    low, high
        Ends of the interval; NaN below two finite values, where nothing is known.
    count
        Pictures in the mean.
    infinite
        Pictures left out because their value is infinite (PSNR of equal pictures). A mean with them is infinite and
        says nothing about the rest; a mean without them has to say how many are missing: here.
    """

    mean: float
    low: float
    high: float
    count: int
    infinite: int = 0


def mean_interval(
    values: Sequence[float], *, generator: np.random.Generator, resamples: int = 2000, level: float = 0.95
) -> Interval:
    """Mean over pictures with its bootstrap interval.

    Parameters
    ----------
    values
        One number per picture. Infinite ones are left out and counted.
    generator
        Source of the resampling; the same seed gives the same interval.
    resamples
        How many means are drawn; 2000 fixes the ends to about 2 % of the width.
    level
        Share of the resampled means inside the interval, in 0..1.

    Returns
    -------
    Interval

    Raises
    ------
    SettingError
        A value is NaN (a picture without a value belongs to the skipped ones), or a setting is out of range.

    Notes
    -----
    Cost: resamples x pictures numbers of work, a few milliseconds.

    Examples
    --------
    >>> found = mean_interval([27.1, 30.2, 25.9, float("inf")], generator=np.random.default_rng(0))
    >>> round(found.mean, 2), found.count, found.infinite
    (27.73, 3, 1)
    """
    if resamples < 1:
        raise SettingError("resamples", resamples, "a whole number from 1")
    if not 0 < level < 1:
        raise SettingError("level", level, "a number between 0 and 1")
    given = np.asarray(values, dtype=np.float64)
    if np.isnan(given).any():
        raise SettingError("values", "NaN", "numbers; list a picture without a value as skipped")
    finite = given[np.isfinite(given)]
    infinite = given.size - finite.size
    if finite.size == 0:
        return Interval(math.nan, math.nan, math.nan, 0, infinite)
    mean = float(finite.mean())
    if finite.size == 1:
        return Interval(mean, math.nan, math.nan, 1, infinite)
    counts = generator.multinomial(finite.size, np.full(finite.size, 1 / finite.size), size=resamples)
    low, high = np.quantile(counts @ finite / finite.size, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(low), float(high), int(finite.size), infinite)


def paired_difference(
    first: Mapping[str, float],
    second: Mapping[str, float],
    *,
    generator: np.random.Generator,
    resamples: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Mean of first - second over the same pictures, with its bootstrap interval.

    Usually far narrower than two separate intervals suggest: what makes a picture hard is common to both methods.

    Parameters
    ----------
    first, second
        Value by picture name; the names must be the same. Pictures where either is infinite are left out, counted.
    generator, resamples, level
        As in :func:`mean_interval`.

    Returns
    -------
    Interval

    Raises
    ------
    SettingError
        The pictures differ, or a value is NaN.

    Examples
    --------
    >>> first, second = {"a": 30.0, "b": 21.0}, {"b": 20.0, "a": 29.0}
    >>> gain = paired_difference(first, second, generator=np.random.default_rng(0))
    >>> gain.mean, gain.low, gain.high
    (1.0, 1.0, 1.0)
    """
    if first.keys() != second.keys():
        unlike = sorted(first.keys() ^ second.keys())
        raise SettingError("pictures", f"{len(unlike)} in only one of the two ({unlike[0]}, ...)", "the same pictures")
    pairs = [(first[name], second[name]) for name in sorted(first)]
    # Two equal infinities differ by NaN, but mean the same as one: somebody is perfect here.
    differences = [math.inf if math.isinf(a) or math.isinf(b) else a - b for a, b in pairs]
    return mean_interval(differences, generator=generator, resamples=resamples, level=level)
