"""ASAP-Net's pixelwise stage: a small perceptron at every pixel, with weights of its own in every tile.

Source: Rott Shaham et al., "Spatially-Adaptive Pixelwise Networks for Fast Image Translation", CVPR 2021, section 3.
The picture is cut into tiles of k x k pixels. A tile has one vector p of P numbers: per layer first the biases, then
the weights, input by input. The input of a pixel is its content (labels or colours) and its position in the tile,

    cos(2 pi x / f), sin(2 pi x / f), cos(2 pi y / f), sin(2 pi y / f)     for f = k, k/2, ..., 2,

hidden layers end in LeakyReLU 0.01. The last layer is linear here; what follows (tanh, a skip) is the network's.

Two forms, equal but for rounding. :func:`published` builds the whole input and multiplies layer after layer over the
whole picture: clear, and bound by memory traffic. The fast ones, :func:`of_content` and :func:`of_labels`,

* take the position apart: its columns depend on x or on y alone, so that its share of layer 0 is A[x] + B[y];
* look labels up: a one-hot vector times a matrix is one row of that matrix;
* go through all layers with a few tiles at a time, so that activations stay in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu, leaky_relu_

from restauro.errors import SettingError

SLOPE = 0.01
CHUNK_PX = 16384
"""Pixels that go through all layers together on the CPU: 4 MiB of activations at width 64."""


@dataclass(frozen=True)
class PixelMlp:
    """The perceptron's shape.

    Parameters
    ----------
    content
        Channels of a pixel's content.
    tile_px
        Side of a tile, k: a power of two, from 2.
    width, depth
        Hidden channels and the number of layers, from 2.
    outputs
        Channels of the result.

    Examples
    --------
    >>> mlp = PixelMlp(content=35, tile_px=32)
    >>> mlp.widths, mlp.count
    ((55, 64, 64, 64, 64, 3), 16259)
    """

    content: int
    tile_px: int
    width: int = 64
    depth: int = 5
    outputs: int = 3

    def __post_init__(self) -> None:
        if self.tile_px < 2 or self.tile_px & (self.tile_px - 1):
            raise SettingError("tile_px", self.tile_px, "a power of two from 2")
        if self.depth < 2:
            raise SettingError("depth", self.depth, "a whole number from 2")
        for name in ("content", "width", "outputs"):
            if getattr(self, name) < 1:
                raise SettingError(name, getattr(self, name), "a whole number from 1")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels before the first layer and after each."""
        positions = 4 * (self.tile_px.bit_length() - 1)
        return self.content + positions, *[self.width] * (self.depth - 1), self.outputs

    @property
    def _starts(self) -> list[int]:
        return list(accumulate(((c_in + 1) * c_out for c_in, c_out in pairwise(self.widths)), initial=0))

    @property
    def count(self) -> int:
        """Numbers per tile, P."""
        return self._starts[-1]

    def layer(self, params: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """The layer's biases [..., c_out] and weights [..., c_in, c_out] in params [..., P]: views."""
        start, c_in, c_out = self._starts[index], self.widths[index], self.widths[index + 1]
        bias = params[..., start : start + c_out]
        weight = params[..., start + c_out : start + c_out + c_in * c_out]
        return bias, weight.unflatten(-1, (c_in, c_out))


def waves(tile_px: int, like: Tensor) -> Tensor:
    """The position along one axis, [k, 2 log2 k]: cos and sin for each period f = k, k/2, ..., 2.

    The sine of period 2 is zero at every pixel; it stays, because published weights have a row for it.

    >>> waves(4, torch.zeros(1)).round(decimals=3).abs().tolist()[1]
    [0.0, 1.0, 1.0, 0.0]
    """
    at = torch.arange(tile_px, device=like.device)
    periods = [tile_px >> octave for octave in range(tile_px.bit_length() - 1)]
    phases = [2 * math.pi * (at % period) / period for period in periods]
    return torch.stack([wave for phase in phases for wave in (phase.cos(), phase.sin())], dim=1).to(like.dtype)


def published(mlp: PixelMlp, content: Tensor, params: Tensor) -> Tensor:
    """The stage as its authors compute it.

    Parameters
    ----------
    content
        [N, C, H, W], sides divisible by ``tile_px``.
    params
        [N, P, H/k, W/k].

    Returns
    -------
    Tensor
        [N, outputs, H, W]. Memory: two maps of the widest layer at full size.
    """
    k = mlp.tile_px
    n, _, height, width = content.shape
    grid = check_grid(height, width, k)
    axis = waves(k, content).unflatten(1, (-1, 2))  # [k, frequencies, cos and sin]
    square = (k, k, *axis.shape[1:])
    position = torch.cat([axis[None].expand(square), axis[:, None].expand(square)], dim=3).flatten(2)
    position = position.permute(2, 0, 1).repeat(1, *grid).expand(n, -1, -1, -1)
    h = _cut(torch.cat([content, position], dim=1), k).flatten(3, 4).flatten(0, 2)  # [tiles, k^2, channels]
    vectors = params.permute(0, 2, 3, 1).flatten(0, 2)
    for index in range(mlp.depth):
        bias, weight = mlp.layer(vectors, index)
        h = torch.bmm(h, weight) + bias[:, None]
        if index < mlp.depth - 1:
            h = leaky_relu(h, SLOPE)
    return _picture(h, (n, *grid), k)


def of_content(mlp: PixelMlp, content: Tensor | Sequence[Tensor], params: Tensor, reach_px: int = 0) -> Tensor:
    """The stage for content in channels, fast.

    Parameters
    ----------
    content
        [N, C, H + 2 reach, W + 2 reach], H and W divisible by ``tile_px``; or several of the same size, whose channels
        follow each other.
    params
        [N, H/k, W/k, P]: a tile's vector lies together.
    reach_px
        A pixel's content is its whole neighbourhood of (2 reach + 1)^2 pixels; ``mlp.content`` is C times that, ordered
        (channel, row, column). 0 in the paper.

    Returns
    -------
    Tensor
        [N, outputs, H, W], in the type of ``params``. Memory: a few tiles' content and activations; in training all.
    """
    k, window = mlp.tile_px, 2 * reach_px + 1
    maps = [content] if isinstance(content, Tensor) else content
    height, width = (side - 2 * reach_px for side in maps[0].shape[2:])
    check_grid(height, width, k)
    cut = [_cut(part, k, reach_px) for part in maps]
    vectors = params.flatten(0, 2)

    def first(part: slice) -> Tensor:
        # Neighbours in a row are copied side by side; rows of the neighbourhood are added up, one product each.
        beside = _some(cut, part).unfold(2, window, 1).flatten(3)  # [tiles, k + 2 reach, k, C window]
        bias, weight = mlp.layer(vectors[part], 0)
        by_row = weight[:, : mlp.content].unflatten(1, (-1, window, window))  # [tiles, C, row, column, width]
        h = _position(mlp, bias, weight)
        for row in range(window):
            h = torch.baddbmm(h, beside[:, row : row + k].flatten(1, 2), by_row[:, :, row].flatten(1, 2))
        return h

    return _picture(_through(mlp, first, vectors), params.shape[:3], k)


def of_labels(mlp: PixelMlp, ids: Tensor, params: Tensor) -> Tensor:
    """The stage for label ids [N, H, W] in 0..content-1, fast: :func:`of_content` of their one-hot channels."""
    k = mlp.tile_px
    check_grid(ids.shape[1], ids.shape[2], k)
    tiles = _cut(ids[:, None], k).reshape(-1, k * k).long()  # [tiles, k^2]
    vectors = params.flatten(0, 2)

    def first(part: slice) -> Tensor:
        bias, weight = mlp.layer(vectors[part], 0)
        table = weight[:, : mlp.content].flatten(0, 1)  # the rows of all tiles, one below the other
        start = torch.arange(0, len(table), mlp.content, device=ids.device)
        rows = table.index_select(0, (tiles[part] + start[:, None]).flatten())
        return _position(mlp, bias, weight).add_(rows.view(len(start), k * k, -1))

    return _picture(_through(mlp, first, vectors), params.shape[:3], k)


def check_grid(height: int, width: int, tile_px: int) -> tuple[int, int]:
    """Tiles down and across; refuse a size that tiles do not fill."""
    if height % tile_px or width % tile_px:
        raise SettingError("size", (height, width), f"a height and width divisible by {tile_px}")
    return height // tile_px, width // tile_px


def _position(mlp: PixelMlp, bias: Tensor, weight: Tensor) -> Tensor:
    """Layer 0 of the position alone, A[x] + B[y] + bias: [tiles, k^2, width]."""
    axis = waves(mlp.tile_px, weight)
    rows = weight[:, mlp.content :].unflatten(1, (-1, 2, 2))  # (frequency, x or y, cos or sin)
    across, down = (torch.matmul(axis, rows[:, :, way].flatten(1, 2)) for way in (0, 1))
    return ((down + bias[:, None])[:, :, None] + across[:, None]).flatten(1, 2)


def _through(mlp: PixelMlp, first: Callable[[slice], Tensor], vectors: Tensor) -> Tensor:
    """All layers, a few tiles at a time: [tiles, k^2, outputs]."""
    tiles = len(vectors)
    # In training each part of a map would have a gradient of the whole map's size, mostly zeros.
    by_parts = vectors.device.type == "cpu" and not (vectors.requires_grad and torch.is_grad_enabled())
    step = max(1, CHUNK_PX // mlp.tile_px**2) if by_parts else tiles
    made = []
    for start in range(0, tiles, step):
        part = slice(start, min(start + step, tiles))
        h = first(part)
        for index in range(1, mlp.depth):
            bias, weight = mlp.layer(vectors[part], index)
            h = torch.baddbmm(bias[:, None], leaky_relu_(h, SLOPE), weight)
        made.append(h)
    return torch.cat(made)


def _cut(x: Tensor, k: int, reach_px: int = 0) -> Tensor:
    """Tiles of x [N, C, H, W] and ``reach_px`` pixels around each: a view [N, H/k, W/k, side, side, C]."""
    side = k + 2 * reach_px
    return x.unfold(2, side, k).unfold(3, side, k).permute(0, 2, 3, 4, 5, 1)


def _some(cut: Sequence[Tensor], part: slice) -> Tensor:
    """Tiles ``part``, counted from the first of all, with the channels of all views side by side: [tiles, k, k, C].

    Copied when their turn comes: all at once they would be another map of full size, in memory new to the cache.
    """
    n, down, across = cut[0].shape[:3]
    if part == slice(0, n * down * across):
        return torch.cat([view.flatten(0, 2) for view in cut], -1)
    found = []
    at = part.start
    while at < part.stop:
        row, column = divmod(at, across)
        end = min(across, column + part.stop - at)
        beside = [view[row // down, row % down, column:end] for view in cut]
        found.append(beside[0] if len(beside) == 1 else torch.cat(beside, -1))
        at += end - column
    return found[0] if len(found) == 1 else torch.cat(found)


def _picture(h: Tensor, grid: tuple[int, ...], k: int) -> Tensor:
    """Put tiles [tiles, k^2, C] together: [N, C, H, W]."""
    n, down, across = grid
    parts = h.view(n, down, across, k, k, -1).permute(0, 5, 1, 3, 2, 4)
    return parts.reshape(n, -1, down * k, across * k)
