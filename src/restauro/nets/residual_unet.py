"""Residual U-Net: the plain network that a fidelity model has to beat.

No paper's: residual blocks of two 3x3 convolutions (He et al. 2016) on four sizes (Ronneberger et al. 2015), with the
picture folded into channels first (pixel unshuffle, Shi et al. 2016), so that no layer is both large and narrow. Skips
are sums. There is no norm, so a picture comes out the same alone, in a batch or in tiles; and the last convolution
starts at zero, so the untrained network is the identity.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from restauro.errors import SettingError
from restauro.facts import Facts

#: Channels of the four sizes, as multiples of ``width``; the first works at half the picture's size.
GROWTH = (1.0, 1.5, 2.5, 4.0)


class ResidualUNet(nn.Module):
    """Input plus a correction.

    Parameters
    ----------
    width
        Channels at half size; 1.5, 2.5 and 4 times as many at 1/4, 1/8 and 1/16.
    blocks
        Residual blocks at each size, on the way down and again on the way up.

    Examples
    --------
    >>> import torch
    >>> x = torch.rand(1, 3, 32, 48)
    >>> bool((ResidualUNet(8, 1)(x) == x).all())
    True
    """

    def __init__(self, width: int = 64, blocks: int = 2) -> None:
        super().__init__()
        if width < 2:
            raise SettingError("width", width, "a whole number from 2")
        if not 1 <= blocks <= 16:
            raise SettingError("blocks", blocks, "1 to 16")
        widths = [round(width * growth) for growth in GROWTH]
        self.stem = nn.Conv2d(12, widths[0], 3, padding=1)
        self.encode = nn.ModuleList(_blocks(channels, blocks) for channels in widths)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.up = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in pairwise(widths))
        self.decode = nn.ModuleList(_blocks(channels, blocks) for channels in widths[:-1])
        self.head = nn.Conv2d(widths[0], 12, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]
        self.facts = Facts(
            multiple=2 ** len(GROWTH),
            halo_px=_reach(2 * blocks),
            precisions=("bfloat16", "float32"),
            bytes_per_px=24 + 8 * width,  # measured: 153 at width 16, 344 at 40, 503 at 64
        )

    def forward(self, x: Tensor) -> Tensor:
        """Restore x [N, 3, H, W], 0..1, to the same shape; not clipped."""
        y: Tensor = self.stem(F.pixel_unshuffle(2 * x - 1, 2))
        skips = []
        for encode, down in zip(self.encode, self.down, strict=False):
            y = encode(y)
            skips.append(y)
            y = down(y)
        y = self.encode[-1](y)
        for skip, up, decode in zip(reversed(skips), reversed(self.up), reversed(self.decode), strict=True):
            y = decode(skip + F.pixel_shuffle(up(y), 2))
        return x + F.pixel_shuffle(self.head(y), 2)


def same(c_in: int, c_out: int) -> nn.Module:
    """A 3x3 convolution that keeps the size, with zeros around it."""
    return nn.Conv2d(c_in, c_out, 3, padding=1)


class Block(nn.Module):
    """y + conv(LeakyReLU(conv(y))), with ``convolution(c_in, c_out)`` of one's own."""

    def __init__(self, channels: int, convolution: Callable[[int, int], nn.Module] = same) -> None:
        super().__init__()
        self.first = convolution(channels, channels)
        self.second = convolution(channels, channels)

    def forward(self, y: Tensor) -> Tensor:
        """[N, C, H, W] to the same."""
        found: Tensor = self.second(F.leaky_relu(self.first(y), 0.2))
        return y + found


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Block(channels) for _ in range(count)))


def _reach(convolutions: int) -> int:
    """How far a pixel of the output sees, with so many 3x3 convolutions at each size and side."""
    farthest = 0
    for pixel in range(2 ** len(GROWTH)):
        low = high = pixel
        for size in range(len(GROWTH)):  # to the smallest size: the halves a feature lies in, then what these see
            low, high = low // 2 - convolutions - (size == 0), high // 2 + convolutions + (size == 0)
        for size in reversed(range(len(GROWTH))):  # and back: the pairs that made them
            more = convolutions + (size == 0) if size < len(GROWTH) - 1 else 0
            low, high = 2 * (low - more), 2 * (high + more) + 1
        farthest = max(farthest, pixel - low, high - pixel)
    return farthest


def build_residual_unet(width: int = 64, blocks: int = 2) -> nn.Module:
    """Build the residual U-Net, untrained; see :class:`ResidualUNet`.

    >>> sum(p.numel() for p in build_residual_unet().parameters())
    5679948
    """
    return ResidualUNet(width, blocks)
