"""A transposed convolution with few outputs, for use: one ordinary convolution, all four phases beside each other.

``nn.ConvTranspose2d(C, D, 4, stride=2, padding=1)`` writes each output pixel from 2x2 inputs, by one of four kernels
that its parities choose. One 2x2 convolution to 4 D channels computes the four at once; with D = 3 that fills a
processor's vectors, where torch's own leaves them nearly empty.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FourPhases(nn.Module):
    """The same function as the ``nn.ConvTranspose2d`` (4x4, stride 2, padding 1) it is made of, without gradients.

    >>> up, x = nn.ConvTranspose2d(8, 3, 4, stride=2, padding=1), torch.rand(2, 8, 5, 7)
    >>> torch.allclose(FourPhases(up)(x), up(x), atol=1e-6)
    True
    """

    @torch.no_grad()
    def __init__(self, up: nn.ConvTranspose2d) -> None:
        super().__init__()
        c_in, self.channels = up.in_channels, up.out_channels
        self.conv = nn.Conv2d(c_in, 4 * self.channels, 2, padding=1).to(up.weight)
        # Taps of the pixels before and at t, for even and odd output pixels.
        taps = ((3, 1), (2, 0))
        kernels = [up.weight[:, :, rows][..., cols] for rows in taps for cols in taps]  # [C, D, 2, 2] each
        self.conv.weight.copy_(torch.cat(kernels, dim=1).transpose(0, 1))
        bias = up.weight.new_zeros(self.channels) if up.bias is None else up.bias
        assert self.conv.bias is not None
        self.conv.bias.copy_(bias.repeat(4))
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, D, 2 H, 2 W]."""
        height, width = x.shape[2:]
        phases = self.conv(x).split(self.channels, dim=1)  # [N, D, H + 1, W + 1]; odd pixels lie one further
        y: Tensor = phases[0].new_empty(len(x), self.channels, 2 * height, 2 * width)
        for i, phase in enumerate(phases):
            row, col = divmod(i, 2)
            y[:, :, row::2, col::2] = phase[:, :, row : row + height, col : col + width]
        return y
