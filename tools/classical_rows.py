"""Rows without a network for tables of renovation: resampling, unsharp mask, non-local means, Wiener.

Each has the setting that is best by PSNR on some of the very pictures that it is scored on: it is flattered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from skimage.restoration import denoise_nl_means, wiener
from torch import Tensor
from torch.nn.functional import conv2d, interpolate

from restauro.metrics.psnr import psnr
from restauro.train.data import Pair, PairSet, to_tensor
from restauro.train.validate import UNSHARP_GRID, unsharp

TUNED_ON = 8  # pictures

Restore = Callable[[Tensor], Tensor]
Setting = TypeVar("Setting")


def classical(one: PairSet) -> dict[str, Restore]:
    """The rows without a network, each with its best setting."""
    return dict((bicubic(one), sharpened(one), non_local_means(one), deconvolved(one)))


def bicubic(one: PairSet) -> tuple[str, Restore]:
    """Reduced and enlarged again."""

    def make(factor: int) -> Restore:
        def restore(x: Tensor) -> Tensor:
            small = (x.shape[2] // factor, x.shape[3] // factor)
            y = interpolate(x, size=small, mode="bicubic", antialias=True)
            return interpolate(y, size=x.shape[2:], mode="bicubic")

        return restore

    factor = tuned(one, make, (2, 4, 8, 16))
    return f"bicubic 1/{factor} and back", make(factor)


def sharpened(one: PairSet) -> tuple[str, Restore]:
    """The best of the grid of unsharp masks that ``evaluate`` has too."""

    def make(setting: tuple[float, float]) -> Restore:
        return lambda x: unsharp(x, *setting)

    sigma, amount = tuned(one, make, UNSHARP_GRID)
    return f"unsharp sigma={sigma} amount={amount}", make((sigma, amount))


def non_local_means(one: PairSet) -> tuple[str, Restore]:
    """Non-local means of scikit-image: patches of 5 px, within 6 px, for the deviation that the picture shows."""

    def make(strength: float) -> Restore:
        def restore(x: Tensor) -> Tensor:
            pixels = x[0].permute(1, 2, 0).numpy()
            sigma = noise_deviation(x)
            made = denoise_nl_means(
                pixels, 5, 6, h=max(strength * sigma, 1e-4), sigma=sigma, fast_mode=True, channel_axis=2
            )
            return _tensor(made)

        return restore

    strength = tuned(one, make, (0.3, 0.6, 0.9, 1.2))
    return f"non-local means h={strength} sigma", make(strength)


def deconvolved(one: PairSet) -> tuple[str, Restore]:
    """Wiener filter of scikit-image for a Gaussian blur: it is told no kernel."""

    def make(setting: tuple[float, float]) -> Restore:
        sigma_px, balance = setting
        at = np.arange(-10, 11)
        line = np.exp(-np.square(at / sigma_px) / 2)
        kernel = np.outer(line, line) / line.sum() ** 2

        def restore(x: Tensor) -> Tensor:
            padded = np.pad(x[0].numpy().astype(np.float64), ((0, 0), (24, 24), (24, 24)), mode="reflect")
            made = np.stack([wiener(channel, kernel, balance, clip=False) for channel in padded], axis=2)
            return _tensor(made[24:-24, 24:-24])

        return restore

    sigma_px, balance = tuned(one, make, [(s, b) for s in (1.0, 2.0, 3.0) for b in (0.003, 0.03, 0.3)])
    return f"Wiener sigma={sigma_px} balance={balance}", make((sigma_px, balance))


def noise_deviation(x: Tensor) -> float:
    """Standard deviation of the noise (Immerkaer 1996): a mask that edges and gradients pass by.

    >>> x = torch.randn(1, 3, 200, 200, generator=torch.Generator().manual_seed(0)) * 0.1
    >>> round(noise_deviation(x), 2)
    0.1
    """
    mask = torch.tensor([[1.0, -2, 1], [-2, 4, -2], [1, -2, 1]]).expand(3, 1, 3, 3)
    return float(conv2d(x, mask, groups=3).abs().mean()) * math.sqrt(math.pi / 2) / 6


def tuned(one: PairSet, make: Callable[[Setting], Restore], choices: Sequence[Setting]) -> Setting:
    """The setting with the best mean PSNR on some of the pictures."""
    sample: Sequence[Pair] = one.pairs[:: -(-len(one.pairs) // TUNED_ON)]

    def mean_psnr(setting: Setting) -> float:
        restore = make(setting)
        values = [psnr(restore(to_tensor(p.source[None])).clamp(0, 1), to_tensor(p.truth[None])).item() for p in sample]
        return float(np.mean(values))

    return max(choices, key=mean_psnr)


def _tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels, np.float32)).permute(2, 0, 1)[None]
