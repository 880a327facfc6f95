"""The eight symmetries of the square (the group D4), and averaging a network over them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def turned(x: Tensor, view: int) -> Tensor:
    """Symmetry ``view`` (0 to 7) of x [N, C, H, W]: mirrored left to right from 4 on, then ``view % 4`` quarter turns.

    Examples
    --------
    >>> turned(torch.tensor([[[[1, 2, 3]]]]), 5).flatten(2).tolist()
    [[[1, 2, 3]]]
    """
    return torch.rot90(x.flip(-1) if view >= 4 else x, view % 4, dims=(-2, -1))


def turned_back(y: Tensor, view: int) -> Tensor:
    """Undo :func:`turned`."""
    y = torch.rot90(y, -view % 4, dims=(-2, -1))
    return y.flip(-1) if view >= 4 else y


def self_ensemble(net: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Average what ``net`` makes of the eight symmetries of x, each turned back.

    Timofte et al. 2016, *Seven ways to improve example-based single image super resolution*. One view at a time:
    eight times the work, no more memory.

    Parameters
    ----------
    net
        From [N, C, H, W] to the same shape. It sees H x W and W x H.
    x
        [N, C, H, W].

    Examples
    --------
    >>> x = torch.rand(1, 3, 4, 6)
    >>> torch.allclose(self_ensemble(lambda view: view * 2, x), x * 2)
    True
    """
    total = net(x)
    for view in range(1, 8):
        total = total + turned_back(net(turned(x, view)), view)
    return total / 8
