"""ResNet: the residual baseline of the edge-preserving smoothing benchmark (Zhu, Liang, Jia, Zhang, Li 2019).

The network of SRResNet (Ledig et al. 2017) without its enlargement, whose tanh is added to the picture. Works on
-1..1 inside.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from restauro.errors import SettingError
from restauro.facts import Facts


class ResNet(nn.Module):
    """Sixteen residual blocks at full size, and a change of at most 0.5 in each direction.

    Parameters
    ----------
    width
        Channels, 64 as published; the two convolutions before the last have four times as many.
    depth
        Residual blocks, 16 as published.

    Notes
    -----
    Batch normalisation: in training a picture's result depends on its batch. Cost at the published size: 1.96 million
    multiply-accumulates per pixel.

    Examples
    --------
    >>> ResNet(8, 2)(torch.rand(1, 3, 8, 12)).shape
    torch.Size([1, 3, 8, 12])
    """

    def __init__(self, width: int = 64, depth: int = 16) -> None:
        super().__init__()
        for name, value in (("width", width), ("depth", depth)):
            if value < 1:
                raise SettingError(name, value, "a whole number from 1")
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(inplace=True))
        self.blocks = nn.ModuleList(
            nn.Sequential(*_conv_norm(width), nn.ReLU(inplace=True), *_conv_norm(width)) for _ in range(depth)
        )
        self.end = nn.Sequential(*_conv_norm(width))
        self.head = nn.Sequential(
            nn.Conv2d(width, 4 * width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(4 * width, 4 * width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(4 * width, 3, 1),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.02)
        self.facts = Facts(halo_px=2 * depth + 4, bytes_per_px=44 * width)

    def forward(self, x: Tensor) -> Tensor:
        """Smooth x [N, 3, H, W], 0..1, to the same shape; not clipped."""
        first = y = self.stem(2 * x - 1)
        for block in self.blocks:
            y = y + block(y)
        change = torch.tanh(self.head(first + self.end(y)))
        return x + change.to(x.dtype) / 2


def build_resnet(width: int = 64, depth: int = 16) -> nn.Module:
    """Build ResNet, untrained; see :class:`ResNet`.

    >>> sum(p.numel() for p in build_resnet().parameters())
    1961091
    """
    return ResNet(width, depth)


def _conv_norm(width: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
