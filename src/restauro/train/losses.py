"""Loss terms of pixel-trained networks, on float32 [N, 3, H, W] about 0..1.

With y the output, t the truth, means over all numbers unless said otherwise:

======== ==========================================================================================================
l1       mean |y - t|
ssim     1 - mean SSIM(y, t), Gaussian 11 / 1.5, valid region
psnr     mean over pictures of log10(mean (y - t)^2 + 1e-6): PSNR in tens of dB, negated
features sum over :data:`FEATURE_LAYERS` of SqueezeNet 1.1 of mean_pixels |y_l / |y_l| - t_l / |t_l||^2, y_l and t_l the
         layer's activations: eq. 1 of Zhang et al. 2018 (LPIPS) without the learned channel weights
lpips    the same on seven layers, with the learned channel weights: the metric ``lpips-squeeze-caffe``, mean over
         pictures, in float32
grid     mean over pictures of G of :mod:`restauro.metrics.grid`: what of the error repeats every ``grid_px`` pixels
vgg      sum_l w_l mean |y_l - t_l| on VGG-19: DeSmoothGAN's eq. 9, with the switches of
         :class:`restauro.train.sections.VggSection`; a "sum" is over a picture, and its mean over pictures
======== ==========================================================================================================

HiFaceGAN and SPADE: ``weight = 10``, ``layers = { conv1_1 = 0.03125, ..., conv5_1 = 1.0 }``, ``activation = "post"``,
and ``input = "0..1"`` (HiFaceGAN) or ``"-1..1"`` (SPADE, pix2pixHD, ASAP-Net). DeblurGAN: ``weight = 100``,
``layers = { conv3_3 = 1.0 }``, ``distance = "squared"``, ``input = "-1..1"``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from restauro.metrics import grid
from restauro.metrics.lpips import LAYERS as LPIPS_LAYERS
from restauro.metrics.lpips import TINY, LpipsSqueeze, load_lpips_squeeze, unit
from restauro.metrics.ssim import ssim_terms
from restauro.nets.features import (
    SQUEEZENET11_FILE,
    VGG19_FILE,
    VGG19_LAYERS,
    VGG19_SHA256,
    features_folder,
    load_squeezenet11,
    load_vgg19,
)
from restauro.train.sections import LossSection, VggSection

#: Where activations are compared: fine texture (conv1) to small patterns (fire5).
FEATURE_LAYERS = ("conv1", "fire3", "fire5")


class Losses:
    """The weighted sum of a recipe's loss terms.

    Parameters
    ----------
    weights
        Which terms, and how much of each.
    device
        Where the pictures are.
    bfloat16
        Whether VGG computes its convolutions in bfloat16; differences are float32 always.

    Raises
    ------
    ModelError
        A recipe that asks for features whose weights are not there: nothing trains on random features.
    """

    def __init__(self, weights: LossSection, device: torch.device, *, bfloat16: bool = False) -> None:
        self.weights = weights
        self.features: nn.Module | None = None
        if weights.features:
            path = features_folder() / SQUEEZENET11_FILE
            self.features = load_squeezenet11(path).to(device)
        self.lpips: LpipsSqueeze | None = None
        if weights.lpips:
            self.lpips = load_lpips_squeeze(features_folder(), device=device)
        self.vgg = VggLoss(weights.vgg, device, bfloat16=bfloat16) if weights.vgg else None

    def __call__(self, output: Tensor, truth: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Weighted total, and the value of each term by itself."""
        terms: dict[str, tuple[float, Tensor]] = {}
        if self.weights.l1:
            terms["l1"] = (self.weights.l1, (output - truth).abs().mean())
        if self.weights.ssim:
            luminance, contrast = ssim_terms(output, truth)
            terms["ssim"] = (self.weights.ssim, 1 - (luminance * contrast).mean())
        if self.weights.psnr:
            terms["psnr"] = (self.weights.psnr, ((output - truth).square().mean((1, 2, 3)) + 1e-6).log10().mean())
        if self.weights.grid:
            terms["grid"] = (self.weights.grid, grid_error(output, truth, self.weights.grid_px))
        pair = jittered(output, truth, self.weights.jitter_px)
        if self.features is not None:
            terms["features"] = (self.weights.features, self._feature_distance(*pair))
        if self.lpips is not None:
            terms["lpips"] = (self.weights.lpips, lpips_distance(self.lpips, *pair))
        if self.vgg is not None:
            terms["vgg"] = (self.vgg.section.weight, self.vgg(output, truth))
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


def grid_error(output: Tensor, truth: Tensor, cell_px: int) -> Tensor:
    """What of the error repeats with the cells, mean square; sides of at least ``cell_px``, as the metric takes it."""
    return grid.repeated_square(grid.in_blocks(output - truth, cell_px)).mean()


def jittered(output: Tensor, truth: Tensor, jitter_px: int) -> tuple[Tensor, Tensor]:
    """Both in a mirrored border, ``jitter_px`` in all on each axis, its share at the top and left drawn from torch.

    A border, not a part without some rows: pixels at the edge would then seldom count, and be learned badly.
    """
    if not jitter_px:
        return output, truth
    top, left = torch.randint(jitter_px + 1, (2,)).tolist()
    border = (left, jitter_px - left, top, jitter_px - top)
    pad = nn.functional.pad
    return pad(output, border, mode="reflect"), pad(truth, border, mode="reflect")


def lpips_distance(metric: LpipsSqueeze, output: Tensor, truth: Tensor) -> Tensor:
    """The metric as a loss: values outside 0..1 are taken as they are, and the truth gets no gradient."""
    output, truth = (x.contiguous(memory_format=torch.channels_last) for x in (output, truth))
    with torch.no_grad():
        wanted = [unit(features) for features in metric.network(truth, LPIPS_LAYERS)]
    found = metric.network(output, LPIPS_LAYERS)
    rows = [WeightedDistance.apply(*row) for row in zip(found, wanted, metric.weights, strict=True)]
    return torch.stack(rows).sum(0).mean()


class WeightedDistance(torch.autograd.Function):
    """Mean over pixels of sum_c w_c (x_c / |x| - u_c)^2: a layer of LPIPS against features u of unit length.

    The gradient in x is 2 (q - e (e . q)) / (|x| pixels) with e = x / |x| and q_c = w_c (e_c - u_c). Written out it
    takes half the time that it takes through the graph of the formula.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, u: Tensor, weights: Tensor) -> Tensor:
        """Distances [N] of features x [N, C, H, W] from u of the same shape, by weights [C]."""
        length = (x.square().sum(dim=1, keepdim=True) + TINY).sqrt()
        e = x / length
        difference = e - u
        ctx.save_for_backward(e, difference, length, weights)
        return torch.einsum("nchw,c->n", difference.square(), weights) / x[0, 0].numel()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, wanted: Tensor) -> tuple[Tensor, None, None]:
        """The gradient in x alone."""
        e, difference, length, weights = ctx.saved_tensors
        q = difference * weights.view(1, -1, 1, 1)
        q = q - e * (q * e).sum(dim=1, keepdim=True)
        return q * (2 * wanted.view(-1, 1, 1, 1) / (length * e[0, 0].numel())), None, None


class VggLoss:
    """Weighted differences of VGG-19 activations; see the head of this file.

    ``sha256`` is of the file that the weights came from, ``published`` says whether that is torchvision's.

    Notes
    -----
    Cost up to conv5_4: three passes of 25.5 GMAC per 256 x 256 pixels, and the activations of one of them in memory.
    """

    def __init__(self, section: VggSection, device: torch.device, *, bfloat16: bool = False) -> None:
        self.section, self.bfloat16 = section, bfloat16
        self.layers = [name for name in VGG19_LAYERS if name in section.layers]  # the order they come back in
        path = Path(section.path) if section.path else features_folder() / VGG19_FILE
        normalise = section.input == "imagenet"
        # A path counts as given, whatever it holds; a file of the published name must hold the published bytes.
        wanted = "" if section.path else VGG19_SHA256
        net = load_vgg19(path, activation=section.activation, normalise=normalise, sha256=wanted)
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        self.published = self.sha256.startswith(VGG19_SHA256)
        self.net: nn.Module = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, output: Tensor, truth: Tensor) -> Tensor:
        """The distance of two batches [N, 3, H, W], a scalar; ``truth`` gets no gradient."""
        with torch.no_grad():
            wanted = self._activations(truth)
        total = output.new_zeros(())
        for name, a, b in zip(self.layers, self._activations(output), wanted, strict=True):
            difference = a.float() - b.float()
            apart = difference.abs() if self.section.distance == "l1" else difference.square()
            value = apart.mean() if self.section.reduction == "mean" else apart.sum() / len(apart)
            total = total + self.section.layers[name] * value
        return total

    def _activations(self, x: Tensor) -> list[Tensor]:
        if self.section.input == "-1..1":
            x = 2 * x - 1
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bfloat16):
            found: list[Tensor] = self.net(x.contiguous(memory_format=torch.channels_last), self.layers)
        return found


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().sum(1, keepdim=True) + 1e-6).sqrt()
