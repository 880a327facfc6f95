"""An LPIPS-like perceptual distance on SqueezeNet features; lower is better, 0 for equal pictures.

``lpips-squeeze-caffe``  eq. 1 of Zhang, Isola, Efros, Shechtman, Wang 2018 with the published linear weights (v0.1,
                         squeeze) on a SqueezeNet 1.1 that was trained in Caffe. The weights were learned on
                         torchvision's network, so this is **not LPIPS** and is never called so; compare it with
                         itself only.

    d(a, b) = sum_layers mean_pixels sum_channels w_c (a_c / |a| - b_c / |b|)^2

``lpips-squeeze-caffe:corners``  its mean over eight corners that both pictures are cut to: k rows and columns less at
                                 the top and the left, k = 0..7. The network's strides (2, 4, 8) begin at the corner,
                                 and weights that were trained with this distance as their loss can draw patterns that
                                 it does not see from there: a distance that is lower from one corner than from the
                                 others is not to be believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from restauro.metrics.inputs import picture_pair
from restauro.nets.features import SQUEEZENET11_FILE, SqueezeNet11, checked_file, load_squeezenet11

NAME = "lpips-squeeze-caffe"
NAME_CORNERS = "lpips-squeeze-caffe:corners"
CORNERS = 8
LINEAR_FILE = "lpips_v0.1_linear.npz"
LINEAR_SHA256 = "ed4a181114a20df590c355da651bb61c2fe8f6a1431419ccd6fa9386b2de06f5"
LAYERS = ("conv1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9")
TINY = 1e-20  # under the root: keeps the gradient finite where a pixel has no features at all


def weighted_distance(a: Sequence[Tensor], b: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Sum over layers of the mean over pixels of the weighted squared difference of unit features.

    Parameters
    ----------
    a, b
        One [N,C,H,W] per layer, any units.
    weights
        One [C] per layer, not negative.

    Returns
    -------
    Tensor
        [N], not negative.

    Examples
    --------
    >>> one, other = torch.tensor([3.0, 0]).view(1, 2, 1, 1), torch.tensor([0, 5.0]).view(1, 2, 1, 1)
    >>> weighted_distance([one], [other], [torch.tensor([0.25, 0.5])])
    tensor([0.7500])
    """
    total = a[0].new_zeros(a[0].shape[0])
    for x, y, weight in zip(a, b, weights, strict=True):
        difference = (unit(x) - unit(y)).square()
        total = total + (difference * weight.view(1, -1, 1, 1)).sum(dim=1).mean(dim=(1, 2))
    return total


class LpipsSqueeze:
    """The metric with its weights in hand.

    Parameters
    ----------
    network
        Frozen features.
    weights
        One [C] per layer of :data:`LAYERS`.
    """

    def __init__(self, network: SqueezeNet11, weights: Sequence[Tensor]) -> None:
        self.network, self.weights = network, tuple(weights)

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Distance of each pair, convention ``lpips-squeeze-caffe``.

        Parameters
        ----------
        a, b
            Float [N,3,H,W], sRGB in 0..1, sides of at least 17 px. Symmetric in both.

        Returns
        -------
        Tensor
            [N]; 0 for equal pictures, photographs with visible differences 0.05 to 0.6.

        Raises
        ------
        SettingError
            Shapes differ, values are outside 0..1, or a side is too short.

        Notes
        -----
        Cost: two passes of 0.27 GMAC per 224x224 pixels, in float32.
        """
        picture_pair(a, b)
        return weighted_distance(self.network(a.float(), LAYERS), self.network(b.float(), LAYERS), self.weights)

    def corners(self, a: Tensor, b: Tensor) -> Tensor:
        """Mean distance of each pair from eight corners, convention ``lpips-squeeze-caffe:corners``.

        Parameters and errors as of the call; sides of at least 24 px. Cost: eight times as much.
        """
        picture_pair(a, b)
        height, width = (side - CORNERS + 1 for side in a.shape[-2:])
        parts = [(..., slice(k, k + height), slice(k, k + width)) for k in range(CORNERS)]
        return torch.stack([self(a[part], b[part]) for part in parts]).mean(0)


def load_lpips_squeeze(folder: Path, *, device: torch.device | str = "cpu") -> LpipsSqueeze:
    """Read SqueezeNet and the linear weights from `folder`.

    Raises
    ------
    ModelError
        A file is missing or is not the published one.
    """
    path = checked_file(folder / LINEAR_FILE, LINEAR_SHA256)
    with np.load(path, allow_pickle=False) as arrays:
        weights = [torch.from_numpy(arrays[f"squeeze.lin{k}"]).to(device) for k in range(len(LAYERS))]
    return LpipsSqueeze(load_squeezenet11(folder / SQUEEZENET11_FILE).to(device), weights)


def unit(x: Tensor) -> Tensor:
    """Features [N, C, H, W] of length one at each pixel.

    >>> unit(torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)).flatten()
    tensor([0.6000, 0.8000])
    """
    return x / (x.square().sum(dim=1, keepdim=True) + TINY).sqrt()
