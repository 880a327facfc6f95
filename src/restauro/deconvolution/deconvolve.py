"""Deblurring with a kernel: Wiener's filter and Richardson-Lucy, by scikit-image.

Sources: Hunt, "A matrix theory proof of the discrete convolution theorem", 1971, as Orieux et al. 2010 write it;
Richardson 1972 and Lucy 1974. Both take the kernel as true; :mod:`.blind` estimates one. What is beyond the border is
unknown, and both would ring there: the picture is first continued by its reflection, which fades into that of the
opposite border.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from skimage import restoration

from restauro.deconvolution.blind import check_size
from restauro.deconvolution.borders import continued
from restauro.degrade.kernel_files import Taps
from restauro.degrade.kernels import from_linear, require_flag, to_linear
from restauro.degrade.steps import require_number
from restauro.errors import PictureError, SettingError

Method = Literal["wiener", "richardson-lucy"]
Plane = NDArray[np.float64]


@dataclass(frozen=True)
class DeconvolutionSettings:
    """How to take a known blur back.

    Parameters
    ----------
    method
        ``"wiener"``: one linear filter, quick. ``"richardson-lucy"``: iterations that keep light positive.
    balance
        Of Wiener's filter: the weight of smoothness. Less is sharper, and noisier.
    iterations
        Of Richardson-Lucy. More is sharper, and noisier.
    linear_light
        The blur was of light, as in a camera. False: of sRGB values, as in most benchmarks and in this library's laws.
    size_px
        Side of the kernel where it is estimated, see :func:`restauro.deconvolution.blind.estimate_kernel`.

    Examples
    --------
    >>> DeconvolutionSettings(balance=-1)
    Traceback (most recent call last):
    ...
    restauro.errors.SettingError: balance: found -1, wanted a number from 1e-09 to 1000
    """

    method: Method = "wiener"
    balance: float = 0.01
    iterations: int = 30
    linear_light: bool = False
    size_px: int = 25

    def __post_init__(self) -> None:
        if self.method not in ("wiener", "richardson-lucy"):
            raise SettingError("method", self.method, "wiener or richardson-lucy")
        require_number("balance", self.balance, 1e-9, 1000)
        require_number("iterations", self.iterations, 1, 10_000, whole=True)
        require_flag("linear_light", self.linear_light)
        check_size(self.size_px)

    def __str__(self) -> str:
        how = f"balance={self.balance:g}" if self.method == "wiener" else f"iterations={self.iterations}"
        return f"{self.method} {how}" + (" in linear light" if self.linear_light else "")


def deconvolve(
    pixels: NDArray[np.float32],
    kernel: Taps,
    settings: DeconvolutionSettings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Take the blur of a kernel back, one colour at a time.

    Parameters
    ----------
    pixels
        float32 [H, W, C], 0..1.
    kernel
        What a point of light became, see :func:`restauro.degrade.kernel_files.read_kernel`.
    progress
        Called with (colours done, colours in all).

    Returns
    -------
    array
        As ``pixels``. One core, 512 x 512 x 3, 15 x 15 taps: 0.05 s (Wiener), 0.07 s an iteration (Richardson-Lucy).

    Raises
    ------
    PictureError
        The picture is smaller than the kernel.

    Examples
    --------
    >>> pixels = np.full((9, 9, 1), 0.25, np.float32)
    >>> line = np.full((1, 5), 0.2)
    >>> bool(np.allclose(deconvolve(pixels, line), 0.25, atol=1e-6))
    True
    """
    settings = settings or DeconvolutionSettings()
    _require_fit(pixels, kernel)
    given = in_light(pixels) if settings.linear_light else pixels
    made = np.empty(pixels.shape, np.float64)
    for colour in range(pixels.shape[2]):
        made[..., colour] = _one(given[..., colour].astype(np.float64), kernel, settings)
        if progress:
            progress(colour + 1, pixels.shape[2])
    if settings.linear_light:
        made = from_linear(torch.from_numpy(made)).numpy() / 255
    result: NDArray[np.float32] = made.clip(0, 1).astype(np.float32)
    return result


def centroid_px(kernel: Taps) -> tuple[float, float]:
    """How far to the right of its middle, and below it, a kernel's centroid lies: as far moves the picture.

    >>> centroid_px(np.array([[0.0, 0.5, 0.5]]))
    (0.5, 0.0)
    """
    y, x = (np.arange(side) - side // 2 for side in kernel.shape)
    return float(kernel.sum(0) @ x), float(kernel.sum(1) @ y)


def _one(plane: Plane, kernel: Taps, settings: DeconvolutionSettings) -> Plane:
    height, width = plane.shape
    top, left = (2 * side for side in kernel.shape)
    wide = continued(continued(plane, top).T, left).T
    if settings.method == "wiener":
        made = restoration.wiener(wide, kernel, settings.balance, clip=False)
    else:
        made = restoration.richardson_lucy(wide, kernel, settings.iterations, clip=False)
    result: Plane = made[top : top + height, left : left + width]
    return result


def in_light(pixels: NDArray[np.float32]) -> NDArray[Any]:
    """Linear light 0..1 of sRGB values 0..1."""
    return to_linear(torch.from_numpy(np.ascontiguousarray(pixels)) * 255).numpy()


def _require_fit(pixels: NDArray[np.float32], kernel: Taps) -> None:
    (height, width), (rows, columns) = pixels.shape[:2], kernel.shape
    if height < rows or width < columns:
        raise PictureError(
            "the picture", f"{width}x{height} px", f"at least the kernel's {columns}x{rows}", "cut the kernel's margins"
        )
