"""Put a changed face back: only what changed, softly, with the tone of what surrounds it.

The *difference* between the changed and the original crop is added to the picture in linear light,

    out = encode(decode(picture) + warp(mask * D)),    D = gain * decode(changed) - decode(original),

so that a face which was not changed gives back the picture bit for bit, and a face that is larger in the picture than
in the crop keeps the picture's own fine detail. The gain takes out exposure and white balance that the model shifted:
it is the ratio of the local means of original and changed over the pixels that the mask lets through least, carried
inwards, for each channel. So there is no step of tone at the mask's border.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from restauro.codecs.icc import srgb_decode, srgb_encode
from restauro.errors import SettingError
from restauro.restore.faces.sample import Floats, Similarity, resample

FEATHER = 0.25
TONE_CELLS = 32
DARK = 0.01  # in linear light: keeps the gain of black near 1
MOST_GAIN = 2.0


@dataclass(frozen=True, eq=False)
class Change:
    """One face before and after.

    Parameters
    ----------
    changed, original
        float32 [S, S, C], sRGB: what the model made, and the crop that it was given.
    transform
        Picture to crop.

    Raises
    ------
    SettingError
        Shapes that do not fit each other.
    """

    changed: Floats
    original: Floats
    transform: Similarity

    def __post_init__(self) -> None:
        wanted = (self.transform.size_px, self.transform.size_px)
        if self.changed.shape != self.original.shape or self.original.shape[:2] != wanted:
            shapes = (list(self.changed.shape), list(self.original.shape))
            raise SettingError("changed, original", shapes, f"both [{wanted[0]}, {wanted[1]}, C]")


def paste(
    pixels: Floats, changed: Floats, original: Floats, transform: Similarity, *, feather: float = FEATHER
) -> Floats:
    """Picture with one changed face: :func:`paste_all` of one.

    >>> picture = np.random.default_rng(0).random((32, 32, 3), np.float32)
    >>> transform = Similarity(1.0, 0.0, -8.0, -8.0, 16)
    >>> crop = picture[8:24, 8:24]
    >>> bool((paste(picture, crop, crop, transform) == picture).all())
    True
    """
    return paste_all(pixels, [Change(changed, original, transform)], feather=feather)


def paste_all(pixels: Floats, changes: Sequence[Change], *, feather: float = FEATHER) -> Floats:
    """Picture with all changed faces; where two of them overlap, their mean by mask.

    Parameters
    ----------
    pixels
        float32 [H, W, C], sRGB.
    changes
        The faces, in any order, all cut from these pixels.
    feather
        Width of the mask's soft border, 0..1 of half the crop's side.

    Returns
    -------
    ndarray
        float32 [H, W, C]; a new array, equal to `pixels` bit for bit wherever nothing changed.

    Raises
    ------
    SettingError
        A feather outside 0..1, or other channels than the picture's.

    Notes
    -----
    Cost: the decoding of two crops and the resampling of one, per face; 20 bytes per pixel of the picture.
    """
    height, width, channels = pixels.shape
    added = np.zeros((height, width, channels), np.float32)
    weight = np.zeros((height, width, 1), np.float32)
    for change in changes:
        if change.original.shape[2] != channels:
            raise SettingError("changed", list(change.changed.shape), f"{channels} channels, as the picture")
        mask = soft_mask(change.transform.size_px, feather)[:, :, None]
        layers = np.concatenate([mask * _difference(change, mask), mask], axis=2)
        box = _box(change.transform, width, height)
        if box is None:
            continue
        left, top, right, bottom = box
        warped = resample(layers, change.transform, box, "zeros")
        added[top:bottom, left:right] += warped[:, :, :channels]
        weight[top:bottom, left:right] += warped[:, :, channels:]
    moved = (added != 0).any(axis=2)
    out = pixels.copy()
    out[moved] = srgb_encode(srgb_decode(pixels[moved]) + added[moved] / np.maximum(weight[moved], 1))
    return out


def soft_mask(size_px: int, feather: float = FEATHER) -> NDArray[np.float32]:
    """1 inside, 0 from the edge of a rounded square on, with two smooth derivatives in between.

    The square is u^4 + v^4 = 1 (a superellipse) and the ramp 6 t^5 - 15 t^4 + 10 t^3.

    Parameters
    ----------
    size_px
        Side.
    feather
        Width of the ramp, 0..1 of half the side.

    Returns
    -------
    ndarray
        float32 [size_px, size_px].

    Examples
    --------
    >>> mask = soft_mask(64)
    >>> float(mask[32, 32]), float(mask[0].max()) < 0.01
    (1.0, True)
    """
    if not 0 <= feather <= 1:
        raise SettingError("feather", feather, "a number in 0..1")
    u = (np.arange(size_px) + 0.5) / size_px * 2 - 1
    radius = (u[:, None] ** 4 + u**4) ** 0.25
    t = np.clip((1 - radius) / max(feather, 1e-6), 0, 1)
    return (t**3 * (t * (6 * t - 15) + 10)).astype(np.float32)


def _difference(change: Change, mask: NDArray[np.float32]) -> Floats:
    """What the model changed, in linear light, with the tone that the picture has around the mask."""
    original, changed = srgb_decode(change.original), srgb_decode(change.changed)
    if np.array_equal(original, changed):
        return np.zeros_like(original)
    return changed * _gain(original, changed, 1 - mask) - original


def _gain(original: Floats, changed: Floats, ring: NDArray[np.float32]) -> Floats:
    """Ratio of the local means of both over `ring`, carried inwards by weights that fall with the cube of the distance.

    On a thin ring these weights are close to the Poisson kernel, so each mean is close to the membrane that has the
    ring's values at its border. A grid of 32 x 32 cells is enough for it.
    """
    size, channels = original.shape[0], original.shape[2]
    cells = min(TONE_CELLS, size)
    layers = torch.from_numpy(np.concatenate([original * ring, changed * ring, ring], axis=2)).permute(2, 0, 1)
    means = F.adaptive_avg_pool2d(layers, cells).flatten(1).double()
    at = torch.arange(cells, dtype=torch.float64)
    apart = (at[:, None] - at).square()
    square = (apart[:, None, :, None] + apart[None, :, None, :]).reshape(cells**2, cells**2)
    sums = means @ (square + 0.25) ** -1.5  # a cell is half a cell away from itself
    wanted, found = ((part / sums[-1]).clamp(min=0) for part in (sums[:channels], sums[channels:-1]))
    gain = ((wanted + DARK) / (found + DARK)).clamp(1 / MOST_GAIN, MOST_GAIN).float().reshape(1, channels, cells, cells)
    made = F.interpolate(gain, (size, size), mode="bicubic", align_corners=False)
    return np.ascontiguousarray(made[0].permute(1, 2, 0).numpy())


def _box(transform: Similarity, width: int, height: int) -> tuple[int, int, int, int] | None:
    """The part of the picture under the crop; None if there is none."""
    low, high = transform.corners.min(axis=0), transform.corners.max(axis=0)
    left, top = (max(math.floor(value) - 1, 0) for value in low)
    right, bottom = min(math.ceil(high[0]) + 1, width), min(math.ceil(high[1]) + 1, height)
    return (left, top, right, bottom) if left < right and top < bottom else None
