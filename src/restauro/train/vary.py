"""Crops cut out of pictures turned, resized and recoloured, so that a network cannot learn few pictures by heart.

For laws that degrade anew (``fresh``): what is varied is the truth, and the law then does to it what it does to any.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from restauro.train.data import Bytes3

ANGLE_DEGREES = 15.0  # turned by up to so much either way
SCALE = 1.2  # enlarged or reduced by up to so much
SHIFT = 0.08  # of the crop's side, where the crop is as large as the picture
GAMMA = 1.3  # darkened or lightened by up to this exponent
GAIN = 1.15  # colour channels, each by up to so much


def varied(picture: Bytes3, side: int, seed: int) -> Bytes3:
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

    Examples
    --------
    >>> varied(np.full((40, 50, 3), 255, np.uint8), 32, seed=1).shape
    (32, 32, 3)
    """
    rng = np.random.Generator(np.random.Philox(key=seed))
    either = rng.uniform(-1, 1, size=8)
    angle, scale = math.radians(ANGLE_DEGREES * either[0]), SCALE ** either[1]
    centre = [_place(size, side / scale, draw) for size, draw in zip(picture.shape[:2], either[2:4], strict=True)]
    turned = _sampled(picture, side, angle, scale, centre)
    gains = torch.from_numpy(GAIN ** either[5:8]).float().view(3, 1, 1)
    colours = (turned.clamp(0, 1) ** (GAMMA ** either[4]) * gains).clamp_(0, 1)
    result: Bytes3 = np.ascontiguousarray((colours * 255).round().byte().permute(1, 2, 0).numpy())
    return result


def _place(size: int, window: float, draw: float) -> float:
    """The middle of a window on an axis, in pixels: anywhere where it fits, else near the picture's middle."""
    room = max((size - window) / 2, SHIFT * window)
    return size / 2 + room * draw


def _sampled(picture: Bytes3, side: int, angle: float, scale: float, centre: list[float]) -> Tensor:
    """The square [3, side, side], 0..1, about a centre (down, across)."""
    height, width = picture.shape[:2]
    steps = (torch.arange(side, dtype=torch.float32) + 0.5 - side / 2) / scale
    down, across = torch.meshgrid(steps, steps, indexing="ij")
    y = centre[0] + math.cos(angle) * down + math.sin(angle) * across
    x = centre[1] - math.sin(angle) * down + math.cos(angle) * across
    grid = torch.stack([2 * x / width - 1, 2 * y / height - 1], dim=-1)[None]
    levels = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    sampled = torch.nn.functional.grid_sample
    return sampled(levels, grid, mode="bicubic", padding_mode="reflection", align_corners=False)[0]
