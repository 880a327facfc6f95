"""The critics of the translation and deblurring networks: 4x4 convolutions with padding 2, at one or more scales.

Sources: pix2pixHD (Wang et al., CVPR 2018); SPADE (Park et al., CVPR 2019), whose critic ASAP-Net uses; DeblurGAN
(Kupyn et al., CVPR 2018). All look at patches of 70 pixels of their scale: three convolutions of stride 2, two of
stride 1, widths ``width * (1, 2, 4, 8)`` and 1, LeakyReLU 0.2 between. State keys are the published ones.

Pictures come as [N, 3, H, W] in 0..1; a critic that judges a picture beside another one (blurred, then sharp) takes
both as [N, 6, H, W].
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from restauro.errors import SettingError
from restauro.nets.layers.any_size import InstanceNorm
from restauro.nets.layers.resnet_generator import set_normal_weights
from restauro.nets.layers.spectral import SpectralConv2d

Features = list[list[Tensor]]
"""Per scale, finest first, what each layer gives; the last of them are the logits, [N, 1, h, w]."""


class SpadeCritic(nn.Module):
    """The critic of SPADE and ASAP-Net: two scales, spectral norm and instance norm.

    Parameters
    ----------
    semantic
        Channels of the label map and the borders that it sees beside the picture; 36 on Cityscapes, 0 for none.
    pictures
        1, or 2 to judge a picture beside another.
    width, scales
        64 and 2 as published.

    Examples
    --------
    >>> sum(p.numel() for p in SpadeCritic().parameters())
    5601410
    """

    def __init__(self, semantic: int = 36, pictures: int = 1, width: int = 64, scales: int = 2) -> None:
        super().__init__()
        c_in = _c_in(semantic, pictures, width, scales)
        self.semantic, self.scales = semantic, scales
        for scale in range(scales):
            layers = _layers(c_in, width, _spectral)
            named = {f"model{index}": nn.Sequential(*layer) for index, layer in enumerate(layers)}
            self.add_module(f"discriminator_{scale}", nn.ModuleDict(named))
        for layer in self.modules():
            # The published initial values do not reach the spectrally normed layers: they keep PyTorch's.
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_normal_(layer.weight, gain=0.02)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, pictures: Tensor, semantic: Tensor | None = None) -> Features:
        """Judge pictures [N, 3 or 6, H, W] with their label maps [N, semantic, H, W].

        Real and made pictures belong into one batch: as published, they are judged together.
        """
        x = _beside(pictures, semantic, self.semantic)
        nets = [self.get_submodule(f"discriminator_{scale}") for scale in range(self.scales)]
        return _judge(x, [list(net.children()) for net in nets])


class Pix2PixHDCritic(nn.Module):
    """The critic of pix2pixHD: two scales (three at 1024 x 2048), instance norm, biases everywhere.

    Parameters
    ----------
    semantic, pictures, width, scales
        As of :class:`SpadeCritic`.

    Examples
    --------
    >>> sum(p.numel() for p in Pix2PixHDCritic().parameters())
    5603202
    """

    def __init__(self, semantic: int = 36, pictures: int = 1, width: int = 64, scales: int = 2) -> None:
        super().__init__()
        c_in = _c_in(semantic, pictures, width, scales)
        self.semantic, self.scales = semantic, scales
        for scale in range(scales):
            for index, layer in enumerate(_layers(c_in, width, _plain)):
                self.add_module(f"scale{scale}_layer{index}", nn.Sequential(*layer))
        set_normal_weights(self, zero_bias=False)

    def forward(self, pictures: Tensor, semantic: Tensor | None = None) -> Features:
        """Judge pictures [N, 3 or 6, H, W] with their label maps [N, semantic, H, W]."""
        x = _beside(pictures, semantic, self.semantic)
        # The published names count from the coarsest scale.
        nets = [
            [self.get_submodule(f"scale{scale}_layer{index}") for index in range(5)]
            for scale in reversed(range(self.scales))
        ]
        return _judge(x, nets)


class DeblurCritic(nn.Module):
    """The critic of DeblurGAN: one scale, instance norm; it sees the picture alone.

    Parameters
    ----------
    pictures
        1 as published, or 2 to judge a picture beside another.
    width
        64 as published.

    Notes
    -----
    Gives logits. Where the authors' code ends in a sigmoid (their "gan"), take the loss of logits.

    Examples
    --------
    >>> critic = DeblurCritic()
    >>> sum(p.numel() for p in critic.parameters())
    2764737
    >>> DeblurCritic(width=2)(torch.rand(1, 3, 256, 256)).shape
    torch.Size([1, 1, 35, 35])
    """

    def __init__(self, pictures: int = 1, width: int = 64) -> None:
        super().__init__()
        layers = _layers(_c_in(0, pictures, width, 1), width, _plain)
        self.model = nn.Sequential(*(part for layer in layers for part in layer))
        set_normal_weights(self, zero_bias=True)

    def forward(self, pictures: Tensor) -> Tensor:
        """Judge pictures [N, 3 or 6, H, W]: logits [N, 1, h, w]."""
        logits: Tensor = self.model(2 * pictures - 1)
        return logits


def _layers(c_in: int, width: int, middle: Callable[[int, int, int], list[nn.Module]]) -> list[list[nn.Module]]:
    """The five layers of one scale."""
    return [
        [nn.Conv2d(c_in, width, 4, 2, 2), nn.LeakyReLU(0.2)],
        [*middle(width, 2 * width, 2), nn.LeakyReLU(0.2)],
        [*middle(2 * width, 4 * width, 2), nn.LeakyReLU(0.2)],
        [*middle(4 * width, 8 * width, 1), nn.LeakyReLU(0.2)],
        [nn.Conv2d(8 * width, 1, 4, 1, 2)],
    ]


def _plain(c_in: int, c_out: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(c_in, c_out, 4, stride, 2), InstanceNorm(c_out)]


def _spectral(c_in: int, c_out: int, stride: int) -> list[nn.Module]:
    return [nn.Sequential(SpectralConv2d(c_in, c_out, 4, stride, 2, bias=False), InstanceNorm(c_out))]


def _judge(x: Tensor, nets: list[list[nn.Module]]) -> Features:
    """Go through the networks of all scales, the finest first."""
    features: Features = []
    for layers in nets:
        if features:
            x = nn.functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        y, seen = x, []
        for layer in layers:
            y = layer(y)
            seen.append(y)
        features.append(seen)
    return features


def _beside(pictures: Tensor, semantic: Tensor | None, wanted: int) -> Tensor:
    """The label map, then the pictures in -1..1."""
    given = 0 if semantic is None else semantic.shape[1]
    if given != wanted:
        raise SettingError("semantic", given, f"{wanted} channels of labels beside the picture")
    x = 2 * pictures - 1
    return x if semantic is None else torch.cat([semantic, x], dim=1)


def _c_in(semantic: int, pictures: int, width: int, scales: int) -> int:
    if semantic < 0:
        raise SettingError("semantic", semantic, "a whole number from 0")
    if pictures not in (1, 2):
        raise SettingError("pictures", pictures, "1, or 2 to judge a picture beside another")
    if width < 1:
        raise SettingError("width", width, "a whole number from 1")
    if not 1 <= scales <= 4:
        raise SettingError("scales", scales, "1 to 4")
    return semantic + 3 * pictures
