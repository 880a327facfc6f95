"""A beauty filter as in camera apps: skin is smoothed, edges and everything else are left alone.

Three known parts, of no one paper:

    base  = guided filter of the picture by itself (He et al. 2013)
    skin  = exp(-d^4 / 16), d the distance of a pixel's chroma (Cb, Cr of JPEG), blurred a little, from that of skin,
            in deviations of an ellipse
    out   = x + amount * skin * even * (base - x),      even = exp(-(g / edge)^2), g the gradient of base's brightness

Skin of every tone has nearly one chroma, since melanin changes brightness far more than hue; warm wood, sand and
sunsets have it too, and skin under coloured light does not. Nothing here finds a face.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from restauro.degrade.steps import require_number
from restauro.smooth.guided import GuidedSettings, guided
from restauro.smooth.inputs import require_pictures

#: Middle of skin's chroma and the two deviations along and across its longer axis, on 0..1 with neutral = 0.
_CB, _CR = -0.085, 0.095
_ALONG, _ACROSS = 0.055, 0.030
_AXIS = (-0.64, 0.77)  # direction of the longer axis in (Cb, Cr): paler to redder skin
_MASK_RADIUS_PX = 3


@dataclass(frozen=True)
class BeautifySettings:
    """Settings of :func:`beautify`.

    Parameters
    ----------
    amount
        Share of the detail that goes where skin is certain. Apps offer about 0.3 to 1.
    radius_px
        Radius of the guided filter: blemishes up to this size go.
    eps
        Variance that counts as flat, in squared units of 0..1; more smooths more. Usual range 0.0005 to 0.02.
    edge
        Gradient of brightness per pixel, in units of 0..1, at which the smoothing has fallen to a third.

    Examples
    --------
    >>> BeautifySettings(amount=2)
    Traceback (most recent call last):
    ...
    restauro.errors.SettingError: amount: found 2, wanted a number from 0 to 1
    """

    amount: float = 0.8
    radius_px: int = 6
    eps: float = 0.004
    edge: float = 0.1

    def __post_init__(self) -> None:
        require_number("amount", self.amount, 0, 1)
        require_number("radius_px", self.radius_px, 1, 256, whole=True)
        require_number("eps", self.eps, 1e-8, 1)
        require_number("edge", self.edge, 1e-3, 10)


def beautify(x: Tensor, settings: BeautifySettings | None = None) -> Tensor:
    """Smooth skin.

    Parameters
    ----------
    x
        [N, 1 or 3, H, W] float32 or float64, sRGB 0..1. It is not changed.
    settings
        See :class:`BeautifySettings`.

    Returns
    -------
    Tensor
        [N, C, H, W], same type and device, within 0..1.

    Notes
    -----
    Cost: one guided filter (:mod:`restauro.smooth.guided`) and about ten values of memory per value of x.

    Examples
    --------
    >>> x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.1
    >>> blue, skin = x + torch.tensor([0.1, 0.2, 0.8]).view(3, 1, 1), x + torch.tensor([0.8, 0.6, 0.5]).view(3, 1, 1)
    >>> bool((beautify(blue) - blue).abs().max() < 1e-3), bool((beautify(skin) - skin).abs().max() > 0.03)
    (True, True)
    """
    require_pictures(x)
    settings = settings or BeautifySettings()
    base = guided(x, GuidedSettings(settings.radius_px, settings.eps))
    even = torch.exp(-_slope_squared(base) / settings.edge**2)
    return (x + settings.amount * skin_likeness(x) * even * (base - x)).clamp(0, 1)


def skin_likeness(x: Tensor) -> Tensor:
    """How much the chroma of a pixel and its neighbours is that of skin.

    Parameters
    ----------
    x
        [N, 1 or 3, H, W], sRGB 0..1.

    Returns
    -------
    Tensor
        [N, 1, H, W] in 0..1; 1 everywhere for grey pictures, which have no colour to go by.

    Examples
    --------
    >>> tones = torch.tensor([[0.95, 0.80, 0.72], [0.78, 0.57, 0.45], [0.36, 0.23, 0.17], [0.2, 0.5, 0.2]])
    >>> [round(float(v), 1) for v in skin_likeness(tones.view(4, 3, 1, 1)).flatten()]
    [1.0, 1.0, 1.0, 0.0]
    """
    if x.shape[1] == 1:
        return torch.ones_like(x)
    red, green, blue = x.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    cb, cr = (blue - luma) / 1.772 - _CB, (red - luma) / 1.402 - _CR
    along = cb * _AXIS[0] + cr * _AXIS[1]
    across = cb * _AXIS[1] - cr * _AXIS[0]
    distance = torch.stack([along / _ALONG, across / _ACROSS], dim=1)
    side = 2 * _MASK_RADIUS_PX + 1
    distance = torch.nn.functional.avg_pool2d(distance, side, 1, _MASK_RADIUS_PX, count_include_pad=False)
    return torch.exp(-distance.square().sum(1, keepdim=True).square() / 16)


def _slope_squared(x: Tensor) -> Tensor:
    """Squared length of the forward gradient of the mean colour, [N, 1, H, W]; 0 over the border."""
    grey = x.mean(1, keepdim=True)
    dx = torch.diff(grey, dim=-1, append=grey[..., -1:])
    dy = torch.diff(grey, dim=-2, append=grey[..., -1:, :])
    return dx.square() + dy.square()
