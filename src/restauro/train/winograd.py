"""3x3 convolutions that are trained in float32 by Winograd's minimal filtering: 4 times fewer multiplications.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, F(4x4, 3x3). Each square of 4x4
outputs is computed from 6x6 inputs d and the kernel g as

    A^T [(G g G^T) * (B^T d B)] A        (* element by element)

and the sums over channels make of the product 36 matrix products [squares, C_in] x [C_in, C_out]. All of it is linear
in d and in g, so the gradients are the same transforms transposed, and cost as little.

The square transforms of a batch would be larger than a processor's cache. So it is done picture by picture.

Layers for use, without gradients and a digit more exact, are in :mod:`restauro.nets.layers.winograd`.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from restauro.nets.layers.winograd import fits

# for the points 0, 1, -1, 2, -2 and infinity
_B = np.array(
    (
        (4, 0, -5, 0, 1, 0),
        (0, -4, -4, 1, 1, 0),
        (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0),
        (0, 2, -1, -2, 1, 0),
        (0, 4, 0, -5, 0, 1),
    )
)
_G = np.array(((6, 0, 0), (-4, -4, -4), (-4, 4, -4), (1, 2, 4), (1, -2, 4), (0, 0, 24))) / 24
_A = np.array(((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1)))
INTO, KERNEL, OUT_OF = (torch.tensor(np.kron(one, one)) for one in (_B, _G, _A))
"""The transforms of a 6x6 square, a kernel and a product, row after row: [36, 36], [36, 9] and [16, 36]."""

FEWEST_CHANNELS = 64
"""From here on the products outweigh the transforms."""

SQUARES = 256
"""As many at once fill the products; with more, the transforms leave the cache."""

MOST_SQUARES = 512
"""Of one picture, where they do so for certain."""


class QuickConv2d(nn.Conv2d):
    """What :func:`quicken` makes of a convolution: the same parameters, and while these are trained the same function.

    Without gradients, under autocast, on a GPU, and where the sides are not multiples of 4 or have more than
    :data:`MOST_SQUARES`, the convolution itself is run.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[N, C_in, H, W] -> [N, C_out, H, W]."""
        height, width = x.shape[2:]
        plain = not torch.is_grad_enabled() or torch.is_autocast_enabled(x.device.type) or x.device.type != "cpu"
        if plain or height % 4 or width % 4 or height * width > 16 * MOST_SQUARES:
            return super().forward(x)
        y: Tensor = _Filtered.apply(x, self.weight)
        return y if self.bias is None else y + self.bias[:, None, None]


def quicken(net: nn.Module) -> None:
    """Make :class:`QuickConv2d` of the convolutions of a network that are 3x3 with a border of zeros, in place.

    Only of those with :data:`FEWEST_CHANNELS` on both sides; and such a network has gradients of first order only.

    >>> net = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.Conv2d(64, 96, 3, padding=1))
    >>> quicken(net)
    >>> [type(layer).__name__ for layer in net]
    ['Conv2d', 'QuickConv2d']
    """
    for module in net.modules():
        enough = fits(module) and min(module.in_channels, module.out_channels) >= FEWEST_CHANNELS
        if enough and module.padding == (1, 1):
            module.__class__ = QuickConv2d  # in place, so that who holds the layer holds the quick one


def slow(net: nn.Module) -> None:
    """Undo :func:`quicken`, in place: to measure what it is worth, or for gradients of gradients.

    >>> net = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1))
    >>> quicken(net)
    >>> slow(net)
    >>> type(net[0]).__name__
    'Conv2d'
    """
    for module in net.modules():
        if isinstance(module, QuickConv2d):
            plain: nn.Conv2d = module
            plain.__class__ = nn.Conv2d


def pays(device: torch.device) -> bool:
    """Whether it was measured to be faster: on processors with AVX2 and no more."""
    return device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2"


class _Filtered(torch.autograd.Function):
    """x [N, C_in, H, W], kernels [C_out, C_in, 3, 3] -> [N, C_out, H, W]; H and W multiples of 4."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        (n, c, height, width), outputs = x.shape, len(weight)
        rows, columns = height // 4, width // 4
        kernels = (KERNEL.to(weight) @ weight.permute(2, 3, 1, 0).reshape(9, -1)).view(36, c, outputs)
        pictures = max(1, SQUARES // (rows * columns))
        into, out_of, x = INTO.to(x), OUT_OF.to(x), x.permute(0, 2, 3, 1)
        y, kept = x.new_empty(n, rows, 4, columns, 4, outputs), []
        for some, target in zip(x.split(pictures), y.split(pictures), strict=True):
            squares = (into @ _squares(some)).view(36, -1, c)
            made = out_of @ torch.bmm(squares, kernels).view(36, -1)
            target.copy_(made.view(4, 4, len(some), rows, columns, outputs).permute(2, 3, 0, 4, 1, 5))
            kept.append(squares)
        ctx.save_for_backward(kernels, *kept)
        ctx.pictures = pictures
        return y.view(n, height, width, outputs).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        kernels, *kept = ctx.saved_tensors
        (n, outputs, height, width), c = gradient.shape, kernels.shape[1]
        rows, columns = height // 4, width // 4
        wants_x, wants_weight = ctx.needs_input_grad
        slopes = gradient.permute(0, 2, 3, 1).contiguous().view(n, rows, 4, columns, 4, outputs)
        into, out_of, of_kernels = INTO.to(kernels).T, OUT_OF.to(kernels).T, torch.zeros_like(kernels)
        of_x = slopes.new_empty(n, height, width, c) if wants_x else slopes.new_empty(0)
        for index, (some, squares) in enumerate(zip(slopes.split(ctx.pictures), kept, strict=True)):
            flat = some.permute(2, 4, 0, 1, 3, 5).reshape(16, -1)
            products = (out_of @ flat).view(36, -1, outputs)
            if wants_weight:
                of_kernels.baddbmm_(squares.transpose(1, 2), products)
            if wants_x:
                spread = into @ torch.bmm(products, kernels.transpose(1, 2)).view(36, -1)
                first = index * ctx.pictures
                _sum(spread.view(6, 6, len(some), rows, columns, c), of_x[first : first + len(some)])
        of_weight = (KERNEL.to(kernels).T @ of_kernels.view(36, -1)).view(3, 3, c, outputs).permute(3, 2, 0, 1)
        return of_x.permute(0, 3, 1, 2) if wants_x else None, of_weight if wants_weight else None


def _squares(x: Tensor) -> Tensor:
    """The 6x6 squares, four pixels apart, of x [N, H, W, C] with a border of zeros: [36, N * squares * C]."""
    n, height, width, c = x.shape
    wide = x.new_zeros(n, height + 2, width + 2, c)
    wide[:, 1:-1, 1:-1] = x
    picture, row, column, channel = wide.stride()
    shape, steps = (6, 6, n, height // 4, width // 4, c), (row, column, picture, 4 * row, 4 * column, channel)
    return wide.as_strided(shape, steps).reshape(36, -1)


def _sum(squares: Tensor, into: Tensor) -> None:
    """The transpose of :func:`_squares`: squares [6, 6, N, rows, columns, C] summed where they overlap."""
    n, rows, columns, c = squares.shape[2:]
    wide = squares.new_zeros(n, rows + 1, 4, columns + 1, 4, c)
    parts = (slice(4), slice(4, 6))  # of a square: its own pixels, and those that the next one begins with
    for down, across in product((0, 1), (0, 1)):
        part = squares[parts[down], parts[across]].permute(2, 3, 0, 4, 1, 5)
        wide[:, down : down + rows, : part.shape[2], across : across + columns, : part.shape[4]] += part
    into.copy_(wide.view(n, 4 * rows + 4, 4 * columns + 4, c)[:, 1 : 4 * rows + 1, 1 : 4 * columns + 1])
