"""Facts: what a network needs from the engine that runs it.

A model states its facts once; the engine obeys them and never looks at names. This file is a leaf: no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from restauro.errors import SettingError

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Facts:
    """What must be true around a network's ``forward(x)``, where x is float [N, C, H, W], sRGB in 0..1.

    Parameters
    ----------
    multiple
        Both sides must be divisible by this; the engine pads by reflection (replication where a side is too
        short to reflect) on the right and bottom, and crops after.
    halo_px
        A pixel of the output depends on inputs at most this far away (the receptive field's radius, or, where
        that is enormous, the distance after which the dependence was measured to be below 1/512). Tiles overlap
        by at least this much.
    channels
        Input and output colour channels, 3 or 1. Grey pictures are repeated to 3 and averaged after.
    global_statistics
        True where an output pixel depends on the whole picture (attention, pooled gates, instance norm at test):
        tiles then change the result, unless the network offers the two-pass protocol.
    precisions
        Those that were measured to be good enough; the first is the default on a machine that is fast in it.
    bytes_per_px
        Peak working memory of ``forward`` per input pixel, in float32, measured; the engine sizes tiles by it.
    """

    multiple: int = 1
    halo_px: int = 0
    channels: int = 3
    global_statistics: bool = False
    precisions: tuple[Precision, ...] = ("float32",)
    bytes_per_px: int = 2000

    def __post_init__(self) -> None:
        if self.multiple < 1:
            raise SettingError("multiple", self.multiple, "a whole number from 1")
        if self.halo_px < 0:
            raise SettingError("halo_px", self.halo_px, "a whole number from 0")
        if self.channels not in (1, 3):
            raise SettingError("channels", self.channels, "1 or 3")
        if not self.precisions:
            raise SettingError("precisions", self.precisions, "at least one of float32, bfloat16")
        if self.bytes_per_px < 1:
            raise SettingError("bytes_per_px", self.bytes_per_px, "a whole number from 1")
