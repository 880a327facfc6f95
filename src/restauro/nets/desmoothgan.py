"""DeSmoothGAN: networks that give a smoothed picture its detail back.

The U-Net of pix2pix (Isola et al. 2017) with two additions in the decoder: a spatial feature transform (SFT) that
reads gains and offsets from the smoothed picture at every size, then full attention (FA). One family covers all
rows of the paper's Table 1 and the ablations of its figures: :func:`build_desmoothgan`.

The paper gives sizes only as millions of parameters. What stands here is the simplest design that fits all eight
(truncated): 4x4 convolutions, width 64, SFT and FA after the skip is joined, at four sizes.

Four settings go beyond the paper. ``norm="none"`` and ``residual=True``, because the networks that ship are small and
must never do harm; ``detail``, because what a smoother did shows in steps of a few levels of 255, which a convolution
of the picture hardly tells from none; and ``refine``, because the published decoder goes from half size to the picture
in one linear layer, which can draw nothing finer than a sum of patches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from restauro.errors import SettingError
from restauro.facts import Facts
from restauro.nets.layers.attend import SoftmaxAxis
from restauro.nets.layers.fold import fold
from restauro.nets.layers.full_attention import Attention, FullAttention
from restauro.nets.layers.phases import FourPhases
from restauro.nets.layers.refine import Refine
from restauro.nets.layers.sft import SFT, Modulation, QuickSFT
from restauro.nets.spade import SpadeGenerator

Norm = Literal["batch", "none"]


@dataclass(frozen=True)
class DeSmoothGANSettings:
    """What a generator of the family is made of.

    Parameters
    ----------
    width
        Channels after the first convolution; 64 in the paper.
    downs
        Number of halvings; sides of the input must be divisible by ``2 ** downs``. 5 in the paper, 7 in
        *pix2pix-EX*.
    norm
        ``"batch"`` as published, or ``"none"``: biased convolutions and no statistics, so that a picture comes out
        the same alone, in a batch or (without attention) in tiles.
    residual
        False: tanh(.) is the picture in -1..1, as published. True: the last layer starts at zero and is *added* to
        the input, so that the untrained network is the identity.
    spectral
        Spectral norm on all convolutions and linear layers (but for the last one of a residual network).
    modulation
        ``"spatial"``: SFT. ``"pooled"``: its maxima over the picture (*AdaIN*). ``"none"``: no SFT.
    spatial_attention, channel_attention
        The two halves of FA, SR and CR.
    attention_levels
        How many sizes carry attention, from the smallest; None: all. 3 is what the paper's graphics card could hold
        with tables of n x n.
    softmax_axis, attention_nodes
        See :func:`restauro.nets.layers.attend.attend`.
    sft_reduction
        See :class:`restauro.nets.layers.sft.SFT`.
    detail
        0: the first convolution sees the picture, as published. Else it sees beside it the steps from each pixel to
        the next, across and down, as tanh(detail * step) of a picture in -1..1: at 32 a step of one level of 255 is a
        quarter. Flat or noisy, bent or straight: that is how one smoother is told from another.
    refine
        0: the last layer is linear, as published. Else beside it a branch of so many channels at full size: features
        of half size spread over 2x2 pixels, then two 3x3 convolutions, the first of which sees the input again. Its
        last weights start at zero, so the network starts as without it.
    init
        ``"torch"``, or ``"published"``: weights N(0, 0.02), gains of the norms N(1, 0.02), biases 0.
    """

    width: int = 64
    downs: int = 5
    norm: Norm = "batch"
    residual: bool = False
    spectral: bool = False
    modulation: Literal["spatial", "pooled", "none"] = "none"
    spatial_attention: bool = False
    channel_attention: bool = False
    attention_levels: int | None = None
    softmax_axis: SoftmaxAxis = "key"
    attention_nodes: int | None = None
    sft_reduction: int = 2
    detail: float = 0.0
    refine: int = 0
    init: Literal["torch", "published"] = "torch"

    def __post_init__(self) -> None:
        levels, nodes, widest = self.attention_levels, self.attention_nodes, 2 * self.width
        for name, good, wanted in (
            ("width", self.width >= 1, "a whole number from 1"),
            ("downs", 2 <= self.downs <= 8, "2 to 8 halvings"),
            ("norm", self.norm in ("batch", "none"), "batch or none"),
            ("modulation", self.modulation in ("spatial", "pooled", "none"), "spatial, pooled or none"),
            ("attention_levels", levels is None or 0 <= levels < self.downs, f"0 to {self.downs - 1}, or None for all"),
            ("softmax_axis", self.softmax_axis in ("key", "query"), "key or query"),
            ("attention_nodes", nodes is None or 4 <= nodes <= 4096, "4 to 4096, or None for as many as needed"),
            ("sft_reduction", 1 <= self.sft_reduction <= widest, f"1 to {widest} at width {self.width}"),
            ("detail", 0 <= self.detail <= 1000, "0 (none) to 1000"),
            ("refine", 0 <= self.refine <= 1024, "0 (none) to 1024 channels"),
            ("init", self.init in ("torch", "published"), "torch or published"),
        ):
            if not good:
                raise SettingError(name, getattr(self, name), wanted)

    @property
    def attention(self) -> bool:
        """Whether any level has attention."""
        return (self.spatial_attention or self.channel_attention) and self.attention_levels != 0


@dataclass(frozen=True, eq=False)
class Level:
    """What one decoder level knows of the whole picture; see :mod:`restauro.nets.whole_picture`."""

    modulation: Modulation | None = None
    attention: Attention | None = None


class DeSmoothGAN(nn.Module):
    """A generator of the family.

    Encoder: 4x4 convolutions, stride 2, widths ``width * (1, 2, 4, 8, 8, ...)``, LeakyReLU 0.2 before each but the
    first; the first and the innermost carry no norm. Decoder, at each size: ReLU, 4x4 transposed convolution, norm,
    the skip of the same size beside it, SFT, FA; the last transposed convolution has 3 outputs and a tanh.

    Examples
    --------
    >>> net = DeSmoothGAN(DeSmoothGANSettings(width=8, modulation="spatial", channel_attention=True)).eval()
    >>> net(torch.rand(1, 3, 32, 64)).shape
    torch.Size([1, 3, 32, 64])
    >>> net.facts.global_statistics
    True
    """

    def __init__(self, settings: DeSmoothGANSettings) -> None:
        super().__init__()
        s = self.settings = settings
        self.residual = s.residual
        self.facts = _facts(s)
        widths = [s.width * min(2**level, 8) for level in range(s.downs)]
        inputs = [9 if s.detail else 3, *widths[:-1]]
        self.down = nn.ModuleList(
            _conv(inputs[level], widths[level], s.norm, normed=0 < level < s.downs - 1) for level in range(s.downs)
        )
        self.up = nn.ModuleList(
            _up(widths[level] * (1 if level == s.downs - 1 else 2), widths[level - 1], s.norm)
            for level in range(s.downs - 1, 0, -1)
        )
        self.head = nn.ConvTranspose2d(2 * s.width, 3, 4, stride=2, padding=1)
        self.refine = Refine(2 * s.width, inputs[0], s.refine) if s.refine else None
        joined = [2 * width for width in reversed(widths[:-1])]
        self.sft = nn.ModuleList(
            SFT(channels, 3, s.width, s.sft_reduction, pooled=s.modulation == "pooled")
            for channels in (joined if s.modulation != "none" else [])
        )
        attended = joined[: s.attention_levels] if s.attention else []
        self.attention = nn.ModuleList(
            FullAttention(channels, s.spatial_attention, s.channel_attention, s.softmax_axis, s.attention_nodes)
            for channels in attended
        )
        self._initialise()
        if s.spectral:  # after the weights are set: the norm starts from them
            self._norm_spectra()

    def forward(self, x: Tensor, known: Sequence[Level] | None = None) -> Tensor:
        """Desmooth x [N, 3, H, W], 0..1, to the same shape; the residual form is not clipped.

        With what is ``known`` of the whole picture at each level, x may be a tile of it.
        """
        seen = self.first_seen(2 * x - 1)
        features = self.decode(x, known, seen=seen).relu()
        y: Tensor = self.head(features)
        if self.refine is not None:
            y = y + self.refine(features, seen)
        return x + y if self.residual else (torch.tanh(y) + 1) / 2

    def decode(
        self,
        x: Tensor,
        known: Sequence[Level] | None = None,
        before_attention: int | None = None,
        seen: Tensor | None = None,
    ) -> Tensor:
        """The features of the last level, or those that the attention of another level looks at.

        ``seen`` is what :meth:`first_seen` gives of x, where that is at hand.
        """
        guide = 2 * x - 1
        y: Tensor = self.down[0](self.first_seen(guide) if seen is None else seen)
        skips = []
        for down in self.down[1:]:
            skips.append(nn.functional.leaky_relu(y, 0.2))  # published in place: so the skip is the activated tensor
            y = down(skips[-1])
        for level, up in enumerate(self.up):
            y = torch.cat([skips.pop(), up(y.relu())], dim=1)
            at = known[level] if known else Level()
            if self.sft:
                y = self.sft[level](y, self.guide_at(level, guide), at.modulation)
            if level == before_attention:
                return y
            if level < len(self.attention):
                y = self.attention[level](y, at.attention)
        return y

    def first_seen(self, guide: Tensor) -> Tensor:
        """What the first convolution sees of a picture in -1..1: it alone [N, 3, H, W], or with its steps."""
        return with_steps(guide, self.settings.detail) if self.settings.detail else guide

    def for_use(self) -> nn.Module:
        """The form that the engine runs: norms folded into the weights, layers in their forms for use."""
        quick = fold(self)
        assert isinstance(quick, DeSmoothGAN)
        if not any(isinstance(sft, QuickSFT) for sft in quick.sft):
            quick.sft = nn.ModuleList(QuickSFT.of(sft) for sft in quick.sft if isinstance(sft, SFT))
        if isinstance(quick.head, nn.ConvTranspose2d):
            quick.head = FourPhases(quick.head)  # type: ignore[assignment]
        return quick.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def seeing(self, x: Tensor, tile_px: int) -> nn.Module:
        """Look at the whole picture x first, so that tiles of it come out exact."""
        from restauro.nets.whole_picture import WholePicture  # which stands on this file

        return WholePicture(self, x, tile_px)

    def rectified(self) -> Iterator[tuple[str, nn.Module, list[tuple[nn.Module, int]]]]:
        """Layers with only a ReLU behind them (no norm, SFT, FA): name, layer, (next layer, its first input)."""
        ends = [self.head] if self.refine is None else [self.head, self.refine.spread]
        chain = [self.down[-1], *self.up] if self.settings.norm == "none" and not (self.sft or self.attention) else []
        for level, layer in enumerate(chain):
            following = [self.up[level]] if level < len(self.up) else ends
            skipped = 0 if level == 0 else layer.get_parameter("weight").shape[1]  # the skip comes before
            yield f"up.{level - 1}" if level else "bottom", layer, [(one, skipped) for one in following]

    def stride(self, level: int) -> int:
        """Pixels of the picture per feature of a decoder level, on a side."""
        return 1 << len(self.up) - level

    def guide_at(self, level: int, guide: Tensor) -> Tensor:
        """The guide [N, 3, H, W], -1..1, at the size of a decoder level: the mean of each square."""
        return nn.functional.avg_pool2d(guide, self.stride(level))

    def _initialise(self) -> None:
        if self.settings.init == "published":
            for module in self.modules():
                if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.BatchNorm2d)):
                    mean = float(isinstance(module, nn.BatchNorm2d))
                    nn.init.normal_(module.weight, mean, 0.02)
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)
        for parameter in (parameter for layer in self._last() for parameter in layer.parameters()):
            nn.init.zeros_(parameter)

    def _last(self) -> list[nn.Module]:
        """Layers that start at zero."""
        return [self.head] * self.residual + ([] if self.refine is None else [self.refine.last])

    def _norm_spectra(self) -> None:
        for module in list(self.modules()):
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)) and module not in self._last():
                spectral_norm(module)


def with_steps(guide: Tensor, gain: float) -> Tensor:
    """The guide [N, 3, H, W] and tanh(gain * step) to the next pixel across and down, [N, 9, H, W]; 0 at the border.

    >>> with_steps(torch.tensor([[0.0, 0.01], [0.0, 0.0]]).expand(1, 3, 2, 2), 100)[0, 3].tolist()
    [[0.761..., 0.0], [0.0, 0.0]]
    """
    across = nn.functional.pad(guide[..., 1:] - guide[..., :-1], (0, 1))
    down = nn.functional.pad(guide[..., 1:, :] - guide[..., :-1, :], (0, 0, 0, 1))
    return torch.cat([guide, (gain * across).tanh(), (gain * down).tanh()], dim=1)


class Pix2Pix(DeSmoothGAN):
    """The U-Net generator of pix2pix alone: no SFT, no attention, no spectral norm.

    Parameters are those of :class:`DeSmoothGANSettings`.

    Examples
    --------
    >>> sum(p.numel() for p in Pix2Pix().parameters())
    16659075
    >>> x = torch.rand(1, 3, 32, 64)
    >>> torch.equal(Pix2Pix(8, norm="none", residual=True)(x), x)
    True
    """

    def __init__(self, width: int = 64, downs: int = 5, norm: Norm = "batch", residual: bool = False) -> None:
        super().__init__(DeSmoothGANSettings(width, downs, norm, residual))


#: Rows of the paper's Table 1, and the figures' w/o SR and w/o CR, as settings; *spade* is another network.
ROWS: dict[str, dict[str, Any]] = {
    "pix2pix": {},
    "pix2pix-ex": {"downs": 7},
    "adain": {"modulation": "pooled", "spatial_attention": True, "channel_attention": True},
    "ours": {"modulation": "spatial", "spatial_attention": True, "channel_attention": True},
    "no-sft": {"spatial_attention": True, "channel_attention": True},
    "no-fa": {"modulation": "spatial"},
    "no-sft-fa": {},
    "no-sr": {"modulation": "spatial", "channel_attention": True},
    "no-cr": {"modulation": "spatial", "spatial_attention": True},
}


def build_desmoothgan(
    variant: str = "pix2pix",
    width: int = 64,
    norm: Norm = "batch",
    residual: bool = False,
    spectral: bool | None = None,
    attention_levels: int | None = None,
    softmax_axis: SoftmaxAxis = "key",
    attention_nodes: int | None = None,
    sft_reduction: int = 2,
    detail: float = 0.0,
    refine: int = 0,
    init: Literal["torch", "published"] = "torch",
) -> nn.Module:
    """Build one row of the paper's Table 1, or an ablation of its figures, untrained.

    Parameters
    ----------
    variant
        ``ours``, ``pix2pix``, ``pix2pix-ex`` (seven halvings), ``adain`` (pooled SFT), ``spade`` (the SPADE
        generator at 3/4 of the width, fed with the picture), ``no-sft``, ``no-fa``, ``no-sft-fa``, ``no-sr``,
        ``no-cr``.
    width, norm, residual, attention_levels, softmax_axis, attention_nodes, sft_reduction, detail, refine, init
        See :class:`DeSmoothGANSettings`. Rows without attention or SFT have no use for their settings, so that one
        recipe serves all rows.
    spectral
        None: as published, that is on with ``norm="batch"`` in all rows but the two of pix2pix.

    Examples
    --------
    >>> with torch.device("meta"):
    ...     net = build_desmoothgan("ours", spectral=False)
    >>> sum(p.numel() for p in net.parameters())  # spectral norm adds none
    32552655
    """
    if variant == "spade":
        if norm != "batch":
            raise SettingError("norm", norm, "batch for the row spade, which modulates normed features")
        if spectral is False:
            raise SettingError("spectral", spectral, "None or True for the row spade")
        return SpadeGenerator(3, max(1, width * 3 // 4), picture=True, residual=residual)
    if variant not in ROWS:
        raise SettingError("variant", variant, f"spade, {', '.join(ROWS)}")
    if spectral is None:
        spectral = norm == "batch" and not variant.startswith("pix2pix")
    settings = DeSmoothGANSettings(
        width=width,
        norm=norm,
        residual=residual,
        spectral=spectral,
        attention_levels=attention_levels,
        softmax_axis=softmax_axis,
        attention_nodes=attention_nodes,
        sft_reduction=sft_reduction,
        detail=detail,
        refine=refine,
        init=init,
        **ROWS[variant],
    )
    return DeSmoothGAN(settings)


def _facts(s: DeSmoothGANSettings) -> Facts:
    plain = not s.attention and s.modulation == "none"
    return Facts(
        multiple=2**s.downs,
        # The exact radius of the receptive field, 93 at five downs; SFT reaches 5/2 * 2^downs - 2 and adds nothing.
        halo_px=3 * 2**s.downs - 3 + bool(s.detail) + bool(s.refine),
        global_statistics=s.attention or s.modulation == "pooled",
        precisions=("bfloat16", "float32"),
        # Measured: plain 286 at width 40, 384 at 64; all others at most 93 at 4, 270 at 16, 543 at 40, 706 at 64.
        # Steps come and go before the peak: 281 with them, 325 without, at 1536 x 1536 and width 40.
        # A refining branch of 24 channels takes 119 to 234 more, one of 48 as much as 505.
        bytes_per_px=(132 + 4 * s.width if plain else 64 + 13 * s.width) + 12 * s.refine,
    )


def _conv(c_in: int, c_out: int, norm: Norm, *, normed: bool) -> nn.Module:
    conv = nn.Conv2d(c_in, c_out, 4, stride=2, padding=1, bias=norm == "none")
    return nn.Sequential(conv, nn.BatchNorm2d(c_out)) if norm == "batch" and normed else conv


def _up(c_in: int, c_out: int, norm: Norm) -> nn.Module:
    conv = nn.ConvTranspose2d(c_in, c_out, 4, stride=2, padding=1, bias=norm == "none")
    return nn.Sequential(conv, nn.BatchNorm2d(c_out)) if norm == "batch" else conv
