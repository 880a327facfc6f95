"""Kernel distance between two sets of features (Binkowski et al. 2018, eq. 4); lower is better.

    unbiased MMD^2 with k(x, y) = (x . y / d + 1)^3

``ksd``  on the SqueezeNet features of ``fsd``, for pictures in pairs; stands in for KID and is never called KID.

Without bias at any number of pictures, hence about 0, a little below too, for two samples of one distribution. All
pictures at once, not the mean over random subsets that other programs take.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from restauro.errors import SettingError
from restauro.metrics.fid import feature_pair

NAME_SQUEEZE = "ksd"
NOTE = "unbiased, but noisy for few pictures; may be negative"


def kernel_distance(a: NDArray[np.floating], b: NDArray[np.floating], *, paired: bool = False) -> float:
    """Unbiased squared maximum mean discrepancy with the cubic polynomial kernel.

    Parameters
    ----------
    a, b
        Features [n, d] and [m, d], at least two rows each.
    paired
        Row i of both is the same picture, restored and true. What a pair has in common is no sign of equal
        distributions, so a_i with b_i is left out (Gretton et al. 2012, eq. 4); otherwise the result is biased below
        0.

    Returns
    -------
    float
        About 0 for samples of one distribution, negative values included. With `paired`, exactly 0 for equal sets.

    Raises
    ------
    SettingError
        Other shapes, fewer than two rows, values that are not finite, or pairs of unequal number.

    Notes
    -----
    Cost: (n + m)^2 d multiplications, float64.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a, b, far = rng.normal(size=(200, 8)), rng.normal(size=(200, 8)), rng.normal(1, 1, size=(200, 8))
    >>> abs(kernel_distance(a, b)) < 0.05 < kernel_distance(a, far)
    True
    """
    a, b = feature_pair(a, b)
    if paired and a.shape != b.shape:
        raise SettingError("b", list(b.shape), f"as many features as a, {list(a.shape)}")
    across = _kernel(a, b)
    within = _mean_off_diagonal(_kernel(a, a)) + _mean_off_diagonal(_kernel(b, b))
    return within - 2 * (_mean_off_diagonal(across) if paired else float(across.mean()))


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    cubed: NDArray[np.float64] = (x @ y.T / x.shape[1] + 1) ** 3
    return cubed


def _mean_off_diagonal(k: NDArray[np.float64]) -> float:
    n = k.shape[0]
    return float((k.sum() - np.trace(k)) / (n * (n - 1)))
