"""What a network sees of a picture that may be blurred: deconvolutions by the kernel that was estimated from it.

A network that sees only the neighbourhood of a pixel has to guess from it how the camera shook. The whole picture says
it much better (:mod:`.blind`), where one blur lies over all of it; what is left to the network is what classical
methods are bad at: to tell detail from ringing, and an estimate that is right from one that is not.

The deconvolution is Wiener's, as a filter of finite size: its response is cut off at 60 px by a window. So a tile with
that much around it comes out as in the whole picture. On validation photographs with the true kernel it gains as much
as the filter of unlimited size.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from restauro.deconvolution.blind import STEEP, Agreement, find_kernel, steepness
from restauro.degrade.kernel_files import Taps

#: Weights of smoothness in Wiener's filter: one that keeps detail and noise, one that is safe.
BALANCES = (0.003, 0.03)
REACH_PX = 60
SIZE_PX = 25  # of the kernel, where the picture is large enough
PLANES = 3 * len(BALANCES) + 2
REVISION = 1  # to be raised when the same picture gets other planes: caches of training go by it
_SMALLEST = 5
_GRID = 256  # samples of the frequency response


class Deconvolution:
    """The kernel of one picture, and the planes that it gives.

    Parameters
    ----------
    pixels
        float32 [H, W, 3], 0..1.

    Examples
    --------
    >>> from scipy import ndimage
    >>> sharp = np.random.default_rng(0).random((30, 40, 3), np.float32)
    >>> pixels = ndimage.uniform_filter(sharp, (5, 5, 0))
    >>> known = Deconvolution(pixels)
    >>> known.kernel.shape, known.planes(pixels).shape, Deconvolution(sharp).blurred
    ((9, 9), (30, 40, 8), 0.0)
    """

    def __init__(self, pixels: NDArray[np.float32]) -> None:
        side = min(SIZE_PX, (min(pixels.shape[:2]) // 3 - 1) // 2 * 2 + 1)
        self.kernel: Taps = np.ones((1, 1))
        self.correlation = self.slope = 0.0
        self.steepness = steepness(pixels)
        if side >= _SMALLEST and self.blurred > 0:
            self.kernel, seen = find_kernel(pixels, side)
            self.correlation, self.slope = max(0.0, seen.correlation), min(max(0.0, seen.slope), 2.0)

    @property
    def blurred(self) -> float:
        """1 where the picture's edges are no steeper than a blurred picture's, 0 where they are a sharp one's."""
        low, high = STEEP
        return min(max((high - self.steepness) / (high - low), 0.0), 1.0)

    def __str__(self) -> str:
        if not self.blurred:
            return f"no blur found: its edges are as steep as a sharp picture's ({self.steepness:.2f})"
        side = len(self.kernel)
        shows = f"its spectrum shows the estimated kernel with a correlation of {self.correlation:.2f}"
        if Agreement(self.correlation, self.slope).credible:
            return f"one blur of up to {side} px found: {shows}"
        return f"no one blur is certain: {shows}"

    def planes(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [H, W, 8], 0..1: colours for each of :data:`BALANCES`, the estimate's correlation, half its slope.

        ``pixels`` may be the picture or a part of it. A picture of less than 15 px has no kernel, nor has a sharp one.
        """
        made = np.empty((*pixels.shape[:2], PLANES), np.float32)
        for place, balance in enumerate(BALANCES):
            made[..., 3 * place : 3 * place + 3] = _filtered(pixels, inverse_filter(self.kernel, balance))
        made[..., -2:] = self.correlation, self.slope / 2
        return made


def inverse_filter(kernel: Taps, balance: float) -> Taps:
    """Wiener's filter for a kernel [kh, kw], of sum 1, as taps [121, 121] of sum 1.

    conj(K) / (|K|^2 + balance |D|^2) with the Laplacian D, sampled at 256 x 256 frequencies.

    >>> centre = inverse_filter(np.ones((1, 1)), 1e-9)[60, 60]
    >>> bool(abs(centre - 1) < 1e-6)
    True
    """
    wide = np.zeros((_GRID, _GRID))
    wide[: kernel.shape[0], : kernel.shape[1]] = kernel
    response = scipy.fft.rfft2(np.roll(wide, [-(side // 2) for side in kernel.shape], (0, 1)))
    down, across = (2 - 2 * np.cos(2 * np.pi * f) for f in (scipy.fft.fftfreq(_GRID), scipy.fft.rfftfreq(_GRID)))
    wiener = response.conj() / (np.abs(response) ** 2 + balance * (down[:, None] + across) ** 2)
    taps = np.roll(scipy.fft.irfft2(wiener, s=(_GRID, _GRID)), (REACH_PX, REACH_PX), (0, 1))
    side = 2 * REACH_PX + 1
    fade = np.clip(2 - 2 * np.abs(np.arange(side) - REACH_PX) / (REACH_PX + 1), 0, 1)
    fade = fade**2 * (3 - 2 * fade)
    windowed = taps[:side, :side] * fade[:, None] * fade
    whole: Taps = windowed / windowed.sum()
    return whole


def _filtered(pixels: NDArray[np.float32], taps: Taps) -> NDArray[np.float32]:
    """Pixels [H, W, C] convolved with taps, borders reflected, kept in 0..1."""
    height, width = pixels.shape[:2]
    reach = ((REACH_PX, REACH_PX), (REACH_PX, REACH_PX), (0, 0))
    wide = np.pad(pixels, reach, mode="reflect" if min(height, width) > 1 else "edge")
    shape = [scipy.fft.next_fast_len(side, real=True) for side in wide.shape[:2]]
    response = scipy.fft.rfft2(taps.astype(np.float32), shape)
    made = np.empty_like(pixels)
    for colour in range(pixels.shape[2]):
        whole = scipy.fft.irfft2(response * scipy.fft.rfft2(wide[..., colour], shape), shape)
        inside = whole[2 * REACH_PX : 2 * REACH_PX + height, 2 * REACH_PX : 2 * REACH_PX + width]
        made[..., colour] = inside.clip(0, 1)
    return made
