"""Fast global smoother (Min et al. 2014, "Fast global image smoothing based on weighted least squares", FGS).

    min_u  sum_p (u_p - f_p)^2  +  lam * sum_{pq neighbours} w_pq (u_p - u_q)^2,      w_pq = exp(-|g_p - g_q| / sigma)

is replaced by exact one-dimensional problems, along every row and then every column, T times. On a line,

    (1 + lam_t (w_{n-1,n} + w_{n,n+1})) u_n - lam_t w_{n-1,n} u_{n-1} - lam_t w_{n,n+1} u_{n+1} = f_n            (L)

is tridiagonal: elimination down the line and substitution back. The weight falls from pass to pass, so that streaks
do not stay: lam_t = 3/2 * 4^(T-t) / (4^T - 1) * lam. The guide g is the input, in all passes; the distance of its
colours is Euclidean. (The authors' program takes the running result as the guide.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
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
class FGSSettings:
    """Settings of :func:`fgs`.

    Parameters
    ----------
    lam
        Weight of the smoothness term; more smooths more. Usual range 100 to 1000.
    sigma
        Colour difference, Euclidean in units of 0..1, that counts as an edge. Usual range 0.03 to 0.1.
    passes
        T, pairs of a horizontal and a vertical pass.

    Examples
    --------
    >>> [round(lam, 1) for lam in FGSSettings(lam=900).lams]
    [342.9, 85.7, 21.4]
    """

    lam: float = 900.0
    sigma: float = 0.1
    passes: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.lam < math.inf:
            raise SettingError("lam", self.lam, "a number above 0 (usual range 100 to 1000)")
        if not 0 < self.sigma < math.inf:
            raise SettingError("sigma", self.sigma, "a number above 0 (usual range 0.03 to 0.1)")
        if not (isinstance(self.passes, int) and self.passes >= 1):
            raise SettingError("passes", self.passes, "a whole number, 1 or more (3 is usual)")

    @property
    def lams(self) -> list[float]:
        """lam_t of every pass."""
        t = self.passes
        return [1.5 * 4 ** (t - 1 - k) / (4**t - 1) * self.lam for k in range(t)]


def fgs(x: Tensor, settings: FGSSettings | None = None, *, guide: Tensor | None = None) -> Tensor:
    """Smooth a picture strongly between the edges of a guide, in linear time.

    Parameters
    ----------
    x
        [N, C, H, W] float32 or float64, 0..1. It is not changed.
    settings
        See :class:`FGSSettings`.
    guide
        [N, any C, H, W] picture whose edges are kept; the default is x itself.

    Returns
    -------
    Tensor
        [N, C, H, W], same type and device, within the range of x.

    Notes
    -----
    Cost on a CPU: 2 T passes over the picture; 2 values of memory per value of x, the result included.
    Elsewhere: cyclic reduction, 2 T log2(side) passes; about 10 values. Threads: as many as torch uses.

    Examples
    --------
    >>> x = torch.full((1, 3, 8, 8), 0.25)
    >>> torch.equal(fgs(x), x)
    True
    """
    settings = settings or FGSSettings()
    require_pictures(x)
    guide = x if guide is None else guide
    require_pictures(guide, "guide", like=x)
    return (_fgs_lines if x.device.type == "cpu" else _fgs_cyclic)(x, guide, settings)


def _fgs_lines(x: Tensor, guide: Tensor, settings: FGSSettings) -> Tensor:
    picture = x.detach().numpy()
    real = picture.dtype.type
    slope = real(math.log2(math.e) / settings.sigma)
    passes = [partial(_coefficients, lam=real(lam), slope=slope) for lam in settings.lams]
    with threads(torch.get_num_threads()) as for_each:
        by = picture if guide is x else guide.detach().numpy()
        smoothed: Tensor = torch.from_numpy(rows_then_columns(picture, by, passes, for_each, norm=2))
        return smoothed


@kernel
def _coefficients(gaps: Array, gain: Array, ratio: Array, lam: Any, slope: Any) -> None:
    """Eliminate (L).

    With u_n = (1 - ratio_n) v_n + ratio_n u_{n+1} and m_n = lam w_{n-1,n} (1 - ratio_{n-1}), elimination leaves
    v_n = (f_n + m_n v_{n-1}) / (1 + m_n): two weighted means, which a constant passes without rounding.
    """
    length, lines = gain.shape
    one = gain.dtype.type(1)  # an integer 1 would make it float64
    m = np.zeros(lines, gain.dtype)
    right = np.zeros(lines, gain.dtype)  # lam w_{n,n+1}
    for n in range(length):
        g, r = gain[n], ratio[n]
        if n + 1 < length:
            gap = gaps[n + 1]
            for k in range(lines):
                right[k] = lam * exp2(-slope * gap[k])
        else:
            right[:] = 0
        for k in range(lines):
            g[k] = m[k] / (one + m[k])
        for k in range(lines):
            r[k] = right[k] / (one + m[k] + right[k])
        for k in range(lines):
            m[k] = right[k] * (one - r[k])


@torch.no_grad()
def _fgs_cyclic(x: Tensor, guide: Tensor, settings: FGSSettings) -> Tensor:
    """The same by parallel cyclic reduction, for devices that want whole pictures at once."""
    for lam in settings.lams:
        for axis in (3, 2):
            distance = guide.diff(dim=axis).square().sum(1, keepdim=True).sqrt()
            x = _solve_cyclic(x, lam * torch.exp(-distance / settings.sigma), axis)
    return x


def _solve_cyclic(f: Tensor, w: Tensor, axis: int) -> Tensor:
    """Solve (L) along an axis; w joins neighbours and has one entry less than f.

    In round k every equation is joined with those 2^k before and after it, which removes its two off-diagonal
    entries and makes new ones twice as far away.
    """
    f, w = f.movedim(axis, -1), w.movedim(axis, -1)
    pad = torch.nn.functional.pad
    before, after = pad(w, (1, 0)), pad(w, (0, 1))
    diagonal = 1 + before + after
    step = 1
    while step < f.shape[-1]:
        earlier = [pad(t, (step, 0))[..., :-step] for t in (before, after, diagonal, f)]
        later = [pad(t, (0, step))[..., step:] for t in (before, after, diagonal, f)]
        p = before / earlier[2].clamp_min(1)
        q = after / later[2].clamp_min(1)
        f = f + p * earlier[3] + q * later[3]
        diagonal = diagonal - p * earlier[1] - q * later[0]
        before, after = p * earlier[0], q * later[1]
        step *= 2
    return (f / diagonal).movedim(-1, axis).contiguous()
