"""Frechet distance between two sets of features (Heusel et al. 2017, eq. 6); lower is better.

    d^2 = |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)),   S with n - 1 in the denominator (as np.cov)

``fsd``  on SqueezeNet 1.1 (Caffe) features: fire9 after its ReLU, mean over pixels, 512 numbers per picture, at the
         pictures' own size. Stands in for FID, whose Inception weights are not at hand, and is never called so.

Biased upwards, badly so for few pictures: two samples of one distribution do not score 0 but more, the fewer the
worse, and below 513 pictures the covariances are not even of full rank. Compare rows of the same pictures only, and
read :mod:`restauro.metrics.kid` beside it, which has no bias.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from restauro.errors import SettingError
from restauro.metrics.inputs import picture
from restauro.nets.features import SqueezeNet11

NAME_SQUEEZE = "fsd"
NOTE = "biased upwards for few pictures: only rows of this table may be compared; see ksd"


def squeeze_features(x: Tensor, network: SqueezeNet11) -> Tensor:
    """Features for ``fsd`` and ``ksd``: the mean over pixels of fire9.

    Parameters
    ----------
    x
        Float [N,3,H,W], sRGB in 0..1, sides of at least 17 px.
    network
        From :func:`restauro.nets.features.load_squeezenet11`.

    Returns
    -------
    Tensor
        [N, 512], not negative.

    Examples
    --------
    >>> import torch
    >>> squeeze_features(torch.rand(2, 3, 32, 40), SqueezeNet11()).shape
    torch.Size([2, 512])
    """
    picture(x)
    (fire9,) = network(x.float(), ["fire9"])
    pooled: Tensor = fire9.mean(dim=(2, 3))
    return pooled


def frechet_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Squared Frechet distance between Gaussians fitted to two sets of features.

    Parameters
    ----------
    a, b
        [n, d] and [m, d], at least two rows each; n and m may differ.

    Returns
    -------
    float
        Not negative, in squared units of the features.

    Raises
    ------
    SettingError
        Other shapes, fewer than two rows, or values that are not finite.

    Notes
    -----
    With centred features A, B the eigenvalues of S_a S_b are the squared singular values of A B^T / sqrt((n-1)(m-1)),
    so the trace of the root is a nuclear norm: real, not negative, and defined for few pictures too, where a matrix
    square root needs an epsilon. QR keeps that matrix at d x d. Float64; about a second for d = 512.

    Examples
    --------
    >>> a = np.random.default_rng(0).normal(size=(100, 3))
    >>> round(frechet_distance(a, a + [3, 4, 0]), 6)
    25.0
    """
    a, b = feature_pair(a, b)
    root_a, root_b = _covariance_root(a), _covariance_root(b)
    cross = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    shift = np.square(a.mean(axis=0) - b.mean(axis=0)).sum()
    # Rounding can leave -1e-16 where the sets are equal.
    return max(float(shift + np.square(root_a).sum() + np.square(root_b).sum() - 2 * cross), 0.0)


def feature_pair(a: NDArray[np.floating], b: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return `a` and `b` in float64, or say what is wrong with them."""
    for name, x in (("a", a), ("b", b)):
        if x.ndim != 2 or x.shape[0] < 2 or x.shape[1:] != a.shape[1:] or not np.isfinite(x).all():
            raise SettingError(name, f"{list(x.shape)}", "finite features [n, d], n from 2, one d for both")
    return a.astype(np.float64), b.astype(np.float64)


def _covariance_root(x: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = (x - x.mean(axis=0)) / np.sqrt(x.shape[0] - 1)
    root: NDArray[np.float64] = np.linalg.qr(centred).R
    return root
