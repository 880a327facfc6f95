"""The function g inside SASNet's couplings, in two forms: one to read and train, one to run on large pictures."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restauro.nets.layers.cbam import CBAM, GateNorm


class Subnet(nn.Module):
    """Two 3x3 convolutions, attention, the input beside them, a third convolution.

    The residual subnet of InvDN (Liu et al. 2021) with CBAM in place of the second activation. The last convolution
    starts at zero, so that a coupling starts as the identity (as in IRN).

    Parameters
    ----------
    inputs, outputs
        Channels.
    width
        Channels in between.
    attention
        CBAM after the second convolution; without it a LeakyReLU, as after the first.
    norm
        Of the attention's spatial gate.

    Examples
    --------
    >>> g = Subnet(9, 3, 16)
    >>> torch.equal(g(torch.rand(1, 9, 4, 6)), torch.zeros(1, 3, 4, 6))
    True
    """

    def __init__(
        self, inputs: int, outputs: int, width: int, attention: bool = True, norm: GateNorm = "frozen"
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, padding=1)
        self.act = nn.LeakyReLU(0.2)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.attention = CBAM(width, norm) if attention else None
        self.conv3 = nn.Conv2d(width + inputs, outputs, 3, padding=1)
        for conv in (self.conv1, self.conv2):
            nn.init.xavier_normal_(conv.weight, gain=0.1)
        nn.init.zeros_(self.conv3.weight)
        for conv in (self.conv1, self.conv2, self.conv3):
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]

    def forward(self, u: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H, W]."""
        return self.gated(u)[0]

    def gated(self, u: Tensor, gate: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """As forward, with the channel gate [N, width, 1, 1] that was used: ``gate``, or that of u's own pooling."""
        v = self.conv2(self.act(self.conv1(u)))
        if self.attention is None:
            v = self.act(v)
        else:
            gate = self.attention.channel_gate(*self.attention.pool(v)) if gate is None else gate
            v = self.attention(v, gate)
        return self.conv3(torch.cat([v, u.to(v.dtype)], dim=1)), gate


class BandedSubnet(nn.Module):
    """A :class:`Subnet` for inference, computed in bands of rows.

    Features of one band after the other are kept and pooled; when the gate is known, the rest follows, again band by
    band. So the pooling is that of the whole picture, all other memory is that of one band, and the work on a
    band stays in the processor's cache. Where the gate is given, nothing is kept. Equal to the subnet up to rounding.

    Beside the bands: batch normalisation is folded into the 7x7 convolution, activations and gates act in place, and
    what torch does slowly in bfloat16 is said in other words. One grouped convolution for g2 and g3, which read the
    same input, was measured: on a processor it takes twice the time of two. Widths of 32 and 64 run best.

    Parameters
    ----------
    subnet
        What to compute; copied.
    rows
        Rows of a band, at least 4. Four beside it are computed twice, twelve where the gate is given.

    Examples
    --------
    >>> g = Subnet(9, 3, 16).eval()
    >>> _ = nn.init.normal_(g.conv3.weight)
    >>> u = torch.rand(1, 9, 20, 12)
    >>> torch.allclose(BandedSubnet(g, 8)(u), g(u), atol=1e-5)
    True
    """

    def __init__(self, subnet: Subnet, rows: int) -> None:
        super().__init__()
        same = copy.deepcopy(subnet)
        same.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.conv1, self.conv2, self.conv3 = same.conv1, same.conv2, same.conv3
        self.slope = same.act.negative_slope
        self.attention = same.attention
        if self.attention is not None:
            self.attention.spatial = _folded(self.attention.spatial, self.attention.norm)
            self.attention.norm = nn.Identity()
        self.reach = 1 if self.attention is None else 4  # of conv3, and of the 7x7 before it
        self.rows = max(rows, self.reach)

    def forward(self, u: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H, W]."""
        return self.gated(u)[0]

    @torch.no_grad()
    def gated(self, u: Tensor, gate: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """See :meth:`Subnet.gated`."""
        u = u.contiguous(memory_format=torch.channels_last)
        height = u.shape[2]
        bands = [(top, min(top + self.rows, height)) for top in range(0, height, self.rows)]
        kept = None
        if self.attention is not None and gate is None:
            kept = [self._features(u, *band) for band in bands]
            gate = self.attention.channel_gate(*_pool(kept))
        pieces = []
        for i, (top, bottom) in enumerate(bands):
            start, stop = max(top - self.reach, 0), min(bottom + self.reach, height)
            v = self._features(u, start, stop) if kept is None else _with_neighbours(kept, i, self.reach)
            piece = self._finish(v, u[:, :, start:stop], gate)
            pieces.append(piece[:, :, top - start : bottom - start])
        return torch.cat(pieces, dim=2), gate

    def _features(self, u: Tensor, top: int, bottom: int) -> Tensor:
        """Rows ``top`` to ``bottom`` of the features: two 3x3 convolutions need two more rows on each side."""
        start = max(top - 2, 0)
        v: Tensor = self.conv2(F.leaky_relu_(self.conv1(u[:, :, start : bottom + 2]), self.slope))
        return v[:, :, top - start : bottom - start]

    def _finish(self, v: Tensor, u: Tensor, gate: Tensor | None) -> Tensor:
        """From features, which may be overwritten, to the result."""
        if self.attention is None or gate is None:
            features = F.leaky_relu_(v, self.slope)
        else:
            features = v.to(_wide(v))  # in float32 all of this is faster than in bfloat16, and the band is in the cache
            features *= gate.to(features.dtype)
            pooled = torch.cat([features.amax(1, keepdim=True), features.mean(1, keepdim=True)], dim=1)
            features *= torch.sigmoid(self.attention.spatial(pooled.to(v.dtype))).to(features.dtype)
        y: Tensor = self.conv3(torch.cat([features, u.to(features.dtype)], dim=1).to(v.dtype))
        return y


def _pool(bands: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and maximum over the rows of all bands, :meth:`.cbam.CBAM.pool` of them put together."""
    height, width = sum(v.shape[2] for v in bands), bands[0].shape[3]
    # Pooling, as mean and amax over space are 5 to 16 times as slow in bfloat16. Bands add up in float32.
    means = [F.avg_pool2d(v, (v.shape[2], width)).to(_wide(v)) * (v.shape[2] / height) for v in bands]
    rows = [F.max_pool2d(v, (1, width)).amax(2) for v in bands]
    mean, maximum = torch.stack(means).sum(0), torch.stack(rows).amax(0)
    return mean.flatten(1).to(bands[0].dtype), maximum.flatten(1)


def _with_neighbours(bands: list[Tensor], i: int, rows: int) -> Tensor:
    """Band i with so many rows of the bands beside it, a copy."""
    above = [v[:, :, -rows:] for v in bands[max(i - 1, 0) : i]]
    below = [v[:, :, :rows] for v in bands[i + 1 : i + 2]]
    return torch.cat([*above, bands[i], *below], dim=2)


def _wide(v: Tensor) -> torch.dtype:
    return torch.promote_types(v.dtype, torch.float32)


def _folded(conv: nn.Conv2d, norm: nn.Module) -> nn.Conv2d:
    """norm(conv(x)), in evaluation, as one convolution."""
    if not isinstance(norm, nn.BatchNorm2d):
        return conv
    folded: nn.Conv2d = torch.nn.utils.fuse_conv_bn_eval(conv.eval(), norm.eval())
    return folded
