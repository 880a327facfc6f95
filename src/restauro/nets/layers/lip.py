"""Local importance pooling (Gao et al. 2019, "LIP: Local Importance-based Pooling"), in its simplified form.

HiFaceGAN uses it, followed by an ordinary convolution, as its "content-adaptive suppression".
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from restauro.nets.layers.any_size import InstanceNorm

GAIN = 12.0


class LIP(nn.Module):
    """Halve a map by a weighted mean of each 3x3 window, per channel, with learned weights.

    For the window around pixel i of every second row and column, padding left out:

        y_i = sum_j exp(l_j) x_j / sum_j exp(l_j),     l = 12 sigmoid(IN(conv3x3(x)))

    so a pixel weighs up to e^12 times as much as its neighbour. Only differences of l matter: l - 6 is what is
    computed, which keeps the weights within 1/404..404.

    State: ``logit.0.weight`` [C, C, 3, 3], ``logit.1.weight``, ``logit.1.bias`` [C], as published.

    Examples
    --------
    >>> LIP(4)(torch.rand(1, 4, 6, 8)).shape
    torch.Size([1, 4, 3, 4])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.logit = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), InstanceNorm(channels, affine=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Pool x [N, C, H, W] to [N, C, ceil(H / 2), ceil(W / 2)]."""
        return pool_by_logit(x, GAIN * torch.sigmoid(_wide(self.logit(x))) - GAIN / 2)


def pool_by_logit(x: Tensor, logit: Tensor) -> Tensor:
    """Mean of the 3x3 windows of x at stride 2, weighted by exp(logit); both [N, C, H, W]."""
    weight = logit.exp()
    # Zero padding adds nothing to either sum, and the two divisors cancel.
    return (avg_pool2d(_wide(x) * weight, 3, 2, 1) / avg_pool2d(weight, 3, 2, 1)).to(x)


def _wide(x: Tensor) -> Tensor:
    """Half precision becomes float32: it is too coarse for an exponent of 12 and for sums of such weights."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
