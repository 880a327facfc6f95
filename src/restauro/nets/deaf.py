"""DEAF: deep edge-aware filters (Xu, Ren, Yan, Liao, Jia 2015).

A small network turns the picture's vertical gradients into those of the filtered picture; the horizontal ones are
transposed, go through the same network, and are transposed back. The picture that has these gradients and is near
the input follows in closed form (eq. 7)::

    argmin_S |S - I|^2 + beta (|dx S - h|^2 + |dy S - v|^2)

Differs: the paper trains on 64x64 patches without padding (56x56 come out); here gradients outside of the picture
count as zero, so that any size comes back as it is. Inside, the results are the same.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from restauro.errors import SettingError
from restauro.facts import Facts

RADIUS_PX = 11  # of the convolutions: 16x16 and 8x8 in a row see 23x23


class DEAF(nn.Module):
    """Learn the gradients of a filter, then solve for the picture.

    Parameters
    ----------
    width
        Filters of the 16x16 convolution; 256 in the paper, 512 in a published configuration.
    beta
        Weight of the gradients. By the filter that is learned, as published: 4194 for L0, weighted median, rolling
        guidance, local Laplacian; 120 for bilateral; 168 for RTV, WLS, shock and others.

    Notes
    -----
    Cost at width 256: 0.62 million multiply-accumulates per pixel, half of it for each direction, and a real FFT there
    and back. The solve is periodic and looks at the whole picture.

    Examples
    --------
    >>> x = torch.full((1, 3, 9, 12), 0.5)
    >>> torch.allclose(DEAF(8)(x), x, atol=1e-2)
    True
    """

    def __init__(self, width: int = 256, beta: float = 4194.0) -> None:
        super().__init__()
        if width < 1:
            raise SettingError("width", width, "a whole number from 1")
        if not 0 < beta < math.inf:
            raise SettingError("beta", beta, "a number above 0")
        self.beta = beta
        self.conv1 = nn.Conv2d(3, width, 16, padding=RADIUS_PX)
        self.conv2 = nn.Conv2d(width, width, 1)
        self.conv3 = nn.Conv2d(width, 3, 8)
        for conv in (self.conv1, self.conv2, self.conv3):
            nn.init.uniform_(conv.weight, -0.01, 0.01)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        self.facts = Facts(
            # The solve's influence falls to 1/e within sqrt(beta) pixels.
            halo_px=RADIUS_PX + 2 * math.ceil(math.sqrt(beta)),
            global_statistics=True,
            bytes_per_px=12 * width,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Filter x [N, 3, H, W], 0..1, to the same shape; not clipped."""
        v = self.vertical(x)
        h = self.vertical(x.mT).mT
        return solve(x, h, v, self.beta)

    def vertical(self, x: Tensor) -> Tensor:
        """What the filtered picture's rows differ by, each from the next; the last from the first, as in x itself."""
        d = x.roll(-1, dims=-2) - x
        learned = self.conv3(self.conv2(self.conv1(2 * d).relu()).relu()) / 2
        return torch.cat([learned[..., :-1, :].to(d.dtype), d[..., -1:, :]], dim=-2)


def solve(x: Tensor, h: Tensor, v: Tensor, beta: float) -> Tensor:
    """Find the picture near x whose periodic forward differences are near h (along rows) and v (along columns).

    Parameters
    ----------
    x, h, v
        float32 or float64 [N, C, H, W].
    beta
        Weight of the differences.

    Examples
    --------
    >>> x = torch.rand(1, 3, 6, 9)
    >>> h, v = x.roll(-1, -1) - x, x.roll(-1, -2) - x
    >>> torch.allclose(solve(x, h, v, 1000.0), x, atol=1e-5)
    True
    """
    height, width = x.shape[-2:]
    # For the change e = S - x the normal equations are (1 / beta + D'D) e = D'(g - D x): no large numbers cancel.
    h, v = h - (x.roll(-1, dims=-1) - x), v - (x.roll(-1, dims=-2) - x)
    right = h.roll(1, dims=-1) - h + v.roll(1, dims=-2) - v
    rows = 2 - 2 * torch.cos(2 * math.pi * torch.fft.fftfreq(height, device=x.device, dtype=x.dtype))
    cols = 2 - 2 * torch.cos(2 * math.pi * torch.fft.rfftfreq(width, device=x.device, dtype=x.dtype))
    change = torch.fft.rfft2(right) / (1 / beta + rows[:, None] + cols)
    change[..., 0, 0] = 0  # differences sum to zero: what stands here is rounding, times beta
    y: Tensor = x + torch.fft.irfft2(change, s=(height, width))
    return y


def build_deaf(width: int = 256, beta: float = 4194.0) -> nn.Module:
    """Build DEAF, untrained; see :class:`DEAF`.

    >>> sum(p.numel() for p in build_deaf().parameters())
    311811
    """
    return DEAF(width, beta)
