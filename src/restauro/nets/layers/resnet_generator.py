"""The parts of the generators that pix2pixHD and DeblurGAN share (after Johnson et al. 2016), in their published order.

conv7x7, stride-2 convolutions, residual blocks, stride-2 transposed convolutions, conv7x7; instance norm and ReLU after
all but the last; reflection padding at stride 1. Each function gives the layers to be put into one ``nn.Sequential``,
so that positions there, and so the keys of the state, are the published ones.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from restauro.errors import SettingError
from restauro.nets.layers.any_size import InstanceNorm, Reflect


class Parts:
    """Makes the parts; ``norm=False`` leaves the norm out and keeps its place; ``bias``: before a norm, too.

    Instance norm takes every bias before it away again: the published networks carry them all the same.
    """

    def __init__(self, norm: bool = True, bias: bool = True) -> None:
        self.norm, self.bias = norm, bias

    def enter(self, c_in: int, width: int) -> list[nn.Module]:
        """Padding, conv7x7, norm, ReLU."""
        return [Reflect(3), nn.Conv2d(c_in, width, 7, bias=self.bias), *self.normed(width)]

    def down(self, width: int) -> list[nn.Module]:
        """conv3x3 of stride 2 to twice the channels, norm, ReLU."""
        return [nn.Conv2d(width, 2 * width, 3, 2, 1, bias=self.bias), *self.normed(2 * width)]

    def up(self, width: int) -> list[nn.Module]:
        """Transposed conv3x3 of stride 2 to half the channels, norm, ReLU."""
        conv = nn.ConvTranspose2d(width, width // 2, 3, 2, 1, output_padding=1, bias=self.bias)
        return [conv, *self.normed(width // 2)]

    def leave(self, width: int) -> list[nn.Module]:
        """Padding, conv7x7 to three colours, tanh."""
        return [Reflect(3), nn.Conv2d(width, 3, 7), nn.Tanh()]

    def normed(self, width: int) -> list[nn.Module]:
        """Norm, ReLU."""
        return [self._norm(width), nn.ReLU(inplace=True)]

    def block(self, width: int, convs: int = 2, dropout: float | None = None) -> Residual:
        """A residual block: x + [conv, norm, ReLU, dropout, conv, norm].

        Of one convolution (what a slip left of DeblurGAN's): x + [conv, norm, ReLU, dropout] with dropout, else
        x + [conv, norm].
        """
        first = [Reflect(1), nn.Conv2d(width, width, 3, bias=self.bias), self._norm(width)]
        drop: list[nn.Module] = [] if dropout is None else [Dropout(dropout)]
        if convs == 1:
            return Residual([*first, *([nn.ReLU(inplace=True), *drop] if drop else [])])
        last = [Reflect(1), nn.Conv2d(width, width, 3, bias=self.bias), self._norm(width)]
        return Residual([*first, nn.ReLU(inplace=True), *drop, *last])

    def _norm(self, width: int) -> nn.Module:
        return InstanceNorm(width) if self.norm else nn.Identity()


class Dropout(nn.Module):
    """Dropout that draws from a generator: on in training, and wherever a generator is given.

    >>> layer, x = Dropout(0.5).eval(), torch.ones(1000)
    >>> torch.equal(layer(x), x), 400 < int((layer(x, torch.Generator().manual_seed(0)) == 2).sum()) < 600
    (True, True)
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 < p < 1:
            raise SettingError("dropout", p, "a number between 0 and 1, or None")
        self.p = p

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Zero a share p of x, and scale the rest by 1 / (1 - p)."""
        if not self.training and generator is None:
            return x
        return x * torch.empty_like(x).bernoulli_(1 - self.p, generator=generator) / (1 - self.p)


class Residual(nn.Module):
    """x + conv_block(x)."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Transform x [N, C, H, W]; the generator goes to the dropout."""
        y = x
        for layer in self.conv_block:
            y = layer(y, generator) if isinstance(layer, Dropout) else layer(y)
        return x + y


def set_normal_weights(net: nn.Module, *, zero_bias: bool) -> None:
    """Draw the weights of all convolutions from N(0, 0.02^2), as pix2pix and its heirs do."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            if zero_bias and layer.bias is not None:
                nn.init.zeros_(layer.bias)


def set_weights_without_norm(net: nn.Module) -> None:
    """Draw weights that keep the signal's size where no norm does: Kaiming's, blocks starting at a tenth; biases 0.

    N(0, 0.02^2) without a norm makes it vanish: such a network stays where it started.
    """
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    with torch.no_grad():
        for block in net.modules():
            if isinstance(block, Residual):
                [layer for layer in block.conv_block if isinstance(layer, nn.Conv2d)][-1].weight.mul_(0.1)
