"""Pixel-adaptive convolution (Su et al. 2019) as a third choice for HiFaceGAN's suppression.

Its kernel compares the two pixels by distance: phi(f_i, f_j) = exp(-|G(f_i) - G(f_j)|^2 / 2). All else is
:mod:`.cac`: phi is 1 for the pixel itself and for equal neighbours, and falls with what tells them apart.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from restauro.nets.layers.cac import CAC, TAPS, window


class PAC(CAC):
    """Halve a map by a 3x3 convolution whose taps are scaled by how near the two pixels' features are.

    Examples
    --------
    >>> phi = PAC(16).affinity(torch.full((1, 8, 5, 5), 3.0))
    >>> phi[0, :, 1, 1].tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """

    def affinity(self, g: Tensor) -> Tensor:
        """Affinity phi of the features' embedding g [N, D, H, W], at stride 2: [N, 9, ceil(H / 2), ceil(W / 2)]."""
        padded, centre = pad(g, [1, 1, 1, 1]), g[:, :, ::2, ::2]
        distances = [(centre - window(padded, tap, 2)).square().sum(1) for tap in TAPS]
        return torch.exp(torch.stack(distances, 1) / -2)
