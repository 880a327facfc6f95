"""Auto-encoder and U-Net: the two plain networks of SASNet's ablation (Table 3), one with and one without skips.

The paper says no more than their names, and that SASNet has half of a U-Net's parameters. Inferred from that: base
width 24, four halvings, two 3x3 convolutions with LeakyReLU 0.2 per level, max pooling, 2x2 transposed convolutions
(Ronneberger et al. 2015, padded): 4,365,915 parameters, and 3,925,275 without the skips.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restauro.errors import SettingError
from restauro.facts import Facts


class UNet(nn.Module):
    """Halve ``downs`` times, double as often; the result is the picture itself, nothing is added to the input.

    Parameters
    ----------
    width
        Channels at full size; each halving doubles them.
    downs
        Halvings, 1 to 8; sides must be divisible by ``2 ** downs``.
    skips
        Concatenate the features of the same size on the way up. Without them it is an auto-encoder.

    Examples
    --------
    >>> UNet(4, 2)(torch.rand(1, 3, 8, 12)).shape
    torch.Size([1, 3, 8, 12])
    """

    def __init__(self, width: int = 24, downs: int = 4, skips: bool = True) -> None:
        super().__init__()
        if width < 1:
            raise SettingError("width", width, "a whole number from 1")
        if not 1 <= downs <= 8:
            raise SettingError("downs", downs, "1 to 8 halvings")
        self.skips = skips
        widths = [width * 2**level for level in range(downs + 1)]
        inputs = [3, *widths[:-1]]
        self.encode = nn.ModuleList(_double(inputs[level], widths[level]) for level in range(downs + 1))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(widths[level + 1], widths[level], 2, stride=2) for level in reversed(range(downs))
        )
        self.decode = nn.ModuleList(
            _double(widths[level] * (2 if skips else 1), widths[level]) for level in reversed(range(downs))
        )
        self.head = nn.Conv2d(width, 3, 1)
        self.facts = Facts(
            multiple=2**downs,
            # Two 3x3 convolutions at each level, twice but for the lowest; and where a pixel lies in its block.
            halo_px=7 * 2**downs - 5,
            bytes_per_px=24 * width if skips else 16 * width,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Smooth x [N, 3, H, W], 0..1, to the same shape; not clipped."""
        skips: list[Tensor] = []
        y = self.encode[0](x)
        for encode in self.encode[1:]:
            skips.append(y)
            y = encode(F.max_pool2d(y, 2))
        for up, decode in zip(self.up, self.decode, strict=True):
            y = up(y)
            skip = skips.pop()
            y = decode(torch.cat([skip, y], dim=1) if self.skips else y)
        smoothed: Tensor = self.head(y)
        return smoothed


def build_unet(width: int = 24, downs: int = 4) -> nn.Module:
    """Build the U-Net, untrained; see :class:`UNet`.

    >>> sum(p.numel() for p in build_unet().parameters())
    4365915
    """
    return UNet(width, downs)


def build_autoencoder(width: int = 24, downs: int = 4) -> nn.Module:
    """Build the auto-encoder, untrained: :class:`UNet` without skips.

    >>> sum(p.numel() for p in build_autoencoder().parameters())
    3925275
    """
    return UNet(width, downs, skips=False)


def _double(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
    )
