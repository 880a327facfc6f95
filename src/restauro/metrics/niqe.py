"""NIQE, naturalness without a truth (Mittal, Soundararajan, Bovik 2013); lower is more like good photographs.

Statistics of locally normalised brightness, on patches of 96 px at two scales, are compared with those of sharp
patches of good photographs, as a distance between two Gaussians (eq. 10).

``niqe:restauro1``  brightness 0.299 R + 0.587 G + 0.114 B on 0..255, unrounded; 7x7 Gaussian, sigma 7/6, edges
                    repeated; second scale by 2x2 means; sides trimmed to multiples of 96; the photographs named in
                    ``niqe_restauro1.json``. Values depend on those photographs: no number of another NIQE (MATLAB,
                    scikit-video, BasicSR) can be compared with it.

A picture is not better for scoring below its truth: sharpening and ringing can do that. Read it beside a metric that
knows the truth.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import correlate1d
from scipy.special import gamma
from torch import Tensor

from restauro.errors import DataError, SettingError
from restauro.metrics.inputs import picture

NAME = "niqe:restauro1"
NOTE = "of the picture alone; scoring below the truth is not better"
MODEL_FILE = "niqe_restauro1.json"
PATCH_PX = 96
FEATURES = 36
SHARP = 0.75  # of the sharpest patch of a photograph: patches below it are not learned from

Array = NDArray[np.float64]

_taps = np.exp(-np.square(np.arange(7) - 3) / (2 * (7 / 6) ** 2))
_TAPS = _taps / _taps.sum()
_SHAPES = np.arange(0.2, 10, 0.001)
_RATIOS = gamma(2 / _SHAPES) ** 2 / (gamma(1 / _SHAPES) * gamma(3 / _SHAPES))  # rises with the shape
_SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))


@dataclass(frozen=True)
class Pristine:
    """The Gaussian of good photographs.

    Parameters
    ----------
    mean, covariance
        [36] and [36, 36].
    """

    mean: Array
    covariance: Array


def niqe(x: Tensor, pristine: Pristine | None = None) -> Tensor:
    """NIQE of each picture.

    Parameters
    ----------
    x
        Float [N,3,H,W], sRGB in 0..1, sides of at least 96 px, two patches or more.
    pristine
        What natural looks like; the one that ships is convention ``niqe:restauro1``.

    Returns
    -------
    Tensor
        [N], float64, not negative. 30 photographs that it was not fitted to: 3.0 in the mean, 1.7 to 4.3; with noise
        of sigma 25/255 7.7, blurred by 2 px 8.2, as JPEG of quality 10 7.2.

    Raises
    ------
    SettingError
        No picture, values outside 0..1, or fewer than two patches of 96 px.

    Notes
    -----
    Cost: a second per megapixel on one core; not differentiable.

    Examples
    --------
    >>> noise = torch.rand(1, 3, 192, 192, generator=torch.Generator().manual_seed(0))
    >>> niqe(noise).item() > 10
    True
    """
    known = pristine or shipped()
    scores = []
    for luma in _luma(x):
        features, _ = patch_features(luma)
        difference = features.mean(axis=0) - known.mean
        both = (np.cov(features.T) + known.covariance) / 2
        scores.append(np.sqrt(difference @ np.linalg.pinv(both) @ difference))
    return torch.tensor(scores, dtype=torch.float64)


def fit(pictures: Iterable[Tensor]) -> Pristine:
    """Learn what good photographs look like, from their sharpest patches.

    Parameters
    ----------
    pictures
        Float [1,3,H,W] each, sRGB in 0..1, sides of at least 96 px.

    Returns
    -------
    Pristine

    Raises
    ------
    DataError
        Fewer sharp patches than the 37 that a covariance of 36 features needs.
    """
    kept = []
    for x in pictures:
        for luma in _luma(x):
            features, sharpness = patch_features(luma)
            kept.append(features[sharpness > SHARP * sharpness.max()])
    sharp = np.concatenate(kept) if kept else np.empty((0, FEATURES))
    if len(sharp) <= FEATURES:
        raise DataError(f"niqe: found {len(sharp)} sharp patches, wanted more than {FEATURES}; give more pictures")
    return Pristine(sharp.mean(axis=0), np.cov(sharp.T))


@cache
def shipped() -> Pristine:
    """The model of ``niqe:restauro1``; its file says which photographs made it."""
    content = json.loads(files("restauro.metrics").joinpath(MODEL_FILE).read_text("utf-8"))
    return Pristine(np.array(content["mean"]), np.array(content["covariance"]))


def patch_features(luma: Array) -> tuple[Array, Array]:
    """Features [P, 36] and sharpness [P] of the patches of one picture.

    Parameters
    ----------
    luma
        [H, W] on 0..255.

    Raises
    ------
    SettingError
        Fewer than two patches.
    """
    rows, columns = (side // PATCH_PX for side in luma.shape)
    if rows * columns < 2:
        size = f"{luma.shape[1]}x{luma.shape[0]} px"
        raise SettingError("picture", size, f"room for two patches of {PATCH_PX}x{PATCH_PX} px")
    luma = luma[: rows * PATCH_PX, : columns * PATCH_PX]
    normal, deviation = _normalised(luma)
    half = luma.reshape(luma.shape[0] // 2, 2, luma.shape[1] // 2, 2).mean(axis=(1, 3))
    scales = [_patches(normal, PATCH_PX), _patches(_normalised(half)[0], PATCH_PX // 2)]
    features = np.concatenate([_describe(patches) for patches in scales], axis=1)
    return features, _patches(deviation, PATCH_PX).mean(axis=(1, 2))


def _luma(x: Tensor) -> Array:
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64).view(1, 3, 1, 1)
    luma: Array = (picture(x).cpu().double() * weights).sum(dim=1).mul(255).numpy()
    return luma


def _normalised(x: Array) -> tuple[Array, Array]:
    """Eqs. 1-3: brightness less its local mean, over its local deviation plus 1; and that deviation."""

    def local(x: Array) -> Array:
        mean: Array = correlate1d(correlate1d(x, _TAPS, 0, mode="nearest"), _TAPS, 1, mode="nearest")
        return mean

    mean = local(x)
    deviation = np.sqrt(np.abs(local(x * x) - mean * mean))
    # In flat areas only rounding errors are left, and below their signs would be counted.
    return np.round((x - mean) / (deviation + 1), 9), deviation


def _patches(x: Array, size: int) -> Array:
    rows, columns = x.shape[0] // size, x.shape[1] // size
    return x.reshape(rows, size, columns, size).swapaxes(1, 2).reshape(-1, size, size)


def _describe(patches: Array) -> Array:
    """18 numbers per patch: two of the values, four of the products with each of four neighbours (eqs. 4-9)."""
    shape, left, right, _ = _asymmetric_gaussian(patches)
    found = [shape, (left + right) / 2]
    for shift in _SHIFTS:
        shape, left, right, mean = _asymmetric_gaussian(patches * np.roll(patches, shift, axis=(1, 2)))
        found += [shape, mean, left, right]
    return np.stack(found, axis=1)


def _asymmetric_gaussian(patches: Array) -> tuple[Array, Array, Array, Array]:
    """Shape, left scale, right scale and mean of an asymmetric generalised Gaussian (moments; Lasmar et al. 2009)."""
    x = patches.reshape(len(patches), -1)
    below = x < 0
    squares = x * x
    tiny = np.finfo(np.float64).tiny  # a flat patch has no values on one side: its scales are then 0
    left = np.sqrt((squares * below).sum(axis=1) / np.maximum(below.sum(axis=1), 1))
    right = np.sqrt((squares * ~below).sum(axis=1) / np.maximum((~below).sum(axis=1), 1))
    skew = left / np.maximum(right, tiny)
    ratio = np.abs(x).mean(axis=1) ** 2 / np.maximum(squares.mean(axis=1), tiny)
    target = ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    at = np.clip(np.searchsorted(_RATIOS, target), 1, len(_RATIOS) - 1)
    at -= np.abs(_RATIOS[at - 1] - target) <= np.abs(_RATIOS[at] - target)
    shape = _SHAPES[at]
    scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    left, right = left * scale, right * scale
    return shape, left, right, (right - left) * gamma(2 / shape) / gamma(1 / shape)
