"""L0 smoothing beside OpenCV's ``ximgproc.l0Smooth``: time, memory, and how far the results agree.

Both get the same photograph as float32 in the layout they want, and both leave it alone: OpenCV, which writes
into a float input, is given a copy each time (charged to it). The results are not expected to agree:
OpenCV's differences, their adjoint and its solver each treat the border in another way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch

from benchmarks import beside
from benchmarks.harness import Case
from restauro.smooth.l0 import L0Settings, l0

QUESTION = "Is our L0 smoothing (lambda 0.02, kappa 2) as fast as OpenCV's, and what memory does it take?"
MEGAPIXELS = (0.25, 1.0, 4.0)
LAMBDA, KAPPA = 0.02, 2.0


def ours(pixels: np.ndarray) -> Callable[[], np.ndarray]:
    """Prepare our filter for a picture [H, W, 3]; the work returns the result, [H, W, 3]."""
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()
    settings = L0Settings(lam=LAMBDA, kappa=KAPPA)
    return lambda: l0(x, settings)[0].permute(1, 2, 0).numpy()


def opencv(pixels: np.ndarray) -> Callable[[], np.ndarray]:
    """Prepare OpenCV's filter for a picture [H, W, 3]; the work returns the result, [H, W, 3]."""
    return lambda: cv2.ximgproc.l0Smooth(pixels.copy(), None, LAMBDA, KAPPA)


CANDIDATES = {"restauro": ours, "OpenCV": opencv}


def cases(megapixels: Sequence[float], rounds: int, threads: int) -> list[Case]:
    """Compare both on every size."""
    return beside.cases("benchmarks.l0", megapixels, rounds, threads)
