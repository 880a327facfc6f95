"""Smooth consistency (DeSmoothGAN, section 4): is the result, smoothed again, the input? Lower is better.

    SC = mean over pixels and channels of (F(restored) - smoothed)^2,   on the scale 0..255

The paper gives neither scale nor the filter's settings; its values (31 to 46) only fit 0..255. The restored picture
is rounded to 8 bits first, as a file is. F must be the very filter, and the very implementation, that made the input:
two programs for one filter differ by more than the numbers that are compared. So F is part of the name:
``sc:l0(0.02),8bit``.

Read it together with PSNR: a result is consistent also where its detail is invented.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from restauro.metrics.inputs import picture_pair


def name_of(smoother: str) -> str:
    """Convention name for a filter with its settings, in their own words.

    >>> name_of("l0(0.02)")
    'sc:l0(0.02),8bit'
    """
    return f"sc:{smoother},8bit"


def smooth_consistency(restored: Tensor, smoothed: Tensor, smoother: Callable[[Tensor], Tensor]) -> Tensor:
    """Smooth consistency of each picture.

    Parameters
    ----------
    restored
        Float [N,3,H,W], sRGB in 0..1.
    smoothed
        The input that it was restored from, same shape.
    smoother
        Takes and gives float [N,3,H,W]; its output may leave 0..1 a little and is not clipped.

    Returns
    -------
    Tensor
        [N], squared grey levels, 0..65025.

    Raises
    ------
    SettingError
        Shapes differ, or values are outside 0..1.

    Notes
    -----
    Cost: that of the smoother.

    Examples
    --------
    >>> import torch
    >>> x = torch.full((1, 3, 8, 8), 0.2)
    >>> round(smooth_consistency(x, x + 2 / 255, lambda picture: picture).item(), 4)
    4.0
    """
    restored, smoothed = picture_pair(restored, smoothed)
    again = smoother((restored * 255).round() / 255)
    return (again - smoothed).mul(255).square().mean(dim=(1, 2, 3))
