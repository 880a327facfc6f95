"""A convolution from a few channels, for use: filled up to a multiple of 16, with the channels last.

A processor multiplies 16 numbers at a time; torch's convolution from 36 channels is slower than from 48 of which 12 are
zero.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LANES = 16


class WideInput(nn.Module):
    """The same function as the ``nn.Conv2d`` it is made of, without gradients; the result has its channels last.

    >>> conv, x = nn.Conv2d(12, 4, 3, padding=1), torch.rand(2, 12, 5, 7)
    >>> torch.allclose(WideInput(conv)(x), conv(x), atol=1e-6)
    True
    """

    @torch.no_grad()
    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        if conv.groups != 1:
            raise ValueError(f"{conv}: wanted a convolution of one group")
        self.missing = -conv.in_channels % LANES
        self.conv = nn.Conv2d(
            conv.in_channels + self.missing,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]  # torch types what it stores more loosely than what it takes
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            conv.dilation,  # type: ignore[arg-type]
            bias=conv.bias is not None,
            padding_mode=conv.padding_mode,
        ).to(conv.weight)
        self.conv.weight.copy_(nn.functional.pad(conv.weight, (0, 0, 0, 0, 0, self.missing)))
        if self.conv.bias is not None and conv.bias is not None:
            self.conv.bias.copy_(conv.bias)
        self.to(memory_format=torch.channels_last).requires_grad_(False)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        """As the convolution."""
        n, c, height, width = x.shape
        wide = x.new_zeros(n, height, width, c + self.missing).permute(0, 3, 1, 2)
        wide[:, :c] = x
        return self.conv(wide)  # type: ignore[no-any-return]


def pays(conv: nn.Conv2d) -> bool:
    """Whether filling up costs at most a third more multiplications.

    >>> [pays(nn.Conv2d(c, 8, 3)) for c in (3, 12, 16, 36)]
    [False, True, False, True]
    """
    missing = -conv.in_channels % LANES
    return 0 < 3 * missing <= conv.in_channels and conv.groups == 1
