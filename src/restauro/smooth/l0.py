"""L0 gradient minimisation (Xu, Lu, Xu, Jia 2011, "Image smoothing via L0 gradient minimization", eqs. 3-12).

    min_S  sum_p (S_p - I_p)^2  +  lam * #{ p : |dx S_p| + |dy S_p| != 0 }

solved by half-quadratic splitting: an auxiliary gradient field (h, v) is the gradient of S without its small
entries (eq. 12), then S solves the screened Poisson equation

    (1 + beta * D) S_new = I + beta * (Dx^T h + Dy^T v),          D = Dx^T Dx + Dy^T Dy          (eq. 8)

while beta grows by kappa until beta_max. Differences are forward and periodic; a gradient counts once for all
colours of a pixel. Nothing is clipped. With (a, b) = the small entries, eq. 8 is the correction

    S_new = S + (1 + beta * D)^-1 [ (I - S) - beta * (Dx^T a + Dy^T b) ],

and this is what is computed: it is kinder to float32, because beta only meets small numbers.
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
from restauro.smooth.kernels import kernel
from restauro.smooth.poisson import ScreenedPoisson, laplacian_spectrum, transposed_gradient
from restauro.smooth.threads import threads, threads_for

if TYPE_CHECKING:
    from restauro.smooth.poisson import Array


@dataclass(frozen=True)
class L0Settings:
    """Settings of :func:`l0`.

    Parameters
    ----------
    lam
        Price of one pixel with a non-zero gradient; more smooths more. Usual range 0.001 to 0.1.
    kappa
        Growth of beta per step; nearer to 1 is slower and finer (1.05 for best quality).
    beta_max
        Where beta stops.

    Examples
    --------
    >>> L0Settings(lam=0.02, kappa=2.0).steps
    22
    """

    lam: float = 0.02
    kappa: float = 2.0
    beta_max: float = 1e5

    def __post_init__(self) -> None:
        if not 0 < self.lam < math.inf:
            raise SettingError("lam", self.lam, "a number above 0 (usual range 0.001 to 0.1)")
        if not 1 < self.kappa < math.inf:
            raise SettingError("kappa", self.kappa, "a number above 1 (2 is usual, 1.05 the finest in use)")
        if not 2 * self.lam < self.beta_max < math.inf:
            raise SettingError("beta_max", self.beta_max, f"a number above 2 * lam = {2 * self.lam:g}")

    @property
    def steps(self) -> int:
        """Number of half-quadratic steps."""
        return math.ceil(math.log(self.beta_max / (2 * self.lam)) / math.log(self.kappa) - 1e-9)

    @property
    def betas(self) -> list[float]:
        """Beta of every step: 2 lam, 2 lam kappa, ..."""
        return [2 * self.lam * self.kappa**step for step in range(self.steps)]


def l0(x: Tensor, settings: L0Settings | None = None) -> Tensor:
    """Flatten a picture into regions with few edges between them.

    Parameters
    ----------
    x
        [N, C, H, W] float32 or float64, 0..1. It is not changed.
    settings
        See :class:`L0Settings`; the default is the paper's (lam 0.02, kappa 2).

    Returns
    -------
    Tensor
        [N, C, H, W], same type and device. Values may leave 0..1 by a little.

    Notes
    -----
    Cost on a CPU: per step one real FFT pair along each row and two passes over memory (:mod:`.poisson`);
    about 3 values of memory per value of x, the result included. Elsewhere: per step one real 2-D FFT pair; about
    8 values. Threads: as many as torch uses. No gradient flows through it.

    Mean brightness is kept. Float32 agrees with float64 to about 80 dB or better: a pixel whose gradient sits
    on the threshold may fall to either side. Not idempotent.

    Examples
    --------
    >>> x = torch.full((1, 3, 8, 8), 0.25)
    >>> torch.equal(l0(x), x)
    True
    """
    require_pictures(x)
    settings = settings or L0Settings()
    return _l0_rows(x, settings) if x.device.type == "cpu" else _l0_fft(x, settings)


@torch.no_grad()
def _l0_fft(x: Tensor, settings: L0Settings) -> Tensor:
    """The filter as it reads in the paper, for devices that do whole FFTs best."""
    height, width = x.shape[-2:]
    target = torch.fft.rfft2(x)
    laplacian = laplacian_spectrum(height, width, x)
    spectrum = target.clone()
    for beta in settings.betas:
        s = torch.fft.irfft2(spectrum, s=(height, width))
        a, b = s.roll(-1, dims=-1) - s, s.roll(-1, dims=-2) - s
        kept = (a.square() + b.square()).sum(dim=1, keepdim=True) >= settings.lam / beta  # eq. 12
        pull = torch.fft.rfft2(transposed_gradient(a.masked_fill_(kept, 0), b.masked_fill_(kept, 0)).mul_(-beta))
        spectrum += pull.sub_(spectrum).add_(target).div_(1 + beta * laplacian)  # eq. 8
    smoothed: Tensor = torch.fft.irfft2(spectrum, s=(height, width))
    return smoothed


def _l0_rows(x: Tensor, settings: L0Settings) -> Tensor:
    """The same on a CPU: row spectra, column recursions."""
    picture = x.detach().numpy()
    real = picture.dtype.type
    with threads(threads_for(x.numel())) as for_each:
        state = ScreenedPoisson(picture, for_each)
        for beta in settings.betas:
            pull = partial(_pull, limit=real(settings.lam / beta), beta=real(beta))
            state.step(pull, weight=beta)
        smoothed: Tensor = torch.from_numpy(state.picture())
        return smoothed


@kernel
def _pull(rows: Array, out: Array, limit: Any, beta: Any) -> None:
    """Fill out [C, R, W] with -beta * (Dx^T a + Dy^T b) (eq. 12), from rows [C, R + 2, W]."""
    channels, count, width = rows.shape
    last = width - 1
    weights = np.zeros((2, width), rows.dtype)  # beta where the gradient is dropped, else 0: this row, the row above
    for i in range(count - 1):
        here, above = weights[i & 1], weights[1 - (i & 1)]
        here[:] = 0
        for c in range(channels):
            s, below = rows[c, i], rows[c, i + 1]
            for k in range(last):
                here[k] += (s[k + 1] - s[k]) ** 2 + (below[k] - s[k]) ** 2
            here[last] += (s[0] - s[last]) ** 2 + (below[last] - s[last]) ** 2
        for k in range(width):
            here[k] = beta if here[k] < limit else rows.dtype.type(0)  # eq. 12
        if i == 0:
            continue
        for c in range(channels):
            up, s, below, o = rows[c, i - 1], rows[c, i], rows[c, i + 1], out[c, i - 1]
            for k in range(width):
                o[k] = here[k] * (below[k] - s[k]) - above[k] * (s[k] - up[k])
            for k in range(last):
                o[k] += here[k] * (s[k + 1] - s[k])
            for k in range(1, width):
                o[k] -= here[k - 1] * (s[k] - s[k - 1])
            wrap = here[last] * (s[0] - s[last])
            o[last] += wrap
            o[0] -= wrap
