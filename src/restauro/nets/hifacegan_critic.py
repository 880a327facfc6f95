"""The critic of HiFaceGAN (Yang et al. 2020): SPADE's, at two scales, beside the degraded picture."""

from __future__ import annotations

import torch
from torch import Tensor

from restauro.errors import SettingError
from restauro.nets.critics_multiscale import Features, SpadeCritic


class HiFaceGANCritic(SpadeCritic):
    """Two scales of five 4x4 convolutions with spectral and instance norm.

    Other than its parent it takes pictures in 0..1 as they are: that is the range HiFaceGAN was trained in.

    Parameters
    ----------
    condition
        Channels of what the picture is judged beside: 3 for the degraded picture, or the classes of a parsing map.
    width, scales
        64 and 2 as published.

    Examples
    --------
    >>> sum(p.numel() for p in HiFaceGANCritic().parameters())
    5533826
    """

    def __init__(self, condition: int = 3, width: int = 64, scales: int = 2) -> None:
        super().__init__(condition, pictures=1, width=width, scales=scales)

    def forward(self, pictures: Tensor, semantic: Tensor | None = None) -> Features:
        """Judge pictures [N, 3, H, W] beside what they were made from, [N, condition, H, W]; both 0..1.

        Gives the features of each scale, the finest first, the logits last. Made and real pictures belong into one
        batch, made ones first: as published, they are judged together.
        """
        if semantic is None or semantic.shape[1] != self.semantic:
            found = "nothing" if semantic is None else list(semantic.shape)
            raise SettingError("semantic", found, f"{self.semantic} channels beside the picture")
        x = torch.cat([semantic, pictures], dim=1)
        features: Features = []
        for scale in range(self.scales):
            if scale:
                x = torch.nn.functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
            seen = [x]
            for layer in self.get_submodule(f"discriminator_{scale}").children():
                seen.append(layer(seen[-1]))
            features.append(seen[1:])
        return features
