"""SASNet: deep scale-aware image smoothing by an invertible network.

A Haar split and a chain of affine couplings, together f, turn a picture x into a small structure picture and a code
z of everything else; z is put aside, and the same chain runs backwards::

    (coarse, z) = f(x)          y = f^-1(coarse, n)          f^-1(coarse, z) = x

The paper draws n ~ N(0, 1). Here n is zero unless samples are asked for: deterministic, and better. ``alpha * z`` in
z's place is a dial from the smoothed picture (0) over the input (1) to boosted detail.

The paper gives neither widths nor code. Subnets of width 64 (two 3x3 convolutions, CBAM, the input beside them, a third
convolution) are the ones whose cost is the paper's 209.12 G for 512 x 384 (multiply-accumulates, both passes).
Inferred as well: where CBAM stands; the bound on the log-scale and the start (after IRN, Xiao et al. 2020); and how 16
blocks are shared out over two or three levels (8 + 8, 6 + 5 + 5).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recomputed

from restauro.errors import SettingError, UsageError
from restauro.facts import Facts
from restauro.nets.layers.cbam import GateNorm
from restauro.nets.layers.haar import haar_merge, haar_split
from restauro.nets.layers.invertible import AffineCoupling, Evaluate, evaluate
from restauro.nets.layers.subnet import BandedSubnet, Subnet

HALO_CODE_PX = 32  # twice the distance at which, gates given, trained networks differed by rounding alone
Step = Callable[[Tensor, Tensor, Evaluate], tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Gates:
    """All that SASNet knows of the whole picture: the channel gates of one run, in order, [N, width, 1, 1] each.

    With them a tile comes out as it does in the whole picture; see :meth:`SASNet.gates`.
    """

    values: tuple[Tensor, ...]


class SASNet(nn.Module):
    """Smooth a picture: remove texture, keep structure.

    Parameters
    ----------
    scale
        2, 4 or 8: one, two or three Haar levels. The paper's best is 2.
    width
        Channels inside the subnets, 64 in the paper; cost goes with its square.
    depth
        Blocks in all, 16 in the paper, shared out over the levels; the first ones take what is left over.
    attention
        CBAM in every subnet. It pools over the whole picture: see :meth:`gates` and :meth:`fused`.
    norm
        In CBAM: ``"frozen"``, the parameters of batch normalisation without its statistics; ``"batch"``, the paper's
        (in training a picture's result then depends on its batch); or ``"none"``.
    checkpoint
        In training keep only the states between blocks and compute the rest again on the way back: a third
        more time, and the memory of one block instead of all.

    Attributes
    ----------
    facts
        For the engine. ``halo_px`` is where dependence has died out; the receptive field is :attr:`radius_px`.

    Notes
    -----
    The paper's network takes 1.06 million multiply-accumulates per pixel. Untrained, every block is the identity,
    and the result is the picture averaged over ``scale`` x ``scale`` pixels.

    Examples
    --------
    >>> net = SASNet(width=8, depth=2)
    >>> x = torch.rand(1, 3, 16, 24)
    >>> net(x).shape, torch.equal(net(x, alpha=1.0), x)
    (torch.Size([1, 3, 16, 24]), True)
    >>> coarse, z = net.split(x)
    >>> coarse.shape, z.shape, torch.allclose(net.merge(coarse, z), x, atol=1e-5)
    (torch.Size([1, 3, 8, 12]), torch.Size([1, 9, 8, 12]), True)
    """

    def __init__(
        self,
        scale: int = 2,
        width: int = 64,
        depth: int = 16,
        attention: bool = True,
        norm: GateNorm = "frozen",
        checkpoint: bool = False,
    ) -> None:
        super().__init__()
        if scale not in (2, 4, 8):
            raise SettingError("scale", scale, "2, 4 or 8")
        self.scale, self.width, self.checkpoint = scale, width, checkpoint
        levels = scale.bit_length() - 1
        if width < 1:
            raise SettingError("width", width, "a whole number from 1")
        if depth < levels:
            raise SettingError("depth", depth, f"a whole number from {levels}, a block for each level of scale {scale}")
        if checkpoint and norm == "batch":
            raise SettingError("checkpoint", checkpoint, "norm frozen or none: batch statistics would count twice")

        def block(rest: int) -> AffineCoupling:
            ends = ((rest, 3), (3, rest), (3, rest))
            return AffineCoupling(*(Subnet(*end, width, attention, norm) for end in ends))

        self.levels = nn.ModuleList(
            nn.ModuleList(block(3 * 4**level - 3) for _ in range((depth + levels - level) // levels))
            for level in range(1, levels + 1)
        )
        self.radius_px = _radius_px([len(blocks) for blocks in self._levels], attention)
        self.facts = Facts(
            multiple=scale,
            halo_px=min(self.radius_px, HALO_CODE_PX * scale),
            global_statistics=attention,
            precisions=("bfloat16", "float32"),
            bytes_per_px=96 + 11 * width // 4,
            dial=True,
        )

    def forward(
        self,
        x: Tensor,
        *,
        alpha: float | Tensor = 0.0,
        samples: int = 0,
        generator: torch.Generator | None = None,
        gates: Gates | None = None,
    ) -> Tensor:
        """Smooth x.

        Parameters
        ----------
        x
            [N, 3, H, W], 0..1; sides divisible by ``scale``.
        alpha
            How much detail stays, 1 - strength: 0 = smoothed, 1 = x bit for bit, above 1 = detail boosted. A number, or
            a map [N or 1, 1, H, W]: x comes back bit for bit where it is 1, and each code pixel takes the mean of the
            ``scale`` x ``scale`` pixels that it stands for.
        samples
            What fills the place of the detail put aside: 0 = zeros; K = noise, drawn K times, and the mean of the K
            pictures (1 is the paper). It is weighted with 1 - alpha.
        generator
            Where the noise comes from.
        gates
            Those of the whole picture that x is a part of; see :meth:`gates`.

        Returns
        -------
        Tensor
            [N, 3, H, W], not clipped.

        Raises
        ------
        SettingError
            ``alpha`` or ``samples`` below 0, a map of another size, samples without a generator.
        UsageError
            Sides that are not divisible by ``scale``; gates of a run with other settings.
        """
        if gates is None:
            return self._smooth(x, alpha, samples, generator, evaluate)
        left = iter(gates.values)
        y = self._smooth(x, alpha, samples, generator, _using(left))
        if next(left, None) is not None:
            raise _other_run()
        return y

    def gates(
        self,
        x: Tensor,
        *,
        alpha: float | Tensor = 0.0,
        samples: int = 0,
        generator: torch.Generator | None = None,
    ) -> Gates:
        """Run on the whole picture and keep its channel gates: ``width`` numbers for each of 6 * depth - 2 subnets.

        ``net(tile, gates=gates)`` then computes the tile as part of that picture: equal up to rounding from
        :attr:`radius_px` on, and in practice from ``facts.halo_px`` on, away from the tile's cut sides. The gates of a
        block depend on all blocks before it, so this costs a whole run (of :meth:`fused`, where memory matters).
        They hold for one ``alpha`` and number of samples.

        Raises
        ------
        UsageError
            A network without attention, whose tiles need none.
        """
        if not self.facts.global_statistics:
            raise UsageError("gates: found a SASNet without attention, whose tiles need none; leave them out")
        used: list[Tensor] = []
        with torch.no_grad():
            self._smooth(x, alpha, samples, generator, _recording(used))
        return Gates(tuple(used))

    def split(self, x: Tensor, call: Evaluate = evaluate) -> tuple[Tensor, Tensor]:
        """f: x [N, 3, H, W] -> structure [N, 3, H/s, W/s] and code z [N, 3 s^2 - 3, H/s, W/s], s being the scale.

        Together they say the same as x, see :meth:`merge`. The structure is a smoothed thumbnail.
        """
        return self._split(x, call, with_z=True)

    def merge(self, coarse: Tensor, z: Tensor, call: Evaluate = evaluate) -> Tensor:
        """f^-1: undo :meth:`split` (in float32 to about 1e-6), or decode any other code of that shape."""
        state = torch.cat([coarse, z], dim=1)
        for blocks in reversed(self._levels):
            a1, a2 = state[:, :3], state[:, 3:]
            for block in reversed(blocks):
                a1, a2 = self._step(block.inverse, a1, a2, call)
            state = haar_merge(torch.cat([a1, a2], dim=1))
        return state

    def for_use(self) -> SASNet:
        """The form that the engine runs: :meth:`fused`; a fused one is that already."""
        return self if isinstance(self._levels[0][0].g1, BandedSubnet) else self.fused()

    def fused(self, band_px: int = 128) -> SASNet:
        """Make an equal network for inference: faster, and exact on large pictures without tiles.

        Its subnets run in bands of rows with the whole picture's pooling (:class:`.layers.subnet.BandedSubnet`), so
        that memory is the kept features of one subnet, and about none where gates are given.

        Parameters
        ----------
        band_px
            Height of a band, in pixels of the picture. A processor wants a band's features in its cache, a
            GPU wants large ones.

        Returns
        -------
        SASNet
            A copy in eval mode that gives no gradients; its weights have other names, so save the original.
        """
        if band_px < 1:
            raise SettingError("band_px", band_px, "a whole number from 1")
        net = copy.deepcopy(self)
        for level, blocks in enumerate(net._levels, start=1):
            rows = max(band_px >> level, 1)
            for block in blocks:
                block.g1, block.g2, block.g3 = (
                    BandedSubnet(cast(Subnet, g), rows) for g in (block.g1, block.g2, block.g3)
                )
        net.facts = replace(self.facts, bytes_per_px=110 + self.width)
        return net.eval().requires_grad_(False)

    @property
    def _levels(self) -> list[list[AffineCoupling]]:
        return [list(cast(Iterable[AffineCoupling], blocks)) for blocks in self.levels]

    def _smooth(
        self, x: Tensor, alpha: float | Tensor, samples: int, generator: torch.Generator | None, call: Evaluate
    ) -> Tensor:
        self._check(x, alpha, samples, generator)
        if not isinstance(alpha, Tensor) and alpha == 1:
            return x.clone()
        coarse, z = self._split(x, call, with_z=isinstance(alpha, Tensor) or alpha != 0)
        share = F.avg_pool2d(alpha, self.scale) if isinstance(alpha, Tensor) else z.new_tensor(alpha)
        if samples == 0:
            y = self.merge(coarse, share * z, call)
        else:
            loud = (1 - share).clamp(min=0)
            y = torch.zeros_like(x)
            for _ in range(samples):
                y = y + self.merge(coarse, share * z + loud * _noise_like(z, generator), call) / samples
        return torch.where(alpha == 1, x, y) if isinstance(alpha, Tensor) else y

    def _check(self, x: Tensor, alpha: float | Tensor, samples: int, generator: torch.Generator | None) -> None:
        if x.shape[-2] % self.scale or x.shape[-1] % self.scale:
            raise UsageError(
                f"found a picture of {x.shape[-1]} x {x.shape[-2]}, wanted sides divisible by {self.scale}; "
                "pad it by reflection and crop the result"
            )
        if isinstance(alpha, Tensor):
            if alpha.dim() != 4 or alpha.shape[1:] != (1, *x.shape[2:]):
                raise SettingError("alpha", list(alpha.shape), f"a number, or a map [N, 1, *{list(x.shape[2:])}]")
        elif not (math.isfinite(alpha) and alpha >= 0):
            raise SettingError("alpha", alpha, "0 (smoothed) to 1 (the input), or more")
        if samples < 0:
            raise SettingError("samples", samples, "a whole number from 0")
        if samples and generator is None:
            raise SettingError("generator", generator, "a torch.Generator, to draw the samples from")

    def _split(self, x: Tensor, call: Evaluate, *, with_z: bool) -> tuple[Tensor, Tensor]:
        """f; without z the last block makes only the structure, and the second result means nothing."""
        state = x
        last = self._levels[-1][-1]
        for blocks in self._levels:
            state = haar_split(state)
            a1, a2 = state[:, :3], state[:, 3:]
            for block in blocks:
                if with_z or block is not last:
                    a1, a2 = self._step(block, a1, a2, call)
                else:
                    a1 = block.first(a1, a2, call)
            state = torch.cat([a1, a2], dim=1)
        return state[:, :3], state[:, 3:]

    def _step(self, step: Step, a1: Tensor, a2: Tensor, call: Evaluate) -> tuple[Tensor, Tensor]:
        if self.checkpoint and self.training and torch.is_grad_enabled():
            a1, a2 = recomputed(step, a1, a2, call, use_reentrant=False)
            return a1, a2
        return step(a1, a2, call)


def build_sasnet(
    scale: int = 2,
    width: int = 64,
    depth: int = 16,
    attention: bool = True,
    norm: GateNorm = "frozen",
    checkpoint: bool = False,
) -> nn.Module:
    """Build a SASNet, untrained; see :class:`SASNet`.

    >>> sum(p.numel() for p in build_sasnet().parameters())
    2152032
    """
    return SASNet(scale, width, depth, attention, norm, checkpoint)


def _radius_px(blocks: list[int], attention: bool) -> int:
    """How far a pixel of the result looks, gates given.

    Each block runs forward and backward, each time two subnets deep (g1, then g2 beside g3); but the g2 and g3 of the
    last block read the same a1 on both ways. A subnet reaches three pixels of its level, six with the 7x7 of the
    attention. A code pixel spans 2 ** levels.
    """
    levels = len(blocks)
    coupled = sum((4 * count - (level == levels)) << level for level, count in enumerate(blocks, start=1))
    return (6 if attention else 3) * coupled + (1 << levels) - 1


def _noise_like(z: Tensor, generator: torch.Generator | None) -> Tensor:
    device = z.device if generator is None else generator.device
    return torch.randn(z.shape, generator=generator, device=device).to(z)


def _recording(used: list[Tensor]) -> Evaluate:
    def call(g: Any, u: Tensor) -> Tensor:
        y: Tensor
        y, gate = g.gated(u)
        used.append(gate)
        return y

    return call


def _using(left: Iterator[Tensor]) -> Evaluate:
    def call(g: Any, u: Tensor) -> Tensor:
        gate = next(left, None)
        if gate is None:
            raise _other_run()
        y: Tensor = g.gated(u, gate)[0]
        return y

    return call


def _other_run() -> UsageError:
    return UsageError(
        "gates: found those of another run, wanted as many as this one has subnets; "
        "compute them with the same network, alpha and samples"
    )
