"""Screened-Poisson corrections of a periodic picture: the engine under :mod:`.l0` and :mod:`.ils`.

One step is

    s  <-  s + (1 + weight * D)^-1 [ (target - s) + pull ],          D = Dx^T Dx + Dy^T Dy,

with periodic forward differences and a pull that the filter computes from s. A half-quadratic step, "solve
(1 + weight * D) s = target + weight * (Dx^T h + Dy^T v)", is the same thing with the pull
weight * (Dx^T (h - dx s) + Dy^T (v - dy s)). As a correction it forgives rounding: errors do not add up.

D is diagonal in a 2-D Fourier basis, but only the rows are transformed here. Row n of frequency w obeys

    (1 + weight * (4 - 2 cos w)) d_n - weight * (d_{n-1} + d_{n+1}) = b_n          (periodic in n),

which factors into two first-order recursions, one down the column and one up:

    d = (q / weight) * (1 - q z^-1)^-1 (1 - q z)^-1 b,   q + 1/q = 2 + 1/weight + (2 - 2 cos w),   0 < q < 1.

That halves the Fourier work, and both stages run in pieces that stay in a core's own cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray
from torch import Tensor

from restauro.smooth.kernels import kernel
from restauro.smooth.threads import ForEach, spans

Array = NDArray[Any]
Pull = Callable[[Array, Array], None]
"""``pull(rows, out)`` fills out [C, R, W] from rows [C, R + 2, W]: one more row above and below.

It must treat x and y alike, as the picture may come turned over its diagonal.
"""

_PIECE = 1 << 17  # values in one piece of rows: with its spectrum about 1.5 MB in float32
_COLUMN_TASKS = 16
_LANES = 32  # row frequencies side by side in a column piece; 256 bytes per row in float32


class ScreenedPoisson:
    """A picture s, kept as the spectra of its rows, and its steps towards a target.

    Parameters
    ----------
    target
        [N, C, H, W] float32 or float64. It is also the first s. It is not kept.
    for_each
        Where the work runs: see :func:`restauro.smooth.threads.threads`.

    Notes
    -----
    Memory: 3 values per value of target, the picture at the end included, plus about 2 MB per thread. Cost of a
    step: one real FFT pair per row and one pass over the three spectra; the FFTs take half of the time.

    Examples
    --------
    >>> from restauro.smooth.threads import threads
    >>> with threads(1) as for_each:
    ...     state = ScreenedPoisson(np.eye(4)[None, None], for_each)
    ...     state.step(lambda rows, out: out.fill(0), weight=3.0)
    ...     np.allclose(state.picture(), np.eye(4))
    True
    """

    def __init__(self, target: Array, for_each: ForEach) -> None:
        # FFTs of a length with a large prime factor take up to 7 times longer: prefer the other side then
        self._turned = _is_fast(target.shape[2]) and not _is_fast(target.shape[3])
        target = target.swapaxes(2, 3) if self._turned else target
        n, c, h, w = target.shape
        self._shape, self._dtype, self._for_each = target.shape, target.dtype, for_each
        self._bins = w // 2 + 1
        blocks = -(-self._bins // _LANES)
        # [N, C, block, row, lane]: a column piece is contiguous (page-wide strides cost twice the time)
        layout = (n, c, blocks, h, -(-self._bins // blocks))
        self._target, self._s = (np.zeros(layout, self._complex) for _ in range(2))
        self._pull: Array | None = None  # scratch of the steps, not kept beside the picture
        pieces = max(1, round(c * h * w / _PIECE))
        self._rows = [(i, *span) for i in range(n) for span in spans(h, pieces)]
        for_each(lambda at: self._store(self._target, at, target[at[0], :, at[1] : at[2]]), self._rows)
        self._s[...] = self._target

    def step(self, pull: Pull, weight: float, *, anchored: bool = True) -> None:
        """Take one step; with ``anchored=False`` the (target - s) term is left out."""
        pulls = self._pull = np.zeros_like(self._s) if self._pull is None else self._pull

        def pull_rows(at: tuple[int, int, int]) -> None:
            rows = self._load(at, halo=1)
            out = np.empty((rows.shape[0], rows.shape[1] - 2, rows.shape[2]), self._dtype)
            pull(rows, out)
            self._store(pulls, at, out)

        self._for_each(pull_rows, self._rows)

        columns = [self._columns(a) for a in (self._target if anchored else self._s, pulls, self._s)]
        q, gain, run_in = self._recursion(weight)
        blocks = q.shape[0]

        def correct(span: tuple[int, int]) -> None:
            for k in range(*span):
                b = k % blocks
                _correct(columns[0][k], columns[1][k], columns[2][k], q[b], gain[b], run_in[b])

        self._for_each(correct, spans(len(columns[0]), _COLUMN_TASKS))

    def picture(self) -> Array:
        """Return s as [N, C, H, W]."""
        self._pull = None
        n, c, h, w = self._shape
        picture = np.empty((n, c, w, h) if self._turned else (n, c, h, w), self._dtype)
        out = picture.swapaxes(2, 3) if self._turned else picture

        def copy_rows(at: tuple[int, int, int]) -> None:
            out[at[0], :, at[1] : at[2]] = self._load(at, halo=0)

        self._for_each(copy_rows, self._rows)
        return picture

    @property
    def _complex(self) -> np.dtype[Any]:
        return np.result_type(self._dtype, np.complex64)

    def _columns(self, spectra: Array) -> Array:
        """View spectra as real column pieces [N * C * blocks, H, 2 * lanes]."""
        return spectra.view(self._dtype).reshape(-1, self._shape[2], 2 * spectra.shape[-1])

    def _store(self, spectra: Array, at: tuple[int, int, int], rows: Array) -> None:
        i, start, stop = at
        full, rest = divmod(self._bins, spectra.shape[-1])
        new = scipy.fft.rfft(rows)
        blocks = new[..., : self._bins - rest].reshape(*new.shape[:2], full, -1)
        spectra[i, :, :full, start:stop] = blocks.swapaxes(1, 2)
        if rest:
            spectra[i, :, full, start:stop, :rest] = new[..., self._bins - rest :]

    def _load(self, at: tuple[int, int, int], halo: int) -> Array:
        i, start, stop = at
        height, width = self._shape[2:]
        inside = halo <= start and stop + halo <= height
        which = slice(start - halo, stop + halo) if inside else np.arange(start - halo, stop + halo) % height
        part = self._s[i][:, :, which].swapaxes(1, 2)
        wide = part.reshape(*part.shape[:2], -1)[..., : self._bins]
        rows: Array = scipy.fft.irfft(wide, n=width)
        return rows

    def _recursion(self, weight: float) -> tuple[Array, Array, list[int]]:
        """Return q and gain, [block, 2 * lanes], and the run-in length of each block."""
        height, width = self._shape[2:]
        blocks, lanes = self._s.shape[2], self._s.shape[4]
        t = 1 / weight + 2 - 2 * np.cos(2 * np.pi * np.arange(blocks * lanes) / width)
        t[self._bins :] = 4  # unused lanes: any harmless value
        q = 1 / (1 + t / 2 + np.sqrt(t + t * t / 4))
        forget = math.log(np.finfo(self._dtype).eps / 8)
        slowest = q.reshape(blocks, lanes).max(axis=1)
        run_in = [min(height, math.ceil(forget / math.log(value))) for value in slowest]
        twice = np.repeat(q, 2).reshape(blocks, 2 * lanes)  # real and imaginary part
        return twice.astype(self._dtype), (twice / weight).astype(self._dtype), run_in


def laplacian_spectrum(height: int, width: int, like: Tensor) -> Tensor:
    """|Dx|^2 + |Dy|^2 of periodic forward differences, [H, W // 2 + 1]."""
    wy = 2 * math.pi * torch.fft.fftfreq(height, device=like.device, dtype=torch.float64)
    wx = 2 * math.pi * torch.fft.rfftfreq(width, device=like.device, dtype=torch.float64)
    spectrum: Tensor = 4 - 2 * wx.cos()[None, :] - 2 * wy.cos()[:, None]
    return spectrum.to(like.dtype)


def transposed_gradient(h: Tensor, v: Tensor) -> Tensor:
    """(Dx^T h + Dy^T v)_p = h_{p-x} - h_p + v_{p-y} - v_p."""
    out: Tensor = h.roll(1, dims=-1).sub_(h).add_(v.roll(1, dims=-2)).sub_(v)
    return out


def _is_fast(length: int) -> bool:
    fast: bool = scipy.fft.next_fast_len(length) == length
    return fast


@kernel
def _correct(target: Array, pull: Array, s: Array, q: Array, gain: Array, run_in: int) -> None:
    """Add to s [H, L] the solution for right-hand side target - s + pull; pull is overwritten.

    A periodic recursion starts from its own end: the start value is run in over the last ``run_in`` rows
    (older ones have decayed below rounding) and divided by 1 - q^H, which sums all earlier rounds.
    """
    height, lanes = s.shape
    rounds = np.empty(lanes, s.dtype)
    y = np.zeros(lanes, s.dtype)
    for n in range(height - run_in, height):
        for k in range(lanes):
            y[k] = q[k] * y[k] + gain[k] * (target[n, k] - s[n, k] + pull[n, k])
    for k in range(lanes):
        rounds[k] = 1 / (1 - q[k] ** height)
        y[k] *= rounds[k]
    for n in range(height):
        for k in range(lanes):
            y[k] = q[k] * y[k] + gain[k] * (target[n, k] - s[n, k] + pull[n, k])
            pull[n, k] = y[k]
    y[:] = 0
    for n in range(run_in - 1, -1, -1):
        for k in range(lanes):
            y[k] = q[k] * y[k] + pull[n, k]
    for k in range(lanes):
        y[k] *= rounds[k]
    for n in range(height - 1, -1, -1):
        for k in range(lanes):
            y[k] = q[k] * y[k] + pull[n, k]
            s[n, k] += y[k]
