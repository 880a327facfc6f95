"""SPADE: a picture grown from a small map, told at every size what belongs where (Park et al. 2019).

The published generator for label maps, which is also a row of DeSmoothGAN's Table 1 (at width 48, with the smoothed
picture in place of the labels).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from restauro.errors import SettingError
from restauro.facts import Facts

GuideResize = Literal["nearest", "area"]
FreeNorm = Literal["batch", "instance"]

Size = Literal["normal", "more", "most"]

#: The stride at which each block works.
STRIDES: dict[Size, tuple[int, ...]] = {
    "normal": (32, 16, 16, 8, 4, 2, 1),
    "more": (64, 32, 16, 8, 4, 2, 1),
    "most": (128, 64, 32, 16, 8, 4, 2, 1),
}
#: Radius of the receptive field.
HALO_PX: dict[Size, int] = {"normal": 254, "more": 446, "most": 894}


def resize_guide(guide: Tensor, stride: int, how: GuideResize) -> Tensor:
    """Shrink a guide [N, G, H, W] by a whole stride: every stride-th pixel, or the mean of each square.

    >>> resize_guide(torch.arange(4.0).reshape(1, 1, 2, 2), 2, "area").item()
    1.5
    """
    if how == "area":
        return nn.functional.avg_pool2d(guide, stride)
    return guide[..., ::stride, ::stride]


class Spade(nn.Module):
    """norm(y) * (1 + gamma) + beta, gamma and beta from the guide: conv 3x3 -> ``hidden``, ReLU, a conv 3x3 each."""

    def __init__(self, channels: int, guide_channels: int, hidden: int = 128, norm: FreeNorm = "batch") -> None:
        super().__init__()
        make = nn.BatchNorm2d if norm == "batch" else nn.InstanceNorm2d
        self.param_free_norm = make(channels, affine=False)
        self.mlp_shared = nn.Sequential(nn.Conv2d(guide_channels, hidden, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(hidden, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(self, y: Tensor, guide: Tensor) -> Tensor:
        """Modulate y [N, C, H, W] by a guide [N, G, H, W] of the same size."""
        y, hidden = self.param_free_norm(y), self.mlp_shared(guide)
        return torch.addcmul(y + self.mlp_beta(hidden), y, self.mlp_gamma(hidden))


class SpadeBlock(nn.Module):
    """Residual block: twice Spade, LeakyReLU 0.2, spectrally normed conv 3x3; a learned shortcut if widths differ."""

    def __init__(self, c_in: int, c_out: int, guide_channels: int, hidden: int, norm: FreeNorm) -> None:
        super().__init__()
        middle = min(c_in, c_out)
        self.conv_0 = spectral_norm(nn.Conv2d(c_in, middle, 3, padding=1))
        self.conv_1 = spectral_norm(nn.Conv2d(middle, c_out, 3, padding=1))
        self.norm_0 = Spade(c_in, guide_channels, hidden, norm)
        self.norm_1 = Spade(middle, guide_channels, hidden, norm)
        self.learned_shortcut = c_in != c_out
        if self.learned_shortcut:
            self.conv_s = spectral_norm(nn.Conv2d(c_in, c_out, 1, bias=False))
            self.norm_s = Spade(c_in, guide_channels, hidden, norm)

    def forward(self, y: Tensor, guide: Tensor) -> Tensor:
        """Compute [N, c_out, H, W] from y [N, c_in, H, W] and a guide of its size."""
        shortcut = self.conv_s(self.norm_s(y, guide)) if self.learned_shortcut else y
        y = self.conv_0(nn.functional.leaky_relu(self.norm_0(y, guide), 0.2))
        y = self.conv_1(nn.functional.leaky_relu(self.norm_1(y, guide), 0.2))
        return shortcut + y


class SpadeGenerator(nn.Module):
    """The published generator: conv 3x3 of the guide at 1/32, seven blocks with nearest x2 between, conv 3x3, tanh.

    Parameters
    ----------
    guide_channels
        Channels of the guide: classes of a one-hot label map, or 3.
    width
        Channels of the last block; the first has 16 times as many. 64 as published.
    size
        ``"normal"`` starts at 1/32 of the picture, ``"more"`` at 1/64, ``"most"`` at 1/128 with an eighth block.
    norm
        The parameter-free norm inside Spade: ``"batch"`` as published, or ``"instance"`` (global statistics).
    hidden
        Channels between guide and gamma, beta; 128 as published, at every width.
    resize
        How the guide becomes small: ``"nearest"`` as published, ``"area"`` does not alias pictures.
    picture
        The guide is a picture in 0..1, to be centred; False takes it as it is (label maps).
    residual
        Add the result to the guide, starting from zero, instead of tanh; wants ``picture``.

    Notes
    -----
    Submodules bear the published names (``fc``, ``head_0``, ``G_middle_0``, ..., ``conv_img``).

    Examples
    --------
    >>> with torch.device("meta"):
    ...     sum(p.numel() for p in SpadeGenerator(184).parameters())
    97480899
    >>> SpadeGenerator(3, width=1, picture=True)(torch.rand(1, 3, 64, 96)).shape
    torch.Size([1, 3, 64, 96])
    """

    def __init__(
        self,
        guide_channels: int = 3,
        width: int = 64,
        size: Size = "normal",
        norm: FreeNorm = "batch",
        hidden: int = 128,
        resize: GuideResize = "nearest",
        picture: bool = False,
        residual: bool = False,
    ) -> None:
        super().__init__()
        _check(width, size, norm, resize)
        if residual and not picture:
            raise SettingError("residual", residual, "False where the guide is no picture")
        self.resize, self.picture, self.residual = resize, picture, residual
        self.strides = STRIDES[size]
        self.facts = Facts(
            multiple=self.strides[0],
            halo_px=HALO_PX[size],
            global_statistics=norm == "instance",
            bytes_per_px=16 * width + 14 * hidden,  # measured: 1815 at width 16, 2755 at 64
        )
        widths = [width * factor for factor in (16, 16, 16, 16, 8, 4, 2, 1)]
        if size == "most":
            widths.append(width // 2)
        self.fc = nn.Conv2d(guide_channels, widths[0], 3, padding=1)
        self.names = ["head_0", "G_middle_0", "G_middle_1", *(f"up_{level}" for level in range(len(widths) - 4))]
        for name, c_in, c_out in zip(self.names, widths[:-1], widths[1:], strict=True):
            self.add_module(name, SpadeBlock(c_in, c_out, guide_channels, hidden, norm))
        self.conv_img = nn.Conv2d(widths[-1], 3, 3, padding=1)
        if residual:
            nn.init.zeros_(self.conv_img.weight)
            nn.init.zeros_(self.conv_img.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Turn a guide x [N, guide_channels, H, W] into a picture [N, 3, H, W], 0..1 (not clipped if residual)."""
        guide = 2 * x - 1 if self.picture else x
        y = self.fc(resize_guide(guide, self.strides[0], self.resize))
        for name, before, stride in zip(self.names, (self.strides[0], *self.strides), self.strides, strict=False):
            if stride < before:
                y = nn.functional.interpolate(y, scale_factor=2, mode="nearest")
            y = self.get_submodule(name)(y, resize_guide(guide, stride, self.resize))
        y = self.conv_img(nn.functional.leaky_relu(y, 0.2))
        return x + y if self.residual else (torch.tanh(y) + 1) / 2


def _check(width: int, size: str, norm: str, resize: str) -> None:
    if width < (2 if size == "most" else 1):
        raise SettingError("width", width, "a whole number from 1 (from 2 for the size most)")
    for name, value, choices in (
        ("size", size, tuple(STRIDES)),
        ("norm", norm, ("batch", "instance")),
        ("resize", resize, ("nearest", "area")),
    ):
        if value not in choices:
            raise SettingError(name, value, " or ".join(choices))
