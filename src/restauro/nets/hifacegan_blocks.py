"""The decoder blocks of HiFaceGAN: SPADE residual blocks (Park et al. 2019), changed as the authors' code does.

Other than in SPADE, gamma is not added to 1, gamma and beta have no bias, and the hidden width is min(128, channels):

    y = norm(x) * gamma(g) + beta(g),        gamma, beta = conv3x3(h),        h = ReLU(conv3x3(g))

:class:`SpadeBlock` is the published block, plain, with the published state. :class:`FastBlock` is made of it for use
and is the same function by exact rewrites.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, interpolate, leaky_relu

from restauro.nets.layers.any_size import instance_norm
from restauro.nets.layers.spectral import SpectralConv2d

Norm = Literal["batch", "instance"]
EPS = 1e-5  # several early activations have variances below it: another eps is another network
HIDDEN = 128


class FreeNorm(nn.Module):
    """Norm without parameters, by statistics of what is normed: never by running ones.

    ``"batch"``: over the batch in training, and per picture in evaluation, which is what the published network does
    (it stays in training mode, with one picture at a time). ``"instance"``: per picture always. The running
    statistics of the published state are kept and not used.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.norm = norm
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        """Norm x [N, C, H, W]."""
        if self.norm == "batch" and self.training and len(x) > 1:
            normed: Tensor = batch_norm(x, None, None, training=True, eps=EPS)
            return normed
        return _instance_norm(x)


class SpadeNorm(nn.Module):
    """norm(x) * gamma + beta, where gamma and beta come from a guide of the same size."""

    def __init__(self, channels: int, guide_channels: int, norm: Norm) -> None:
        super().__init__()
        hidden = min(HIDDEN, channels)
        self.param_free_norm = FreeNorm(channels, norm)
        self.mlp_shared = nn.Sequential(nn.Conv2d(guide_channels, hidden, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(hidden, channels, 3, padding=1, bias=False)
        self.mlp_beta = nn.Conv2d(hidden, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """Modulate x [N, C, H, W] by a guide [N, L, H, W]."""
        hidden = self.mlp_shared(guide)
        return torch.addcmul(self.mlp_beta(hidden), self.param_free_norm(x), self.mlp_gamma(hidden))


class SpadeBlock(nn.Module):
    """shortcut(x) + conv_1(lrelu(norm_1(conv_0(lrelu(norm_0(x)))))), convolutions with spectral norm.

    Parameters
    ----------
    c_in, c_out
        Where they differ, the shortcut is a 1x1 convolution of norm_s(x), without bias or activation.
    guide_channels
        Channels of the guide.
    norm
        See :class:`FreeNorm`.
    """

    def __init__(self, c_in: int, c_out: int, guide_channels: int, norm: Norm) -> None:
        super().__init__()
        middle = min(c_in, c_out)
        self.conv_0 = SpectralConv2d(c_in, middle, 3, padding=1)
        self.conv_1 = SpectralConv2d(middle, c_out, 3, padding=1)
        self.conv_s = SpectralConv2d(c_in, c_out, 1, bias=False) if c_in != c_out else None
        self.norm_0 = SpadeNorm(c_in, guide_channels, norm)
        self.norm_1 = SpadeNorm(middle, guide_channels, norm)
        self.norm_s = SpadeNorm(c_in, guide_channels, norm) if c_in != c_out else None

    def forward(self, x: Tensor, guide: Tensor, up: bool = False) -> Tensor:
        """Compute [N, c_out, H, W] from x, of that size or half of it if ``up``, and the guide [N, L, H, W]."""
        x = _doubled(x, up)
        y = self.conv_0(leaky_relu(self.norm_0(x, guide), 0.2))
        y = self.conv_1(leaky_relu(self.norm_1(y, guide), 0.2))
        shortcut = x if self.conv_s is None or self.norm_s is None else self.conv_s(self.norm_s(x, guide))
        result: Tensor = shortcut + y
        return result


class FastBlock(nn.Module):
    """A :class:`SpadeBlock` for use: the same function to rounding, without gradients.

    - Spectral norm is folded into the weights.
    - The shared convolutions of all norms are one (they read the same guide); gamma and beta are one.
    - norm_0 and norm_s norm the same x: once. And before nearest upsampling, which changes no statistic.
    - conv_s is linear: conv_s(norm * gamma + beta) = conv_s(norm * gamma) + (conv_s beta), and the 1x1 after the 3x3
      that makes beta is one 3x3 with half the outputs.
    """

    def __init__(self, block: SpadeBlock) -> None:
        super().__init__()
        self.conv_0, self.conv_1 = _settled(block.conv_0), _settled(block.conv_1)
        norms = [block.norm_0, block.norm_1]
        modulations = [_stacked(n.mlp_gamma.weight, n.mlp_beta.weight) for n in norms]
        self.conv_s: nn.Conv2d | None = None
        if block.conv_s is not None and block.norm_s is not None:
            self.conv_s = _settled(block.conv_s)
            norms.append(block.norm_s)
            beta = torch.einsum("oc,chij->ohij", self.conv_s.weight[:, :, 0, 0], block.norm_s.mlp_beta.weight)
            modulations.append(_stacked(block.norm_s.mlp_gamma.weight, beta))
        shared = [conv for n in norms for conv in n.mlp_shared if isinstance(conv, nn.Conv2d)]
        self.hidden = [len(conv.weight) for conv in shared]
        biases = [conv.bias for conv in shared if conv.bias is not None]
        self.shared = _conv(torch.cat([conv.weight for conv in shared]), torch.cat(biases))
        self.modulations = nn.ModuleList(modulations)
        self.requires_grad_(False)

    def forward(self, x: Tensor, guide: Tensor, up: bool = False) -> Tensor:
        """As :meth:`SpadeBlock.forward`."""
        hidden = self.shared(guide).relu_().split(self.hidden, 1)
        normed = _doubled(instance_norm(x, EPS), up)
        y = self._modulate(normed, hidden[0], 0)
        y = self._modulate(instance_norm(self.conv_0(y), EPS), hidden[1], 1)
        result: Tensor = self.conv_1(y)
        if self.conv_s is None:
            return result.add_(_doubled(x, up))
        gamma, beta = self.modulations[2](hidden[2]).tensor_split([normed.shape[1]], 1)
        return result.add_(self.conv_s(normed.mul_(gamma))).add_(beta)

    def _modulate(self, normed: Tensor, hidden: Tensor, index: int) -> Tensor:
        gamma, beta = self.modulations[index](hidden).chunk(2, 1)
        return leaky_relu(torch.addcmul(beta, normed, gamma), 0.2, inplace=True)


def _settled(conv: SpectralConv2d) -> nn.Conv2d:
    """The plain convolution that a spectrally normed one is in evaluation."""
    return _conv(conv.weight(), conv.bias, conv.padding)


def _instance_norm(x: Tensor) -> Tensor:
    return torch.group_norm(x, x.shape[1], eps=EPS)


def _doubled(x: Tensor, up: bool) -> Tensor:
    return interpolate(x, scale_factor=2, mode="nearest") if up else x


def _stacked(gamma: Tensor, beta: Tensor) -> nn.Conv2d:
    return _conv(torch.cat([gamma, beta]), None)


@torch.no_grad()
def _conv(weight: Tensor, bias: Tensor | None, padding: int = 1) -> nn.Conv2d:
    c_out, c_in, kernel_px, _ = weight.shape
    conv = nn.Conv2d(c_in, c_out, kernel_px, padding=padding, bias=bias is not None).to(weight)
    conv.weight.copy_(weight)
    if bias is not None and conv.bias is not None:
        conv.bias.copy_(bias)
    return conv
