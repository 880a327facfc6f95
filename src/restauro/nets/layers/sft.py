"""Spatial feature transform (SFT) of DeSmoothGAN (eq. 1): the smoothed picture sets the gain of every feature.

After SPADE (Park et al. 2019), with pictures in place of label maps: so the picture is averaged down to the size
of the features, where SPADE picks every n-th pixel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from restauro.errors import SettingError

Modulation = tuple[Tensor, Tensor]


class SFT(nn.Module):
    """y * (1 + gamma) + beta, with gamma and beta computed from a guide by three 3x3 convolutions.

    Guide -> ``hidden`` -> C / ``reduction`` -> gamma and beta (C each), ReLU between, all with bias. The paper
    writes gamma y + beta: the same functions, but it would start near 0.

    Parameters
    ----------
    channels
        C of the features.
    guide_channels, hidden
        Channels of the guide and of the first convolution; 3 and 64 in the paper's network, by our count.
    reduction
        2 gives the paper's number of parameters; 4 halves the work.
    pooled
        Keep only each channel's maximum of gamma and of beta: the row *AdaIN*, a style without a place. It then
        depends on the whole picture, and may be passed in.

    Examples
    --------
    >>> sft = SFT(16, hidden=8)
    >>> y, guide = torch.rand(2, 16, 8, 8), torch.rand(2, 3, 8, 8)
    >>> gamma, beta = sft.modulation(guide)
    >>> torch.allclose(sft(y, guide), y * (1 + gamma) + beta, atol=1e-6)
    True
    """

    def __init__(
        self,
        channels: int,
        guide_channels: int = 3,
        hidden: int = 64,
        reduction: int = 2,
        pooled: bool = False,
    ) -> None:
        super().__init__()
        if not 1 <= reduction <= channels:
            raise SettingError("reduction", reduction, f"a whole number from 1 to {channels}")
        self.pooled = pooled
        inner = channels // reduction
        self.trunk = nn.Sequential(
            nn.Conv2d(guide_channels, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, inner, 3, padding=1),
            nn.ReLU(),
        )
        self.gamma = nn.Conv2d(inner, channels, 3, padding=1)
        self.beta = nn.Conv2d(inner, channels, 3, padding=1)

    def forward(self, y: Tensor, guide: Tensor, known: Modulation | None = None) -> Tensor:
        """Modulate y [N, C, H, W] by its guide [N, G, H, W], or by a modulation that is ``known`` already."""
        gamma, beta = known or self.modulation(guide)
        return y + torch.addcmul(beta, y, gamma)

    def modulation(self, guide: Tensor) -> Modulation:
        """Gamma (without the 1) and beta as they are used: [N, C, H, W] each, or [N, C, 1, 1] where pooled."""
        gamma, beta = self.maps(guide)
        return (gamma.amax((2, 3), True), beta.amax((2, 3), True)) if self.pooled else (gamma, beta)

    def maps(self, guide: Tensor) -> Modulation:
        """Gamma (without the 1) and beta of every pixel, [N, C, H, W] each."""
        hidden = self.trunk(guide)
        return self.gamma(hidden), self.beta(hidden)


class QuickSFT(SFT):
    """An :class:`SFT` for use: the same function to rounding, without gradients.

    Gamma and beta are one convolution, for they read the same map; the 1 is in the bias of gamma, so that what is left
    is one pass over the features. Here gamma, in what is ``known`` too, includes the 1.

    >>> sft = SFT(16, hidden=8)
    >>> y, guide = torch.rand(2, 16, 8, 8), torch.rand(2, 3, 8, 8)
    >>> torch.allclose(QuickSFT.of(sft)(y, guide), sft(y, guide), atol=1e-6)
    True
    """

    both: nn.Conv2d

    @classmethod
    @torch.no_grad()
    def of(cls, sft: SFT) -> QuickSFT:
        """Make it of a trained one, whose norms are folded; that one is left as it is."""
        quick = cls.__new__(cls)
        nn.Module.__init__(quick)
        quick.pooled = sft.pooled
        quick.trunk = nn.Sequential(*(nn.ReLU(inplace=True) if isinstance(m, nn.ReLU) else m for m in sft.trunk))
        inner, channels = sft.gamma.in_channels, sft.gamma.out_channels
        quick.both = nn.Conv2d(inner, 2 * channels, 3, padding=1).to(sft.gamma.weight)
        quick.both.weight.copy_(torch.cat([sft.gamma.weight, sft.beta.weight]))
        if sft.gamma.bias is not None and sft.beta.bias is not None and quick.both.bias is not None:
            quick.both.bias.copy_(torch.cat([sft.gamma.bias + 1, sft.beta.bias]))
        return quick.requires_grad_(False)

    def forward(self, y: Tensor, guide: Tensor, known: Modulation | None = None) -> Tensor:
        """As :meth:`SFT.forward`."""
        gamma, beta = known or self.modulation(guide)
        return torch.addcmul(beta, y, gamma)

    def maps(self, guide: Tensor) -> Modulation:
        """Gamma (with the 1) and beta of every pixel, [N, C, H, W] each."""
        gamma, beta = self.both(self.trunk(guide)).chunk(2, 1)
        return gamma, beta
