"""CIEDE2000 colour difference (CIE 142-2001, as written out by Sharma, Wu, Dalal 2005); lower is better.

``ciede2000:d65,mean``  sRGB -> linear -> XYZ -> CIELAB with the white point D65 (2 degrees), k_L = k_C = k_H = 1,
                        mean over pixels. About 1 is a difference that a person can just see, side by side.

Maps are shown on one fixed scale, 0 to 20, for all methods: :data:`MAP_TOP`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from restauro.errors import SettingError
from restauro.metrics.inputs import picture, picture_pair

NAME = "ciede2000:d65,mean"
MAP_TOP = 20.0

# Rec. 709 primaries to XYZ, and D65 by ASTM E308: the constants of scikit-image and OpenCV.
RGB_TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
WHITE = (0.95047, 1.0, 1.08883)


def srgb_to_lab(x: Tensor) -> Tensor:
    """CIELAB (D65) of sRGB.

    Parameters
    ----------
    x
        Float [N,3,H,W], sRGB in 0..1.

    Returns
    -------
    Tensor
        [N,3,H,W]: L* in 0..100, a* and b* about -128..128.

    Raises
    ------
    SettingError
        No picture, or values outside 0..1.

    Examples
    --------
    >>> white = srgb_to_lab(torch.ones(1, 3, 1, 1)).flatten()
    >>> torch.allclose(white, torch.tensor([100.0, 0, 0]).double(), atol=0.01)
    True
    """
    x = picture(x)
    linear = torch.where(x > 0.04045, ((x + 0.055) / 1.055) ** 2.4, x / 12.92)
    matrix = torch.tensor(RGB_TO_XYZ, dtype=x.dtype, device=x.device)
    white = torch.tensor(WHITE, dtype=x.dtype, device=x.device).view(1, 3, 1, 1)
    ratio = torch.einsum("ij,njhw->nihw", matrix, linear) / white
    root = torch.where(ratio > 0.008856, ratio ** (1 / 3), 7.787 * ratio + 16 / 116)
    fx, fy, fz = root.unbind(1)
    return torch.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], dim=1)


def ciede2000_lab(a: Tensor, b: Tensor) -> Tensor:
    """CIEDE2000 of two CIELAB arrays, pixel by pixel (Sharma et al. 2005, eqs. 2-22).

    Parameters
    ----------
    a, b
        Float [N,3,...] of L*, a*, b*.

    Returns
    -------
    Tensor
        [N,...], not negative. Symmetric in both. Not a metric in the mathematical sense, and its gradient jumps.

    Raises
    ------
    SettingError
        Shapes differ.

    Examples
    --------
    >>> one = torch.tensor([[50, 2.6772, -79.7751]], dtype=torch.float64)
    >>> other = torch.tensor([[50, 0, -82.7485]], dtype=torch.float64)
    >>> round(ciede2000_lab(one, other).item(), 4)
    2.0425
    """
    if a.shape != b.shape:
        raise SettingError("b", list(b.shape), f"the shape of a, {list(a.shape)}")
    (l1, a1, b1), (l2, a2, b2) = a.unbind(1), b.unbind(1)
    chroma_mean = (torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2
    g = (1 - _chroma_weight(chroma_mean)) / 2
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = torch.hypot(a1, b1), torch.hypot(a2, b2)
    h1, h2 = (torch.remainder(torch.atan2(y, x), 2 * math.pi) for y, x in ((b1, a1), (b2, a2)))
    grey = c1 * c2 == 0  # a hue does not exist there: the difference is 0, and the other hue counts alone

    turn = h2 - h1  # the short way round; of opposite hues, where both are short, the one without crossing 0
    turn = torch.where(turn.abs() > math.pi, turn - 2 * math.pi * turn.sign(), turn)
    delta_h = 2 * (c1 * c2).sqrt() * torch.sin(torch.where(grey, 0.0, turn) / 2)
    hue = torch.where(grey, h1 + h2, h1 + turn / 2)
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2

    t = (
        1
        - 0.17 * torch.cos(hue - math.radians(30))
        + 0.24 * torch.cos(2 * hue)
        + 0.32 * torch.cos(3 * hue + math.radians(6))
        - 0.20 * torch.cos(4 * hue - math.radians(63))
    )
    s_l = 1 + 0.015 * (lightness - 50).square() / (20 + (lightness - 50).square()).sqrt()
    dl, dc, dh = (l2 - l1) / s_l, (c2 - c1) / (1 + 0.045 * chroma), delta_h / (1 + 0.015 * chroma * t)
    degrees = torch.remainder(torch.rad2deg(hue), 360)
    theta = math.radians(30) * torch.exp(-(((degrees - 275) / 25) ** 2))
    rotation = -2 * _chroma_weight(chroma) * torch.sin(2 * theta)
    # Rounding can make the sum of equal colours -1e-17.
    return (dl.square() + dc.square() + dh.square() + rotation * dc * dh).clamp_min(0).sqrt()


def ciede2000_map(a: Tensor, b: Tensor) -> Tensor:
    """CIEDE2000 at every pixel.

    Parameters
    ----------
    a, b
        Float [N,3,H,W], sRGB in 0..1.

    Returns
    -------
    Tensor
        [N,H,W], not negative; show it on 0..:data:`MAP_TOP`.

    Raises
    ------
    SettingError
        Shapes differ, or values are outside 0..1.

    Notes
    -----
    Cost: about 60 float64 values per pixel, a quarter of a second per megapixel on one core.
    """
    a, b = picture_pair(a, b)
    return ciede2000_lab(srgb_to_lab(a), srgb_to_lab(b))


def ciede2000(a: Tensor, b: Tensor) -> Tensor:
    """Mean CIEDE2000 of each picture, convention ``ciede2000:d65,mean``.

    Shapes, range and errors are those of :func:`ciede2000_map`; returns [N].

    Examples
    --------
    >>> x = torch.full((1, 3, 2, 2), 0.5)
    >>> ciede2000(x, x).item(), 0 < ciede2000(x, x + 1 / 255).item() < 0.5
    (0.0, True)
    """
    return ciede2000_map(a, b).mean(dim=(1, 2))


def _chroma_weight(chroma: Tensor) -> Tensor:
    seventh = chroma**7
    return (seventh / (seventh + 25.0**7)).sqrt()
