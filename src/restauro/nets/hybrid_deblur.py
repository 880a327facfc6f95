"""Deblurring on ASAP-Net's structure: the report's hybrid exactly as it was run, and ``asap-deblur``, our repair of it.

Sources: Rott Shaham et al., CVPR 2021 (:mod:`restauro.nets.asapnet`); the report "DeblurGAN based on ASAP-Net": twice
as fast as DeblurGAN, but its pictures stay blurred and turn dark, with a black spot always at the same place. Why, by
the students' code, and the setting of :class:`AsapDeblur` that repairs it:

* a pixel's perceptron never sees the pixels beside it, and blur is a matter of neighbours: ``reach_px`` and, for blur
  that is longer than a few pixels, ``stem``, whose own colours are added to the result;
* nothing ties brightness and colour to the input: ``skip``;
* an option meant for label maps takes the blue channel away: ``blue``;
* weights from N(0, 0.02^2) on 1024 features saturate nine outputs in ten before the first step: ``shared_mlp``;
* seven zero-padded convolutions on 16 rows know the corners of the picture by heart: ``low.padding``;
* instance norm takes the picture's own brightness away: ``low.norm``.

Each can be repaired alone, so that a table can tell what it does.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restauro.errors import SettingError
from restauro.facts import Facts
from restauro.nets.asapnet import LowResSettings, LowResStream, Norm, Padding, shrink_factor, stream_bytes_per_px
from restauro.nets.layers import pixelwise
from restauro.nets.layers.any_size import Reflect
from restauro.nets.layers.fold import fold
from restauro.nets.layers.pixelwise import PixelMlp
from restauro.nets.layers.tent import tent
from restauro.nets.residual_unet import Block, same


@dataclass(frozen=True)
class StemSettings:
    """Size of the convolutions that tell a pixel of its surroundings.

    Parameters
    ----------
    width
        Channels, at a quarter of the resolution.
    blocks
        Residual blocks of two 3x3 convolutions; each lets a pixel see 8 px farther.
    features
        What a pixel's perceptron is told: channels at full resolution, from 3; the first three are colours, which are
        added to the result past the perceptron too.

    Examples
    --------
    >>> StemSettings(width=64, blocks=3).halo_px
    31
    """

    width: int = 64
    blocks: int = 4
    features: int = 8

    def __post_init__(self) -> None:
        for name, least in (("width", 1), ("blocks", 0), ("features", 3)):
            if getattr(self, name) < least:
                raise SettingError(f"stem_{name}", getattr(self, name), f"a whole number from {least}")

    @property
    def halo_px(self) -> int:
        """How far a pixel sees: a square of 4 px for each convolution, and the rest of its own."""
        return 4 * (1 + 2 * self.blocks) + 3


@dataclass(frozen=True)
class AsapDeblurSettings:
    """Size and repairs; the defaults are all repairs.

    Parameters
    ----------
    tile_px
        k: a power of two from 16.
    mlp_width, mlp_depth
        Of the perceptrons.
    low
        The low-resolution network.
    reach_px
        The perceptron of a pixel sees its neighbourhood of (2 reach + 1)^2 pixels; 0 the pixel alone.
    skip
        The network's result is added to the input, and starts at zero: the untrained network is the identity.
        False: its tanh is the picture.
    shared_mlp
        p = p0 + W f / C: all tiles share one learned perceptron p0, which starts as any other would (Kaiming), and the
        C features f bend it; 1 / C lets a step of Adam move a weight by its rate and not by C times that. False:
        p = p0 + W f, W from N(0, 0.02^2), p0 from 0.
    blue
        The perceptrons see all three colours; False: red and green.
    stem
        Features of a pixel's surroundings join its colours: :class:`Stem`. None: no such layers.

    Examples
    --------
    >>> AsapDeblurSettings(reach_px=-1)
    Traceback (most recent call last):
    ...
    restauro.errors.SettingError: reach_px: found -1, wanted a whole number from 0
    """

    tile_px: int = 32
    mlp_width: int = 64
    mlp_depth: int = 5
    low: LowResSettings = field(default_factory=lambda: LowResSettings(norm="none", padding="reflect"))
    reach_px: int = 2
    skip: bool = True
    shared_mlp: bool = True
    blue: bool = True
    stem: StemSettings | None = None

    def __post_init__(self) -> None:
        if self.reach_px < 0:
            raise SettingError("reach_px", self.reach_px, "a whole number from 0")
        shrink_factor(self.tile_px)  # refuses what is no tile

    @property
    def mlp(self) -> PixelMlp:
        """The perceptron's shape."""
        channels = (3 if self.blue else 2) + (self.stem.features if self.stem else 0)
        content = channels * (2 * self.reach_px + 1) ** 2
        return PixelMlp(content, self.tile_px, self.mlp_width, self.mlp_depth)

    @property
    def halo_px(self) -> int:
        """How far a pixel sees: from one end of its tile past ``depth`` + 1 more, and the tent's overlap."""
        overlap = shrink_factor(self.tile_px) // 2
        far = self.tile_px * (self.low.depth + 2) - 1 + overlap
        return max(far, self.reach_px + (self.stem.halo_px if self.stem else 0))


AS_RUN = AsapDeblurSettings(
    low=LowResSettings(norm="spectral-instance"), reach_px=0, skip=False, shared_mlp=False, blue=False
)
"""The report's hybrid."""


class Stem(nn.Module):
    """Residual blocks on the picture folded into squares of 4 px: what a pixel should know of its surroundings.

    A pixel's own perceptron sees ``reach_px`` around it, at a cost that grows with the square. Convolutions on maps of
    a sixteenth of the pixels see as far as the inverse of a blur reaches, for less.

    Examples
    --------
    >>> stem = Stem(StemSettings(width=8, blocks=1, features=5), "reflect")
    >>> stem(torch.rand(1, 3, 32, 48)).shape
    torch.Size([1, 5, 32, 48])
    """

    def __init__(self, settings: StemSettings, padding: Padding) -> None:
        super().__init__()
        convolution = same if padding == "zero" else mirrored
        self.enter = convolution(3 * 16, settings.width)
        self.blocks = nn.Sequential(*(Block(settings.width, convolution) for _ in range(settings.blocks)))
        self.leave = nn.Conv2d(settings.width, 16 * settings.features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """A picture [N, 3, H, W], -1..1, sides divisible by 4, to [N, features, H, W]."""
        y: Tensor = self.leave(self.blocks(self.enter(F.pixel_unshuffle(x, 4))))
        # A pixel shuffle that leaves each pixel's features side by side: channels are (row, column, feature).
        squares = y.permute(0, 2, 3, 1).unflatten(3, (4, 4, -1)).transpose(2, 3)  # [N, h, 4, w, 4, features]
        told: Tensor = squares.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)
        return told

    @torch.no_grad()
    def start_at_zero(self) -> None:
        """Let the colours among the features, the first three, be zero."""
        for part in (self.leave.weight, self.leave.bias):
            assert part is not None
            part.unflatten(0, (16, -1))[:, :3] = 0


def mirrored(c_in: int, c_out: int) -> nn.Module:
    """A 3x3 convolution that keeps the size, with reflected borders."""
    return nn.Sequential(Reflect(1), nn.Conv2d(c_in, c_out, 3))


class AsapDeblur(nn.Module):
    """Deblurs with ASAP-Net's structure.

    Parameters
    ----------
    settings
        Size and repairs. :data:`AS_RUN` is the report's hybrid; its state has the keys of the students' checkpoints.

    Examples
    --------
    >>> with torch.device("meta"):
    ...     net = AsapDeblur(AS_RUN)
    >>> sum(p.numel() for p in net.parameters())
    81263107
    """

    def __init__(self, settings: AsapDeblurSettings) -> None:
        super().__init__()
        self.settings, self.mlp = settings, settings.mlp
        scale = 1 / settings.low.max_width if settings.shared_mlp else 1.0
        self.lowres_stream = LowResStream(3, self.mlp.count, settings.low, scale)
        self.stem = Stem(settings.stem, settings.low.padding) if settings.stem else None
        self.pad = Reflect(settings.reach_px)
        self.facts = Facts(
            multiple=settings.tile_px,
            halo_px=settings.halo_px,
            global_statistics=settings.low.norm != "none",
            bytes_per_px=300 + stream_bytes_per_px(self.mlp, settings.low),
        )
        self._start()

    def forward(self, x: Tensor) -> Tensor:
        """Deblur x [N, 3, H, W], 0..1, to the same shape; with the skip not clipped."""
        signed = 2 * x - 1
        params = self.lowres_stream.tile_major(tent(signed, shrink_factor(self.settings.tile_px)))
        told = [self.stem(signed)] if self.stem is not None else []
        content = [self.pad(part) for part in (signed if self.settings.blue else signed[:, :2], *told)]
        y = pixelwise.of_content(self.mlp, content, params, self.settings.reach_px)
        for features in told:
            y = y + features[:, :3]
        return x + y / 2 if self.settings.skip else (y.tanh() + 1) / 2

    def for_use(self) -> nn.Module:
        """The form that is run: layers of the low-resolution network in their forms for use."""
        quick = fold(self)
        assert isinstance(quick, AsapDeblur)
        quick.lowres_stream.quicken()
        if quick.stem is not None:
            quick.stem.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return quick.eval()

    @torch.no_grad()
    def _start(self) -> None:
        head = self.lowres_stream.head
        shared = head.bias
        assert shared is not None
        for layer in self.lowres_stream.model[:-1].modules():
            # As it was run, the initial values were written where spectral norm does not read them.
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(shared)
        nn.init.normal_(head.weight, 0.0, 0.1 if self.settings.shared_mlp else 0.02)
        if self.settings.shared_mlp:
            for index in range(self.mlp.depth):
                _, weight = self.mlp.layer(shared, index)
                nn.init.kaiming_normal_(weight.T, nonlinearity="relu")
        if self.settings.skip:
            for row in (head.weight.flatten(1).T, shared):
                for part in self.mlp.layer(row, self.mlp.depth - 1):
                    part.zero_()
            if self.stem is not None:
                self.stem.start_at_zero()


def build_asap_deblur(
    width: int = 64,
    max_width: int = 1024,
    depth: int = 7,
    mlp_width: int = 64,
    mlp_depth: int = 5,
    tile_px: int = 32,
    reach_px: int = 2,
    skip: bool = True,
    shared_mlp: bool = True,
    blue: bool = True,
    norm: Norm = "none",
    padding: Padding = "reflect",
    stem_width: int = 0,
    stem_blocks: int = 4,
    stem_features: int = 8,
) -> nn.Module:
    """Build our repair of the hybrid, untrained: :class:`AsapDeblurSettings`, one setting each; no stem of width 0.

    >>> net = build_asap_deblur(width=8, max_width=16, depth=1, tile_px=16)
    >>> x = torch.rand(1, 3, 32, 48)
    >>> torch.equal(net(x), x)
    True
    """
    low = LowResSettings(width, max_width, depth, norm, padding)
    stem = StemSettings(stem_width, stem_blocks, stem_features) if stem_width else None
    return AsapDeblur(AsapDeblurSettings(tile_px, mlp_width, mlp_depth, low, reach_px, skip, shared_mlp, blue, stem))


def build_hybrid_deblur(width: int = 64, max_width: int = 1024, depth: int = 7, tile_px: int = 32) -> nn.Module:
    """Build the report's hybrid, untrained; as it was run by default, or smaller."""
    low = replace(AS_RUN.low, width=width, max_width=max_width, depth=depth)
    return AsapDeblur(replace(AS_RUN, low=low, tile_px=tile_px))
