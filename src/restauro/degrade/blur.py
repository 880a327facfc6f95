"""Motion and Gaussian blur as in the face-renovation script of HiFaceGAN (Yang et al. 2020).

Semantics of imgaug 0.4.0 over OpenCV, written again: correlation with a reflect-101 border, rounded to 8 bits.
Two of its habits shape the result. A Gaussian is cut at +-1.15 to 1.45 sigma, so it is nearer to a box than its
sigma says; and a motion kernel is a ramp along its line, quantised to 8 bits, rotated bilinearly on its own canvas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from restauro.degrade.steps import (
    draw_choice,
    draw_uniform,
    draw_whole,
    on_levels,
    require_number,
    require_range,
    require_severity,
    require_shares,
)
from restauro.errors import SettingError

WIDEST_PX = 999


@dataclass(frozen=True)
class BlurSettings:
    """What a blur is drawn from.

    Parameters
    ----------
    motion, gaussian
        Shares of the two kinds.
    size_min_px, size_max_px
        Length of the motion line, a whole number drawn evenly; an even one grows by 1.
    sigma_min_px, sigma_max_px
        Of the Gaussian.
    severity
        None draws from the ranges; a number fixes the strength at that multiple of their strong ends.
    """

    motion: float = 1.0
    gaussian: float = 1.0
    size_min_px: int = 10
    size_max_px: int = 20
    sigma_min_px: float = 3.0
    sigma_max_px: float = 8.0
    severity: float | None = None

    def __post_init__(self) -> None:
        require_shares(motion=self.motion, gaussian=self.gaussian)
        require_number("size_min_px", self.size_min_px, 1, WIDEST_PX, whole=True)
        require_number("size_max_px", self.size_max_px, 1, WIDEST_PX, whole=True)
        require_range(self, "size_min_px", "size_max_px", 1, WIDEST_PX)
        require_range(self, "sigma_min_px", "sigma_max_px", 0.01, 300)
        require_severity(self.severity)


@dataclass(frozen=True)
class GaussianBlur:
    """Separable Gaussian of :func:`gaussian_size` taps.

    >>> GaussianBlur(3.0)(torch.full((1, 1, 4, 4), 0.6)).unique() * 255
    tensor([153.])
    """

    name: ClassVar[str] = "gaussian-blur"
    sigma_px: float

    def __post_init__(self) -> None:
        require_number("sigma_px", self.sigma_px, 1e-4, 3000)

    def kernel(self) -> Tensor:
        """The taps of one direction, [size], summing to 1."""
        radius = gaussian_size(self.sigma_px) // 2
        at = torch.arange(-radius, radius + 1, dtype=torch.float64)
        taps = torch.exp(-(at**2) / (2 * self.sigma_px**2))
        return taps / taps.sum()

    def __call__(self, x: Tensor) -> Tensor:
        """Blur x [N, C, H, W], 0..1."""
        taps = self.kernel()
        return on_levels(x, lambda v: correlate(correlate(v, taps[:, None]), taps[None, :]))


@dataclass(frozen=True)
class MotionBlur:
    """A line through the centre, ramped from one end to the other.

    Parameters
    ----------
    size_px
        Side of the kernel and length of the line, odd.
    angle_deg
        Clockwise from upright.
    ramp
        Weight of the upper end before rotation, 0..1; the lower one has 1 - ramp. 0.5 is an even line.
    """

    name: ClassVar[str] = "motion-blur"
    size_px: int
    angle_deg: float
    ramp: float = 0.5

    def __post_init__(self) -> None:
        require_number("size_px", self.size_px, 1, 10 * WIDEST_PX, whole=True)
        if self.size_px % 2 == 0:
            raise SettingError("size_px", self.size_px, "an odd number")
        require_number("angle_deg", self.angle_deg, -math.inf, math.inf)
        require_number("ramp", self.ramp, 0, 1)

    def kernel(self) -> Tensor:
        """The taps, [size, size], summing to 1."""
        size = self.size_px
        if size == 1:
            return torch.ones(1, 1, dtype=torch.float64)
        line = np.zeros((size, size))
        line[:, size // 2] = np.floor(np.linspace(self.ramp, 1 - self.ramp, size, dtype=np.float32) * 255)
        taps = torch.from_numpy(np.rint(_rotated(line, math.radians(self.angle_deg))))
        return taps / taps.sum()

    def __call__(self, x: Tensor) -> Tensor:
        """Blur x [N, C, H, W], 0..1."""
        return on_levels(x, lambda v: correlate(v, self.kernel()))


def draw_blur(settings: BlurSettings, generator: torch.Generator) -> GaussianBlur | MotionBlur:
    """Draw one blur.

    >>> draw_blur(BlurSettings(motion=0, severity=1.0), torch.Generator())
    GaussianBlur(sigma_px=8.0)
    """
    severity = settings.severity
    if draw_choice(generator, (settings.motion, settings.gaussian)) == 1:
        sigma = draw_uniform(generator, settings.sigma_min_px, settings.sigma_max_px)
        return GaussianBlur(sigma if severity is None else settings.sigma_max_px * severity)
    size = draw_whole(generator, settings.size_min_px, settings.size_max_px)
    if severity is not None:
        size = max(1, round(settings.size_max_px * severity))
    return MotionBlur(
        size + 1 - size % 2,
        angle_deg=draw_uniform(generator, 0, 360),
        ramp=draw_uniform(generator, 0, 1),
    )


def gaussian_size(sigma_px: float) -> int:
    """Taps of a Gaussian by imgaug's rule: 3.3, 2.9 or 2.6 sigma cut to a whole number, at least 5, made odd.

    >>> [gaussian_size(sigma) for sigma in (3, 4, 4.99, 5, 6, 7, 8)]
    [9, 11, 15, 13, 15, 19, 21]
    """
    factor = 3.3 if sigma_px < 3 else 2.9 if sigma_px < 5 else 2.6
    size = max(int(factor * sigma_px), 5)
    return size + 1 - size % 2


def correlate(v: Tensor, kernel: Tensor) -> Tensor:
    """Correlate v [N, C, H, W] with kernel [kh, kw], both odd; the border reflects about the edge pixel.

    One pass over memory per tap that is not zero, which for a line is few of them.
    """
    height, width = v.shape[-2:]
    rows, columns = kernel.shape
    padded = v[:, :, _reflected(height, rows // 2).to(v.device)]
    padded = padded[:, :, :, _reflected(width, columns // 2).to(v.device)]
    total = torch.zeros_like(v)
    for row, column in kernel.nonzero().tolist():
        window = padded[:, :, row : row + height, column : column + width]
        total.add_(window, alpha=float(kernel[row, column]))
    return total


def _reflected(length: int, margin: int) -> Tensor:
    """Indices of a row with reflect-101 margins; short rows reflect more than once."""
    return torch.from_numpy(np.pad(np.arange(length), margin, mode="reflect"))


def _rotated(
    canvas: np.ndarray[tuple[int, int], np.dtype[np.float64]], angle: float
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """A square canvas turned clockwise about its centre: bilinear, zeros outside."""
    size = len(canvas)
    framed = np.pad(canvas, 1)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    source_x = np.cos(angle) * x + np.sin(angle) * y + (size + 1) / 2
    source_y = -np.sin(angle) * x + np.cos(angle) * y + (size + 1) / 2
    inside = (source_x > 0) & (source_x < size + 1) & (source_y > 0) & (source_y < size + 1)
    left = np.clip(np.floor(source_x).astype(int), 0, size)
    top = np.clip(np.floor(source_y).astype(int), 0, size)
    right, low = source_x - left, source_y - top
    upper = framed[top, left] * (1 - right) + framed[top, left + 1] * right
    lower = framed[top + 1, left] * (1 - right) + framed[top + 1, left + 1] * right
    return np.where(inside, upper * (1 - low) + lower * low, 0)
