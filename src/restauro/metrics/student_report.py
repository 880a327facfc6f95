"""The scores of the report on ASAP-Net and its deblurring hybrid, as that report computed them.

For the column "as reported" beside honest ones only: both numbers mislead.

``ssim:gauss11,rgb,valid,signed``  SSIM of pictures stretched to -1..1, with a range of 2. Contrast and structure are
                                   those of 0..1; the luminance term compares means around zero, where mid grey is: it
                                   punishes a shift of a grey place out of all proportion (from level 121 to 134 of 255
                                   it falls from 1 to -0.86), and one of a bright place less.
``fsd:mean-of-2``                  The Frechet distance of two made pictures to their two truths, then the mean over
                                   such batches. A covariance fitted to two pictures says nothing of a distribution:
                                   with u, v the differences of features within each batch and m the means it is

                                       |m_a - m_b|^2 + (|u|^2 + |v|^2) / 2 - |u.v|

                                   which sees, for the most part, which truth was which. The report has Inception's
                                   features; ours are SqueezeNet's, as in ``fsd``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from restauro.errors import SettingError
from restauro.metrics.fid import feature_pair
from restauro.metrics.inputs import picture_pair
from restauro.metrics.ssim import C1, gaussian_window, ssim_terms

NAME_SSIM = "ssim:gauss11,rgb,valid,signed"
NAME_PAIRS = "fsd:mean-of-2"
NOTE = "as the ASAP-Net report computed it; misleads, see docs/metrics.md"


def signed_ssim(a: Tensor, b: Tensor) -> Tensor:
    """SSIM on -1..1 with a range of 2.

    Parameters
    ----------
    a, b
        Float [N,3,H,W], sRGB in 0..1, sides of at least 11 px.

    Returns
    -------
    Tensor
        [N], in -1..1.

    Raises
    ------
    SettingError
        Shapes differ, values are outside 0..1, or a side is shorter than 11 px.

    Examples
    --------
    >>> import torch
    >>> dark, light = torch.full((1, 3, 16, 16), 0.474), torch.full((1, 3, 16, 16), 0.526)
    >>> round(signed_ssim(dark, light).item(), 2), round(signed_ssim(light, light).item(), 2)
    (-0.86, 1.0)
    """
    a, b = picture_pair(a, b)
    _, contrast = ssim_terms(a, b)
    mean_a, mean_b = (2 * gaussian_window(x, "valid") - 1 for x in (a, b))
    luminance = (2 * mean_a * mean_b + 4 * C1) / (mean_a.square() + mean_b.square() + 4 * C1)
    return (luminance * contrast).mean(dim=(1, 2, 3))


def mean_of_pairs(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Mean Frechet distance of batches of two, in the order given; a last picture by itself is left out.

    Parameters
    ----------
    a, b
        Features [n, d], n from 2, of made pictures and of their truths.

    Raises
    ------
    SettingError
        Other shapes, or values that are not finite.

    Examples
    --------
    >>> a = np.array([[0.0, 1.0], [2.0, 1.0]])
    >>> mean_of_pairs(a, a), mean_of_pairs(a, a[::-1]), mean_of_pairs(a, a + [3, 4])
    (0.0, 0.0, 25.0)
    """
    if a.shape != b.shape:
        raise SettingError("b", list(b.shape), f"a truth for each picture, {list(a.shape)}")
    a, b = feature_pair(a, b)
    first, second = slice(0, len(a) // 2 * 2, 2), slice(1, None, 2)
    shift = ((a[first] + a[second] - b[first] - b[second]) / 2) ** 2
    u, v = a[first] - a[second], b[first] - b[second]
    spread = ((u**2).sum(axis=1) + (v**2).sum(axis=1)) / 2 - np.abs((u * v).sum(axis=1))
    return float((shift.sum(axis=1) + spread).mean())
