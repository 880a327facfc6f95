"""The fixed tent filter that shrinks ASAP-Net's input by 2, 4, ...; for label maps also straight from the ids."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from restauro.nets.layers.any_size import Reflect


def taps(factor: int) -> list[float]:
    """The filter in one direction: 1, 3, ..., 2S-1, 2S-1, ..., 3, 1 over 2 S^2.

    >>> taps(2)
    [0.125, 0.375, 0.375, 0.125]
    """
    rise = [tap / (2 * factor**2) for tap in range(1, 2 * factor, 2)]
    return rise + rise[::-1]


def tent(x: Tensor, factor: int) -> Tensor:
    """Shrink x [N, C, H, W] to [N, C, H/S, W/S] for S = ``factor`` (1, or even); borders are reflected."""
    if factor == 1:
        return x
    # Sums of strided views: faster than torch's convolution with one channel per group.
    return _thin(_thin(Reflect(factor // 2)(x), 2, factor), 3, factor)


def published_tent(x: Tensor, factor: int) -> Tensor:
    """The same as its authors compute it; for comparison."""
    if factor == 1:
        return x
    channels = x.shape[1]
    row = torch.tensor(taps(factor)).to(x).expand(channels, 1, 1, -1)
    x = conv2d(Reflect(factor // 2)(x), row, stride=(1, factor), groups=channels)
    return conv2d(x, row.transpose(2, 3), stride=(factor, 1), groups=channels)


def _thin(x: Tensor, axis: int, factor: int) -> Tensor:
    """Weigh and add up 2 S neighbours along an axis, at every S-th of them."""
    starts = x.shape[axis] - 2 * factor + 1
    every = (slice(None),) * axis + (slice(None, None, factor),)
    first, *others = taps(factor)
    total = x.narrow(axis, 0, starts)[every] * first
    for at, weight in enumerate(others, 1):
        total.add_(x.narrow(axis, at, starts)[every], alpha=weight)
    return total


def tent_of_labels(ids: Tensor, classes: int, factor: int) -> Tensor:
    """``tent(one_hot(ids, classes), factor)``, exactly, without the maps of full size.

    Each of the (2S)^2 taps of an output pixel adds its weight to the channel of the label under it: one addition
    per tap instead of one product per tap and class.

    Parameters
    ----------
    ids
        [N, H, W], whole numbers in 0..classes-1; sides divisible by ``factor``.

    Returns
    -------
    Tensor
        float32 [N, classes, H/S, W/S], channels last in memory.

    Examples
    --------
    >>> from restauro.nets.layers.labels import one_hot
    >>> ids = torch.randint(0, 5, (1, 8, 16))
    >>> torch.equal(tent_of_labels(ids, 5, 2), tent(one_hot(ids, 5), 2))
    True
    """
    n, height, width = ids.shape
    h, w = height // factor, width // factor
    if factor == 1:
        under, weights = ids[..., None].long(), torch.ones(1)
    else:
        size = 2 * factor
        rows, cols = (_reflected(side, factor // 2, ids.device) for side in (height, width))
        weights = torch.tensor(taps(factor)).outer(torch.tensor(taps(factor))).flatten()
        windows = ids.long()[:, rows][:, :, cols].unfold(1, size, factor).unfold(2, size, factor)
        under = windows.reshape(n, h, w, size**2)
    shares = torch.zeros(n, h, w, classes, device=ids.device)
    shares.scatter_add_(3, under, weights.to(shares).expand(under.shape))
    return shares.permute(0, 3, 1, 2)


def _reflected(side: int, pad_px: int, device: torch.device) -> Tensor:
    """Positions -pad..side+pad-1 reflected into 0..side-1, as :class:`Reflect` does."""
    at = torch.arange(-pad_px, side + pad_px, device=device)
    return (side - 1) - ((side - 1) - at.abs()).abs() if side > pad_px else at.clamp(0, side - 1)
