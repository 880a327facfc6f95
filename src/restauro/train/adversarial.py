"""What a critic says and what is made of it: objectives, gradient penalty, feature matching.

With logits r of real pictures and f of made ones, means over all patches, then over the critic's scales:

========= ============================================= =======================
objective the critic minimises                          the generator minimises
========= ============================================= =======================
vanilla   softplus(-r) + softplus(f)                    softplus(-f)
lsgan     (r - 1)^2 + f^2                               (f - 1)^2
hinge     max(0, 1 - r) + max(0, 1 + f)                 -f
wgan-gp   f - r + penalty (|gradient| - 1)^2            -f
========= ============================================= =======================

Sources: Goodfellow et al. 2014, the non-saturating form; Mao et al. 2017 (least squares, without the logarithm that
the DeSmoothGAN paper's eq. 8 prints in front of it); Lim and Ye 2017; Gulrajani et al. 2017. Feature matching: Wang et
al. 2018 (pix2pixHD), eq. 4, unweighted mean over layers and scales.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restauro.nets.critics import PatchCritic
from restauro.nets.critics_multiscale import DeblurCritic, Features, Pix2PixHDCritic, SpadeCritic
from restauro.train.sections import AdversarialSection, CriticSection


class Critic(nn.Module):
    """Any critic of a recipe behind one face: a picture beside its input in, features of each scale out.

    Parameters
    ----------
    section
        Of the recipe.
    semantic
        Channels of the input where it is a label map (classes and borders), which ``spade`` and ``pix2pixhd`` can
        read; 0 where it is a picture.

    Examples
    --------
    >>> critic = Critic(CriticSection(width=4))
    >>> features = critic(torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64))
    >>> len(features), features[0][-1].shape
    (1, torch.Size([2, 1, 6, 6]))
    """

    def __init__(self, section: CriticSection, semantic: int = 0) -> None:
        super().__init__()
        self.conditional = section.conditional
        self.semantic = semantic if section.conditional else 0
        pictures = 2 if section.conditional and not semantic else 1
        self.net: nn.Module
        match section.architecture:
            case "patchgan":
                self.net = PatchCritic(section.conditional, section.width, section.layers)
            case "deblurgan":
                self.net = DeblurCritic(pictures, section.width)
            case "spade":
                self.net = SpadeCritic(self.semantic, pictures, section.width)
            case "pix2pixhd":
                self.net = Pix2PixHDCritic(self.semantic, pictures, section.width)

    def forward(self, picture: Tensor, source: Tensor) -> Features:
        """Judge picture [N, 3, H, W], 0..1, made from source [N, C, H, W]: per scale its features, logits last."""
        if self.semantic:
            seen: Features = self.net(picture, source)
            return seen
        x = torch.cat([source, picture], dim=1) if self.conditional else picture
        if isinstance(self.net, PatchCritic):
            return [_walk(self.net.layers, 2 * x - 1)]
        if isinstance(self.net, DeblurCritic):
            return [_walk(self.net.model, 2 * x - 1)]
        features: Features = self.net(x)
        return features


class CriticLoss(nn.Module):
    """The critic's loss on one batch: one forward pass, one number, so that data-parallel training can wrap it."""

    def __init__(self, critic: Critic, section: AdversarialSection) -> None:
        super().__init__()
        self.critic, self.section = critic, section

    def forward(self, source: Tensor, truth: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
        """Loss of real ``truth`` against ``fake``; ``mix`` [N, 1, 1, 1] in 0..1 is where wgan-gp penalises."""
        objective = self.section.objective
        real, made = logits(self.critic(truth, source)), logits(self.critic(fake, source))
        loss = torch.stack([critic_objective(objective, r, f) for r, f in zip(real, made, strict=True)]).mean()
        if objective == "wgan-gp":
            loss = loss + self.section.penalty * gradient_penalty(self.critic, source, truth, fake, mix)
        return loss


def logits(features: Features) -> list[Tensor]:
    """The logits of each scale, in float32."""
    return [scale[-1].float() for scale in features]


def critic_objective(objective: str, real: Tensor, fake: Tensor) -> Tensor:
    """The critic's side of the table, without the penalty.

    >>> real, fake = torch.tensor([1.0]), torch.tensor([0.0])
    >>> [round(float(critic_objective(name, real, fake)), 3) for name in ("vanilla", "lsgan", "hinge", "wgan-gp")]
    [1.006, 0.0, 1.0, -1.0]
    """
    match objective:
        case "vanilla":
            return F.softplus(-real).mean() + F.softplus(fake).mean()
        case "lsgan":
            return (real - 1).square().mean() + fake.square().mean()
        case "hinge":
            return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
        case _:
            return fake.mean() - real.mean()


def generator_objective(objective: str, fake: list[Tensor]) -> Tensor:
    """The generator's side of the table, mean over scales."""
    match objective:
        case "vanilla":
            terms = [F.softplus(-f).mean() for f in fake]
        case "lsgan":
            terms = [(f - 1).square().mean() for f in fake]
        case _:
            terms = [-f.mean() for f in fake]
    return torch.stack(terms).mean()


def feature_matching(fake: Features, real: Features) -> Tensor:
    """Mean absolute difference of a critic's features without the logits; ``real`` gets no gradient."""
    terms = [
        F.l1_loss(f.float(), r.detach().float())
        for fake_scale, real_scale in zip(fake, real, strict=True)
        for f, r in zip(fake_scale[:-1], real_scale[:-1], strict=True)
    ]
    return torch.stack(terms).mean()


def gradient_penalty(critic: Critic, source: Tensor, truth: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """(|d critic / d picture| - 1)^2 at ``mix * truth + (1 - mix) * fake``, mean over pictures (eq. 3).

    A picture's score is the mean of its patch logits over all scales.
    """
    with torch.autocast(truth.device.type, enabled=False), torch.enable_grad():
        between = (mix * truth + (1 - mix) * fake).float().requires_grad_()
        score = torch.stack([scale.mean((1, 2, 3)) for scale in logits(critic(between, source.float()))]).mean(0)
        (slope,) = torch.autograd.grad(score.sum(), between, create_graph=True)
    penalty: Tensor = (slope.flatten(1).norm(dim=1) - 1).square().mean()
    return penalty


def _walk(layers: nn.Sequential, x: Tensor) -> list[Tensor]:
    """What follows each activation, and the last layer's output."""
    seen = []
    for layer in layers:
        x = layer(x)
        if isinstance(layer, nn.LeakyReLU):
            seen.append(x)
    return [*seen, x]
