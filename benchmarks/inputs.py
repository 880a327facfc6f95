"""What the benchmarks share: the picture, at any size, and the number of threads."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from skimage import data


def picture(megapixels: float) -> np.ndarray:
    """Make a photograph of 4:3, [H, W, 3] float32 in 0..1, from the pictures that scikit-image carries.

    Four of them side by side, reflected as often as it takes. Sides are multiples of 64 and 48, as a camera's
    are: 4608 x 3456 for 16 megapixels, and halves of it.

    >>> picture(1).shape
    (864, 1152, 3)
    """
    unit = max(16, round(np.sqrt(megapixels * 1e6 / 12) / 16) * 16)
    height, width = 3 * unit, 4 * unit
    parts = [a[:300, :400] for a in (data.astronaut(), data.coffee(), data.chelsea(), data.rocket())]
    mosaic = np.concatenate([np.concatenate(parts[:2], axis=1), np.concatenate(parts[2:], axis=1)])
    high, wide = mosaic.shape[:2]
    more = (0, max(0, height - high)), (0, max(0, width - wide)), (0, 0)
    return np.pad(mosaic, more, mode="symmetric")[:height, :width].astype(np.float32) / 255


def use_threads(threads: int) -> None:
    """Allow each library `threads` threads."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
