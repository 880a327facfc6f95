"""DRF: deep recursive filters, learned linear recurrences (Liu, Pan, Yang 2016, *LRNN*).

Along a row or column a recursive filter carries its state over, by a gate that a network learns for each pixel::

    h_k = (1 - g_k) x_k + g_k h_(k-1)          h_(-1) = 0

A gate near 1 smooths on, one near 0 keeps the pixel: an edge. Four scans (right, left, down, up), each twice in a row,
make filters of second order; the largest of the four answers counts.

Inferred, as the sheets of the published network name layers only: bilinear enlargement, forward differences of the
grey picture (weights of BT.601) with zeros at the border, and h_(-1) = 0.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restauro.errors import SettingError
from restauro.facts import Facts

GREY = (0.299, 0.587, 0.114)


class DRF(nn.Module):
    """Filter a picture by recurrences whose gates a small network reads off its gradients.

    Parameters
    ----------
    width
        Channels that are filtered, 16 as published; the gate network's widths go with it.

    Notes
    -----
    Sides must be divisible by 16. A scan takes as many steps as the side has pixels; the two directions of an axis go
    together, so that the picture costs 4 (H + W) small steps.

    Examples
    --------
    >>> DRF()(torch.rand(1, 3, 16, 32)).shape
    torch.Size([1, 3, 16, 32])
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        if width < 1:
            raise SettingError("width", width, "a whole number from 1")
        self.image = nn.Conv2d(5, 3, 3, padding=1)
        self.pyramid = nn.Conv2d(12, width, 3, padding=1)
        self.gates = GateNet(width)
        self.merge = nn.Conv2d(width, 4 * width, 3, padding=1)
        self.head = nn.Conv2d(4 * width, 3, 3, padding=1)
        self.facts = Facts(
            multiple=16,
            halo_px=128,
            global_statistics=True,  # a gate of 1 carries a pixel across the whole picture
            bytes_per_px=64 * width,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Smooth x [N, 3, H, W], 0..1, to the same shape, 0..1."""
        gradients = grey_gradients(x)
        first = self.image(torch.cat([x - 0.5, gradients], dim=1))
        sizes = [first, *(_enlarged(F.max_pool2d(first, 2**k), 2**k) for k in (1, 2, 3))]
        y = self.pyramid(torch.cat(sizes, dim=1))
        across1, down1, across2, down2 = self.gates(gradients).chunk(4, dim=1)
        across = both_ways(both_ways_in := y, across1, -1)
        ...
        return y
