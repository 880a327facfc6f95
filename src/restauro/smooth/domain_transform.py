"""Domain transform, recursive (Gastal, Oliveira 2011, "Domain transform for edge-aware image and video processing").

Along a line, pixels move apart where colours change (eq. 11): neighbours are

    d_n = 1 + (sigma_px / sigma_range) * sum_c |I_c[n] - I_c[n - 1]|

apart, and an ordinary one-dimensional filter on the new axis keeps edges:

    J[n] = (1 - a^d_n) I[n] + a^d_n J[n - 1],      a = exp(-sqrt(2) / sigma_t),      and the same way back      (eq. 21)

It runs along every row and then every column, T times, with falling width
sigma_t = sigma_px sqrt(3) 2^(T - t) / sqrt(4^T - 1) (eq. 14). The distances are those of the guide in all passes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from restauro.errors import SettingError
from restauro.smooth.inputs import require_pictures
from restauro.smooth.kernels import exp2, kernel
from restauro.smooth.lines import rows_then_columns
from restauro.smooth.threads import threads

if TYPE_CHECKING:
    from restauro.smooth.lines import Array


@dataclass(frozen=True)
class DomainTransformSettings:
    """Settings of :func:`domain_transform`.

    Parameters
    ----------
    sigma_px
        Width of the filter in flat regions. Usual range 5 to 60.
    sigma_range
        Colour difference, summed over colours in units of 0..1, that is as far as sigma_px pixels. Usual
        range 0.2 to 1; more smooths more.
    passes
        T, pairs of a horizontal and a vertical pass.

    Examples
    --------
    >>> [round(sigma, 2) for sigma in DomainTransformSettings(sigma_px=10).sigmas_px]
    [8.73, 4.36, 2.18]
    """

    sigma_px: float = 20.0
    sigma_range: float = 0.4
    passes: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.sigma_px < math.inf:
            raise SettingError("sigma_px", self.sigma_px, "a number above 0 (usual range 5 to 60)")
        if not 0 < self.sigma_range < math.inf:
            raise SettingError("sigma_range", self.sigma_range, "a number above 0 (usual range 0.2 to 1)")
        if not (isinstance(self.passes, int) and self.passes >= 1):
            raise SettingError("passes", self.passes, "a whole number, 1 or more (3 is usual)")

    @property
    def sigmas_px(self) -> list[float]:
        """Width of every pass (eq. 14)."""
        t = self.passes
        return [self.sigma_px * math.sqrt(3) * 2 ** (t - 1 - k) / math.sqrt(4**t - 1) for k in range(t)]


def domain_transform(
    x: Tensor, settings: DomainTransformSettings | None = None, *, guide: Tensor | None = None
) -> Tensor:
    """Smooth a picture between the edges of a guide, in linear time, at the cost of a few sweeps.

    Parameters
    ----------
    x
        [N, C, H, W] float32 or float64, 0..1. It is not changed.
    settings
        See :class:`DomainTransformSettings`.
    guide
        [N, any C, H, W] picture whose edges are kept; the default is x itself.

    Returns
    -------
    Tensor
        [N, C, H, W], same type and device, within the range of x.

    Notes
    -----
    Cost on a CPU: 2 T sweeps; 2 values of memory per value of x, the result included. Elsewhere: doubling,
    4 T log2(side) sweeps; about 6 values. Threads: as many as torch uses. No gradient flows through it.

    Examples
    --------
    >>> x = torch.full((1, 3, 8, 8), 0.25)
    >>> torch.equal(domain_transform(x), x)
    True
    """
    settings = settings or DomainTransformSettings()
    require_pictures(x)
    guide = x if guide is None else guide
    require_pictures(guide, "guide", like=x)
    return (_by_lines if x.device.type == "cpu" else _by_doubling)(x, guide, settings)


def _by_lines(x: Tensor, guide: Tensor, settings: DomainTransformSettings) -> Tensor:
    picture = x.detach().numpy()
    real = picture.dtype.type
    stretch = real(settings.sigma_px / settings.sigma_range)
    decays = [math.sqrt(2) * math.log2(math.e) / sigma_px for sigma_px in settings.sigmas_px]
    passes = [partial(_coefficients, stretch=stretch, decay=real(decay)) for decay in decays]
    with threads(torch.get_num_threads()) as for_each:
        by = picture if guide is x else guide.detach().numpy()
        smoothed: Tensor = torch.from_numpy(rows_then_columns(picture, by, passes, for_each, norm=1))
        return smoothed


@kernel
def _coefficients(gaps: Array, gain: Array, ratio: Array, stretch: Any, decay: Any) -> None:
    """a^d_n of eq. 21, for the way there and, one further, for the way back."""
    length, lines = gain.shape
    one = gain.dtype.type(1)  # an integer 1 would make it float64
    for n in range(1, length):
        gap, g, r = gaps[n], gain[n], ratio[n - 1]
        for k in range(lines):
            g[k] = exp2(-decay * (one + stretch * gap[k]))
        for k in range(lines):
            r[k] = g[k]


@torch.no_grad()
def _by_doubling(x: Tensor, guide: Tensor, settings: DomainTransformSettings) -> Tensor:
    """The recursive form by doubling, for devices that want whole pictures at once."""
    for sigma_px in settings.sigmas_px:
        for axis in (3, 2):
            d = 1 + settings.sigma_px / settings.sigma_range * guide.diff(dim=axis).abs().sum(1, keepdim=True)
            link = torch.exp(-math.sqrt(2) / sigma_px * d)
            x = _recurse_by_doubling(x, link, axis)
            x = _recurse_by_doubling(x.flip(axis), link.flip(axis), axis).flip(axis)
    return x


def _recurse_by_doubling(f: Tensor, link: Tensor, axis: int) -> Tensor:
    """J[n] = (1 - link[n]) f[n] + link[n] J[n - 1]: after round k, J holds the terms of the last 2^k pixels."""
    f, link = f.movedim(axis, -1), torch.nn.functional.pad(link.movedim(axis, -1), (1, 0))
    j, reach = (1 - link) * f, 1
    while reach < f.shape[-1]:
        j = torch.cat([j[..., :reach], j[..., reach:] + link[..., reach:] * j[..., :-reach]], dim=-1)
        link = torch.cat([link[..., :reach], link[..., reach:] * link[..., :-reach]], dim=-1)
        reach *= 2
    return j.movedim(-1, axis).contiguous()
