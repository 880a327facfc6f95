"""How sure a mean is: bootstrap intervals over pictures, for one method and for the difference of two.

The picture is the unit: resampling pixels or patches would make intervals far too narrow. Percentile bootstrap (Efron
1979): resample the pictures with replacement, take the mean, keep the middle 95 % of the means. It is too narrow for
few pictures: on normal data it caught the truth in 84 % of 2000 trials with 5 pictures, 89 % with 10, 93 % with 20
and 94 % with 50. Several values of one picture are resampled together: they are not several pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
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
        Values in the mean: pictures, or draws of pictures.
    infinite
        Values left out because they are infinite (PSNR of equal pictures). A mean with them is infinite and
        says nothing about the rest; a mean without them has to say how many are missing: here.
    """

    mean: float
    low: float
    high: float
    count: int
    infinite: int = 0


def mean_interval(
    values: Sequence[float],
    *,
    generator: np.random.Generator,
    resamples: int = 2000,
    level: float = 0.95,
    pictures: Sequence[str] | None = None,
) -> Interval:
    """Mean over pictures with its bootstrap interval.

    Parameters
    ----------
    values
        One number per picture, or per draw of a picture. Infinite ones are left out and counted.
    generator
        Source of the resampling; the same seed gives the same interval.
    resamples
        How many means are drawn; 2000 fixes the ends to about 2 % of the width.
    level
        Share of the resampled means inside the interval, in 0..1.
    pictures
        Which picture each value is of, where several are of one; a picture's values are drawn together.

    Returns
    -------
    Interval

    Raises
    ------
    SettingError
        A value is NaN (a picture without a value belongs to the skipped ones), a setting is out of range, or
        `pictures` is of another length.

    Notes
    -----
    Cost: resamples x pictures numbers of work, a few milliseconds.

    Examples
    --------
    >>> found = mean_interval([27.1, 30.2, 25.9, float("inf")], generator=np.random.default_rng(0))
    >>> round(found.mean, 2), found.count, found.infinite
    (27.73, 3, 1)
    >>> found = mean_interval([27.0, 27.4, 30.0], generator=np.random.default_rng(0), pictures=["a", "a", "b"])
    >>> round(found.mean, 2), found.count
    (28.13, 3)
    """
    if resamples < 1:
        raise SettingError("resamples", resamples, "a whole number from 1")
    if not 0 < level < 1:
        raise SettingError("level", level, "a number between 0 and 1")
    given = np.asarray(values, dtype=np.float64)
    if np.isnan(given).any():
        raise SettingError("values", "NaN", "numbers; list a picture without a value as skipped")
    if pictures is not None and len(pictures) != given.size:
        raise SettingError("pictures", len(pictures), f"one name for each of {given.size} values")
    kept = np.isfinite(given)
    finite = given[kept]
    infinite = given.size - finite.size
    if finite.size == 0:
        return Interval(math.nan, math.nan, math.nan, 0, infinite)
    mean = float(finite.mean())
    owner = np.arange(finite.size)
    if pictures is not None:
        _, owner = np.unique(np.asarray(pictures)[kept], return_inverse=True)
    sums, sizes = np.bincount(owner, finite), np.bincount(owner)
    if sums.size == 1:
        return Interval(mean, math.nan, math.nan, int(finite.size), infinite)
    counts = generator.multinomial(sums.size, np.full(sums.size, 1 / sums.size), size=resamples)
    low, high = np.quantile((counts @ sums) / (counts @ sizes), [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(low), float(high), int(finite.size), infinite)


def paired_difference(
    first: Mapping[str, float],
    second: Mapping[str, float],
    *,
    generator: np.random.Generator,
    resamples: int = 2000,
    level: float = 0.95,
    picture: Callable[[str], str] | None = None,
) -> Interval:
    """Mean of first - second over the same pictures, with its bootstrap interval.

    Usually far narrower than two separate intervals suggest: what makes a picture hard is common to both methods.

    Parameters
    ----------
    first, second
        Value by picture name; the names must be the same. Pictures where either is infinite are left out, counted.
    generator, resamples, level
        As in :func:`mean_interval`.
    picture
        Name of a value -> name of its picture, where several values are of one.

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
    names = sorted(first)
    pairs = [(first[name], second[name]) for name in names]
    # Two equal infinities differ by NaN, but mean the same as one: somebody is perfect here.
    differences = [math.inf if math.isinf(a) or math.isinf(b) else a - b for a, b in pairs]
    of = None if picture is None else [picture(name) for name in names]
    return mean_interval(differences, generator=generator, resamples=resamples, level=level, pictures=of)
