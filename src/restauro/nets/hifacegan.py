"""HiFaceGAN: face renovation by suppression and replenishment (Yang et al. 2020).

Two networks bear that name, and a third made one of the tables. All share a decoder of seven SPADE blocks
(:mod:`.hifacegan_blocks`) from 1/32 of the picture's size to the whole, and differ in what it starts from and what
guides it:

========  ======================================  ================================================================
variant   starts from                             guided by
========  ======================================  ================================================================
nested    the picture, every 32nd pixel           the suppression encoder's features at six sizes: the paper's text
lipspade  the suppression encoder's last feature  the degraded picture itself: the released weights
spade     the picture, every 32nd pixel           the degraded picture itself: row *16xFace* of Table 2
========  ======================================  ================================================================

Suppression halves the encoder's maps: ``lip`` (published), ``cac`` (what eqs. 2-3 of the paper say), ``pac``, and the
ablations ``fixconv-a`` (a strided convolution, as many parameters) and ``fixconv-b`` (mean of the window).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from restauro.errors import ModelError, SettingError
from restauro.facts import Facts
from restauro.nets.hifacegan_blocks import FastBlock, Norm, SpadeBlock
from restauro.nets.layers.any_size import InstanceNorm, QuickInstanceNorm
from restauro.nets.layers.cac import CAC
from restauro.nets.layers.lip import LIP
from restauro.nets.layers.pac import PAC
from restauro.nets.layers.spectral import SpectralConv2d

Variant = Literal["nested", "lipspade", "spade"]
Suppression = Literal["lip", "cac", "pac", "fixconv-a", "fixconv-b"]
Start = Literal["picture", "guide"]

#: Pixels of the picture per feature, on a side, in each of the seven blocks; a block at half the stride of the one
#: before it is reached by nearest upsampling.
STRIDES = (32, 16, 16, 8, 4, 2, 1)
#: Channels into and out of each block, as multiples of the width.
WIDTHS = ((16, 16), (16, 16), (16, 16), (16, 8), (8, 4), (4, 2), (2, 1))
STAGES = ((1, 2), (2, 4), (4, 8), (8, 16), (16, 16))


@dataclass(frozen=True)
class HiFaceGANSettings:
    """Settings of :class:`HiFaceGAN`.

    Parameters
    ----------
    variant, suppression
        See the head of this file. ``spade`` has no encoder, so nothing to suppress.
    width
        Channels of the last block. 48 in the released weights and most of the paper, 64 in the public configuration.
    guide_channels
        Of the guide of ``lipspade`` and ``spade``: 3, or the classes of a parsing map.
    start
        ``"guide"`` starts from the guide instead: ``nested`` from the encoder's last feature (as the paper's
        Figure 3 can be read), ``spade`` from the guide itself (a network that sees nothing but a parsing map).
    norm
        ``"batch"`` takes statistics over the batch in training (published, with two pictures), ``"instance"`` over
        each picture as in use.
    residual
        Add the result to the picture, starting from zero. False as published.
    """

    variant: Variant = "nested"
    suppression: Suppression = "lip"
    width: int = 48
    guide_channels: int = 3
    start: Start = "picture"
    norm: Norm = "batch"
    residual: bool = False

    def __post_init__(self) -> None:
        for name, choices in (
            ("variant", ("nested", "lipspade", "spade")),
            ("suppression", tuple(SUPPRESSIONS)),
            ("start", ("picture", "guide")),
            ("norm", ("batch", "instance")),
        ):
            if getattr(self, name) not in choices:
                raise SettingError(name, getattr(self, name), ", ".join(choices))
        for name in ("width", "guide_channels"):
            if getattr(self, name) < 1:
                raise SettingError(name, getattr(self, name), "a whole number from 1")
        if self.variant == "spade" and self.suppression != "lip":
            raise SettingError(
                "suppression", self.suppression, "none (lip) for the variant spade, which has no encoder"
            )
        if self.variant == "nested" and self.guide_channels != 3:
            raise SettingError("guide_channels", self.guide_channels, "3 for the variant nested, which guides itself")
        if self.variant == "lipspade" and self.start != "picture":
            raise SettingError("start", self.start, "picture for the variant lipspade, which starts from its encoder")


class HiFaceGAN(nn.Module):
    """The generator.

    Parameters
    ----------
    settings
        See :class:`HiFaceGANSettings`.

    Notes
    -----
    The state has the published names, so that published weights fit (:func:`settings_of` reads the settings from
    them). In training mode with one picture it computes what the published network computes at test; in evaluation
    the same without the one step of the power iteration.

    Operations at width 48 and 512 x 512: 431 thousand million multiplications (nested), 366 (lipspade), 327 (spade);
    :func:`fast` saves 6 % of them.

    Examples
    --------
    >>> with torch.device("meta"):
    ...     sum(p.numel() for p in HiFaceGAN(HiFaceGANSettings("lipspade")).parameters())
    72223660
    >>> HiFaceGAN(HiFaceGANSettings(width=1)).eval()(torch.rand(1, 3, 64, 96)).shape
    torch.Size([1, 3, 64, 96])
    """

    def __init__(self, settings: HiFaceGANSettings | None = None) -> None:
        super().__init__()
        self.settings = s = settings or HiFaceGANSettings()
        self.facts = _facts(s)
        self.guide_channels = 0 if s.variant == "nested" else s.guide_channels
        n = s.width
        from_guide = s.variant == "spade" and s.start == "guide"
        self.fc = nn.Conv2d(s.guide_channels if from_guide else 3, 16 * n, 3, padding=1)
        blocks: list[nn.Module] = []
        for stride, (c_in, c_out) in zip(STRIDES, WIDTHS, strict=True):
            guide_channels = min(stride, 16) * n if s.variant == "nested" else s.guide_channels
            blocks.append(SpadeBlock(c_in * n, c_out * n, guide_channels, s.norm))
        self.head_0, self.G_middle_0, self.G_middle_1 = blocks[:3]
        self.ups = nn.ModuleList(blocks[3:])
        # The first three served to grow the network in training; only the last is used.
        self.to_rgbs = nn.ModuleList(nn.Conv2d(c_out * n, 3, 3, padding=1) for _, c_out in WIDTHS[3:])
        if s.variant == "nested":
            self.encoder = NestedEncoder(n, s.suppression)
        elif s.variant == "lipspade":
            self.lip_encoder = LastEncoder(n, s.suppression)
        self._initialise()

    def forward(self, x: Tensor, guide: Tensor | None = None) -> Tensor:
        """Renovate x [N, 3, H, W], 0..1, sides multiples of 32, to the same shape; the result is not clipped.

        ``lipspade`` and ``spade`` can be guided by something else than x, [N, guide_channels, H, W]; it may also come
        behind x, [N, 3 + guide_channels, H, W].
        """
        if guide is None and x.shape[1] > 3 and x.shape[1] == 3 + self.guide_channels:
            x, guide = x[:, :3], x[:, 3:]
        start, guides = self.encode(x, guide)
        y = self.decode(start, guides)
        return x + y if self.settings.residual else y

    def for_use(self) -> HiFaceGAN:
        """The form that the engine runs: :func:`fast`."""
        return fast(self)

    def encode(self, x: Tensor, guide: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Suppress: what the decoder starts from, [N, 16 width, H / 32, W / 32], and the guide of each block."""
        s = self.settings
        _require(x, guide, s)
        if s.variant == "nested":
            features = dict(zip(sorted(set(STRIDES)), self.encoder(x), strict=True))
            start = features[32] if s.start == "guide" else self.fc(_every(x, 32))
            return start, [features[stride] for stride in STRIDES]
        guide = x if guide is None else guide
        guides = [_every(guide, stride) for stride in STRIDES]
        if s.variant == "lipspade":
            return self.lip_encoder(x), guides
        return self.fc(guides[0] if s.start == "guide" else _every(x, 32)), guides

    def decode(self, start: Tensor, guides: list[Tensor]) -> Tensor:
        """Replenish: [N, 3, H, W], -1..1, from what :meth:`encode` gives."""
        y, before = start, STRIDES[0]
        for block, guide, stride in zip(self.blocks(), guides, STRIDES, strict=True):
            y = block(y, guide, stride < before)
            before = stride
        return torch.tanh(self.to_rgbs[-1](leaky_relu(y, 0.2)))

    def blocks(self) -> list[nn.Module]:
        """The seven decoder blocks in order."""
        return [self.head_0, self.G_middle_0, self.G_middle_1, *self.ups]

    def _initialise(self) -> None:
        """Xavier-normal with gain 0.02 and no bias, as published: the untrained network gives black."""
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, SpectralConv2d)):
                weight = layer.weight if isinstance(layer, nn.Conv2d) else layer.weight_orig
                nn.init.xavier_normal_(weight, gain=0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
            if isinstance(layer, SpectralConv2d):
                layer.find_spectrum()
        if self.settings.residual:
            nn.init.zeros_(self.to_rgbs[-1].weight)  # type: ignore[arg-type]


class NestedEncoder(nn.Module):
    """Suppression at five sizes: the features of all six, from the whole size (width channels) to 1/32 (16 width)."""

    def __init__(self, width: int, suppression: Suppression) -> None:
        super().__init__()
        stages = _stages(width, suppression)
        self.head = nn.Sequential(*stages[0])
        for index, stage in enumerate(stages[1:]):
            self.add_module(f"encoder_{index}", nn.Sequential(*stage))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Encode x [N, 3, H, W]."""
        features: list[Tensor] = []
        for stage in self.children():
            x = stage(x)
            features.append(x)
        return features


class LastEncoder(nn.Module):
    """The same encoder where only its last feature is wanted."""

    def __init__(self, width: int, suppression: Suppression) -> None:
        super().__init__()
        self.model = nn.Sequential(*(layer for stage in _stages(width, suppression) for layer in stage))

    def forward(self, x: Tensor) -> Tensor:
        """Encode x [N, 3, H, W] to [N, 16 width, H / 32, W / 32]."""
        feature: Tensor = self.model(x)
        return feature


def build_hifacegan(
    variant: Variant = "nested",
    suppression: Suppression = "lip",
    width: int = 48,
    guide_channels: int = 3,
    start: Start = "picture",
    norm: Norm = "batch",
    residual: bool = False,
) -> HiFaceGAN:
    """Build a HiFaceGAN, untrained; the options are those of :class:`HiFaceGANSettings`.

    >>> build_hifacegan("lipspade", width=4).facts.multiple
    32
    """
    return HiFaceGAN(HiFaceGANSettings(variant, suppression, width, guide_channels, start, norm, residual))


def fast(net: HiFaceGAN) -> HiFaceGAN:
    """A copy for use: the same function to rounding, by the rewrites of :class:`.FastBlock`, without gradients.

    Its state has other names: it is not to be saved. Measured on one CPU thread, width 48: 1.2 times as fast as the
    plain network at 256 x 256, 1.4 times at 512 x 512.

    >>> net = build_hifacegan(width=2).eval()
    >>> x = torch.rand(1, 3, 64, 64)
    >>> torch.allclose(fast(net)(x), net(x), atol=1e-6)
    True
    """
    blocks = [block for block in net.blocks() if isinstance(block, SpadeBlock)]
    if not blocks:
        return net  # it is one already
    quick = copy.deepcopy(net).eval().requires_grad_(False)
    quick.head_0, quick.G_middle_0, quick.G_middle_1, *ups = [FastBlock(b) for b in blocks]
    quick.ups = nn.ModuleList(ups)
    for parent in list(quick.modules()):
        for name, norm in parent.named_children():
            if isinstance(norm, InstanceNorm):
                setattr(parent, name, QuickInstanceNorm(norm))
    quick.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return quick.eval()


def settings_of(state: Mapping[str, Tensor]) -> HiFaceGANSettings:
    """Read the settings of published weights from their names and shapes (LIP suppression).

    Raises
    ------
    ModelError
        The state is of another network.

    Examples
    --------
    >>> settings_of(build_hifacegan("lipspade", width=2).state_dict()).variant
    'lipspade'
    """
    try:
        fc, shared = state["fc.weight"], state["head_0.norm_0.mlp_shared.0.weight"]
    except KeyError as error:
        raise ModelError(f"the weights: found no {error.args[0]}, wanted those of a HiFaceGAN generator") from None
    width = len(fc) // 16
    if "encoder.head.0.weight" in state:
        return HiFaceGANSettings("nested", width=width)
    if "lip_encoder.model.0.weight" in state:
        return HiFaceGANSettings("lipspade", width=width, guide_channels=shared.shape[1])
    start: Start = "guide" if fc.shape[1] == shared.shape[1] != 3 else "picture"
    return HiFaceGANSettings("spade", width=width, guide_channels=shared.shape[1], start=start)


def _strided(channels: int) -> nn.Module:
    conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, InstanceNorm(channels, affine=True))


def _mean(_: int) -> nn.Module:
    return nn.AvgPool2d(3, 2, 1, count_include_pad=False)


SUPPRESSIONS: dict[str, Callable[[int], nn.Module]] = {
    "lip": LIP,
    "cac": CAC,
    "pac": PAC,
    "fixconv-a": _strided,
    "fixconv-b": _mean,
}


def _stages(width: int, suppression: Suppression) -> list[list[nn.Module]]:
    stages: list[list[nn.Module]] = [[nn.Conv2d(3, width, 3, padding=1, bias=False), InstanceNorm(width), nn.ReLU()]]
    for c_in, c_out in STAGES:
        conv = nn.Conv2d(c_in * width, c_out * width, 3, padding=1)
        stages.append([SUPPRESSIONS[suppression](c_in * width), conv, InstanceNorm(c_out * width), nn.ReLU()])
    stages[-1].pop()  # the last feature keeps its sign
    return stages


def _every(x: Tensor, stride: int) -> Tensor:
    return x[..., ::stride, ::stride]


def _require(x: Tensor, guide: Tensor | None, s: HiFaceGANSettings) -> None:
    if x.shape[1] != 3 or x.shape[2] % 32 or x.shape[3] % 32:
        raise SettingError("x", list(x.shape), "[N, 3, H, W] with sides that are multiples of 32: pad the picture")
    if guide is None and s.guide_channels != 3:
        raise SettingError("guide", guide, f"a guide of {s.guide_channels} channels beside the picture")
    if guide is not None and (s.variant == "nested" or guide.shape[1:] != (s.guide_channels, *x.shape[2:])):
        wanted = "none" if s.variant == "nested" else f"{[s.guide_channels, *x.shape[2:]]} per picture"
        raise SettingError("guide", list(guide.shape), wanted)


def _facts(s: HiFaceGANSettings) -> Facts:
    # The exact radius of the receptive field without the norms; LIP's logits reach 1 further at each of five sizes.
    halo_px = {"nested": 348, "lipspade": 284, "spade": 254}[s.variant]
    if s.variant != "spade" and s.suppression == "lip":
        halo_px += 31
    # Measured at 512 x 512, the plain and the fast form: 909 at width 8, 1416 at 16, 2508 at 32, 3650 at 48.
    return Facts(
        multiple=32,
        halo_px=halo_px,
        global_statistics=True,
        precisions=("bfloat16", "float32"),
        bytes_per_px=420 + 68 * s.width,
    )
