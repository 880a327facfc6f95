"""DeSmoothGAN: networks that give a smoothed picture its detail back.

So far the row the paper calls *pix2pix* (Table 1): the plain U-Net of Isola et al. 2017 at five downsamplings,
16,659,075 parameters at the paper's width of 64. Two settings go beyond that row, because the networks that ship
are small and must never do harm: ``norm="none"`` and ``residual=True``.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from restauro.errors import SettingError
from restauro.facts import Facts

Norm = Literal["batch", "none"]


class Pix2Pix(nn.Module):
    """The U-Net generator of pix2pix.

    Encoder: 4x4 convolutions, stride 2, widths ``width * (1, 2, 4, 8, 8, ...)``, LeakyReLU 0.2 before each but the
    first; the first and the innermost carry no norm. Decoder: ReLU, 4x4 transposed convolution, norm, and the skip
    of the same size beside it; the last one has 3 outputs and a tanh.

    Parameters
    ----------
    width
        Channels after the first convolution; 64 in the paper.
    downs
        Number of halvings; sides of the input must be divisible by ``2 ** downs``. 5 in the paper's *pix2pix* row,
        7 in *pix2pix-EX*.
    norm
        ``"batch"`` as published, or ``"none"``: biased convolutions and no statistics, so that a picture comes out
        the same alone, in a batch or in tiles.
    residual
        False: tanh(.) is the picture in -1..1, as published. True: the last layer starts at zero and is *added* to
        the input, so that the untrained network is the identity.

    Examples
    --------
    >>> sum(p.numel() for p in Pix2Pix().parameters())
    16659075
    >>> x = torch.rand(1, 3, 32, 64)
    >>> torch.equal(Pix2Pix(8, norm="none", residual=True)(x), x)
    True
    """

    def __init__(self, width: int = 64, downs: int = 5, norm: Norm = "batch", residual: bool = False) -> None:
        super().__init__()
        if width < 1:
            raise SettingError("width", width, "a whole number from 1")
        if not 2 <= downs <= 8:
            raise SettingError("downs", downs, "2 to 8 halvings")
        if norm not in ("batch", "none"):
            raise SettingError("norm", norm, "batch or none")
        self.residual = residual
        self.facts = Facts(
            multiple=2**downs,
            halo_px=3 * 2**downs - 3,  # the exact radius of the receptive field: 93 at five downs
            precisions=("bfloat16", "float32"),
            bytes_per_px=24 * width,
        )
        widths = [width * min(2**level, 8) for level in range(downs)]
        inputs = [3, *widths[:-1]]
        self.down = nn.ModuleList(
            _conv(inputs[level], widths[level], norm, normed=0 < level < downs - 1)
            for level in range(downs)
        )
        self.up = nn.ModuleList(
            _up(widths[level] * (1 if level == downs - 1 else 2), widths[level - 1], norm)
            for level in range(downs - 1, 0, -1)
        )
        self.head = nn.ConvTranspose2d(2 * width, 3, 4, stride=2, padding=1)
        if residual:
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Desmooth x [N, 3, H, W], 0..1, to the same shape; the residual form is not clipped."""
        y = self.down[0](2 * x - 1)
        skips = [y]
        for down in self.down[1:]:
            y = down(nn.functional.leaky_relu(y, 0.2))
            skips.append(y)
        y = skips.pop()
        for up in self.up:
            # The published in-place LeakyReLU makes the skip the activated tensor.
            y = torch.cat([nn.functional.leaky_relu(skips.pop(), 0.2), up(y.relu())], dim=1)
        y = self.head(y.relu())
        return x + y if self.residual else (torch.tanh(y) + 1) / 2


def build_desmoothgan(
    variant: str = "pix2pix", width: int = 64, norm: Norm = "batch", residual: bool = False
) -> nn.Module:
    """Build one row of the paper's Table 1, untrained: ``pix2pix`` or ``pix2pix-ex`` (seven halvings).

    >>> sum(p.numel() for p in build_desmoothgan("pix2pix-ex").parameters())
    41828995
    """
    downs = {"pix2pix": 5, "pix2pix-ex": 7}.get(variant)
    if downs is None:
        raise SettingError("variant", variant, "pix2pix or pix2pix-ex")
    return Pix2Pix(width, downs, norm, residual)


def _conv(c_in: int, c_out: int, norm: Norm, *, normed: bool) -> nn.Module:
    conv = nn.Conv2d(c_in, c_out, 4, stride=2, padding=1, bias=norm == "none")
    return nn.Sequential(conv, nn.BatchNorm2d(c_out)) if norm == "batch" and normed else conv


def _up(c_in: int, c_out: int, norm: Norm) -> nn.Module:
    conv = nn.ConvTranspose2d(c_in, c_out, 4, stride=2, padding=1, bias=norm == "none")
    return nn.Sequential(conv, nn.BatchNorm2d(c_out)) if norm == "batch" else conv
