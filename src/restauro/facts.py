"""Facts: what a network needs from the engine that runs it.

A model states its facts once; the engine obeys them and never looks at names. What a network can do beside
``forward`` it states by having the method: :class:`HasQuickForm`, :class:`SeesWhole`. This file is a leaf: no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from restauro.errors import SettingError

if TYPE_CHECKING:
    from torch import Tensor, nn

Precision = Literal["float32", "bfloat16"]

#: PSNR to float32 from which bfloat16 is good enough to be the default: under one grey level of 255 almost everywhere.
BFLOAT16_DB = 50.0


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
    looks_first
        True where the network wants a look at the whole picture even where one tile is the whole: what it then is may
        have ``notes``, sentences for the evidence.
    precisions
        Those that the architecture is fit for, the preferred one first.
    bfloat16_db
        PSNR of bfloat16 to float32 on photographs, measured with these very weights; None where nobody measured. From
        :data:`BFLOAT16_DB` on, bfloat16 is the default on a machine that is fast in it.
    bytes_per_px
        Peak working memory of ``forward`` per input pixel, in float32, measured; the engine sizes tiles by it.
    dial
        True where the network has a strength dial of its own: ``forward(x, alpha=, samples=, generator=)``, where
        alpha, a number or a map [N, 1, H, W], is how much of what it takes out stays (0 none, 1 all: x comes back bit
        for bit, 2 twice), and samples how often it draws in place of that (0: never).
    """

    multiple: int = 1
    halo_px: int = 0
    channels: int = 3
    global_statistics: bool = False
    looks_first: bool = False
    precisions: tuple[Precision, ...] = ("float32",)
    bfloat16_db: float | None = None
    bytes_per_px: int = 2000
    dial: bool = False

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


@runtime_checkable
class HasQuickForm(Protocol):
    """A network that can make an equal network for use: faster, not to be trained or saved."""

    def for_use(self) -> nn.Module:
        """The copy in evaluation mode, with facts of its own; equal up to rounding."""


@runtime_checkable
class Recentres(Protocol):
    """A network that may find that a picture lies beside what it shows, and move what it makes of it back."""

    def held(self) -> nn.Module:
        """The same network, with the same weights, that moves nothing; with facts of its own."""

    def shift_of(self, x: Tensor) -> Tensor:
        """How far (down, across) it moves what it makes of x [N, 3, H, W], in pixels: [N, 2]."""


@runtime_checkable
class SeesWhole(Protocol):
    """A network with global statistics that can look at a whole picture first, tile by tile, in bounded memory."""

    def seeing(self, x: Tensor, tile_px: int) -> nn.Module:
        """Look at the picture x [1, C, H, W], sides multiples of ``facts.multiple``, in tiles of ``tile_px``.

        Returns a network for tiles of that picture, which come out as they do in the whole.
        """
