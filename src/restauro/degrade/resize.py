"""Pictures made smaller and larger again: the 4x super-resolution task and the 4-8x loss of face renovation.

``method`` names the pair of filters:

============  =============================================  ================================================
method        down                                           up
============  =============================================  ================================================
cubic         cubic, a = -0.75, no antialiasing (OpenCV's)   the same; what the published script does
area          exact mean over the pixel's area               cubic, a = -0.75
antialiased   cubic, a = -0.5, widened (Pillow's, Matlab's)  cubic, a = -0.5; the usual super-resolution benchmark
============  =============================================  ================================================

Both halves round to 8 bits. Borders repeat the edge pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from restauro.degrade.steps import draw_uniform, on_levels, require_number, require_range, require_severity
from restauro.errors import SettingError

Method = Literal["cubic", "area", "antialiased"]


@dataclass(frozen=True)
class ResizeSettings:
    """What the reduction is drawn from.

    Parameters
    ----------
    scale_min, scale_max
        Small size over full size, one for both sides, drawn evenly: 1/8 to 1/4.
    method
        See the head of this file.
    severity
        None draws from the range; a number m makes the small picture 1 / m times as large as the strong end would.
    """

    scale_min: float = 0.125
    scale_max: float = 0.25
    method: Method = "cubic"
    severity: float | None = None

    def __post_init__(self) -> None:
        require_range(self, "scale_min", "scale_max", 0.001, 1)
        _require_method(self.method)
        require_severity(self.severity)


@dataclass(frozen=True)
class SuperResolutionSettings:
    """A fixed reduction by ``factor`` per side; see the head of this file for ``method``."""

    factor: float = 4.0
    method: Method = "cubic"

    def __post_init__(self) -> None:
        require_number("factor", self.factor, 1, 1000)
        _require_method(self.method)


@dataclass(frozen=True)
class Resize:
    """To ``round(side * scale)`` and back."""

    name: ClassVar[str] = "resize"
    scale: float
    method: Method = "cubic"

    def __post_init__(self) -> None:
        require_number("scale", self.scale, 1e-4, 1)
        _require_method(self.method)

    def __call__(self, x: Tensor) -> Tensor:
        """Reduce and enlarge x [N, C, H, W], 0..1."""
        full = (x.shape[2], x.shape[3])
        small = (max(1, round(full[0] * self.scale)), max(1, round(full[1] * self.scale)))
        return on_levels(self.down(x, small), lambda v: self._cubic(v, full))

    def down(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Only the first half: x [N, C, H, W], 0..1, at ``size`` (height, width)."""
        return on_levels(x, lambda v: area(v, size) if self.method == "area" else self._cubic(v, size))

    def _cubic(self, v: Tensor, size: tuple[int, int]) -> Tensor:
        antialias = self.method == "antialiased"  # in torch this also chooses a = -0.5
        return F.interpolate(v, size=size, mode="bicubic", align_corners=False, antialias=antialias)


def draw_resize(settings: ResizeSettings, generator: torch.Generator) -> Resize:
    """Draw one reduction.

    >>> draw_resize(ResizeSettings(severity=0.5), torch.Generator())
    Resize(scale=0.25, method='cubic')
    """
    scale = draw_uniform(generator, settings.scale_min, settings.scale_max)
    if settings.severity is not None:
        scale = min(1.0, settings.scale_min / settings.severity)
    return Resize(scale, settings.method)


def area(v: Tensor, size: tuple[int, int]) -> Tensor:
    """Mean of v [N, C, H, W] over the area of each pixel of ``size``; borders between pixels are split exactly.

    >>> area(torch.arange(6.0).reshape(1, 1, 1, 6), (1, 4))
    tensor([[[[0.3333, 1.6667, 3.3333, 4.6667]]]])
    """
    return _shares(v.shape[2], size[0]).to(v) @ v @ _shares(v.shape[3], size[1]).to(v).T


def _shares(length: int, cells: int) -> Tensor:
    """[cells, length]: how much of each cell every pixel fills."""
    edges = torch.arange(cells + 1, dtype=torch.float64) * length / cells
    pixels = torch.arange(length, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], pixels + 1) - torch.maximum(edges[:-1, None], pixels)
    return overlap.clamp(min=0) * cells / length


def _require_method(method: object) -> None:
    if method not in ("cubic", "area", "antialiased"):
        raise SettingError("method", method, "cubic, area or antialiased")
