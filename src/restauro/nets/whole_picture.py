"""Exact tiles for networks that look at the whole picture: look once, tile by tile, then run tile by tile.

What a DeSmoothGAN knows of a whole picture is little (a curve and a gate per decoder level), but each level's part
depends on the levels before. So they are gathered in that order, each in one pass over the picture for the maps
f, g, h and one for the maximum and mean of every channel. Nothing else of the picture's size is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from restauro.errors import SettingError
from restauro.nets.desmoothgan import DeSmoothGAN, Level
from restauro.nets.layers.full_attention import Attention, FullAttention, pool
from restauro.nets.layers.sft import SFT, Modulation

Box = tuple[slice, slice]


class WholePicture(nn.Module):
    """A DeSmoothGAN that has looked at one whole picture, and now treats tiles of it as if it saw all of it.

    Its facts have no ``global_statistics``: the engine may cut that picture, and no other, as it likes.

    Parameters
    ----------
    net
        In evaluation mode. It is not copied.
    x
        The picture [1, 3, H, W], 0..1, sides a multiple of ``net.facts.multiple``.
    tile_px
        What a tile of the first look covers; it reads the halo around it.

    Notes
    -----
    Looking takes two passes per level with attention, each through the network up to that level: measured with
    *ours* at width 16 on 1536 x 1536 pixels in tiles of 512, 3.4 times the time of running it whole, and a third of the
    memory. Kept meanwhile: one tile, and f, g, h of one level (3/4 of a number per pixel at the finest).

    Examples
    --------
    >>> from restauro.nets.desmoothgan import build_desmoothgan
    >>> net = build_desmoothgan("ours", width=4).eval()
    >>> x = torch.rand(1, 3, 320, 32)
    >>> with torch.no_grad():
    ...     tile = WholePicture(net, x, tile_px=64)(x[..., :256, :])  # 96 rows of which see the cut
    ...     torch.allclose(tile[..., :160, :], net(x)[..., :160, :], atol=1e-5)
    True
    """

    def __init__(self, net: DeSmoothGAN, x: Tensor, tile_px: int = 512) -> None:
        super().__init__()
        multiple = net.facts.multiple
        if net.training:
            raise SettingError("net", "training mode", "evaluation mode: call net.eval()")
        if x.shape[2] % multiple or x.shape[3] % multiple:
            raise SettingError("x", list(x.shape), f"sides that are multiples of {multiple}: pad the picture")
        self.net = net
        self.facts = replace(net.facts, global_statistics=False)
        self.known = look(net, x, -(-tile_px // multiple) * multiple)

    def forward(self, x: Tensor) -> Tensor:
        """Desmooth a tile [1, 3, h, w] that begins at multiples of ``facts.multiple``."""
        y: Tensor = self.net(x, self.known)
        return y


@torch.no_grad()
def look(net: DeSmoothGAN, x: Tensor, tile_px: int) -> list[Level]:
    """What each level of the decoder knows of the picture x; see :class:`WholePicture`."""
    known = [Level() for _ in net.up]
    if net.settings.modulation == "pooled":
        known = [Level(modulation) for modulation in _modulations(net, x, tile_px)]
    for level, layer in enumerate(net.attention):
        assert isinstance(layer, FullAttention)
        known[level] = replace(known[level], attention=_attention(net, layer, x, tile_px, known, level))
    return known


def _modulations(net: DeSmoothGAN, x: Tensor, tile_px: int) -> list[Modulation]:
    """Maxima over the picture of each level's gamma and beta."""
    found: list[Modulation] = []
    for box, write in _boxes(net, x, tile_px):
        guide = 2 * x[:, :, *box] - 1
        for level, sft in enumerate(net.sft):
            assert isinstance(sft, SFT)
            inside = _inside(box, write, net.stride(level))
            new = [maps[:, :, *inside].amax((2, 3), True) for maps in sft.maps(net.guide_at(level, guide))]
            if level == len(found):
                found.append((new[0], new[1]))
            else:
                gamma, beta = found[level]
                found[level] = (torch.maximum(gamma, new[0]), torch.maximum(beta, new[1]))
    return found


def _attention(
    net: DeSmoothGAN, layer: FullAttention, x: Tensor, tile_px: int, known: list[Level], level: int
) -> Attention:
    """One level's curve and gate, given all levels before."""
    stride = net.stride(level)

    def features() -> Iterator[tuple[Box, Tensor]]:
        for box, write in _boxes(net, x, tile_px):
            y = net.decode(x[:, :, *box], known, before_attention=level)
            place = tuple(slice(side.start // stride, side.stop // stride) for side in write)
            yield (place[0], place[1]), y[:, :, *_inside(box, write, stride)]

    height, width = x.shape[2] // stride, x.shape[3] // stride
    curve = gate = None
    if layer.spatial:
        maps = x.new_empty(len(x), 3, height, width)
        for place, y in features():
            maps[:, :, *place] = layer.maps(y)
        curve = layer.curve(maps)
    if layer.mlp is not None:
        largest, total = torch.tensor(-torch.inf), torch.zeros((), dtype=torch.float64)
        for _, y in features():
            tile_largest, mean = pool(layer.relate(y, curve))
            largest = torch.maximum(largest.to(tile_largest), tile_largest)
            total = total.to(mean.device) + mean.double() * y[0, 0].numel()
        gate = layer.gate(largest, (total / (height * width)).to(largest))
    return Attention(curve, gate)


def _boxes(net: DeSmoothGAN, x: Tensor, tile_px: int) -> Iterator[tuple[Box, Box]]:
    """Cut x into tiles: what each reads (with the halo, up to a multiple) and what it stands for."""
    multiple = net.facts.multiple
    halo = -(-net.facts.halo_px // multiple) * multiple
    height, width = x.shape[2:]
    for top in range(0, height, tile_px):
        for left in range(0, width, tile_px):
            write = slice(top, min(top + tile_px, height)), slice(left, min(left + tile_px, width))
            rows, cols = (
                slice(max(side.start - halo, 0), min(side.stop + halo, most))
                for side, most in zip(write, (height, width), strict=True)
            )
            yield (rows, cols), write


def _inside(read: Box, write: Box, stride: int) -> Box:
    """Where ``write`` lies in what was read, at a stride."""
    rows, cols = (
        slice((w.start - r.start) // stride, (w.stop - r.start) // stride) for r, w in zip(read, write, strict=True)
    )
    return rows, cols
