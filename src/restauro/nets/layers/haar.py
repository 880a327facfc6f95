"""The Haar split: one level of the wavelet transform, as invertible networks use it.

Of each 2x2 block with pixels p q / r t come four bands::

    low = (p + q + r + t) / 4      across = (p - q + r - t) / 4
    down = (p + q - r - t) / 4     diagonal = (p - q - r + t) / 4

The low band is a true mean and stays in the picture's range. Channels are *band-major*: all low ones, then all
of the next band; so after k levels the first three of 3 * 4**k are the picture averaged over 2**k x 2**k.
Invertible rescaling networks (IRN, Xiao et al. 2020) scale it so; orthonormal Haar would have /2 in place of /4.
"""

from __future__ import annotations

import torch
from torch import Tensor

from restauro.errors import UsageError


def haar_split(x: Tensor) -> Tensor:
    """Split x [N, C, H, W], sides even, into bands [N, 4 C, H/2, W/2], low first.

    Raises
    ------
    UsageError
        An odd side.

    Examples
    --------
    >>> haar_split(torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])).flatten().tolist()
    [3.0, -1.0, -1.5, 0.5]
    """
    if x.shape[-2] % 2 or x.shape[-1] % 2:
        raise UsageError(f"found a picture of {x.shape[-1]} x {x.shape[-2]}, wanted even sides; pad it by reflection")
    p, q = x[..., 0::2, 0::2], x[..., 0::2, 1::2]
    r, t = x[..., 1::2, 0::2], x[..., 1::2, 1::2]
    top, top_step, bottom, bottom_step = p + q, p - q, r + t, r - t
    bands = (top + bottom, top_step + bottom_step, top - bottom, top_step - bottom_step)
    return torch.cat(bands, dim=1) / 4


def haar_merge(bands: Tensor) -> Tensor:
    """Undo :func:`haar_split`: [N, 4 C, H, W] -> [N, C, 2 H, 2 W].

    Examples
    --------
    >>> haar_merge(torch.tensor([3.0, -1.0, -1.5, 0.5]).reshape(1, 4, 1, 1)).flatten().tolist()
    [1.0, 2.0, 3.0, 6.0]
    """
    low, across, down, diagonal = bands.chunk(4, dim=1)
    top, top_step, bottom, bottom_step = low + down, across + diagonal, low - down, across - diagonal
    pixels = (top + top_step, top - top_step, bottom + bottom_step, bottom - bottom_step)
    return torch.pixel_shuffle(torch.stack(pixels, dim=2).flatten(1, 2), 2)
