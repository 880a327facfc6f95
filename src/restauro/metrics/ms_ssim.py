"""Multi-scale structural similarity (Wang, Simoncelli, Bovik 2003); higher is better, 1 for equal pictures.

Five scales, each the 2x2 mean of the one before; the window and constants of ``ssim:gauss11,rgb,valid``; at each
scale the mean over pixels and channels; then, with weights w = 0.0448, 0.2856, 0.3001, 0.2363, 0.1333 (eq. 7),

``ms-ssim:gauss11,rgb,valid``          cs_1^w1 cs_2^w2 cs_3^w3 cs_4^w4 ssim_5^w5
``ms-ssim:gauss11,rgb,valid,ssim5^4``  ssim_5 enters four times, as ssim_5^(4 w5): the published HiFaceGAN scripts.
                                       Lower by 0.001 to 0.01 for good pictures, by up to 0.1 for strong mosaics.

A scale whose mean is negative counts as 0, because a fractional power of it does not exist.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from restauro.errors import SettingError
from restauro.metrics.inputs import picture_pair
from restauro.metrics.ssim import TAPS, ssim_terms

NAME = "ms-ssim:gauss11,rgb,valid"
NAME_PAPER = "ms-ssim:gauss11,rgb,valid,ssim5^4"
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SMALLEST_PX = TAPS * 2 ** (len(WEIGHTS) - 1)


def ms_ssim(a: Tensor, b: Tensor, *, last_power: int = 1) -> Tensor:
    """Multi-scale structural similarity of each picture.

    Parameters
    ----------
    a, b
        Float [N,3,H,W], sRGB in 0..1, sides of at least 176 px. Symmetric in both.
    last_power
        1 for ``ms-ssim:gauss11,rgb,valid``; 4 for the published HiFaceGAN numbers.

    Returns
    -------
    Tensor
        [N], in 0..1.

    Raises
    ------
    SettingError
        Shapes differ, values are outside 0..1, or a side is shorter than 176 px.

    Notes
    -----
    Cost: 4/3 of SSIM.

    Examples
    --------
    >>> import torch
    >>> x = torch.rand(1, 3, 176, 176, generator=torch.Generator().manual_seed(0))
    >>> round(ms_ssim(x, x).item(), 6)
    1.0
    """
    if last_power < 1:
        raise SettingError("last_power", last_power, "a whole number from 1")
    a, b = picture_pair(a, b)
    if min(a.shape[2:]) < SMALLEST_PX:
        raise SettingError("picture", f"{a.shape[3]}x{a.shape[2]} px", f"sides of at least {SMALLEST_PX} px")
    product = a.new_ones(a.shape[0])
    for scale, weight in enumerate(WEIGHTS, 1):
        luminance, contrast = ssim_terms(a, b)
        last = scale == len(WEIGHTS)
        term = (luminance * contrast if last else contrast).mean(dim=(1, 2, 3)).clamp_min(0)
        product = product * term ** (weight * last_power if last else weight)
        if not last:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    return product
