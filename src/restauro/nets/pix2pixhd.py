"""pix2pixHD: label maps to pictures at high resolution.

Source: Wang et al., "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs", CVPR 2018.
The global generator works at 512 x 1024; the local enhancer wraps it at half size and works at 1024 x 2048; the encoder
gives each object a few numbers of style. Borders between objects: ``layers.labels.instance_edges``. State keys are the
published ones.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from restauro.errors import SettingError
from restauro.facts import Facts
from restauro.nets.layers.labels import semantic
from restauro.nets.layers.resnet_generator import Parts, set_normal_weights

STYLE_CHANNELS = 3


class _Translator(nn.Module):
    """What both generators share: which channels come in, and how label ids become them."""

    def __init__(self, classes: int, edges: bool, styles: bool) -> None:
        super().__init__()
        if classes < 0:
            raise SettingError("classes", classes, "a whole number from 1, or 0 for pictures")
        if not classes and (edges or styles):
            raise SettingError("edges, styles", (edges, styles), "false where the input is a picture (classes = 0)")
        self.classes, self.edges, self.styles = classes, edges, styles
        self.c_in = (classes or 3) + edges + STYLE_CHANNELS * styles

    def from_labels(self, ids: Tensor, edges: Tensor | None = None, styles: Tensor | None = None) -> Tensor:
        """Translate label ids [N, H, W], edges [N, 1, H, W] and styles [N, 3, H, W], those it was built with."""
        for name, given, wanted in (
            ("classes", True, self.classes > 0),
            ("edges", edges is not None, self.edges),
            ("styles", styles is not None, self.styles),
        ):
            if given != wanted:
                raise SettingError(name, given, f"{wanted}: as the network was built")
        x = semantic(ids, self.classes, edges)
        y: Tensor = self(x if styles is None else torch.cat([x, styles], dim=1))
        return y

    def _centred(self, x: Tensor) -> Tensor:
        return x if self.classes else 2 * x - 1


class GlobalGenerator(_Translator):
    """The generator for 512 x 1024: conv7x7, halvings, residual blocks, doublings, conv7x7, tanh.

    Parameters
    ----------
    classes
        Of the label map, one channel each; 0: the input is a picture [N, 3, H, W] in 0..1.
    edges
        One more channel: the borders between objects.
    styles
        Three more channels: the encoder's.
    width, downs, blocks
        64, 4 and 9 in the paper.
    bias
        Biases before a norm, which the norm takes away again; True as published, False in SPADE's copy of it.

    Examples
    --------
    >>> with torch.device("meta"):
    ...     net = GlobalGenerator()
    >>> sum(p.numel() for p in net.parameters())
    182546755
    """

    def __init__(
        self,
        classes: int = 35,
        edges: bool = True,
        styles: bool = False,
        width: int = 64,
        downs: int = 4,
        blocks: int = 9,
        bias: bool = True,
    ) -> None:
        super().__init__(classes, edges, styles)
        parts = Parts(bias=bias)
        self.model = nn.Sequential(*_trunk(parts, self.c_in, width, downs, blocks), *parts.leave(width))
        self.facts = Facts(multiple=2**downs, global_statistics=True, bytes_per_px=260 + 12 * width)
        set_normal_weights(self, zero_bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Translate x [N, C, H, W] (classes, edges, styles; or a picture) to a picture [N, 3, H, W] in 0..1."""
        y: Tensor = self.model(self._centred(x))
        return (y + 1) / 2


class LocalEnhancer(_Translator):
    """The generator for 1024 x 2048: the global one, less its last convolution, at half size, in a few more layers.

    Parameters
    ----------
    classes, edges, styles, downs, blocks, bias
        As of :class:`GlobalGenerator`.
    width
        Channels of the *inner* network's first convolution, 64 in the paper; the outer one's has half (its ngf 32).
    local_blocks
        Residual blocks of the outer network; 3 in the paper.

    Examples
    --------
    >>> with torch.device("meta"):
    ...     net = LocalEnhancer()
    >>> sum(p.numel() for p in net.parameters())
    182857059
    """

    def __init__(
        self,
        classes: int = 35,
        edges: bool = True,
        styles: bool = False,
        width: int = 64,
        downs: int = 4,
        blocks: int = 9,
        bias: bool = True,
        local_blocks: int = 3,
    ) -> None:
        super().__init__(classes, edges, styles)
        if width % 2:
            raise SettingError("width", width, "an even number: the local part has half of it")
        parts = Parts(bias=bias)
        self.model = nn.Sequential(*_trunk(parts, self.c_in, width, downs, blocks))
        self.model1_1 = nn.Sequential(*parts.enter(self.c_in, width // 2), *parts.down(width // 2))
        self.model1_2 = nn.Sequential(
            *(parts.block(width) for _ in range(local_blocks)), *parts.up(width), *parts.leave(width // 2)
        )
        self.halve = nn.AvgPool2d(3, 2, 1, count_include_pad=False)
        self.facts = Facts(multiple=2 ** (downs + 1), global_statistics=True, bytes_per_px=260 + 12 * width)
        set_normal_weights(self, zero_bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Translate x [N, C, H, W] (classes, edges, styles; or a picture) to a picture [N, 3, H, W] in 0..1."""
        x = self._centred(x)
        y: Tensor = self.model1_2(self.model(self.halve(x)) + self.model1_1(x))
        return (y + 1) / 2


class StyleEncoder(nn.Module):
    """The feature encoder: a picture to three numbers of style per object, painted over the object.

    Parameters
    ----------
    width, downs
        16 and 4 in the paper.

    Examples
    --------
    >>> with torch.device("meta"):
    ...     net = StyleEncoder()
    >>> sum(p.numel() for p in net.parameters())
    788803
    """

    def __init__(self, width: int = 16, downs: int = 4) -> None:
        super().__init__()
        parts = Parts()
        self.model = nn.Sequential(*_trunk(parts, 3, width, downs, blocks=0), *parts.leave(width))
        self.facts = Facts(multiple=2**downs, global_statistics=True, bytes_per_px=260 + 12 * width)
        set_normal_weights(self, zero_bias=False)

    def forward(self, picture: Tensor, instances: Tensor) -> Tensor:
        """Styles [N, 3, H, W] in -1..1 of a picture [N, 3, H, W] in 0..1 with the objects' ids [N, H, W]."""
        features: Tensor = self.model(2 * picture - 1)
        return instance_average(features, instances)


def instance_average(features: Tensor, instances: Tensor) -> Tensor:
    """Replace features [N, C, H, W] by their mean over the object, of ids [N, H, W], in each picture by itself.

    >>> features = torch.tensor([[[[1.0, 3.0, 5.0]]]])
    >>> instance_average(features, torch.tensor([[[7, 7, 26001]]])).flatten().tolist()
    [2.0, 2.0, 5.0]
    """
    n, channels = features.shape[:2]
    pictures = torch.arange(n, device=instances.device)[:, None, None].expand_as(instances)
    keys = torch.stack([pictures, instances], dim=-1).flatten(0, 2)
    objects, owner = torch.unique(keys, dim=0, return_inverse=True)
    values = features.permute(0, 2, 3, 1).reshape(-1, channels)
    sums = values.new_zeros(len(objects), channels).index_add(0, owner, values)
    means = sums / torch.bincount(owner, minlength=len(objects)).to(sums)[:, None]
    return means[owner].view(n, *features.shape[2:], channels).permute(0, 3, 1, 2)


def build_pix2pixhd(
    generator: Literal["global", "local"] = "global",
    classes: int = 35,
    edges: bool = True,
    styles: bool = False,
    width: int = 64,
    downs: int = 4,
    blocks: int = 9,
    bias: bool = True,
    local_blocks: int = 3,
) -> nn.Module:
    """Build pix2pixHD's generator, untrained: ``"global"``, or ``"local"`` with ``local_blocks``.

    >>> net = build_pix2pixhd(classes=5, width=4, downs=2, blocks=1)
    >>> net.from_labels(torch.randint(0, 5, (1, 16, 24)), edges=torch.zeros(1, 1, 16, 24)).shape
    torch.Size([1, 3, 16, 24])
    """
    if width < 1:
        raise SettingError("width", width, "a whole number from 1")
    if not 1 <= downs <= 6:
        raise SettingError("downs", downs, "1 to 6 halvings")
    if blocks < 0 or local_blocks < 0:
        raise SettingError("blocks, local_blocks", (blocks, local_blocks), "whole numbers from 0")
    if generator == "local":
        return LocalEnhancer(classes, edges, styles, width, downs, blocks, bias, local_blocks)
    if generator == "global":
        return GlobalGenerator(classes, edges, styles, width, downs, blocks, bias)
    raise SettingError("generator", generator, "global or local")


def _trunk(parts: Parts, c_in: int, width: int, downs: int, blocks: int) -> list[nn.Module]:
    """The global generator up to its last convolution."""
    layers = parts.enter(c_in, width)
    for level in range(downs):
        layers += parts.down(width * 2**level)
    layers += [parts.block(width * 2**downs) for _ in range(blocks)]
    for level in range(downs, 0, -1):
        layers += parts.up(width * 2**level)
    return layers
