"""Peak signal-to-noise ratio on all RGB values, in decibels; higher is better.

``psnr:rgb``        10 log10(1 / MSE), MSE over all pixels and the three channels, values 0..1, nothing rounded,
                    cropped or capped. Equal pictures give infinity; tables count these and say so.
``psnr:rgb,cap80``  the same with the MSE kept above 1e-8, as in the published HiFaceGAN scripts: 80 for equal ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

from restauro.metrics.inputs import picture_pair

NAME = "psnr:rgb"
NAME_CAP80 = "psnr:rgb,cap80"


def mse(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared error of each picture over channels and pixels.

    Parameters
    ----------
    a, b
        Float [N,3,H,W], sRGB in 0..1.

    Returns
    -------
    Tensor
        [N], in 0..1.

    Raises
    ------
    SettingError
        Shapes differ, or values are outside 0..1.

    Examples
    --------
    >>> mse(torch.zeros(2, 3, 8, 8), torch.full((2, 3, 8, 8), 0.5)).tolist()
    [0.25, 0.25]
    """
    a, b = picture_pair(a, b)
    return (a - b).square().mean(dim=(1, 2, 3))


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each picture, convention ``psnr:rgb``.

    Parameters
    ----------
    a, b
        Float [N,3,H,W], sRGB in 0..1. Symmetric in both.

    Returns
    -------
    Tensor
        [N], decibels; infinity where the two are equal.

    Raises
    ------
    SettingError
        Shapes differ, or values are outside 0..1.

    Notes
    -----
    The 8-bit number that most papers print is this one on pictures rounded to 8 bits, as 8-bit files are.

    Examples
    --------
    >>> x = torch.zeros(1, 3, 8, 8)
    >>> round(psnr(x, x + 0.1).item(), 4), psnr(x, x).item()
    (20.0, inf)
    """
    return -10 * torch.log10(mse(a, b))


def psnr_cap80(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each picture, convention ``psnr:rgb,cap80`` (never above 80 dB).

    Shapes, range and errors are those of :func:`psnr`.

    Examples
    --------
    >>> x = torch.zeros(1, 3, 8, 8)
    >>> psnr_cap80(x, x).item()
    80.0
    """
    return -10 * torch.log10(mse(a, b).clamp_min(1e-8))
