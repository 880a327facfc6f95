"""A branch at full size beside the last, linear layer of a U-Net: what is finer than a sum of patches.

Not in the papers. Features of half size are spread over 2x2 pixels; the first of two 3x3 convolutions sees the picture
again, and the last one starts at zero, so that a trained network can get the branch and go on as it was.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Refine(nn.Module):
    """A correction at full size from features of half size; zero at first.

    Parameters
    ----------
    features, seen, channels
        Channels of the features, of what is seen of the picture, and of the branch.
    """

    def __init__(self, features: int, seen: int, channels: int) -> None:
        super().__init__()
        self.spread = nn.ConvTranspose2d(features, channels, 2, stride=2)
        self.blend = nn.Conv2d(channels + seen, channels, 3, padding=1)
        self.last = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, features: Tensor, seen: Tensor) -> Tensor:
        """The correction [N, 3, H, W] from features [N, C, H/2, W/2] and what is seen [N, C, H, W]."""
        y = nn.functional.leaky_relu(self.spread(features), 0.2, inplace=True)
        y = self.blend(torch.cat([y, seen.to(y.dtype)], dim=1))
        y = nn.functional.leaky_relu(y, 0.2, inplace=True)
        correction: Tensor = self.last(y)
        return correction
