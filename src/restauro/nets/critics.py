"""Critics: what adversarial training sets against a generator."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from restauro.errors import SettingError


class PatchCritic(nn.Module):
    """PatchGAN of pix2pix (Isola et al. 2017): is each 70 x 70 patch of a picture real? One logit per patch.

    4x4 convolutions, padding 1, widths ``width * (1, 2, 4, 8)``, the last of them and the logit at stride 1; batch
    norm on all but the first and the last; LeakyReLU 0.2.

    Parameters
    ----------
    conditional
        Look at the picture together with the input it was made from, as pix2pix does. The DeSmoothGAN paper builds
        on pix2pix and writes D(I) in eq. 8: it can be read both ways.
    width, layers
        64 and 3 give patches of 70 pixels; 2 layers 34, 4 layers 142.

    Examples
    --------
    >>> sum(p.numel() for p in PatchCritic().parameters())
    2768705
    >>> picture, source = torch.rand(2, 1, 3, 256, 256)
    >>> PatchCritic(width=4)(picture, source).shape
    torch.Size([1, 1, 30, 30])
    """

    def __init__(self, conditional: bool = True, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        if width < 1:
            raise SettingError("width", width, "a whole number from 1")
        if not 1 <= layers <= 6:
            raise SettingError("layers", layers, "1 to 6")
        self.conditional = conditional
        widths = [width * min(2**layer, 8) for layer in range(layers + 1)]
        parts: list[nn.Module] = [nn.Conv2d(6 if conditional else 3, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for layer in range(1, layers + 1):
            stride = 2 if layer < layers else 1
            parts += [
                nn.Conv2d(widths[layer - 1], widths[layer], 4, stride, 1, bias=False),
                nn.BatchNorm2d(widths[layer]),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*parts, nn.Conv2d(widths[-1], 1, 4, 1, 1))

    def forward(self, picture: Tensor, source: Tensor | None = None) -> Tensor:
        """Judge picture [N, 3, H, W] 0..1, from 24 pixels on a side (at 3 layers): logits [N, 1, H / 8 - 2, W / 8 - 2].

        A conditional critic wants the ``source`` [N, 3, H, W] that the picture was made from; the other none.
        """
        if self.conditional != (source is not None):
            wanted = "the source beside the picture" if self.conditional else "a picture alone: not conditional"
            raise SettingError("source", "nothing" if source is None else "a tensor", wanted)
        x = picture if source is None else torch.cat([source, picture], dim=1)
        logits: Tensor = self.layers(2 * x - 1)
        return logits
