"""Instance norm and reflection padding as published, but defined on maps of every size, one pixel included.

PyTorch refuses both on the smallest maps, which deep networks reach with small pictures.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class InstanceNorm(nn.Module):
    """(x - mean) / sqrt(variance + 1e-5) of each channel of each picture, biased variance, at test too.

    A map of one pixel becomes 0 (then gamma and beta). State: ``weight`` and ``bias`` if ``affine``, else nothing.

    >>> y = InstanceNorm(2)(torch.rand(1, 2, 8, 8))
    >>> bool(y.mean((2, 3)).abs().max() < 1e-5), InstanceNorm(2)(torch.ones(1, 2, 1, 1)).flatten().tolist()
    (True, [0.0, 0.0])
    """

    def __init__(self, channels: int, affine: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x [N, C, H, W]."""
        # One group per channel is the same sum, and unlike torch's instance norm it keeps channels_last.
        return torch.group_norm(x, x.shape[1], self.weight, self.bias, 1e-5)


class QuickInstanceNorm(nn.Module):
    """An :class:`InstanceNorm` for use on channels_last maps, without gradients: :func:`instance_norm`.

    >>> norm, x = InstanceNorm(2, affine=True), torch.rand(1, 2, 8, 8)
    >>> torch.allclose(QuickInstanceNorm(norm)(x), norm(x), atol=1e-6)
    True
    """

    def __init__(self, norm: InstanceNorm) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x [N, C, H, W]."""
        weight, bias = (None if part is None else part.detach() for part in (self.weight, self.bias))
        return instance_norm(x, weight=weight, bias=bias)


def instance_norm(x: Tensor, eps: float = 1e-5, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """(x - mean) / sqrt(variance + eps), times ``weight`` plus ``bias``, of each channel, for channels_last maps.

    Torch's group norm takes the variance of such maps as the mean square less the squared mean, in float32: 5e-4 off
    where the mean is three deviations away. Here the mean is taken off first, and sums are over some pixels at a time:
    1e-6. In bfloat16 that is lost anyway, and torch's is faster on all but small maps.
    """
    n, channels, height, width = x.shape
    wide = torch.promote_types(x.dtype, torch.float32)
    if x.dtype != wide and height * width > 4096:
        weight, bias = (None if part is None else part.to(x) for part in (weight, bias))
        return torch.group_norm(x, channels, weight, bias, eps)
    pixels = x.permute(0, 2, 3, 1).reshape(n, height * width, channels).to(wide)
    mean = _mean(pixels)
    scale = torch.rsqrt(_mean(pixels, around=mean) + eps)
    if weight is not None:
        scale = scale * weight.to(wide)
    pixels = pixels - mean
    if bias is None:
        pixels *= scale
    else:
        torch.addcmul(bias.to(wide), pixels, scale, out=pixels)
    return pixels.to(x.dtype).view(n, height, width, channels).permute(0, 3, 1, 2)


def _mean(pixels: Tensor, around: Tensor | None = None, at_once: int = 1024) -> Tensor:
    """Over the pixels of [N, pixels, C], to [N, 1, C], of so many sums; ``around``: of the squared distances to it."""
    parts = pixels.split(at_once, 1)
    sums = [(part if around is None else (part - around).square_()).sum(1, keepdim=True) for part in parts]
    return torch.stack(sums).sum(0) / pixels.shape[1]


def _reflected(x: Tensor, pad_px: int) -> Tensor:
    """``nn.functional.pad`` by reflection, without gradients: rows and columns copied, where torch goes by pixels."""
    n, channels, height, width = x.shape
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    y = torch.empty(
        (n, channels, height + 2 * pad_px, width + 2 * pad_px),
        dtype=x.dtype,
        memory_format=torch.channels_last if last else torch.contiguous_format,
    )
    y[:, :, pad_px:-pad_px, pad_px:-pad_px] = x
    for away in range(1, pad_px + 1):
        y[:, :, pad_px - away] = y[:, :, pad_px + away]
        y[:, :, pad_px - 1 + height + away] = y[:, :, pad_px - 1 + height - away]
    for away in range(1, pad_px + 1):
        y[:, :, :, pad_px - away] = y[:, :, :, pad_px + away]
        y[:, :, :, pad_px - 1 + width + away] = y[:, :, :, pad_px - 1 + width - away]
    return y


class Reflect(nn.Module):
    """Pad all four sides by reflection; where a side has too few pixels to reflect, by replication.

    >>> Reflect(1)(torch.tensor([[[[1.0, 2.0]]]]))[0, 0].tolist()
    [[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]
    """

    def __init__(self, pad_px: int) -> None:
        super().__init__()
        self.pad_px = pad_px

    def forward(self, x: Tensor) -> Tensor:
        """Pad x [N, C, H, W]."""
        if self.pad_px == 0:
            return x
        mode = "reflect" if min(x.shape[-2:]) > self.pad_px else "replicate"
        if mode == "reflect" and not (x.requires_grad and torch.is_grad_enabled()) and x.device.type == "cpu":
            return _reflected(x, self.pad_px)
        return nn.functional.pad(x, [self.pad_px] * 4, mode=mode)
