"""What the tests of the filters share: pictures, a distance, slow and obvious mathematics."""

from __future__ import annotations

import numpy as np
import skimage.data
import torch
from hypothesis import settings
from torch import Tensor

quick = settings(deadline=None, max_examples=12)


def psnr(a: Tensor, b: Tensor) -> float:
    """dB for values in 0..1; 400 where nothing differs."""
    return float(-10 * torch.log10((a.double() - b.double()).square().mean() + 1e-40))


def photo(height: int = 96, width: int = 128, dtype: torch.dtype = torch.float64) -> Tensor:
    """A piece of a photograph with 8-bit values, [1, 3, height, width]."""
    pixels = skimage.data.astronaut()[50 : 50 + height, 100 : 100 + width]
    return torch.from_numpy(pixels).to(dtype).div(255).permute(2, 0, 1)[None].contiguous()


def noise(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def steps(seed: int = 0, channels: int = 3, height: int = 12, width: int = 15) -> Tensor:
    """Noise over a bright rectangle, [1, channels, height, width] in 0..1."""
    x = 0.4 * noise(seed, 1, channels, height, width)
    x[..., height // 3 :, width // 3 : -width // 4] += 0.6
    return x


def to_array(x: Tensor) -> np.ndarray:
    """[1, C, H, W] as the float32 [H, W, C] that OpenCV wants ([H, W] for one colour)."""
    return np.ascontiguousarray(x[0].permute(1, 2, 0).float().numpy()).squeeze()


def to_tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.atleast_3d(pixels)).permute(2, 0, 1)[None]


def variation(x: Tensor) -> float:
    """Total variation: sum of absolute differences."""
    return float(x.diff(dim=2).abs().sum() + x.diff(dim=3).abs().sum())


def periodic_differences(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Matrices [H * W, H * W] of the forward differences to the right and down."""

    def difference(n: int) -> np.ndarray:
        return np.roll(np.eye(n), 1, axis=1) - np.eye(n)

    return np.kron(np.eye(height), difference(width)), np.kron(difference(height), np.eye(width))
