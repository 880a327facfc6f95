"""Static / dynamic filter (Ham, Cho, Ponce 2015, "Robust image filtering using joint static and dynamic guidance").

    min_u  sum_i (u_i - f_i)^2  +  lam * sum_ij exp(-mu |g_i - g_j|^2) psi(u_i - u_j),

    psi(t) = (1 - exp(-nu t^2)) / nu                                                                       (eqs. 1-4)

over the links ij between the 8 neighbours of every pixel. g, the static guide, is given; u guides itself. Each step
majorises psi by a parabola at the last u, which leaves one linear system (eqs. 9-12):

    (Id + lam L_w) u = f,      w_ij = exp(-mu |g_i - g_j|^2) exp(-nu |u_i - u_j|^2).

The first u is a constant, so that the first step is guided by g alone. As in the authors' program: distances are
taken over all colours, in CIELAB when there are three, their squares are divided by the largest over all links, and
every weight is raised by 1e-5. The confidences c_i of the paper are 1 here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from restauro.errors import SettingError
from restauro.smooth.inputs import require_pictures
from restauro.smooth.solvers import solve_screened_poisson

_SMALLEST_WEIGHT = 1e-5


@dataclass(frozen=True)
class SDFSettings:
    """Settings of :func:`sdf`.

    Parameters
    ----------
    lam
        Weight of the differences; more smooths more. The authors use 30, 4e3 and 3e5 as strength levels.
    mu, nu
        Sensitivity to the edges of the static guide and of the result; more keeps more edges.
    steps
        Majorise-minimise steps.
    neighbours
        8, or 4 for half the memory and time.
    tolerance
        Largest root mean square error of each system, in units of the picture.

    >>> SDFSettings(neighbours=6)
    Traceback (most recent call last):
    ...
    restauro.errors.SettingError: neighbours: found 6, wanted 4 or 8
    """

    lam: float = 30.0
    mu: float = 50.0
    nu: float = 400.0
    steps: int = 10
    neighbours: int = 8
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 < self.lam < math.inf:
            raise SettingError("lam", self.lam, "a number above 0 (usual 30, 4e3 or 3e5)")
        for name in ("mu", "nu"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise SettingError(name, value, "a number not below 0 (usual mu 50, nu 400)")
        if self.steps < 1:
            raise SettingError("steps", self.steps, "a whole number above 0 (10 is usual)")
        if self.neighbours not in (4, 8):
            raise SettingError("neighbours", self.neighbours, "4 or 8")
        if not 0 < self.tolerance < math.inf:
            raise SettingError("tolerance", self.tolerance, "a number above 0 (1e-3 is usual)")


@torch.no_grad()
def sdf(x: Tensor, settings: SDFSettings | None = None, *, guide: Tensor | None = None) -> Tensor:
    """Flatten a picture between the edges that it and a guide have in common.

    Parameters
    ----------
    x
        [N, C, H, W] float32 or float64, 0..1. It is not changed.
    settings
        See :class:`SDFSettings`.
    guide
        [N, any, H, W], 0..1; by default ``x``. To remove texture, give x blurred by a Gaussian of its size.

    Returns
    -------
    Tensor
        [N, C, H, W], same type and device; within 0..1 up to the tolerance.

    Notes
    -----
    Cost: ``steps`` screened Poisson systems (:mod:`.solvers`), each from the last result; with the defaults 3.5 s per
    megapixel of three colours on one core, 10 s with lam 4e3. 15 values of memory per value of x.

    Mirroring and transposing commute with it; mean brightness is kept.

    Examples
    --------
    >>> x = torch.full((1, 3, 8, 8), 0.25)
    >>> torch.equal(sdf(x), x)
    True
    """
    require_pictures(x)
    guide = x if guide is None else guide
    require_pictures(guide, "guide", like=x)
    settings = settings or SDFSettings()
    static = _squared_distances(guide, settings.neighbours).mul_(-settings.mu)
    u, weights = x, static
    for _ in range(settings.steps):
        links = weights.exp().add_(_SMALLEST_WEIGHT).mul_(settings.lam)
        u = solve_screened_poisson(links, x, start=u, tolerance=settings.tolerance)
        weights = _squared_distances(u, settings.neighbours).mul_(-settings.nu).add_(static)
    return u


def _squared_distances(v: Tensor, neighbours: int) -> Tensor:
    """Squared colour distance over every link, [N, 2 or 4, H, W], divided by the largest of each picture."""
    v = rgb_to_lab(v) if v.shape[1] == 3 else v
    d = v.new_zeros(v.shape[0], neighbours // 2, *v.shape[-2:])
    d[:, 0, :, :-1] = torch.diff(v, dim=-1).square_().sum(dim=1)
    d[:, 1, :-1] = torch.diff(v, dim=-2).square_().sum(dim=1)
    if neighbours == 8:
        d[:, 2, :-1, :-1] = (v[..., 1:, 1:] - v[..., :-1, :-1]).square_().sum(dim=1)
        d[:, 3, :-1, 1:] = (v[..., 1:, :-1] - v[..., :-1, 1:]).square_().sum(dim=1)
    return d.div_(d.amax(dim=(1, 2, 3), keepdim=True).clamp_min_(torch.finfo(d.dtype).tiny))


_TO_XYZ = (  # linear sRGB (IEC 61966-2-1) to XYZ over the D65 white point
    (0.412453 / 0.95047, 0.357580 / 0.95047, 0.180423 / 0.95047),
    (0.212671, 0.715160, 0.072169),
    (0.019334 / 1.08883, 0.119193 / 1.08883, 0.950227 / 1.08883),
)


def rgb_to_lab(x: Tensor) -> Tensor:
    """SRGB [N, 3, H, W] in 0..1 to CIELAB under D65: L in 0..100, a and b about -128..127.

    >>> rgb_to_lab(torch.ones(1, 3, 1, 1)).flatten().round().abs().tolist()
    [100.0, 0.0, 0.0]
    """
    linear = torch.where(x <= 0.04045, x / 12.92, ((x.clamp_min(0) + 0.055) / 1.055) ** 2.4)
    xyz = torch.einsum("ij,njhw->nihw", x.new_tensor(_TO_XYZ), linear)
    f = torch.where(xyz > 0.008856, xyz.clamp_min(0.008856) ** (1 / 3), 7.787 * xyz + 16 / 116)
    return torch.stack((116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])), dim=1)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Inverse of :func:`rgb_to_lab`; colours outside sRGB leave 0..1.

    >>> lab_to_rgb(torch.tensor([100.0, 0.0, 0.0]).view(1, 3, 1, 1)).flatten().round(decimals=4).tolist()
    [1.0, 1.0, 1.0]
    """
    y = (lab[:, 0] + 16) / 116
    f = torch.stack((y + lab[:, 1] / 500, y, y - lab[:, 2] / 200), dim=1)
    xyz = torch.where(f > 7.787 * 0.008856 + 16 / 116, f**3, (f - 16 / 116) / 7.787)
    linear = torch.einsum("ij,njhw->nihw", torch.linalg.inv(lab.new_tensor(_TO_XYZ)), xyz)
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055)
