"""Full attention (FA) of DeSmoothGAN: all positions are related (SR, eqs. 2-4), then channels weighed (CR, eqs. 5-7).

Both look at the whole picture, and both are little afterwards: a curve of one variable and a vector. They may be
passed in, and the layer then treats every pixel by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from restauro.nets.layers.attend import SoftmaxAxis, attend, attention_curve
from restauro.nets.layers.chebyshev import Curve


@dataclass(frozen=True, eq=False)
class Attention:
    """What a layer knows of the whole picture: the curve of SR, the gate [N, C, 1, 1] of CR; None: not known."""

    curve: Curve | None = None
    gate: Tensor | None = None


class FullAttention(nn.Module):
    """z = y + gate * (y + y_sr): every position sees all others, every channel is weighed.

    Parameters
    ----------
    channels
        C of the features.
    spatial
        SR: y_sr = h softmax(f^T g), where f, g, h are 1x1 convolutions of y to one channel each (no scale, no
        learned gate); the same for all channels. False leaves y_sr out (*w/o SR*).
    channel
        CR: gate = sigmoid(MLP(max(y + y_sr))) + sigmoid(MLP(mean(y + y_sr))), one MLP C -> C -> C for both. False
        gives z = y + y_sr (*w/o CR*). With neither, z = y.
    axis, nodes
        See :func:`restauro.nets.layers.attend.attend`; a fixed number of nodes takes the only branch on data out
        of ``forward``.

    Notes
    -----
    SR computes in float32 at least, under autocast too: bfloat16 has no digits for its exponents.

    Examples
    --------
    >>> y = torch.rand(2, 8, 16, 24)
    >>> layer = FullAttention(8)
    >>> z = layer(y)
    >>> z.shape
    torch.Size([2, 8, 16, 24])
    >>> torch.allclose(z, layer(y, layer.look(y)), atol=1e-5)
    True
    """

    def __init__(
        self,
        channels: int,
        spatial: bool = True,
        channel: bool = True,
        axis: SoftmaxAxis = "key",
        nodes: int | None = None,
    ) -> None:
        super().__init__()
        self.axis, self.nodes = axis, nodes
        if spatial:
            self.f = nn.Conv2d(channels, 1, 1)
            self.g = nn.Conv2d(channels, 1, 1)
            self.h = nn.Conv2d(channels, 1, 1)
        self.mlp = (
            nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels)) if channel else None
        )
        self.spatial = spatial

    def forward(self, y: Tensor, known: Attention | None = None) -> Tensor:
        """Attend within y [N, C, H, W]; with what is ``known`` of the whole picture, y may be a tile of it."""
        known = known or Attention()
        attended = self.relate(y, known.curve)
        if self.mlp is None:
            return attended
        gate = self.gate(*pool(attended)) if known.gate is None else known.gate
        z: Tensor = torch.addcmul(y, gate.to(y), attended)
        return z

    def look(self, y: Tensor) -> Attention:
        """What this layer wants to know of a whole picture's y."""
        curve = self.curve(self.maps(y)) if self.spatial else None
        gate = None if self.mlp is None else self.gate(*pool(self.relate(y, curve)))
        return Attention(curve, gate)

    def maps(self, y: Tensor) -> Tensor:
        """The maps f, g, h of y: [N, 3, H, W], float32 or float64."""
        with torch.autocast(y.device.type, enabled=False):
            weight = torch.cat([self.f.weight, self.g.weight, self.h.weight])
            bias = torch.cat([part.bias for part in (self.f, self.g, self.h) if part.bias is not None])
            maps: Tensor = nn.functional.conv2d(y.to(weight.dtype), weight, bias)
        return maps

    def curve(self, maps: Tensor) -> Curve:
        """The function that takes g to y_sr, from all f, g, h of a picture [N, 3, ...]."""
        f, g, h = maps.flatten(2).unbind(1)
        return attention_curve(f, g, h, self.axis, self.nodes)

    def relate(self, y: Tensor, curve: Curve | None = None) -> Tensor:
        """Add y_sr to y; without SR, y as it is."""
        if not self.spatial:
            return y
        f, g, h = self.maps(y).flatten(2).unbind(1)
        related = attend(f, g, h, self.axis, self.nodes) if curve is None else curve(g)
        return y + related.reshape(len(y), 1, *y.shape[-2:]).to(y)

    def gate(self, largest: Tensor, mean: Tensor) -> Tensor:
        """The gate [N, C, 1, 1], 0..2, from each channel's maximum and mean, [N, C] both."""
        assert self.mlp is not None
        with torch.autocast(largest.device.type, enabled=False):
            weighed: Tensor = self.mlp(torch.cat([largest, mean])).sigmoid()
        return (weighed[: len(mean)] + weighed[len(mean) :])[..., None, None]


def pool(y: Tensor) -> tuple[Tensor, Tensor]:
    """Maximum and mean of each channel, [N, C] in float32 or float64.

    >>> pool(torch.tensor([0.0, 1.0, 2.0, 9.0]).reshape(1, 1, 2, 2))
    (tensor([[9.]]), tensor([[3.]]))
    """
    wide = torch.promote_types(y.dtype, torch.float32)
    return y.amax((2, 3)).to(wide), y.mean((2, 3), dtype=wide)
