"""JESSNet: joint edge detection and structure-preserving smoothing, *Easy2Hard* (Feng, Deng, Yan, Yang, Wei, Liu 2021).

A trunk of dilated residual units; from it an edge map; from both a first smoothed picture; from all three a
correction. Differs: channels are RGB, where the release reads BGR.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restauro.errors import SettingError
from restauro.facts import Facts

TRUNK, SMOOTH, REFINE = 20, 3, 6  # units, as published


class DilatedUnit(nn.Module):
    """x + three times conv 3x3, batch normalisation and ReLU, with dilations 1, 2 and 3."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=d, dilation=d) for d in (1, 2, 3))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in self.convs)

    def forward(self, x: Tensor) -> Tensor:
        """[N, width, H, W] to the same shape."""
        y = x
        for conv, norm in zip(self.convs, self.norms, strict=True):
            y = F.relu(norm(conv(y)), inplace=True)
        return x + y


class JESSNet(nn.Module):
    """Smooth a picture with the help of the edges that should stay.

    Parameters
    ----------
    width
        Channels, 64 as published.

    Notes
    -----
    Batch normalisation: in training a picture's result depends on its batch. Cost at width 64: 3.42 million
    multiply-accumulates per pixel.

    Examples
    --------
    >>> net = JESSNet(4).eval()
    >>> edges, first, final = net.stages(torch.rand(1, 3, 8, 12))
    >>> edges.shape, first.shape, final.shape
    (torch.Size([1, 1, 8, 12]), torch.Size([1, 3, 8, 12]), torch.Size([1, 3, 8, 12]))
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        if width < 1:
            raise SettingError("width", width, "a whole number from 1")
        self.trunk = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), *_units(width, TRUNK))
        self.edge = nn.Sequential(*_conv(width, width), *_conv(width, width), nn.Conv2d(width, 1, 3, padding=1))
        self.smooth = nn.Sequential(
            *_conv(width + 1, width),
            *_units(width, SMOOTH),
            *_conv(width, width),
            nn.Conv2d(width, 3, 3, padding=1),
        )
        self.refine = nn.Sequential(*_conv(width + 4, width), *_units(width, REFINE), nn.Conv2d(width, 3, 3, padding=1))
        # A unit reaches 1 + 2 + 3; besides, one conv in the trunk, three for edges, three to smooth, two to refine.
        self.facts = Facts(halo_px=6 * (TRUNK + SMOOTH + REFINE) + 1 + 3 + 3 + 2, bytes_per_px=24 * width + 40)

    def forward(self, x: Tensor) -> Tensor:
        """Smooth x [N, 3, H, W], 0..1, to the same shape; not clipped."""
        return self.stages(x)[2]

    def stages(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """All that the paper's loss looks at: edge logits [N, 1, H, W], first and final smoothed picture."""
        features = self.trunk(x)
        edges = self.edge(features)
        first = self.smooth(torch.cat([features, edges], dim=1))
        return edges, first, first + self.refine(torch.cat([features, edges, first], dim=1))


def build_jessnet(width: int = 64) -> nn.Module:
    """Build JESSNet, untrained; see :class:`JESSNet`.

    >>> sum(p.numel() for p in build_jessnet().parameters())
    3417863
    """
    return JESSNet(width)


def _units(width: int, count: int) -> list[nn.Module]:
    return [DilatedUnit(width) for _ in range(count)]


def _conv(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
