"""Residual U-Net: the plain network that renovates faces.

No paper's: residual blocks of two 3x3 convolutions (He et al. 2016) on a few sizes (Ronneberger et al. 2015), with the
picture folded into channels first (pixel unshuffle, Shi et al. 2016), so that no layer is both large and narrow. Skips
are sums. There is no norm, so a picture comes out the same alone, in a batch or in tiles; and the last convolutions
start at zero, so the untrained network is the identity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from restauro.errors import SettingError
from restauro.facts import Facts
from restauro.nets.layers.recentre import MOST_PX, Recentre, translated
from restauro.nets.layers.refine import Refine

#: Channels of the sizes, as multiples of ``width``.
GROWTH = "1 1.5 2.5 4"
FOLDS = (1, 2, 4, 8)

#: Of the last stage, whose convolution to three channels Muon leaves to AdamW, at a fifteenth of the rate.
GAIN = 16.0

#: Of a large picture, the sides of what decides how far it is moved; what is seen from further away for that.
SEEN_PX, _MOVED = 1024, int(MOST_PX) + 2


class ResidualUNet(nn.Module):
    """Input plus a correction.

    Parameters
    ----------
    width
        Channels at the largest size.
    blocks
        Residual blocks at each size, on the way down and again on the way up.
    fold
        The largest size is 1/fold of the picture's. With 4 instead of 2 a network of the same cost can be nearly twice
        as wide, which pays where little of what it is to find is as small as a pixel.
    growth
        Channels of the sizes as multiples of ``width``, each size half the one before.
    refine
        Channels of a nonlinear branch at full size beside the last layer, which sees the picture again: 0 is none.
    recentre
        Width of the network that finds how far an uneven motion blur has moved the picture; the result is moved back
        (:mod:`restauro.nets.layers.recentre`). 0 is none.

    Examples
    --------
    >>> import torch
    >>> x = torch.rand(1, 3, 32, 48)
    >>> bool((ResidualUNet(8, 1)(x) == x).all())
    True
    """

    def __init__(
        self,
        width: int = 64,
        blocks: int = 2,
        fold: int = 2,
        growth: str = GROWTH,
        refine: int = 0,
        recentre: int = 0,
    ) -> None:
        super().__init__()
        if width < 2:
            raise SettingError("width", width, "a whole number from 2")
        if not 1 <= blocks <= 16:
            raise SettingError("blocks", blocks, "1 to 16")
        if fold not in FOLDS:
            raise SettingError("fold", fold, f"one of {FOLDS}")
        if not 0 <= refine <= 256:
            raise SettingError("refine", refine, "0 to 256")
        if not 0 <= recentre <= 256:
            raise SettingError("recentre", recentre, "0 to 256")
        widths = [round(width * factor) for factor in _numbers(growth)]
        self.fold = fold
        self.stem = nn.Conv2d(3 * fold**2, widths[0], 3, padding=1)
        self.encode = nn.ModuleList(_blocks(channels, blocks) for channels in widths)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.up = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in pairwise(widths))
        self.decode = nn.ModuleList(_blocks(channels, blocks) for channels in widths[:-1])
        self.head = nn.Conv2d(widths[0], 3 * fold**2, 3, padding=1)
        self.refine = Refine(widths[0], 3, refine, fold, GAIN) if refine else None
        self.recentre = Recentre(recentre) if recentre else None
        for last in [self.head] + ([] if self.refine is None else [self.refine.last]):
            for parameter in last.parameters():
                nn.init.zeros_(parameter)
        self.facts = Facts(
            multiple=fold * 2 ** (len(widths) - 1),
            halo_px=_reach(2 * blocks, fold, len(widths), head=max(fold, 2) if refine else fold)
            + _MOVED * bool(recentre),
            global_statistics=bool(recentre),
            precisions=("bfloat16", "float32"),
            # measured: with fold 2, 153 at width 16 and 503 at 64; with 4, 191 at 64 and 214 at 112; refine 16: +166;
            # recentre: +33
            bytes_per_px=72 + 32 * width // fold**2 + 12 * refine + 40 * bool(recentre),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Restore x [N, 3, H, W], 0..1, to the same shape; not clipped."""
        restored = self.in_place(x)
        return restored if self.recentre is None else translated(restored, self.shift_of(x))

    def shift_of(self, x: Tensor) -> Tensor:
        """How far (down, across) the result for x [N, 3, H, W] is moved, in pixels: [N, 2]."""
        shift: Tensor = x.new_zeros(len(x), 2) if self.recentre is None else self.recentre(_middle(x))
        return shift

    def held(self) -> nn.Module:
        """The same network, with the same weights, that moves nothing."""
        return self if self.recentre is None else _Recentred(self, None)

    def seeing(self, x: Tensor, tile_px: int) -> nn.Module:
        """For tiles of the picture x [1, 3, H, W]: all are moved alike, by what its middle says."""
        del tile_px  # the middle is small enough to be looked at in one piece
        return _Recentred(self, self.shift_of(x))

    def in_place(self, x: Tensor) -> Tensor:
        """The same without moving anything."""
        y: Tensor = self.stem(F.pixel_unshuffle(2 * x - 1, self.fold))
        skips = []
        for encode, down in zip(self.encode, self.down, strict=False):
            y = encode(y)
            skips.append(y)
            y = down(y)
        y = self.encode[-1](y)
        for skip, up, decode in zip(reversed(skips), reversed(self.up), reversed(self.decode), strict=True):
            y = decode(skip + F.pixel_shuffle(up(y), 2))
        restored = x + F.pixel_shuffle(self.head(y), self.fold)
        return restored if self.refine is None else restored + self.refine(y, 2 * x - 1)


class _Recentred(nn.Module):
    """A residual U-Net that knows already how far to move its results; None: not at all."""

    def __init__(self, net: ResidualUNet, shift: Tensor | None) -> None:
        super().__init__()
        self.net, self.shift = net, shift
        self.facts = replace(net.facts, global_statistics=False)
        self.train(net.training)

    def forward(self, x: Tensor) -> Tensor:
        """As :meth:`ResidualUNet.forward`."""
        restored = self.net.in_place(x)
        return restored if self.shift is None else translated(restored, self.shift)


def _middle(x: Tensor) -> Tensor:
    """At most SEEN_PX x SEEN_PX pixels about the middle of x [N, C, H, W]."""
    top, left = (max(0, (side - SEEN_PX) // 2) for side in x.shape[2:])
    return x[:, :, top : top + SEEN_PX, left : left + SEEN_PX]


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


def _numbers(growth: str) -> list[float]:
    try:
        factors = [float(word) for word in growth.split()]
    except ValueError:
        factors = []
    if not (2 <= len(factors) <= 6 and min(factors) > 0):
        raise SettingError("growth", growth, "two to six numbers above 0, such as '1 2 3'")
    return factors


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Block(channels) for _ in range(count)))


def _reach(convolutions: int, fold: int, sizes: int, head: int) -> int:
    """How far a pixel of the output sees, with so many 3x3 convolutions at each size and side, and ``head`` pixels."""
    farthest = 0
    for pixel in range(fold * 2 ** (sizes - 1)):
        low = high = pixel
        for size in range(sizes):  # to the smallest size: the cells a feature lies in, then what these see
            cell = fold if size == 0 else 2
            low, high = low // cell - convolutions - (size == 0), high // cell + convolutions + (size == 0)
        for size in reversed(range(sizes)):  # and back: the cells that made them
            more = convolutions if size < sizes - 1 else 0
            cell = fold if size == 0 else 2
            low, high = cell * (low - more), cell * (high + more) + cell - 1
        farthest = max(farthest, pixel - low + head, high + head - pixel)
    return farthest


def build_residual_unet(
    width: int = 64, blocks: int = 2, fold: int = 2, growth: str = GROWTH, refine: int = 0, recentre: int = 0
) -> nn.Module:
    """Build the residual U-Net, untrained; see :class:`ResidualUNet`.

    >>> sum(p.numel() for p in build_residual_unet().parameters())
    5679948
    """
    return ResidualUNet(width, blocks, fold, growth, refine, recentre)
