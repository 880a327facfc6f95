"""Instance norm and reflection padding as published, but defined on maps of every size, one pixel included.

PyTorch refuses both on the smallest maps, which deep networks reach with small pictures.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class InstanceNorm(nn.Module):
    """(x - mean) / sqrt(variance + 1e-5) of each channel of each picture, biased variance, at test too.

    A map of one pixel becomes 0 (then gamma and beta). State: ``weight`` and ``bias`` if ``affine``, else nothing.

    >>> y = InstanceNorm(2)(torch.rand(1, 2, 8, 8))
    >>> bool(y.mean((2, 3)).abs().max() < 1e-5), InstanceNorm(2)(torch.ones(1, 2, 1, 1)).flatten().tolist()
    (True, [0.0, 0.0])
    """

    def __init__(self, channels: int, affine: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x [N, C, H, W]."""
        # One group per channel is the same sum, and unlike torch's instance norm it keeps channels_last.
        return torch.group_norm(x, x.shape[1], self.weight, self.bias, 1e-5)


class Reflect(nn.Module):
    """Pad all four sides by reflection; where a side has too few pixels to reflect, by replication.

    >>> Reflect(1)(torch.tensor([[[[1.0, 2.0]]]]))[0, 0].tolist()
    [[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]
    """

    def __init__(self, pad_px: int) -> None:
        super().__init__()
        self.pad_px = pad_px

    def forward(self, x: Tensor) -> Tensor:
        """Pad x [N, C, H, W]."""
        mode = "reflect" if min(x.shape[-2:]) > self.pad_px else "replicate"
        return nn.functional.pad(x, [self.pad_px] * 4, mode=mode)
