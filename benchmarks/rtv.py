"""RTV beside the plain way to compute it: the same equations with a direct sparse solve (SuperLU) in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.ndimage
import scipy.sparse as sp
import scipy.sparse.linalg
import torch

from benchmarks import beside
from benchmarks.harness import Case
from restauro.smooth.rtv import RTVSettings, rtv

QUESTION = (
    "How much faster is RTV by preconditioned conjugate gradients than by a direct sparse solve, at equal output?"
)
MEGAPIXELS = (0.25, 1.0)


def ours(pixels: np.ndarray) -> Callable[[], np.ndarray]:
    """Prepare our filter for a picture [H, W, 3]; the work returns the result, [H, W, 3]."""
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()
    return lambda: rtv(x)[0].permute(1, 2, 0).numpy()


def direct(pixels: np.ndarray) -> Callable[[], np.ndarray]:
    """Prepare Xu et al. 2012, eqs. 6 to 11, with one factorisation per step."""
    height, width, channels = pixels.shape
    target, s = pixels.reshape(-1, channels).astype(np.float64), RTVSettings()
    dx = sp.kron(sp.eye(height), _forward(width)).tocsr()
    dy = sp.kron(_forward(height), sp.eye(width)).tocsr()

    def work() -> np.ndarray:
        smooth = target
        for sigma in s.sigmas:
            blurred = _blur(smooth.reshape(pixels.shape), sigma).reshape(-1, channels)
            slope = np.sqrt((dx @ smooth) ** 2 + (dy @ smooth) ** 2).mean(axis=1)
            weight = 1 / np.maximum(slope, s.sharpness)
            links = [weight / np.maximum(np.abs(d @ blurred).mean(axis=1), 1e-3) for d in (dx, dy)]
            laplacian = sum(d.T @ sp.diags(link) @ d for d, link in zip((dx, dy), links, strict=True))
            matrix = (sp.eye(height * width) + s.lam / 2 * laplacian).tocsc()
            smooth = scipy.sparse.linalg.splu(matrix).solve(target)
        return smooth.reshape(pixels.shape)

    return work


def _forward(n: int) -> sp.spmatrix:
    """Forward differences with a last row of zeros."""
    last = np.ones(n)
    last[-1] = 0
    return sp.diags([-last, last[:-1]], [0, 1], shape=(n, n))


def _blur(pixels: np.ndarray, sigma: float) -> np.ndarray:
    count = round(5 * sigma) | 1
    taps = np.exp(-((np.arange(count) - count // 2) ** 2) / (2 * sigma**2))
    for axis in (0, 1):
        pixels = scipy.ndimage.convolve1d(pixels, taps / taps.sum(), axis=axis, mode="constant")
    return pixels


CANDIDATES = {"restauro": ours, "direct solve": direct}


def cases(megapixels: Sequence[float], rounds: int, threads: int) -> list[Case]:
    """Compare both on every size."""
    return beside.cases("benchmarks.rtv", megapixels, rounds, threads)
