"""CBAM: channel attention, then spatial attention (Woo et al. 2018, eqs. 1-3).

The channel gate pools over the whole picture: the one thing in a network of convolutions that a tile cannot
know. So it is a tensor that callers may compute elsewhere and pass in.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from restauro.errors import SettingError

GateNorm = Literal["frozen", "batch", "none"]


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation that keeps its statistics, in training too: a gain and an offset per channel.

    Same parameters and same state as ``nn.BatchNorm2d``, but a picture comes out the same alone and in a batch,
    and a forward that is computed twice (checkpointing) changes nothing.

    Examples
    --------
    >>> norm = FrozenBatchNorm2d(1, eps=0.0).train()
    >>> norm(torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1)).flatten().tolist()
    [1.0, 3.0]
    """

    def train(self, mode: bool = True) -> FrozenBatchNorm2d:
        """Stay in evaluation mode, whatever ``mode`` says."""
        super().train(False)
        return self


class CBAM(nn.Module):
    """Multiply features by a gate per channel and by a gate per pixel.

    Parameters
    ----------
    channels
        Features; the gate's network has ``channels // 16`` hidden units (reduction 16), at least one.
    norm
        What follows the 7x7 convolution of the spatial gate: ``"batch"`` as published (momentum 0.01),
        ``"frozen"`` (see :class:`FrozenBatchNorm2d`) or ``"none"``.

    Examples
    --------
    >>> v = torch.rand(2, 32, 8, 8)
    >>> attention = CBAM(32)
    >>> torch.equal(attention(v), attention(v, attention.channel_gate(*attention.pool(v))))
    True
    """

    def __init__(self, channels: int, norm: GateNorm = "frozen") -> None:
        super().__init__()
        if norm not in ("frozen", "batch", "none"):
            raise SettingError("norm", norm, "frozen, batch or none")
        hidden = max(channels // 16, 1)
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
        self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        kind = {"frozen": FrozenBatchNorm2d, "batch": nn.BatchNorm2d}.get(norm)
        self.norm = nn.Identity() if kind is None else kind(1, momentum=0.01)

    @staticmethod
    def pool(v: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and maximum over the picture: two [N, C] of v [N, C, H, W]."""
        return v.mean((2, 3)), v.amax((2, 3))

    def channel_gate(self, mean: Tensor, maximum: Tensor) -> Tensor:
        """Eq. 2: sigmoid(MLP(mean) + MLP(maximum)), [N, C, 1, 1]."""
        gate: Tensor = torch.sigmoid(self.mlp(mean) + self.mlp(maximum))
        return gate[:, :, None, None]

    def spatial_gate(self, v: Tensor) -> Tensor:
        """Eq. 3: sigmoid(norm(conv7x7(maximum and mean over channels))), [N, 1, H, W]."""
        pooled = torch.cat([v.amax(1, keepdim=True), v.mean(1, keepdim=True)], dim=1)
        return torch.sigmoid(self.norm(self.spatial(pooled)))

    def forward(self, v: Tensor, gate: Tensor | None = None) -> Tensor:
        """Gate v [N, C, H, W]; ``gate`` [N, C, 1, 1] in place of the one that v's own pooling gives."""
        v = v * (self.channel_gate(*self.pool(v)) if gate is None else gate)
        return v * self.spatial_gate(v)
