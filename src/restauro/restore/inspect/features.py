"""What a smoother leaves behind, as numbers: per patch of 64 px, and pooled over a picture.

Photographs have gradients of all sizes at all scales. A smoother removes the small ones and keeps the large ones, each
in its own way: L0 leaves exactly flat pixels between hard steps, filters along lines leave streaks, averaging filters
leave low local deviations beside untouched edges, a beauty filter does this on skin only. Everything is measured on
8-bit levels, whatever the depth of the picture, because that is what the classifier learned from.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from restauro.degrade.beautify import skin_likeness

PATCH_PX = 64
#: Patches along a side at most: what bounds the cost for pictures of any size.
MOST_PER_SIDE = 10

_STEPS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # levels: gradients up to these are counted
_SCALES = 3
_NOTHING = 0.01  # squared levels: keeps the logarithm of an empty band finite
_EIGHTS = 8  # the block of JPEG

_NAMES_BY_SCALE = (*(f"gradients<={step:g}" for step in _STEPS), "energy", "kurtosis", "next", "mixed")
NAMES: tuple[str, ...] = (
    *(f"{name}@1/{2**scale}" for scale in range(_SCALES) for name in _NAMES_BY_SCALE),
    *("flat", "flat-along", "sharp", "overshoot", "grid"),
    *(f"deviation-{q}%" for q in (5, 25, 50, 75, 95)),
    *(f"deviation-{q}%@1/2" for q in (10, 50, 90)),
    *("residual-median", "residual-slope", "residual-at-1"),
    *("octave-1", "octave-2", "octave-3", "diagonal", "finest"),
    *("chroma", "skin", "skin-deviation", "brightness", "clipped"),
)
#: How a picture's patches become one vector.
POOLS = ("mean", "10%", "90%", "skin")


@dataclass(frozen=True, eq=False)
class Patches:
    """The patches of one picture that are looked at.

    Parameters
    ----------
    levels
        [P, C, 64, 64] float32, whole levels 0..255, row by row.
    tops, lefts
        First row of each row of patches, first column of each column of patches; P = len(tops) * len(lefts).
    """

    levels: Tensor
    tops: tuple[int, ...]
    lefts: tuple[int, ...]


def patches_of(pixels: NDArray[np.float32]) -> Patches:
    """Cut the patches: as many as fit without overlap, at most 10 along a side, evenly spread.

    Parameters
    ----------
    pixels
        [H, W, 1 or 3], sRGB; values outside 0..1 are clipped.

    Examples
    --------
    >>> found = patches_of(np.zeros((100, 200, 3), np.float32))
    >>> found.levels.shape, found.tops, found.lefts
    (torch.Size([3, 3, 64, 64]), (18,), (1, 68, 135))
    """
    height, width = pixels.shape[:2]
    tops, lefts = _places(height), _places(width)
    cut = [pixels[top : top + PATCH_PX, left : left + PATCH_PX] for top in tops for left in lefts]
    if not cut:
        return Patches(torch.zeros(0, pixels.shape[2], PATCH_PX, PATCH_PX), tops, lefts)
    levels = torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2).contiguous()
    return Patches(levels.mul_(255).round_().clamp_(0, 255), tops, lefts)


def _places(side: int) -> tuple[int, ...]:
    count = min(side // PATCH_PX, MOST_PER_SIDE)
    free = side - count * PATCH_PX
    return tuple(round(free * (k + 0.5) / count) + k * PATCH_PX for k in range(count))


def features(levels: Tensor) -> NDArray[np.float32]:
    """Features of each patch.

    Parameters
    ----------
    levels
        [P, 1 or 3, 64, 64], whole levels 0..255.

    Returns
    -------
    ndarray
        [P, len(NAMES)] float32, finite.

    Notes
    -----
    Cost: about 0.7 ms per patch on one core.

    Examples
    --------
    >>> flat = dict(zip(NAMES, features(torch.full((1, 3, 64, 64), 128.0))[0]))
    >>> bool(flat["flat"] > 8), abs(float(flat["brightness"]) - 0.5) < 0.01
    (True, True)
    """
    if len(levels) == 0:
        return np.zeros((0, len(NAMES)), np.float32)
    colour = levels if levels.shape[1] == 3 else levels.expand(-1, 3, -1, -1)
    y = _luma(colour)
    rows = [_gradients(F.avg_pool2d(y[:, None], 2**scale)[:, 0]) for scale in range(_SCALES)]
    rows += [_flat(colour), _profile(y), _grid(y), _deviations(y), _residual(y), _spectrum(y), _colour(colour, y)]
    return torch.cat(rows, dim=1).numpy()


def pool(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """One vector [4 * len(NAMES)] for a picture from its patches' features [P, len(NAMES)].

    Mean, lower and upper decile over the patches, and by how much the mean of the patches with skin differs.

    Examples
    --------
    >>> pool(np.ones((5, len(NAMES)), np.float32)).shape == (4 * len(NAMES),)
    True
    """
    mean = rows.mean(0)
    low, high = np.quantile(rows, (0.1, 0.9), axis=0)
    skin = rows[:, NAMES.index("skin")]
    on_skin = (skin[:, None] * (rows - mean)).sum(0) / (skin.sum() + 1)  # fades out where there is no skin
    return np.concatenate([mean, low, high, on_skin]).astype(np.float32)


def _luma(colour: Tensor) -> Tensor:
    return 0.299 * colour[:, 0] + 0.587 * colour[:, 1] + 0.114 * colour[:, 2]


def _odds(share: Tensor, count: int) -> Tensor:
    """Log odds of a share of ``count`` pixels, finite at 0 and 1."""
    return torch.log((share + 0.5 / count) / (1 - share + 0.5 / count))


def _gradients(y: Tensor) -> Tensor:
    """Sizes of the gradients, their energy and kurtosis, how they follow each other, streaks; y [P, H, W]."""
    dx, dy = y.diff(dim=2), y.diff(dim=1)
    size = torch.hypot(dx[:, :-1], dy[:, :, :-1])
    count = size[0].numel()
    shares = [_odds((size <= step).float().mean((1, 2)), count) for step in _STEPS]
    square = torch.cat([dx.flatten(1), dy.flatten(1)], dim=1).square_()
    energy = square.mean(1)
    kurtosis = torch.log((square.square().mean(1) + _NOTHING**2) / (energy + _NOTHING).square())
    follow = ((dx[:, :, 1:] * dx[:, :, :-1]).mean((1, 2)) + (dy[:, 1:] * dy[:, :-1]).mean((1, 2))) / 2
    mixed = dx.diff(dim=1).square().mean((1, 2))
    rows = [torch.log(energy + _NOTHING), kurtosis, follow / (energy + _NOTHING)]
    rows.append(torch.log((mixed + _NOTHING) / (energy + _NOTHING)))
    return torch.stack([*shares, *rows], dim=1)


def _flat(colour: Tensor) -> Tensor:
    """Pixels whose right and lower neighbours have exactly their colour, and those with at least one such."""
    right = (colour.diff(dim=3) == 0).all(1)[:, :-1]
    below = (colour.diff(dim=2) == 0).all(1)[:, :, :-1]
    count = right[0].numel()
    shares = [_odds((right & below).float().mean((1, 2)), count), _odds((right | below).float().mean((1, 2)), count)]
    return torch.stack(shares, dim=1)


def _profile(y: Tensor) -> Tensor:
    """Edges across: how much of an edge lies in one pixel, and how much of it swings back."""
    sharp = back = total = torch.full((len(y),), _NOTHING)
    for d in (y.diff(dim=2), y.diff(dim=1).mT):
        before, here, after = d[:, :, :-2], d[:, :, 1:-1], d[:, :, 2:]
        weight = here.square()
        share = here.abs() / (before.abs() + here.abs() + after.abs() + 0.5)
        swing = (-(before * here)).clamp_min(0) + (-(after * here)).clamp_min(0)
        sharp, back = sharp + (weight * share).sum((1, 2)), back + swing.sum((1, 2))
        total = total + weight.sum((1, 2))
    return torch.stack([sharp / total, back / total], dim=1)


def _grid(y: Tensor) -> Tensor:
    """Blocks of eight: how much the strongest of the eight places of a step stands out."""
    found = []
    for d in (y.diff(dim=2), y.diff(dim=1).mT):
        bend = d.diff(dim=2).abs().mean(1)[:, : 7 * _EIGHTS].reshape(len(y), 7, _EIGHTS).mean(1)
        found.append(torch.log((bend.amax(1) + 0.1) / (bend.mean(1) + 0.1)))
    return (found[0] + found[1])[:, None] / 2


def _deviation(y: Tensor, side: int, stride: int) -> Tensor:
    """log2 of the standard deviation in windows, [P, windows]."""
    z = (y - y.mean((1, 2), keepdim=True))[:, None]
    mean, square = F.avg_pool2d(z, side, stride), F.avg_pool2d(z.square(), side, stride)
    return torch.log2((square - mean.square()).clamp_min(0).sqrt() + 0.1).flatten(1)


def _deviations(y: Tensor) -> Tensor:
    fine = torch.quantile(_deviation(y, 5, 3), torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95]), dim=1)
    coarse = torch.quantile(_deviation(F.avg_pool2d(y[:, None], 2)[:, 0], 5, 3), torch.tensor([0.1, 0.5, 0.9]), dim=1)
    return torch.cat([fine, coarse]).T


def _residual(y: Tensor) -> Tensor:
    """The finest detail: its median against its mean, and how it grows with the deviation around it."""
    mean = F.avg_pool2d(y[:, None], 3, 1)[:, 0]
    rest = (y[:, 1:-1, 1:-1] - mean).abs()
    flat = rest.flatten(1)
    median = torch.log((flat.median(dim=1).values + 0.05) / (flat.mean(1) + 0.05))
    detail = torch.log2(F.avg_pool2d(rest[:, None, 2:-2, 2:-2], 5, 4).flatten(1) + 0.05)
    around = _deviation(y[:, 1:-1, 1:-1], 9, 4)  # the windows of 5 lie in the middle of those of 9
    centred = around - around.mean(1, keepdim=True)
    slope = (centred * detail).mean(1) / (centred.square().mean(1) + 0.05)
    at_one = detail.mean(1) - slope * around.mean(1)
    return torch.stack([median, slope, at_one], dim=1)


def _spectrum(y: Tensor) -> Tensor:
    """Power from octave to octave, the share of diagonals in the finest, and what is left at its end."""
    window = torch.hann_window(PATCH_PX, periodic=False)
    power = torch.fft.fft2((y - y.mean((1, 2), keepdim=True)) * window * window[:, None]).abs().square_()
    power = power / PATCH_PX**2
    frequency = torch.fft.fftfreq(PATCH_PX)
    u, v = frequency.abs(), frequency[:, None].abs()
    radius = torch.hypot(u, v)

    def level(mask: Tensor) -> Tensor:
        return torch.log(power[:, mask].mean(1) + _NOTHING)

    ends = [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2]
    octaves = [level((radius > low) & (radius <= high)) for low, high in pairwise(ends)]
    drops = [b - a for a, b in pairwise(octaves)]
    diagonal = level((radius > 0.25) & (radius <= 0.5) & (torch.minimum(u, v) > radius / 2)) - octaves[3]
    return torch.stack([*drops, diagonal, level(radius > 0.45) - octaves[3]], dim=1)


def _colour(colour: Tensor, y: Tensor) -> Tensor:
    """Gradients of chroma against brightness, skin and how even it is, brightness, clipping."""
    chroma = torch.stack([colour[:, 2] - y, colour[:, 0] - y], dim=1)
    energy = chroma.diff(dim=3).square().mean((1, 2, 3)) + chroma.diff(dim=2).square().mean((1, 2, 3))
    own = y.diff(dim=2).square().mean((1, 2)) + y.diff(dim=1).square().mean((1, 2))
    grey = (chroma.abs().amax((1, 2, 3)) < 1)[:, None]
    skin = skin_likeness(colour / 255).masked_fill(grey[..., None, None], 0)
    deviation = _deviation(y, 5, 5)
    weight = F.avg_pool2d(skin, 5, 5).flatten(1)
    even = (weight * (deviation - deviation.mean(1, keepdim=True))).sum(1) / (weight.sum(1) + 1)
    clipped = ((y < 2) | (y > 253)).float().mean((1, 2))
    ratio = torch.log((energy + _NOTHING) / (own + _NOTHING))
    return torch.stack([ratio, skin.mean((1, 2, 3)), even, y.mean((1, 2)) / 255, clipped], dim=1)
