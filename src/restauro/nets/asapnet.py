"""ASAP-Net: label maps (or pictures) to pictures, fast at high resolution.

Source: Rott Shaham et al., "Spatially-Adaptive Pixelwise Networks for Fast Image Translation", CVPR 2021.
A deep network sees the input shrunk by S1 = k / 16 and gives, for each tile of k x k pixels, the weights of a small
perceptron; that turns each pixel of the full-size input, with its position in the tile, into a colour:

    low    = tent(x; S1)                        # 256 rows, if k = H / 16 as published
    params = low_resolution_network(low)        # 16 times smaller again: one vector per tile
    y      = tanh(mlp(x, position; params))     # layers/pixelwise.py

State keys are the published ones, so that published weights fit (``layers.published.fit_published``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from restauro.errors import SettingError
from restauro.facts import Facts
from restauro.nets.layers import pixelwise, wide_input, winograd
from restauro.nets.layers.any_size import InstanceNorm, QuickInstanceNorm, Reflect
from restauro.nets.layers.fold import fold
from restauro.nets.layers.labels import one_hot
from restauro.nets.layers.pixelwise import PixelMlp
from restauro.nets.layers.spectral import SpectralConv2d
from restauro.nets.layers.tent import published_tent, tent, tent_of_labels

Norm = Literal["instance-affine", "spectral-instance", "none"]
Padding = Literal["zero", "reflect"]

HALVINGS = 4
"""Stride-2 convolutions of the low-resolution network; tiles are 2^4 of its pixels wide."""


@dataclass(frozen=True)
class LowResSettings:
    """The low-resolution network.

    Parameters
    ----------
    width
        Channels of the first convolutions; 64 in the paper.
    max_width
        Channels of the deep convolutions; 1024 in the paper.
    depth
        How many deep convolutions; 7 in the paper.
    norm
        ``"instance-affine"`` as published; ``"spectral-instance"``: spectral norm and instance norm without gamma
        and beta, as the report's hybrid; ``"none"``: biases only, no statistics of the picture.
    padding
        ``"zero"``, or ``"reflect"`` as the published facades models.
    """

    width: int = 64
    max_width: int = 1024
    depth: int = 7
    norm: Norm = "instance-affine"
    padding: Padding = "zero"

    def __post_init__(self) -> None:
        for name, least in (("width", 1), ("max_width", 1), ("depth", 0)):
            if getattr(self, name) < least:
                raise SettingError(name, getattr(self, name), f"a whole number from {least}")
        if self.norm not in ("instance-affine", "spectral-instance", "none"):
            raise SettingError("norm", self.norm, "instance-affine, spectral-instance or none")
        if self.padding not in ("zero", "reflect"):
            raise SettingError("padding", self.padding, "zero or reflect")


class LowResStream(nn.Module):
    """The low-resolution network: [N, C, h, w] to one vector of P numbers per 16 x 16 of its pixels.

    conv3x3 to ``width``; four of stride 2, the last to ``max_width``; ``depth`` more, without skips; each with norm and
    ReLU; then conv1x1 to P.

    Parameters
    ----------
    c_in, c_out
        Channels of the input; P.
    settings
        Everything else.
    head_scale
        The features are multiplied by this before the last convolution; 1 as published.
    """

    def __init__(self, c_in: int, c_out: int, settings: LowResSettings, head_scale: float = 1.0) -> None:
        super().__init__()
        self.head_scale = head_scale
        widths = [settings.width] * HALVINGS + [settings.max_width] * (1 + settings.depth)
        layers: list[nn.Module] = []
        for index, width in enumerate(widths):
            unit = _unit(c_in, width, 2 if 0 < index <= HALVINGS else 1, settings)
            layers += [_Block(unit)] if index > HALVINGS else unit
            c_in = width
        self.model = nn.Sequential(*layers, nn.Conv2d(c_in, c_out, 1))

    @property
    def head(self) -> nn.Conv2d:
        """The last convolution."""
        head = self.model[-1]
        assert isinstance(head, nn.Conv2d)
        return head

    def forward(self, x: Tensor) -> Tensor:
        """Vectors as channels, [N, P, h/16, w/16]."""
        features: Tensor = self.model[:-1](x)
        params: Tensor = self.head(features * self.head_scale)
        return params

    def tile_major(self, x: Tensor) -> Tensor:
        """The same vectors, each in one piece of memory, [N, h/16, w/16, P]."""
        features: Tensor = self.model[:-1](x)
        # With channels last the convolution writes them so, and is faster than a product of matrices.
        features = (features * self.head_scale).contiguous(memory_format=torch.channels_last)
        params: Tensor = self.head(features)
        return params.permute(0, 2, 3, 1).contiguous()

    def quicken(self) -> None:
        """Put layers in their forms for use, in place; to be run and not to be trained or saved after."""
        stem = [unit for unit in self.model if isinstance(unit, nn.Sequential)]
        for unit in stem:
            for index, layer in enumerate(unit):
                if isinstance(layer, InstanceNorm):
                    unit[index] = QuickInstanceNorm(layer)
            unit.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        first = stem[0][0]
        if isinstance(first, nn.Conv2d) and wide_input.pays(first):
            stem[0][0] = wide_input.WideInput(first)
        winograd.quicken(self.model)


class _Block(nn.Module):
    """A unit under its published name."""

    def __init__(self, unit: list[nn.Module]) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(*unit)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv_block(x)
        return y


def _unit(c_in: int, c_out: int, stride: int, settings: LowResSettings) -> list[nn.Module]:
    """Padding, [convolution, norm], ReLU."""
    pads = settings.padding == "reflect"
    shape = (c_in, c_out, 3, stride, 0 if pads else 1)
    parts: list[nn.Module] = []
    match settings.norm:
        case "instance-affine":
            parts = [nn.Conv2d(*shape, bias=False), InstanceNorm(c_out, affine=True)]
        case "spectral-instance":
            parts = [SpectralConv2d(*shape, bias=False), InstanceNorm(c_out)]
        case "none":
            parts = [nn.Conv2d(*shape)]
    return [*([Reflect(1)] if pads else []), nn.Sequential(*parts), nn.ReLU(inplace=True)]


class ASAPNet(nn.Module):
    """The generator of ASAP-Net.

    Parameters
    ----------
    classes
        Of the label map, one channel each: 35 for Cityscapes, 13 for facades (0 is unused there). 0: the input is a
        picture [N, 3, H, W] in 0..1 instead.
    edges
        The input's last channel holds the borders between objects; only the low-resolution network sees it.
    tile_px
        k, a power of two from 16: H / 16 as published (16 at 256 rows, 32 at 512, 64 at 1024).
    low
        The low-resolution network.
    mlp_width, mlp_depth
        Of the perceptrons: 64 and 5 in the paper.

    Notes
    -----
    A new network starts grey, as published (Xavier with gain 0.02): at first only the last layer's biases learn.

    Examples
    --------
    >>> with torch.device("meta"):
    ...     net = ASAPNet()
    >>> sum(p.numel() for p in net.parameters())
    83463811
    """

    def __init__(
        self,
        classes: int = 35,
        edges: bool = True,
        tile_px: int = 32,
        low: LowResSettings | None = None,
        mlp_width: int = 64,
        mlp_depth: int = 5,
    ) -> None:
        super().__init__()
        if classes < 0:
            raise SettingError("classes", classes, "a whole number from 1, or 0 for pictures")
        if edges and not classes:
            raise SettingError("edges", edges, "false where the input is a picture (classes = 0)")
        self.classes, self.edges = classes, edges
        self.factor = shrink_factor(tile_px)
        self.mlp = PixelMlp(classes or 3, tile_px, mlp_width, mlp_depth)
        low = low or LowResSettings()
        self.lowres_stream = LowResStream(self.mlp.content + edges, self.mlp.count, low)
        self.facts = Facts(
            multiple=tile_px,
            global_statistics=low.norm != "none",
            bytes_per_px=8 * self.mlp.content + stream_bytes_per_px(self.mlp, low),
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_normal_(layer.weight, gain=0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Translate x [N, C, H, W] (classes, then edges; or a picture) to a picture [N, 3, H, W] in 0..1."""
        x = x if self.classes else 2 * x - 1
        params = self.lowres_stream.tile_major(tent(x, self.factor))
        y = pixelwise.of_content(self.mlp, x[:, : self.mlp.content], params)
        return (y.tanh() + 1) / 2

    def for_use(self) -> nn.Module:
        """The form that is run: layers of the low-resolution network in their forms for use."""
        quick = fold(self)
        assert isinstance(quick, ASAPNet)
        quick.lowres_stream.quicken()
        return quick.eval()

    def published(self, x: Tensor) -> Tensor:
        """The same, computed step by step as published; for comparison."""
        x = x if self.classes else 2 * x - 1
        params = self.lowres_stream(published_tent(x, self.factor))
        y = pixelwise.published(self.mlp, x[:, : self.mlp.content], params)
        return (y.tanh() + 1) / 2

    def from_labels(self, ids: Tensor, edges: Tensor | None = None) -> Tensor:
        """The same from label ids, without one-hot maps of full size: the fastest.

        Parameters
        ----------
        ids
            [N, H, W], whole numbers in 0..classes-1; sides divisible by ``tile_px``.
        edges
            [N, 1, H, W], exactly if the network was built with ``edges``.

        Returns
        -------
        Tensor
            [N, 3, H, W] in 0..1, of the weights' type.
        """
        if not self.classes:
            raise SettingError("classes", self.classes, "a network built for labels; give this one a picture")
        if (edges is not None) != self.edges:
            raise SettingError("edges", edges is not None, f"{self.edges}: as the network was built")
        dtype = self.lowres_stream.head.weight.dtype
        if self.factor == 1:
            low = one_hot(ids, self.classes, dtype)
        else:
            low = tent_of_labels(ids, self.classes, self.factor).to(dtype)
        if edges is not None:
            low = torch.cat([low, tent(edges.to(dtype), self.factor)], dim=1)
        params = self.lowres_stream.tile_major(low.contiguous())  # its few input channels are slow where they lie last
        y = pixelwise.of_labels(self.mlp, ids, params)
        return (y.tanh() + 1) / 2


def stream_bytes_per_px(mlp: PixelMlp, low: LowResSettings) -> int:
    """Memory of the tiles' vectors and of the low-resolution network, per pixel of the input; measured, rounded up."""
    return 100 + 8 * mlp.count // mlp.tile_px**2 + 12 * low.width // shrink_factor(mlp.tile_px) ** 2


def shrink_factor(tile_px: int) -> int:
    """S1: how much the tent filter shrinks, so that a tile is 16 pixels of the low-resolution network wide."""
    least = 1 << HALVINGS
    if tile_px < least or tile_px & (tile_px - 1):
        raise SettingError("tile_px", tile_px, f"a power of two from {least}")
    return tile_px // least


def build_asapnet(
    classes: int = 35,
    edges: bool = True,
    tile_px: int = 32,
    width: int = 64,
    max_width: int = 1024,
    depth: int = 7,
    mlp_width: int = 64,
    mlp_depth: int = 5,
    norm: Norm = "instance-affine",
    padding: Padding = "zero",
) -> nn.Module:
    """Build ASAP-Net, untrained; by default as published for Cityscapes at 512 x 1024.

    The published facades models: ``classes=13, edges=False, padding="reflect"`` and ``tile_px`` 32 or 64.

    >>> with torch.device("meta"):
    ...     net = build_asapnet(classes=13, edges=False, tile_px=16, padding="reflect")
    >>> sum(p.numel() for p in net.parameters())
    81744963
    """
    low = LowResSettings(width, max_width, depth, norm, padding)
    return ASAPNet(classes, edges, tile_px, low, mlp_width, mlp_depth)
