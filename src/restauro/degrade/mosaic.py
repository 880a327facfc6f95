"""The mosaic of 16x face hallucination: every block becomes its mean, rounded to 8 bits (half to even).

The published pairs hold the *rounded* mean, which is OpenCV's area reduction followed by nearest enlargement.
Pressure test of the paper: blocks of 16, 32, 48 and 64 pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from restauro.degrade.steps import on_levels, require_number


@dataclass(frozen=True)
class MosaicSettings:
    """Side of the square blocks, from the top left; what is left at the right and bottom is a smaller block."""

    block_px: int = 16

    def __post_init__(self) -> None:
        require_number("block_px", self.block_px, 1, 4096, whole=True)


@dataclass(frozen=True)
class Mosaic(MosaicSettings):
    """Replace blocks by their mean; a second time changes nothing.

    >>> import torch
    >>> Mosaic(2)(torch.tensor([[[[0.0, 4.0, 9.0]]]]) / 255) * 255
    tensor([[[[2., 2., 9.]]]])
    """

    name: ClassVar[str] = "mosaic"

    def __call__(self, x: Tensor) -> Tensor:
        """Mosaic x [N, C, H, W], 0..1."""
        return on_levels(x, self._blocks)

    def _blocks(self, v: Tensor) -> Tensor:
        mean = F.avg_pool2d(v, self.block_px, ceil_mode=True, count_include_pad=False)
        full = mean.repeat_interleave(self.block_px, 2).repeat_interleave(self.block_px, 3)
        return full[:, :, : v.shape[2], : v.shape[3]]
