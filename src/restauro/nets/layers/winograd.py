"""A 3x3 convolution with many channels, for use: Winograd's minimal filtering, 2.25 times fewer multiplications.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, F(2x2, 3x3). Each square of 2x2
outputs is computed from 4x4 inputs d and the kernel g as

    A^T [(G g G^T) * (B^T d B)] A        (* element by element)

so that a layer becomes 16 matrix products [C_out, C_in] x [C_in, squares] between two cheap transforms of the map.
The kernels are transformed once. In float32 the result is as near to the exact one as torch's own; larger squares
(F(4x4, 3x3)) lose a digit and read four times the weights.

The products are handed to torch as 1x1 convolutions of the *kernels*, whose "pixels" are the output channels, by the
squares: its convolutions use all of a processor's width where its float32 matrix product, on some, uses half.
"""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import Tensor, nn

G = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))

FEWEST_CHANNELS = 128
"""From here on the products outweigh the transforms."""


class WinogradConv2d(nn.Module):
    """The same function as the ``nn.Conv2d`` (3x3, stride 1, zero padding of 0 or 1) it is made of, without gradients.

    In bfloat16, by type or by autocast, the convolution itself is run: the transforms would cost digits there.

    Parameters
    ----------
    conv
        The convolution; its weights stay in use, and their transforms (16/9 of their size) join them.

    Examples
    --------
    >>> conv, x = nn.Conv2d(8, 4, 3, padding=1), torch.rand(2, 8, 5, 7)
    >>> torch.allclose(WinogradConv2d(conv)(x), conv(x), atol=1e-6)
    True
    """

    @torch.no_grad()
    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        if not fits(conv):
            raise ValueError(f"{conv}: wanted a 3x3 convolution of stride 1, one group, padding 0 or 1")
        self.conv = conv.requires_grad_(False)
        g = torch.tensor(G).to(conv.weight)
        kernels = torch.einsum("ai,bj,ocij->aboc", g, g, conv.weight)
        self.kernels: Tensor
        self.register_buffer("kernels", kernels.flatten(0, 1).contiguous(), persistent=False)  # [16, C_out, C_in]

    def forward(self, x: Tensor) -> Tensor:
        """[N, C_in, H, W] -> [N, C_out, H - 2 + 2 padding, W - 2 + 2 padding]."""
        if x.dtype != self.kernels.dtype or x.dtype.itemsize < 4 or torch.is_autocast_enabled(x.device.type):
            return self.conv(x.contiguous())  # type: ignore[no-any-return]  # its weights lie so
        pad = self.conv.padding[0]
        assert isinstance(pad, int)
        height, width = (side + 2 * pad - 2 for side in x.shape[2:])
        squares = _into(nn.functional.pad(x, (pad, pad + width % 2, pad, pad + height % 2)))
        n, rows, columns, c = squares.shape[1:]
        outputs = self.kernels.shape[1]
        products = [
            nn.functional.conv2d(kernel.view(1, outputs, 1, c).permute(0, 3, 1, 2), square.reshape(-1, c, 1, 1))
            for kernel, square in zip(self.kernels, squares, strict=True)
        ]  # [1, squares, C_out, 1] each, its channels last: [C_out, squares] in memory
        y = _out_of([product[0, :, :, 0].T.reshape(outputs, n, rows, columns) for product in products])
        y = y.transpose(0, 1)[..., :height, :width]
        return y if self.conv.bias is None else y + self.conv.bias[:, None, None]


def _into(x: Tensor) -> Tensor:
    """B^T d B of all squares of x [N, C, 2 rows + 2, 2 columns + 2]: [16, N, rows, columns, C]."""
    x = x.permute(0, 2, 3, 1).contiguous()
    n, rows, columns, c = len(x), x.shape[1] // 2 - 1, x.shape[2] // 2 - 1, x.shape[3]
    made = x.new_empty(4, 4, n, rows, columns, c)
    down = [x[:, i : i + 2 * rows - 1 : 2] for i in range(4)]
    for i, line in enumerate((down[0] - down[2], down[1] + down[2], down[2] - down[1], down[1] - down[3])):
        across = [line[:, :, j : j + 2 * columns - 1 : 2] for j in range(4)]
        torch.sub(across[0], across[2], out=made[i, 0])
        torch.add(across[1], across[2], out=made[i, 1])
        torch.sub(across[2], across[1], out=made[i, 2])
        torch.sub(across[1], across[3], out=made[i, 3])
    return made.flatten(0, 1)


def _out_of(products: list[Tensor]) -> Tensor:
    """A^T m A of all squares, m 16 maps [C, N, rows, columns]: [C, N, 2 rows, 2 columns]."""
    first, second, third, fourth = (products[i : i + 4] for i in range(0, 16, 4))
    upper = [a + b + c for a, b, c in zip(first, second, third, strict=True)]
    lower = [b - c - d for b, c, d in zip(second, third, fourth, strict=True)]
    c, n, rows, columns = products[0].shape
    y = products[0].new_empty(c, n, rows, 2, columns, 2)
    for i, line in enumerate((upper, lower)):
        torch.add(line[0] + line[1], line[2], out=y[:, :, :, i, :, 0])
        torch.sub(line[1] - line[2], line[3], out=y[:, :, :, i, :, 1])
    return y.view(c, n, 2 * rows, 2 * columns)


def fits(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether a module is a convolution that can be computed so.

    >>> fits(nn.Conv2d(4, 4, 3)), fits(nn.Conv2d(4, 4, 3, stride=2)), fits(nn.ReLU())
    (True, False, False)
    """
    return (
        type(module) is nn.Conv2d
        and module.kernel_size == (3, 3)
        and module.stride == module.dilation == (1, 1)
        and module.groups == 1
        and module.padding in ((0, 0), (1, 1))
        and module.padding_mode == "zeros"
    )


def quicken(net: nn.Module) -> None:
    """Replace the convolutions of a network that fit and have :data:`FEWEST_CHANNELS` on both sides, in place.

    >>> net = nn.Sequential(nn.Conv2d(3, 128, 3), nn.Conv2d(128, 128, 3))
    >>> quicken(net)
    >>> [type(layer).__name__ for layer in net]
    ['Conv2d', 'WinogradConv2d']
    """
    for parent in list(net.modules()):
        if isinstance(parent, WinogradConv2d):
            continue
        for name, child in parent.named_children():
            if fits(child) and min(child.in_channels, child.out_channels) >= FEWEST_CHANNELS:
                setattr(parent, name, WinogradConv2d(child))
