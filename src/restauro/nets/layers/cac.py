"""Content-adaptive convolution, the suppression that HiFaceGAN's paper writes (Yang et al. 2020, eqs. 2-3).

    S(F; W)_i = sum_j  phi(f_j, f_i) W_(j-i) f_j,      phi(f_i, f_j) = D(G(f_i)^T G(f_j))

over the 3x3 window around i. The authors' code never contained it (it pools by :mod:`.lip`), and what the paper
leaves open is chosen here: G is two 1x1 convolutions, D is 2 sigmoid(. / sqrt(channels of G)), so that phi is 1
where nothing correlates and the layer starts as a plain convolution; stride 2, no bias, then an instance norm.

phi depends on pixel and tap only, so phi_k . (W_k x_k) = W_k (phi_k . x_k): nine 1x1 products are accumulated, and
neither the nine shifted maps (im2col) nor their products are ever held at once, backward included.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from restauro.nets.layers.any_size import InstanceNorm

TAPS = [(row, column) for row in range(3) for column in range(3)]


class CAC(nn.Module):
    """Halve a map by a 3x3 convolution whose taps are scaled by how much the two pixels agree.

    Examples
    --------
    >>> CAC(16)(torch.rand(1, 16, 10, 7)).shape
    torch.Size([1, 16, 5, 4])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(8, channels // 4)
        self.embed = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.ReLU(), nn.Conv2d(inner, inner, 1))
        self.conv = nn.Conv2d(channels, channels, 3, bias=False)
        self.norm = InstanceNorm(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """Suppress x [N, C, H, W] to [N, C, ceil(H / 2), ceil(W / 2)]."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
            suppressed = tap_conv(x, self.affinity(self.embed(x)), self.conv.weight, stride=2)
        y: Tensor = self.norm(suppressed)
        return y

    def affinity(self, g: Tensor) -> Tensor:
        """Affinity phi of the features' embedding g [N, D, H, W], at stride 2: [N, 9, ceil(H / 2), ceil(W / 2)]."""
        padded, centre = pad(g, [1, 1, 1, 1]), g[:, :, ::2, ::2]
        products = [(centre * window(padded, tap, 2)).sum(1) for tap in TAPS]
        return 2 * torch.sigmoid(torch.stack(products, 1) / math.sqrt(g.shape[1]))


def window(padded: Tensor, tap: tuple[int, int], stride: int) -> Tensor:
    """What one tap of a 3x3 kernel sees of a map that is padded by 1: a view [N, C, ceil(H / s), ceil(W / s)]."""
    rows, columns = padded.shape[2] - 2, padded.shape[3] - 2
    return padded[:, :, tap[0] : tap[0] + rows : stride, tap[1] : tap[1] + columns : stride]


def tap_conv(x: Tensor, phi: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """Convolve by a 3x3 kernel whose every tap is scaled by a factor of its own at each pixel.

    y[n, :, i] = sum_k phi[n, k, i] W_k x[n, :, stride * i + k], zeros outside.

    Parameters
    ----------
    x
        [N, C_in, H, W].
    phi
        [N, 9, ceil(H / stride), ceil(W / stride)], taps in rows.
    weight
        [C_out, C_in, 3, 3].
    stride
        Taken before multiplying: stride 2 is a quarter of the work of stride 1.

    Returns
    -------
    Tensor
        [N, C_out, ceil(H / stride), ceil(W / stride)].

    Notes
    -----
    As many multiplications as a plain convolution and one more per value and tap. Memory beside the result: one
    padded input and one tap of it. Gradients of the first order only.

    Examples
    --------
    >>> x, weight = torch.rand(1, 4, 6, 6), torch.rand(5, 4, 3, 3)
    >>> plain = nn.functional.conv2d(x, weight, padding=1)
    >>> torch.allclose(tap_conv(x, torch.ones(1, 9, 6, 6), weight), plain, atol=1e-5)
    True
    """
    y: Tensor = _TapConv.apply(x, phi, weight, stride)
    return y


class _TapConv(torch.autograd.Function):
    """With T_k = W_k^T dY:  dx += shift_k(phi_k . T_k),  dphi_k = sum_c x_k . T_k,  dW_k = dY (phi_k . x_k)^T."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, phi: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, phi, weight)
        ctx.stride = stride
        padded = pad(x, [1, 1, 1, 1])
        y: Tensor = x.new_zeros(len(x), len(weight), phi[0, 0].numel())
        for k, tap in enumerate(TAPS):
            scaled = (window(padded, tap, stride) * phi[:, k, None]).flatten(2)
            y.baddbmm_(_tap(weight, tap).expand(len(x), -1, -1), scaled)
        return y.reshape(len(x), len(weight), *phi.shape[2:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, phi, weight = ctx.saved_tensors
        dy = dy.flatten(2)
        padded = pad(x, [1, 1, 1, 1])
        dpadded, dphi, dweight = torch.zeros_like(padded), torch.empty_like(phi), torch.empty_like(weight)
        for k, tap in enumerate(TAPS):
            seen = window(padded, tap, ctx.stride)
            back = (_tap(weight, tap).T @ dy).reshape(len(x), -1, *phi.shape[2:])
            dphi[:, k] = (seen * back).sum(1)
            window(dpadded, tap, ctx.stride).add_(back.mul_(phi[:, k, None]))
            dweight[:, :, *tap] = (dy @ (seen * phi[:, k, None]).flatten(2).mT).sum(0)
        return dpadded[:, :, 1:-1, 1:-1], dphi, dweight, None


def _tap(weight: Tensor, tap: tuple[int, int]) -> Tensor:
    return weight[:, :, tap[0], tap[1]]
