"""Crops cut out of pictures turned, resized, recoloured, bent and mixed, so that few are not learned by heart.

For laws that degrade anew (``fresh``): what is varied is the truth, and the law then does to it what it does to any.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from restauro.train.data import Bytes3, to_bytes, to_tensor

ANGLE_DEGREES = 15.0  # turned by up to so much either way
SCALE = 1.2  # enlarged or reduced by up to so much
SHIFT = 0.08  # of the crop's side, where the crop is as large as the picture
GAMMA = 1.3  # darkened or lightened by up to this exponent
GAIN = 1.15  # colour channels, each by up to so much
KNOTS = 5  # of the field that bends a crop, on each side; smooth between them
PATCHES = 4  # numbers on each side of a picture that say where another one shows: parts of about a quarter of its side
SEAM = 15.0  # how sharply: the slope of the logit; at 256 px a seam is some 20 px wide


def varied(picture: Bytes3, side: int, seed: int, *, bend: float = 0.0, other: Bytes3 | None = None) -> Bytes3:
    """A square crop from anywhere in a picture that was turned, resized and recoloured at random.

    Bicubic, mirrored at the picture's borders. All ranges are even (of scales, gains and exponents: of their
    logarithms).

    Parameters
    ----------
    picture
        [H, W, 3].
    side
        Of the crop, px; it may exceed the picture's.
    seed
        The draw is a function of it.
    bend
        By up to what share of the crop's side its points are moved along each axis, smoothly. A face bent so is the
        face of somebody else.
    other
        A picture of the same size, of the same things at the same places: parts of it, with soft seams and brought to
        the picture's mean colour there, stand in for the picture's own.

    Raises
    ------
    ValueError
        The other picture has another size.

    Examples
    --------
    >>> varied(np.full((40, 50, 3), 255, np.uint8), 32, seed=1).shape
    (32, 32, 3)
    """
    rng = np.random.Generator(np.random.Philox(key=seed))
    either = rng.uniform(-1, 1, size=8)
    angle, scale = math.radians(ANGLE_DEGREES * either[0]), SCALE ** either[1]
    centre = [_place(size, side / scale, draw) for size, draw in zip(picture.shape[:2], either[2:4], strict=True)]
    if other is not None:
        picture = _mixed(picture, other, rng)
    field = rng.uniform(-bend, bend, size=(2, KNOTS, KNOTS)) * side if bend else None
    turned = _sampled(picture, side, angle, scale, centre, field)
    gains = torch.from_numpy(GAIN ** either[5:8]).float().view(3, 1, 1)
    return _levels(turned.clamp(0, 1) ** (GAMMA ** either[4]) * gains)


def _place(size: int, window: float, draw: float) -> float:
    """The middle of a window on an axis, in pixels: anywhere where it fits, else near the picture's middle."""
    room = max((size - window) / 2, SHIFT * window)
    return size / 2 + room * draw


def _sampled(
    picture: Bytes3,
    side: int,
    angle: float,
    scale: float,
    centre: list[float],
    field: np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None = None,
) -> Tensor:
    """The square [3, side, side], 0..1, about a centre (down, across), its points moved by a coarse field [2, K, K]."""
    height, width = picture.shape[:2]
    steps = (torch.arange(side, dtype=torch.float32) + 0.5 - side / 2) / scale
    down, across = torch.meshgrid(steps, steps, indexing="ij")
    if field is not None:
        moved = _smooth(field, (side, side))
        down, across = down + moved[0], across + moved[1]
    y = centre[0] + math.cos(angle) * down + math.sin(angle) * across
    x = centre[1] - math.sin(angle) * down + math.cos(angle) * across
    grid = torch.stack([2 * x / width - 1, 2 * y / height - 1], dim=-1)[None]
    sampled = torch.nn.functional.grid_sample
    return sampled(to_tensor(picture[None]), grid, mode="bicubic", padding_mode="reflection", align_corners=False)[0]


def _mixed(picture: Bytes3, other: Bytes3, rng: np.random.Generator) -> Bytes3:
    """The picture with parts of another one."""
    if other.shape != picture.shape:
        raise ValueError(f"two pictures of one size to mix; found {picture.shape} and {other.shape}")
    share = torch.sigmoid(SEAM * _smooth(rng.normal(size=(1, PATCHES, PATCHES)), picture.shape[:2]))
    ours, theirs = to_tensor(np.stack([picture, other]))
    area = share.sum().clamp(min=1.0)
    theirs = theirs + ((ours - theirs) * share).sum((1, 2), keepdim=True) / area
    return _levels(ours + share * (theirs - ours))


def _smooth(coarse: np.ndarray[tuple[int, ...], np.dtype[np.float64]], size: tuple[int, int]) -> Tensor:
    """[C, K, K] enlarged to [C, *size], float32, without steps."""
    x = torch.from_numpy(coarse).float()[None]
    return torch.nn.functional.interpolate(x, size=size, mode="bicubic", align_corners=True)[0]


def _levels(x: Tensor) -> Bytes3:
    """[3, H, W] as [H, W, 3], rounded and clipped."""
    return to_bytes(x.permute(1, 2, 0).numpy())
