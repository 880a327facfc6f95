"""A branch at full size beside the last, linear layer of a U-Net: what is finer than a sum of patches.

Not in the papers. Features of half or a quarter of the size are spread over the pixels; the first of two 3x3
convolutions sees the picture again, and the last one is to start at zero, so that a trained network can get the branch
and go on as it was.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Refine(nn.Module):
    """A correction at full size from features of 1/fold of the size.

    Parameters
    ----------
    features, seen, channels
        Channels of the features, of what is seen of the picture, and of the branch.
    fold
        A feature is spread over fold x fold pixels.
    gain
        On what comes out: the last convolution learns as if its rate were so many times higher.
    """

    def __init__(self, features: int, seen: int, channels: int, fold: int = 2, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain
        self.spread = nn.ConvTranspose2d(features, channels, fold, stride=fold)
        self.blend = nn.Conv2d(channels + seen, channels, 3, padding=1)
        self.last = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, features: Tensor, seen: Tensor) -> Tensor:
        """The correction [N, 3, H, W] from features [N, C, H/fold, W/fold] and what is seen [N, C, H, W]."""
        y = nn.functional.leaky_relu(self.spread(features), 0.2, inplace=True)
        y = self.blend(torch.cat([y, seen.to(y.dtype)], dim=1))
        y = nn.functional.leaky_relu(y, 0.2, inplace=True)
        correction: Tensor = self.last(y)
        return correction if self.gain == 1 else self.gain * correction
