"""The kernel of a blur, estimated from the blurred picture alone: for one that blurred all of it alike.

From coarse to fine two steps take turns. The picture is deblurred with the kernel so far, under a penalty on the
*number* of its gradients (Xu, Zheng, Jia, "Unnatural L0 sparse representation for natural image deblurring", 2013,
eqs. 4-8, with L0 alone): what comes is flat between strong edges, and wrong as a picture, but its edges are where the
sharp ones must be. Then the kernel that takes these edges to the blurred ones is found by least squares (their eq. 9):
conjugate gradients on the kernel's own support, with only the strongest gradients of each direction (Cho and Lee, "Fast
motion deblurring", 2009, section 4) and, of the blurred picture, only those whose cause lies inside of it.

An estimate can fail, and on a picture that has no blur, or several, it always does: something is found. So it is asked
whether the picture's spectrum has the kernel's in it, see :func:`agreement`. That cannot tell a kernel from itself
turned by 180 degrees.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn.functional import interpolate

from restauro.deconvolution.borders import continued
from restauro.degrade.kernel_files import Taps
from restauro.degrade.steps import require_number
from restauro.errors import PictureError, SettingError

Plane = NDArray[np.floating]  # float32: half the time, and kernels as good

#: Weight of the count of gradients: at first, its last, and the share that is left of it after each turn.
LAMBDA, LAMBDA_LAST, LAMBDA_DECAY = 8e-3, 1e-4, 1 / 1.1
BETA_MOST = 1e3  # of the half-quadratic splitting
RIDGE = 30.0  # of the kernel, in the units of squared gradients summed over the picture
TURNS = 5  # on each level
KEPT = 0.25  # strongest gradients of each direction, times the kernel's side and the picture's mean side
FAINT, STRAY = 0.08, 0.1  # taps below this share of the largest, and islands below this share of all, are noise
WINDOW_PX = 768
CORRELATION, SLOPES = 0.6, (0.6, 1.7)  # see Agreement
STEEP = (0.39, 0.44)  # from where on a picture may be, and is, sharp; see steepness
ALMOST, CUT_OFF, LEAST_TRIED = 0.05, 0.06, 9  # see find_kernel: of the correlation, of the kernel; in pixels
_SMALLEST = 3


def estimate_kernel(pixels: NDArray[np.floating], size_px: int = 25) -> Taps:
    """Estimate what blurred a picture.

    Parameters
    ----------
    pixels
        [H, W, C], 0..1, in the light that was blurred. Of a large one the window of 768 px with most edges is used.
    size_px
        Side of the kernel: an odd number somewhat larger than the blur is long. Far too large a one finds more noise.

    Returns
    -------
    array
        float64 [size_px, size_px], not negative, of sum 1, its centroid in the middle: where a blur moved a
        picture cannot be seen in it.

    Raises
    ------
    SettingError
        ``size_px`` is not an odd number of 3 to 99.
    PictureError
        A side shorter than three times the kernel.

    Notes
    -----
    About 330 transforms of the window at full size, and half as many again on coarser levels: 1.0 s of one core for
    512 x 512 and 25 taps.

    Examples
    --------
    >>> flat = np.full((32, 32, 3), 0.5)
    >>> float(estimate_kernel(flat, 5)[2, 2])  # nothing to see: no blur
    1.0
    """
    check_size(size_px)
    height, width = pixels.shape[:2]
    if min(height, width) < 3 * size_px:
        raise PictureError(
            "the picture", f"{width}x{height} px", f"sides of {3 * size_px} px for {size_px} taps", "take fewer taps"
        )
    plane = _window(_grey(pixels)).astype(np.float32)
    if np.ptp(plane) < 1e-3:
        return _point(size_px)
    kernel, weight = _point(_SMALLEST), LAMBDA
    kernel[1, :2] = 0.5  # from a point alone the first turns do not get away
    for side in _sides(size_px):
        scale = side / size_px
        blurred = plane if side == size_px else _resized(plane, [max(3 * side, round(n * scale)) for n in plane.shape])
        kernel = np.maximum(_resized(kernel, (side, side)), 0)
        kernel /= kernel.sum()
        for _ in range(TURNS):
            edges = _deblurred(blurred, kernel, weight)
            kernel = _explained(edges, blurred, kernel)
            weight = max(weight * LAMBDA_DECAY, LAMBDA_LAST)
        kernel = _centred(kernel)
    return _centred(kernel, exactly=True)


@dataclass(frozen=True)
class Agreement:
    """How well a picture's spectrum shows a kernel; a true one has about 1 and 1.

    ``correlation`` of the two log spectra, each less its mean at every frequency's distance from zero; ``slope`` of the
    line through them, picture over kernel.
    """

    correlation: float
    slope: float

    @property
    def credible(self) -> bool:
        """Whether to believe the kernel."""
        return self.correlation >= CORRELATION and SLOPES[0] <= self.slope <= SLOPES[1]


def agreement(pixels: NDArray[np.floating], kernel: Taps) -> Agreement:
    """Look for a kernel in the spectrum of the picture that it is said to have blurred.

    Where a kernel has no power, no more is in the picture: log |Y|^2 = log |X|^2 + log |K|^2. A sharp picture's own
    spectrum falls with the distance from zero, in all directions about alike, and that is taken off both.

    Parameters
    ----------
    pixels
        [H, W, C], 0..1, with sides of the kernel's or more.
    kernel
        As :func:`estimate_kernel` gives it.

    Examples
    --------
    >>> noise = np.random.default_rng(0).random((64, 64, 1))
    >>> line = np.full((1, 9), 1 / 9)
    >>> blurred = ndimage.convolve(noise, line[..., None], mode="wrap")
    >>> agreement(blurred, line).credible, agreement(noise, line).credible
    (True, False)
    """
    plane = _window(_grey(pixels))
    height, width = plane.shape
    hann = np.hanning(height)[:, None] * np.hanning(width)
    wide = np.zeros(plane.shape)
    wide[: kernel.shape[0], : kernel.shape[1]] = kernel
    down, across = scipy.fft.fftfreq(height)[:, None], scipy.fft.fftfreq(width)
    far = np.hypot(down, across)
    used = (far > 0.03) & (far < 0.35) & (np.minimum(np.abs(down), np.abs(across)) > 0.02)  # not the borders' cross
    ring = (60 * far[used]).astype(int)
    logs = []
    for one, floor in (((plane - plane.mean()) * hann, 1e-12), (wide, 3e-3)):
        power = ndimage.gaussian_filter(np.abs(scipy.fft.fft2(one)) ** 2, 1.5, mode="wrap")
        log = np.log(power[used] + floor)
        means = np.bincount(ring, log) / np.maximum(np.bincount(ring), 1)
        logs.append(log - means[ring])
    found, wanted = logs
    together, own = float(found @ wanted), float(wanted @ wanted)
    if own == 0 or not found.any():
        return Agreement(0.0, 0.0)
    return Agreement(together / math.sqrt(own * float(found @ found)), together / own)


def find_kernel(pixels: NDArray[np.floating], size_px: int = 25) -> tuple[Taps, Agreement]:
    """The kernel of a picture, and how well its spectrum shows it; ``size_px`` is the largest side that is tried.

    In a square that is far too large for the blur, noise passes for faint taps. So three sides are tried, each two
    thirds of the one before, and the smallest is taken that does not cut the kernel off and whose correlation is almost
    the best. Parameters and errors as :func:`estimate_kernel`; two to three times its time.

    Examples
    --------
    >>> sharp = np.random.default_rng(0).random((96, 96, 1)) ** 9
    >>> kernel, seen = find_kernel(ndimage.convolve(sharp, np.full((1, 5, 1), 0.2), mode="wrap"))
    >>> len(kernel), seen.credible
    (17, True)
    """
    found: list[tuple[Taps, Agreement]] = []
    for side in _tried(size_px):
        kernel = estimate_kernel(pixels, side)
        if not found or kernel[1:-1, 1:-1].sum() >= 1 - CUT_OFF:
            found.append((kernel, agreement(pixels, kernel)))
    best = max(seen.correlation for _, seen in found)
    return next(one for one in reversed(found) if one[1].correlation >= best - ALMOST)


def steepness(pixels: NDArray[np.floating]) -> float:
    """How steep the steepest edges of a picture are, in the less steep of the two directions.

    The quantile 0.999 of steps from pixel to pixel over that of steps across four pixels: 1/4 where edges are ramps,
    towards 1 where they are steps. :data:`STEEP` lies between sharp photographs, reduced to half their size, and the
    same after camera shake of any strength; a test holds it there. A sharp caption or frame makes a blurred picture
    steep.

    Parameters
    ----------
    pixels
        [H, W, C], 0..1.

    Examples
    --------
    >>> edge = np.tile(np.arange(64) // 16 % 2, (64, 1))[..., None]
    >>> blurred = ndimage.uniform_filter(edge.astype(float), (5, 5, 0))
    >>> steepness(edge + edge.swapaxes(0, 1)), round(steepness(blurred + blurred.swapaxes(0, 1)), 2)
    (1.0, 0.25)
    """
    plane = _grey(pixels)
    if min(plane.shape) < 5:
        return 0.0
    found = []
    for one in (plane, plane.T):
        near, far = (np.quantile(np.abs(one[:, step:] - one[:, :-step]), 0.999) for step in (1, 4))
        found.append(float(near / far) if far > 0 else 0.0)
    return min(found)


def _tried(size_px: int) -> list[int]:
    """Odd sides, from the largest.

    >>> _tried(25), _tried(9)
    ([25, 17, 11], [9])
    """
    sides = [size_px, size_px * 2 // 3 // 2 * 2 + 1, size_px * 4 // 9 // 2 * 2 + 1]
    return [side for place, side in enumerate(sides) if not place or side >= LEAST_TRIED]


def check_size(size_px: int) -> None:
    """Refuse what is no side of a kernel with a middle, see :func:`estimate_kernel`."""
    require_number("size_px", size_px, _SMALLEST, 99, whole=True)
    if size_px % 2 == 0:
        raise SettingError("size_px", size_px, "an odd number")


def _sides(size_px: int) -> Iterator[int]:
    """Odd sides of the kernel, from coarse to fine, by steps of about the square root of 2."""
    sides = [size_px]
    while sides[-1] > _SMALLEST:
        finer = int(sides[-1] / math.sqrt(2))
        sides.append(max(_SMALLEST, finer - (finer % 2 == 0)))
    return reversed(sides)


def _deblurred(blurred: Plane, kernel: Taps, weight: float) -> Plane:
    """Min |k * x - y|^2 + weight #{gradients}: half-quadratic splitting, each step a division of transforms."""
    down, right = (_margin(side, 2 * len(kernel)) for side in blurred.shape)
    wide = continued(continued(blurred, down).T, right).T.astype(np.float32)
    rightwards, downwards = _difference_filters(wide.shape)
    response = _transfer(kernel, wide.shape)
    fidelity, power = response.conj() * scipy.fft.rfft2(wide), np.abs(response) ** 2
    roughness = np.abs(rightwards) ** 2 + np.abs(downwards) ** 2
    x, beta = wide, 2 * weight
    while beta < BETA_MOST:
        dx, dy = _gradients(x)
        few = dx**2 + dy**2 >= weight / beta
        wanted = rightwards.conj() * scipy.fft.rfft2(dx * few) + downwards.conj() * scipy.fft.rfft2(dy * few)
        x = scipy.fft.irfft2((fidelity + beta * wanted) / (power + beta * roughness), s=wide.shape)
        beta *= 2
    result: Plane = x[down:-down, right:-right]
    return result


def _margin(side: int, least: int) -> int:
    """How much to put on both ends of a side so that its transform is quick: ``least`` or a little more."""
    margins = range(least, least + 32)
    return next((m for m in margins if scipy.fft.next_fast_len(side + 2 * m) == side + 2 * m), least)


def _explained(edges: Plane, blurred: Plane, kernel: Taps) -> Taps:
    """The kernel that takes the strong gradients of one picture to those of the other, cleaned of noise."""
    side, middle = len(kernel), len(kernel) // 2
    shape = tuple(scipy.fft.next_fast_len(n + side, real=True) for n in blurred.shape)
    inside = np.zeros_like(blurred)
    inside[middle:-middle, middle:-middle] = 1  # elsewhere the cause may lie outside
    own = cross = 0
    for cause, effect in zip(_strongest(_gradients(edges), side), _gradients(blurred), strict=True):
        a, b = scipy.fft.rfft2(cause, shape), scipy.fft.rfft2(effect * inside, shape)
        own, cross = own + np.abs(a) ** 2, cross + a.conj() * b
    target = np.roll(scipy.fft.irfft2(cross, s=shape), (middle, middle), (0, 1))[:side, :side]
    lags = np.roll(scipy.fft.irfft2(own, s=shape), (side - 1, side - 1), (0, 1))[: 2 * side - 1, : 2 * side - 1]
    found = _solved(lags, target, kernel)
    if found.max() <= 0:
        return kernel
    found[found < FAINT * found.max()] = 0
    islands, count = ndimage.label(found, structure=np.ones((3, 3)))
    for island in range(1, count + 1):
        if found[islands == island].sum() < STRAY * found.sum():
            found[islands == island] = 0
    cleaned: Taps = found / found.sum()
    return cleaned


def _solved(lags: Plane, target: Plane, start: Taps) -> Taps:
    """Conjugate gradients for (autocorrelation + RIDGE) k = target, on the kernel's support."""
    side = len(target)
    shape = (scipy.fft.next_fast_len(3 * side, real=True),) * 2
    response = scipy.fft.rfft2(lags, shape)
    own = slice(side - 1, 2 * side - 1)

    def applied(k: Taps) -> Plane:
        product: Plane = scipy.fft.irfft2(response * scipy.fft.rfft2(k, shape), s=shape)[own, own] + RIDGE * k
        return product

    k = start.copy()
    left = target - applied(k)
    step, size = left, float((left**2).sum())
    enough = 1e-10 * float((target**2).sum())
    for _ in range(25):
        if size <= enough:
            break
        along = applied(step)
        share = size / float((step * along).sum())
        k, left = k + share * step, left - share * along
        size, before = float((left**2).sum()), size
        step = left + size / before * step
    return k


def _strongest(gradients: tuple[Plane, Plane], side: int) -> tuple[Plane, Plane]:
    """Gradients from a size on of which each of four directions still has enough."""
    right, below = gradients
    size = np.hypot(right, below)
    direction = (np.arctan2(below, right) % np.pi // (np.pi / 4)).astype(int)
    wanted = max(1, int(KEPT * side * math.sqrt(size.size)))
    least = math.inf
    for one in range(4):
        found = size[direction == one]
        if found.size:
            most = min(wanted, found.size)
            least = min(least, float(np.partition(found, -most)[-most]))
    kept = size >= least
    return right * kept, below * kept


def _window(plane: Plane) -> Plane:
    """The window of at most WINDOW_PX a side with the largest sum of gradients."""
    height, width = (min(n, WINDOW_PX) for n in plane.shape)
    if (height, width) == plane.shape:
        return plane
    sums = np.pad(np.hypot(*_gradients(plane)).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(int(inside.argmax()), inside.shape)
    return plane[top : top + height, left : left + width]


def _grey(pixels: NDArray[np.floating]) -> Plane:
    weights = (0.299, 0.587, 0.114) if pixels.shape[2] == 3 else (1 / pixels.shape[2],) * pixels.shape[2]
    plane: Plane = pixels.astype(np.float64) @ np.array(weights)
    return plane


def _centred(kernel: Taps, *, exactly: bool = False) -> Taps:
    """Moved by whole pixels so that its centroid is in the middle; exactly: by parts of pixels too."""
    middle = len(kernel) // 2
    away = [middle - float(mean) for mean in ndimage.center_of_mass(kernel)]
    moved: Taps = ndimage.shift(kernel, away if exactly else np.round(away), order=1)
    centred: Taps = moved / moved.sum()
    return centred


def _point(side: int) -> Taps:
    kernel = np.zeros((side, side))
    kernel[side // 2, side // 2] = 1
    return kernel


def _gradients(x: Plane) -> tuple[Plane, Plane]:
    return np.roll(x, -1, 1) - x, np.roll(x, -1, 0) - x


def _difference_filters(shape: tuple[int, ...]) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
    """Transfer functions of :func:`_gradients`."""
    across = np.exp(2j * np.pi * scipy.fft.rfftfreq(shape[1]))[None] - 1
    down = np.exp(2j * np.pi * scipy.fft.fftfreq(shape[0]))[:, None] - 1
    return across.astype(np.complex64), down.astype(np.complex64)


def _transfer(kernel: Taps, shape: tuple[int, ...]) -> NDArray[np.complex64]:
    wide = np.zeros(shape)
    wide[: kernel.shape[0], : kernel.shape[1]] = kernel
    centred = np.roll(wide, [-(side // 2) for side in kernel.shape], (0, 1))
    transfer: NDArray[np.complex64] = scipy.fft.rfft2(centred.astype(np.float32))
    return transfer


def _resized(plane: Plane, shape: Sequence[int]) -> Plane:
    x = torch.from_numpy(np.ascontiguousarray(plane))[None, None]
    made: Plane = interpolate(x, size=tuple(shape), mode="bilinear", antialias=True, align_corners=False)[0, 0].numpy()
    return made
