"""DeblurGAN: takes motion blur out of a picture.

Source: Kupyn et al., "DeblurGAN: Blind Motion Deblurring Using Conditional Adversarial Networks", CVPR 2018.
As published a residual block has two convolutions (11,378,179 parameters); a slip in 2019 left one in the authors' code
(6,067,459), and that is what the report ran: ``convs_per_block=1``. State keys are the published ones.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from restauro.errors import SettingError
from restauro.facts import Facts
from restauro.nets.layers.resnet_generator import Parts, Residual, set_normal_weights, set_weights_without_norm

DeblurNorm = Literal["instance", "none"]


class DeblurGAN(nn.Module):
    """The generator: conv7x7, two halvings, residual blocks at a quarter of the size, two doublings, conv7x7, tanh.

    y = clamp(x + tanh(.)), in -1..1 inside: the network only computes the correction.

    Parameters
    ----------
    width
        Channels after the first convolution; 64 in the paper.
    blocks
        Residual blocks; 9 in the paper.
    convs_per_block
        2 as published, 1 as the report ran it.
    norm
        ``"instance"`` as published: statistics of the picture, at test too. ``"none"``: none, so that a picture comes
        out the same whole and in tiles; it starts from Kaiming's weights, as it would not learn from the published.
    dropout
        Share of features dropped in each block, in training; 0.5 in the paper. None: no such layer (other keys).
    zero_start
        The last convolution starts at zero, so that the untrained network is the identity. False as published.

    Examples
    --------
    >>> with torch.device("meta"):
    ...     net = DeblurGAN()
    >>> sum(p.numel() for p in net.parameters())
    11378179
    >>> x = torch.rand(1, 3, 20, 24)
    >>> torch.equal(DeblurGAN(8, blocks=2, zero_start=True).eval()(x), x)
    True
    """

    def __init__(
        self,
        width: int = 64,
        blocks: int = 9,
        convs_per_block: int = 2,
        norm: DeblurNorm = "instance",
        dropout: float | None = 0.5,
        zero_start: bool = False,
    ) -> None:
        super().__init__()
        _check(width, blocks, convs_per_block, norm)
        parts = Parts(norm=norm == "instance")
        self.model = nn.Sequential(
            *parts.enter(3, width),
            *parts.down(width),
            *parts.down(2 * width),
            *(parts.block(4 * width, convs_per_block, dropout) for _ in range(blocks)),
            *parts.up(4 * width),
            *parts.up(2 * width),
            *parts.leave(width),
        )
        self.facts = Facts(
            multiple=4,
            halo_px=12 + 4 * blocks * convs_per_block,  # the exact radius of the receptive field
            global_statistics=norm == "instance",
            bytes_per_px=260 + 12 * width,
        )
        if norm == "instance":
            set_normal_weights(self, zero_bias=True)
        else:
            set_weights_without_norm(self)
        if zero_start:
            last = self.model[-2]
            assert isinstance(last, nn.Conv2d)
            nn.init.zeros_(last.weight)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Deblur x [N, 3, H, W], 0..1, to the same shape and range.

        Dropout is on in training, and wherever a ``generator`` is given: the authors' tests left it on.
        """
        y = 2 * x - 1
        for layer in self.model:
            y = layer(y, generator) if isinstance(layer, Residual) else layer(y)
        return (x + y / 2).clamp(0, 1)


def build_deblurgan(
    width: int = 64,
    blocks: int = 9,
    convs_per_block: int = 2,
    norm: DeblurNorm = "instance",
    dropout: float = 0.5,
    zero_start: bool = False,
) -> nn.Module:
    """Build DeblurGAN, untrained; ``dropout=0`` for none.

    >>> with torch.device("meta"):
    ...     net = build_deblurgan(convs_per_block=1)
    >>> sum(p.numel() for p in net.parameters())
    6067459
    """
    return DeblurGAN(width, blocks, convs_per_block, norm, dropout or None, zero_start)


def _check(width: int, blocks: int, convs_per_block: int, norm: str) -> None:
    if width < 1:
        raise SettingError("width", width, "a whole number from 1")
    if blocks < 0:
        raise SettingError("blocks", blocks, "a whole number from 0")
    if convs_per_block not in (1, 2):
        raise SettingError("convs_per_block", convs_per_block, "1 or 2")
    if norm not in ("instance", "none"):
        raise SettingError("norm", norm, "instance or none")
