"""Is what a cascade took for a face one? Histograms of its gradients, weighed.

A cascade of local binary patterns looks at few pixels of a window, and takes some windows of house fronts and foliage
for faces. What it finds is looked at again as a whole: histograms of oriented gradients (Dalal, Triggs, "Histograms of
oriented gradients for human detection", CVPR 2005; scikit-image's) of the box and a quarter of its side around it, and
a logistic regression on them and on the logarithm of how many windows the cascade found there. The weights are trained
by ``tools/train_face_check.py`` on free pictures, as they are, degraded and blurred.
"""

from __future__ import annotations

import math
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from restauro.errors import ModelError
from restauro.restore.faces.face import Box

FILE = "face-check.safetensors"
FORMAT = "restauro-face-check-1"
SIDE_PX = 48
CELL_PX = 6
ORIENTATIONS = 8
AROUND = 0.25  # of the box's side, on each of its sides
COUNT = ORIENTATIONS * 4 * (SIDE_PX // CELL_PX - 1) ** 2 + 1

Floats = NDArray[np.float64]


def log_odds(grey: Image.Image, box: Box, windows: int) -> float:
    """Logarithm of the odds that a box holds a face, if half of all boxes did.

    Parameters
    ----------
    grey
        The picture, of mode "L".
    box
        Left, top, right, bottom in px; what lies outside of the picture is black.
    windows
        How many windows of the cascade agree on the box, 1 or more.
    """
    weight, bias = _weights()
    return float(weight @ features(grey, box, windows) + bias)


def features(grey: Image.Image, box: Box, windows: int) -> Floats:
    """[COUNT]: blocks of 2x2 cells of 6 px of the box at 48 px, each of norm 1, 8 orientations; log(windows).

    >>> features(Image.new("L", (100, 100)), (20, 20, 80, 80), 12).shape
    (1569,)
    """
    from skimage.feature import hog

    left, top, right, bottom = box
    half = max(right - left, bottom - top) * (0.5 + AROUND)
    x, y = (left + right) / 2, (top + bottom) / 2
    corners = round(x - half), round(y - half), round(x + half), round(y + half)
    shown = grey.crop(corners).resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR)
    found: Floats = hog(
        np.asarray(shown, np.float64),
        orientations=ORIENTATIONS,
        pixels_per_cell=(CELL_PX, CELL_PX),
        cells_per_block=(2, 2),
        block_norm="L2-Hys",
    )
    return np.append(found, math.log(windows))


@cache
def _weights() -> tuple[Floats, float]:
    from safetensors import SafetensorError, safe_open

    path = resources.files("restauro").joinpath("weights", FILE)
    try:
        with safe_open(str(path), "numpy") as file:
            known = (file.metadata() or {}).get("format") == FORMAT
            weight, bias = (file.get_tensor(name).astype(np.float64) for name in ("weight", "bias"))
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: found {error}, wanted the check of faces; install restauro again") from None
    if not known or weight.shape != (COUNT,):
        raise ModelError(f"{path}: found another check, wanted one for these features; install restauro again")
    return weight, float(bias.item())
