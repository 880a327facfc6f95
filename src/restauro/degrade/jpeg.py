"""JPEG artefacts as in the face-renovation script of HiFaceGAN (Yang et al. 2020).

A real encoder and decoder (Pillow, in memory, 4:2:0 as it does by default), with imgaug's map from "compression" to
quality. The published script hands pictures over as BGR, so that its chroma is made of swapped colours; pictures in
the world are not, and here the default is RGB (``swapped`` for the script's way).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from restauro.degrade.steps import draw_uniform, on_levels, require_number, require_range, require_severity
from restauro.errors import SettingError, UsageError


@dataclass(frozen=True)
class JpegSettings:
    """What the quality is drawn from.

    Parameters
    ----------
    compression_min, compression_max
        imgaug's scale, 0 (best) to 100; drawn evenly and cut to a whole number. 50..85 is quality 51..18.
    swapped
        Encode with red and blue exchanged, as the published script does.
    severity
        None draws from the range; a number fixes the compression at that multiple of its strong end (at most 100).
    """

    compression_min: float = 50.0
    compression_max: float = 85.0
    swapped: bool = False
    severity: float | None = None

    def __post_init__(self) -> None:
        require_range(self, "compression_min", "compression_max", 0, 100)
        if self.swapped not in (False, True):
            raise SettingError("swapped", self.swapped, "true or false (1 or 0)")
        require_severity(self.severity)


@dataclass(frozen=True)
class Jpeg:
    """Encode and decode; pictures of one or three channels."""

    name: ClassVar[str] = "jpeg"
    quality: int
    swapped: bool = False

    def __post_init__(self) -> None:
        require_number("quality", self.quality, 1, 100, whole=True)

    def __call__(self, x: Tensor) -> Tensor:
        """Compress x [N, C, H, W], 0..1."""
        if x.shape[1] not in (1, 3):
            raise UsageError(f"jpeg: found {x.shape[1]} channels, wanted 1 or 3")
        return on_levels(x, lambda v: torch.stack([self._one(picture) for picture in v]))

    def _one(self, levels: Tensor) -> Tensor:
        pixels = levels.to("cpu", torch.uint8).permute(1, 2, 0).squeeze(2).numpy()
        order = slice(None, None, -1) if self.swapped and pixels.ndim == 3 else slice(None)
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(pixels[..., order])).save(file, "JPEG", quality=self.quality)
        with Image.open(file) as image:
            decoded = np.asarray(image)[..., order]
        return torch.from_numpy(decoded.copy()).reshape(*pixels.shape[:2], -1).permute(2, 0, 1).to(levels)


def draw_jpeg(settings: JpegSettings, generator: torch.Generator) -> Jpeg:
    """Draw one quality.

    >>> draw_jpeg(JpegSettings(severity=1.0), torch.Generator())
    Jpeg(quality=17, swapped=False)
    """
    compression = draw_uniform(generator, settings.compression_min, settings.compression_max)
    if settings.severity is not None:
        compression = min(100.0, settings.compression_max * settings.severity)
    return Jpeg(quality_of(int(compression)), bool(settings.swapped))


def quality_of(compression: int) -> int:
    """JPEG quality of a compression 0..100.

    >>> [quality_of(c) for c in (0, 50, 60, 70, 80, 84, 100)]
    [100, 51, 41, 31, 22, 18, 2]
    """
    return round(1 + 99 * (1 - compression / 101))
