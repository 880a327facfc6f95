"""Structural similarity (Wang, Bovik, Sheikh, Simoncelli 2004); higher is better, 1 for equal pictures.

Window: Gaussian of 11x11 taps, sigma 1.5. K1 = 0.01, K2 = 0.03, range 1, so C1 = 1e-4 and C2 = 9e-4. Variances are
the window's own weighted ones (biased). R, G and B each by itself, then the mean over pixels and channels.

``ssim:gauss11,rgb,valid``    only windows that lie inside the picture: what scikit-image computes with
                              ``gaussian_weights=True, sigma=1.5, use_sample_covariance=False`` (it pads, then crops
                              the 5 border pixels), and the published HiFaceGAN scripts. **The main one.**
``ssim:gauss11,rgb,zeropad``  zeros around the picture, and every pixel counts: the common PyTorch form, used by
                              JESSNet. Mostly higher, most so on small or textured pictures, because the zeros are the
                              same in both.
"""

from __future__ import annotations

import math
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from restauro.errors import SettingError
from restauro.metrics.inputs import picture_pair

NAME = "ssim:gauss11,rgb,valid"
NAME_ZEROPAD = "ssim:gauss11,rgb,zeropad"
Border = Literal["valid", "zeropad"]

TAPS, SIGMA_PX = 11, 1.5
C1, C2 = 0.01**2, 0.03**2


def gaussian_window(x: Tensor, border: Border) -> Tensor:
    """Weighted mean of `x` [N,C,H,W] in the 11x11 Gaussian window; "valid" loses 5 px on each side.

    Examples
    --------
    >>> import torch
    >>> gaussian_window(torch.ones(1, 1, 16, 11), "valid").shape
    torch.Size([1, 1, 6, 1])
    """
    middle = TAPS // 2
    taps = [math.exp(-(((k - middle) / SIGMA_PX) ** 2) / 2) for k in range(TAPS)]
    if border == "zeropad":
        x = F.pad(x, (middle, middle, middle, middle))
    for dim in (3, 2):
        size = x.shape[dim] - TAPS + 1
        mean = taps[middle] * x.narrow(dim, middle, size)
        for k in range(middle):  # sums of slices: float64 convolutions are three times slower
            mean = mean.add_(x.narrow(dim, k, size), alpha=taps[k])
            mean = mean.add_(x.narrow(dim, TAPS - 1 - k, size), alpha=taps[k])
        x = mean
    return x / sum(taps) ** 2


def ssim_terms(a: Tensor, b: Tensor, border: Border = "valid") -> tuple[Tensor, Tensor]:
    """Return the two factors of SSIM at every pixel: luminance, and contrast times structure.

    For losses: nothing is widened or checked for its range, and a network may leave 0..1.

    Parameters
    ----------
    a, b
        Float [N,C,H,W] of one dtype, sRGB about 0..1.
    border
        "valid" or "zeropad", see the top of this file.

    Returns
    -------
    luminance, contrast
        [N,C,H-10,W-10] for "valid", [N,C,H,W] for "zeropad". SSIM is their product (eqs. 12 and 13).

    Raises
    ------
    SettingError
        A side is shorter than 11 px with "valid".
    """
    if border == "valid" and min(a.shape[2:]) < TAPS:
        raise SettingError("picture", f"{a.shape[3]}x{a.shape[2]} px", f"sides of at least {TAPS} px")
    # Five calls, not one on five maps stacked: the maps then stay in the processor's cache.
    mean_a, mean_b, mean_aa, mean_bb, mean_ab = (gaussian_window(x, border) for x in (a, b, a * a, b * b, a * b))
    variances = mean_aa + mean_bb - mean_a.square() - mean_b.square()
    contrast = (2 * (mean_ab - mean_a * mean_b) + C2) / (variances + C2)
    luminance = (2 * mean_a * mean_b + C1) / (mean_a.square() + mean_b.square() + C1)
    return luminance, contrast


def ssim(a: Tensor, b: Tensor, *, border: Border = "valid") -> Tensor:
    """Structural similarity of each picture.

    Parameters
    ----------
    a, b
        Float [N,3,H,W], sRGB in 0..1. Symmetric in both.
    border
        "valid" (``ssim:gauss11,rgb,valid``) or "zeropad" (``ssim:gauss11,rgb,zeropad``).

    Returns
    -------
    Tensor
        [N], in -1..1.

    Raises
    ------
    SettingError
        Shapes differ, values are outside 0..1, or a side is shorter than 11 px with "valid".

    Notes
    -----
    Cost: 22 multiplications for each of 15 maps, about 40 float64 values of memory per pixel.

    Examples
    --------
    >>> import torch
    >>> x = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    >>> round(ssim(x, x).item(), 6), ssim(x, 1 - x).item() < 0
    (1.0, True)
    """
    luminance, contrast = ssim_terms(*picture_pair(a, b), border)
    return (luminance * contrast).mean(dim=(1, 2, 3))
