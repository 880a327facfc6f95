"""Loss terms of pixel-trained networks, on float32 [N, 3, H, W] about 0..1."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from restauro.metrics.ssim import ssim_terms
from restauro.nets.features import SQUEEZENET11_FILE, features_folder, load_squeezenet11
from restauro.train.recipe import LossSection

#: Where activations are compared: fine texture (conv1) to small patterns (fire5).
FEATURE_LAYERS = ("conv1", "fire3", "fire5")


class Losses:
    """The weighted sum of a recipe's loss terms.

    ``l1`` = mean |output - truth|; ``ssim`` = 1 - mean SSIM (Gaussian 11 / 1.5, valid region); ``features`` = squared
    distance of SqueezeNet 1.1 activations, each position scaled to unit length, mean over positions, sum over
    :data:`FEATURE_LAYERS` (LPIPS of Zhang et al. 2018 without its learned channel weights).

    Raises
    ------
    ModelError
        A recipe that asks for ``features`` where their weights are not: nothing trains on random features.
    """

    def __init__(self, weights: LossSection, device: torch.device) -> None:
        self.weights = weights
        self.features: nn.Module | None = None
        if weights.features:
            path = features_folder() / SQUEEZENET11_FILE
            self.features = load_squeezenet11(path).to(device)

    def __call__(self, output: Tensor, truth: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Weighted total, and the value of each term by itself."""
        terms: dict[str, tuple[float, Tensor]] = {}
        if self.weights.l1:
            terms["l1"] = (self.weights.l1, (output - truth).abs().mean())
        if self.weights.ssim:
            luminance, contrast = ssim_terms(output, truth)
            terms["ssim"] = (self.weights.ssim, 1 - (luminance * contrast).mean())
        if self.features is not None:
            terms["features"] = (self.weights.features, self._feature_distance(output, truth))
        total = sum((weight * value for weight, value in terms.values()), start=output.new_zeros(()))
        return total, {name: float(value.detach()) for name, (_, value) in terms.items()}

    def _feature_distance(self, output: Tensor, truth: Tensor) -> Tensor:
        assert self.features is not None
        with torch.autocast(output.device.type, torch.bfloat16):
            with torch.no_grad():
                wanted = self.features(truth, FEATURE_LAYERS)
            found = self.features(output, FEATURE_LAYERS)
        distances = [
            (_unit(a.float()) - _unit(b.float())).square().sum(1).mean() for a, b in zip(found, wanted, strict=True)
        ]
        return torch.stack(distances).sum()


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().sum(1, keepdim=True) + 1e-6).sqrt()
