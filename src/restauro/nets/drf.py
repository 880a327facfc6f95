"""DRF: deep recursive filters, with gates that a network learns (Liu, Pan, Yang 2016; also known as LRNN).

Along a row or column a recursive filter carries its state on, by a gate for each pixel::

    h_k = (1 - g_k) x_k + g_k h_(k-1)          h_(-1) = 0

A gate near 1 smooths on, one near 0 takes the pixel as it is: an edge. Four scans (right, left, down, up), each run
twice with two gates, make filters of second order; the largest of the four answers counts.

Inferred: bilinear enlargement, the grey picture (weights of BT.601), forward differences that are zero at the border,
and the state before the first pixel.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restauro.errors import SettingError
from restauro.facts import Facts


class DRF(nn.Module):
    """Filter a picture by recurrences whose gates a small network reads off its gradients.

    Parameters
    ----------
    width
        Channels that are filtered, 16 as published; the other widths go with it.

    Notes
    -----
    Sides must be divisible by 16. Cost at width 16: 38,900 multiply-accumulates per pixel, and 4 (H + W) small steps
    one after the other, as the two directions of an axis go together.

    Examples
    --------
    >>> DRF()(torch.rand(1, 3, 16, 32)).shape
    torch.Size([1, 3, 16, 32])
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        if width < 1:
            raise SettingError("width", width, "a whole number from 1")
        self.colour = nn.Conv2d(5, 3, 3, padding=1)
        self.pyramid = nn.Conv2d(12, width, 3, padding=1)
        self.gates = GateNet(width)
        self.conv = nn.Conv2d(width, 4 * width, 3, padding=1)
        self.head = nn.Conv2d(4 * width, 3, 3, padding=1)
        self.facts = Facts(
            multiple=16,
            halo_px=128,  # never exact: gates of 1 carry a pixel across the whole picture
            global_statistics=True,
            bytes_per_px=96 * width,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Smooth x [N, 3, H, W], 0..1, to the same shape, 0..1."""
        gradients = grey_gradients(x)
        y = self.colour(torch.cat([x - 0.5, gradients], dim=1))
        sizes = [y, *(_enlarged(F.max_pool2d(y, 2**k), 2**k) for k in (1, 2, 3))]
        features = self.pyramid(torch.cat(sizes, dim=1)).to(x.dtype)
        across1, down1, across2, down2 = self.gates(gradients).to(x.dtype).chunk(4, dim=1)
        right, left = scan_twice(features, across1, across2, dim=3)
        down, up = scan_twice(features, down1, down2, dim=2)
        y = torch.maximum(torch.maximum(right, left), torch.maximum(down, up))
        return torch.sigmoid(self.head(self.conv(y).relu()))


class GateNet(nn.Module):
    """Four gates for each channel and pixel, -1..1, from the gradients: an encoder and decoder with skips."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inputs = (2, width, 2 * width, 2 * width, 2 * width)
        outputs = (width, 2 * width, 2 * width, 2 * width, 4 * width)
        kernels = (5, 3, 3, 3, 3)
        self.down = nn.ModuleList(
            nn.Conv2d(c_in, c_out, k, padding=k // 2) for c_in, c_out, k in zip(inputs, outputs, kernels, strict=True)
        )
        ends = ((4, 4), (6, 2), (4, 1), (2, 4))
        self.up = nn.ModuleList(nn.Conv2d(a * width, b * width, 3, padding=1) for a, b in ends)

    def forward(self, gradients: Tensor) -> Tensor:
        """[N, 2, H, W] -> [N, 4 width, H, W]."""
        levels = [self.down[0](gradients).relu()]
        for conv in self.down[1:]:
            levels.append(conv(F.max_pool2d(levels[-1], 2)).relu())
        y = self.up[0](_enlarged(levels[4])).relu()  # the level of an eighth is not used again
        for conv, skip in zip(self.up[1:3], (levels[2], levels[1]), strict=True):
            y = conv(torch.cat([_enlarged(y), skip], dim=1)).relu()
        return torch.tanh(self.up[3](torch.cat([_enlarged(y), levels[0]], dim=1)))


def grey_gradients(x: Tensor) -> Tensor:
    """Forward differences of the grey picture, along rows and along columns: [N, 3, H, W] -> [N, 2, H, W]."""
    grey = (x * x.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    dx = F.pad(grey.diff(dim=3), (0, 1))
    dy = F.pad(grey.diff(dim=2), (0, 0, 0, 1))
    return torch.cat([dx, dy], dim=1)


def scan(x: Tensor, gate: Tensor, dim: int) -> Tensor:
    """h_k = (1 - g_k) x_k + g_k h_(k-1) along ``dim``, from h = 0.

    Examples
    --------
    >>> scan(torch.ones(3), torch.full((3,), 0.5), dim=0).tolist()
    [0.5, 0.75, 0.875]
    """
    xs, gates = (t.movedim(dim, 0).contiguous() for t in (x, gate))  # so that each step reads one piece of memory
    h = torch.zeros_like(xs[0])
    states = []
    for x_k, g_k in zip(xs, gates, strict=True):
        h = torch.lerp(x_k, h, g_k)
        states.append(h)
    return torch.stack(states).movedim(0, dim)


def scan_twice(x: Tensor, first: Tensor, second: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Scan along ``dim`` with one gate, then the result with another; and both once more in the other direction."""
    x, first, second = (torch.cat([t, t.flip(dim)]) for t in (x, first, second))
    ahead, back = scan(scan(x, first, dim), second, dim).chunk(2)
    return ahead, back.flip(dim)


def build_drf(width: int = 16) -> nn.Module:
    """Build DRF, untrained; see :class:`DRF`.

    >>> sum(p.numel() for p in build_drf().parameters())
    147677
    """
    return DRF(width)


def _enlarged(x: Tensor, factor: int = 2) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
