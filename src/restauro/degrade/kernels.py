"""Blur by any kernel: convolution, kernels from files, the report's lines, defocus.

A kernel is what a point of light becomes: pictures are *convolved* with it (the older laws of
:mod:`restauro.degrade.blur` correlate, as OpenCV does). Its centre is the middle of an array of odd sides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.fft
import torch
from torch import Tensor

from restauro.degrade.kernel_files import choose_kernel, kernel_sha256, read_kernel
from restauro.degrade.steps import draw_uniform, draw_whole, on_levels, require_number, require_range
from restauro.errors import SettingError, UsageError

MID_GREY = 127.5


@dataclass(frozen=True)
class DiscBlur:
    """Defocus: an even disc, its rim antialiased.

    >>> DiscBlur(1.5).kernel().shape, DiscBlur(0.2).kernel()
    (torch.Size([3, 3]), tensor([[1.]], dtype=torch.float64))
    """

    name: ClassVar[str] = "disc-blur"
    radius_px: float

    def __post_init__(self) -> None:
        require_number("radius_px", self.radius_px, 0, 300)

    def kernel(self) -> Tensor:
        """The taps, [side, side], summing to 1: the share of each pixel that the disc covers, to 1/64."""
        radius = math.ceil(self.radius_px - 0.5)
        fine = (torch.arange(8 * (2 * radius + 1), dtype=torch.float64) + 0.5) / 8 - radius - 0.5
        inside = (fine.square()[:, None] + fine.square() <= max(self.radius_px, 0.1) ** 2).double()
        side = 2 * radius + 1
        taps = inside.reshape(side, 8, side, 8).sum((1, 3))
        return taps / taps.sum()

    def __call__(self, x: Tensor) -> Tensor:
        """Blur x [N, C, H, W], 0..1."""
        return on_levels(x, lambda v: convolve(v, self.kernel()))


@dataclass(frozen=True)
class LinearBlurSettings:
    """What the report's lines are drawn from: its training.

    Parameters
    ----------
    size_min_px, size_max_px
        Length, an odd number drawn evenly.
    grey_border
        See :class:`LinearBlur`.
    """

    size_min_px: int = 3
    size_max_px: int = 13
    grey_border: bool = True

    def __post_init__(self) -> None:
        for name in ("size_min_px", "size_max_px"):
            require_number(name, getattr(self, name), 1, 999, whole=True)
            if getattr(self, name) % 2 == 0:
                raise SettingError(name, getattr(self, name), "an odd number")
        require_range(self, "size_min_px", "size_max_px", 1, 999)
        require_flag("grey_border", self.grey_border)


@dataclass(frozen=True)
class LinearBlur:
    """The report's motion blur (kornia's ``motion_blur``); the defaults are the one kernel that it was tested with.

    A line through the centre, its weight a ramp from end to end, turned with nearest neighbours. The centroid is off
    the centre (1.67 px in the test kernel): the picture moves too.

    Parameters
    ----------
    size_px
        Side of the kernel and length of the line, odd.
    angle_deg
        Counter-clockwise from the horizontal.
    direction
        -1..1: -1 puts all weight towards the end of the line, 1 towards its beginning, 0 is even.
    grey_border
        What lies outside the picture is mid-grey, as in the report (zeros in -1..1); False: the border reflects.

    Examples
    --------
    >>> (LinearBlur().kernel()[:, 4] * 36).round().int().tolist()
    [8, 7, 6, 5, 4, 3, 2, 1, 0]
    """

    name: ClassVar[str] = "linear-blur"
    size_px: int = 9
    angle_deg: float = 90.0
    direction: float = 1.0
    grey_border: bool = True

    def __post_init__(self) -> None:
        require_number("size_px", self.size_px, 1, 999, whole=True)
        if self.size_px % 2 == 0:
            raise SettingError("size_px", self.size_px, "an odd number")
        require_number("angle_deg", self.angle_deg, -math.inf, math.inf)
        require_number("direction", self.direction, -1, 1)
        require_flag("grey_border", self.grey_border)

    def kernel(self) -> Tensor:
        """What a point becomes, [size, size], summing to 1: the half turn of what kornia correlates with."""
        if self.size_px == 1:
            return torch.ones(1, 1, dtype=torch.float64)
        middle, angle = self.size_px // 2, math.radians(self.angle_deg)
        y, x = np.mgrid[: self.size_px, : self.size_px] - middle
        along = np.rint(math.cos(angle) * x - math.sin(angle) * y).astype(int)
        across = np.rint(math.sin(angle) * x + math.cos(angle) * y).astype(int)
        begin = (self.direction + 1) / 2
        ramp = begin + (1 - 2 * begin) * (along + middle) / (self.size_px - 1)
        taps = torch.from_numpy(np.where((across == 0) & (abs(along) <= middle), ramp, 0.0))
        return (taps / taps.sum()).flip(0, 1)

    def __call__(self, x: Tensor) -> Tensor:
        """Blur x [N, C, H, W], 0..1."""
        outside = MID_GREY if self.grey_border else None
        return on_levels(x, lambda v: convolve(v, self.kernel(), outside))


def draw_linear(settings: LinearBlurSettings, generator: torch.Generator) -> LinearBlur:
    """Draw one line, as the report's training did.

    >>> draw_linear(LinearBlurSettings(9, 9), torch.Generator().manual_seed(0)).size_px
    9
    """
    return LinearBlur(
        2 * draw_whole(generator, settings.size_min_px // 2, settings.size_max_px // 2) + 1,
        angle_deg=float(draw_whole(generator, -180, 180)),
        direction=draw_uniform(generator, -1, 1),
        grey_border=bool(settings.grey_border),
    )


@dataclass(frozen=True)
class KernelFileSettings:
    """Which file a kernel comes from.

    Parameters
    ----------
    path
        See :func:`restauro.degrade.kernel_files.read_kernel`; of a .npz, ``FILE.npz:GLOB`` draws one of those that
        match, and ``FILE.npz`` one of all.
    """

    path: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.path, str):
            raise SettingError("path", self.path, "the path of a kernel")


@dataclass(frozen=True)
class KernelBlur:
    """Blur by the kernel in a file.

    Parameters
    ----------
    path
        See :func:`restauro.degrade.kernel_files.read_kernel`.
    sha256
        Of the taps: another file under the same name is refused.
    """

    name: ClassVar[str] = "kernel-blur"
    path: str
    sha256: str

    def kernel(self) -> Tensor:
        """The taps, [kh, kw], odd sides, summing to 1."""
        taps = read_kernel(self.path)
        if kernel_sha256(taps) != self.sha256:
            raise UsageError(
                f"kernel {self.path}: found taps with SHA-256 {kernel_sha256(taps)[:12]}..., wanted those of the "
                f"record, {self.sha256[:12]}...; put that file back"
            )
        return torch.from_numpy(taps)

    def __call__(self, x: Tensor) -> Tensor:
        """Blur x [N, C, H, W], 0..1."""
        return on_levels(x, lambda v: convolve(v, self.kernel()))


def draw_kernel_file(settings: KernelFileSettings, generator: torch.Generator) -> KernelBlur:
    """Choose a kernel of a file, and note what it is.

    Raises
    ------
    UsageError
        No path, no file, no kernel.
    """
    if not settings.path:
        raise UsageError("path: found nothing, wanted the file of a kernel; add --set path=KERNEL.png")
    names = choose_kernel(settings.path)
    path = names[draw_whole(generator, 0, len(names) - 1)]
    return KernelBlur(path, kernel_sha256(read_kernel(path)))


def convolve(v: Tensor, kernel: Tensor, outside: float | None = None) -> Tensor:
    """Convolve v [N, C, H, W] with kernel [kh, kw], both odd.

    By FFT: the time hardly depends on the kernel (0.5 ms for 3 x 160 x 160 and 25 x 25 taps on one core, where a pass
    for each tap takes 1 to 2). Sums are exact to about 1e-6 of the largest value in float32.

    Parameters
    ----------
    outside
        The value beyond the border; None: the picture reflected about its edge pixels.

    Examples
    --------
    >>> v = torch.rand(1, 1, 5, 6)
    >>> centre = torch.zeros(3, 3)
    >>> centre[1, 1] = 1
    >>> torch.allclose(convolve(v, centre), v, atol=1e-6)
    True
    """
    height, width = v.shape[-2:]
    rows, columns = kernel.shape
    if kernel.numel() == 1:
        return v * float(kernel)
    if outside is None:
        padded = v[:, :, _reflected(height, rows // 2).to(v.device)]
        padded = padded[:, :, :, _reflected(width, columns // 2).to(v.device)]
    else:
        margins = (columns // 2, columns // 2, rows // 2, rows // 2)
        padded = torch.nn.functional.pad(v, margins, value=outside)
    size = [int(scipy.fft.next_fast_len(side, real=True)) for side in padded.shape[-2:]]
    product = torch.fft.rfft2(padded, s=size) * torch.fft.rfft2(kernel.to(v), s=size)
    whole: Tensor = torch.fft.irfft2(product, s=size)
    return whole[..., rows - 1 : rows - 1 + height, columns - 1 : columns - 1 + width].contiguous()


def to_linear(levels: Tensor) -> Tensor:
    """Turn sRGB levels 0..255 into linear light 0..1 (IEC 61966-2-1)."""
    v = levels / 255
    return torch.where(v > 0.04045, ((v + 0.055) / 1.055) ** 2.4, v / 12.92)


def from_linear(light: Tensor) -> Tensor:
    """Turn linear light 0..1 into sRGB levels.

    >>> levels = torch.arange(256.0)
    >>> torch.allclose(from_linear(to_linear(levels)), levels, atol=1e-3)
    True
    """
    v = light.clamp(0, 1)
    return 255 * torch.where(v > 0.0031308, 1.055 * v ** (1 / 2.4) - 0.055, 12.92 * v)


def require_flag(name: str, value: object) -> None:
    """Refuse a setting that is neither true nor false (1 and 0 count)."""
    if value not in (False, True):
        raise SettingError(name, value, "true or false (1 or 0)")


def _reflected(length: int, margin: int) -> Tensor:
    """Indices of a row with reflect-101 margins; short rows reflect more than once."""
    return torch.from_numpy(np.pad(np.arange(length), margin, mode="reflect"))
