"""Additive noise as in the face-renovation script of HiFaceGAN (Yang et al. 2020), one of three kinds per picture.

Semantics of imgaug 0.4.0: one scale per picture, a value for every pixel and channel, rounded, added to 8-bit levels
and clipped. Its "Poisson" noise does not depend on the signal: a Poisson count with a fair random sign, so two humps
at +-lam with a standard deviation of sqrt(lam^2 + lam).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from restauro.degrade.steps import (
    draw_choice,
    draw_seed,
    draw_uniform,
    on_levels,
    require_number,
    require_range,
    require_severity,
    require_shares,
)


@dataclass(frozen=True)
class NoiseSettings:
    """What the noise is drawn from; scales are in levels of 255.

    Parameters
    ----------
    gaussian, laplace, poisson
        Shares of the three kinds.
    scale_min, scale_max
        Standard deviation of the Gaussian, or scale b of the Laplace law (its deviation is 1.41 b).
    lam_min, lam_max
        Mean of the Poisson count.
    severity
        None draws from the ranges; a number fixes the strength at that multiple of their strong ends. The
        paper's pressure test is 1.0, 1.2, 1.4.
    """

    gaussian: float = 1.0
    laplace: float = 1.0
    poisson: float = 1.0
    scale_min: float = 20.0
    scale_max: float = 40.0
    lam_min: float = 15.0
    lam_max: float = 30.0
    severity: float | None = None

    def __post_init__(self) -> None:
        require_shares(gaussian=self.gaussian, laplace=self.laplace, poisson=self.poisson)
        require_range(self, "scale_min", "scale_max", 0, 255)
        require_range(self, "lam_min", "lam_max", 0, 255)
        require_severity(self.severity)


@dataclass(frozen=True)
class _Noise(ABC):
    """A noise field of some strength, made again from its seed."""

    scale: float
    seed: int

    def __post_init__(self) -> None:
        require_number("scale", self.scale, 0, 2550)
        require_number("seed", self.seed, 0, 2**32 - 1, whole=True)

    def field(self, shape: tuple[int, ...]) -> Tensor:
        """The noise in levels, float32 on the CPU."""
        return self._sample(shape, torch.Generator().manual_seed(self.seed))

    @abstractmethod
    def _sample(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor: ...

    def __call__(self, x: Tensor) -> Tensor:
        """Add it to x [N, C, H, W], 0..1."""
        field = self.field(tuple(x.shape)).round_().to(x)
        return on_levels(x, lambda v: v + field)


@dataclass(frozen=True)
class GaussianNoise(_Noise):
    """Normal noise; ``scale`` is its standard deviation in levels."""

    name: ClassVar[str] = "gaussian-noise"

    def _sample(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.randn(shape, generator=generator) * self.scale


@dataclass(frozen=True)
class LaplaceNoise(_Noise):
    """Laplace noise by its inverse distribution; ``scale`` is b, in levels."""

    name: ClassVar[str] = "laplace-noise"

    def _sample(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        u = torch.rand(shape, generator=generator, dtype=torch.float64) - 0.5
        u = u.clamp_(min=-0.5 + 2**-54)  # log1p(-1) has no value
        return (-self.scale * u.sign() * torch.log1p(-2 * u.abs())).float()


@dataclass(frozen=True)
class PoissonNoise(_Noise):
    """A Poisson count of mean ``scale``, by its inverse distribution, with a fair random sign."""

    name: ClassVar[str] = "poisson-noise"

    def _sample(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        most = int(self.scale + 12 * math.sqrt(self.scale) + 20)
        k = torch.arange(most, dtype=torch.float64)
        lam = torch.tensor(self.scale, dtype=torch.float64)
        chances = torch.exp(torch.xlogy(k, lam) - lam - torch.lgamma(k + 1))
        u = torch.rand(shape, generator=generator, dtype=torch.float64)
        count = torch.searchsorted(chances.cumsum(0), u, right=True).float()
        return torch.where(torch.rand(shape, generator=generator) < 0.5, -count, count)


def draw_noise(settings: NoiseSettings, generator: torch.Generator) -> GaussianNoise | LaplaceNoise | PoissonNoise:
    """Draw one noise.

    >>> draw_noise(NoiseSettings(laplace=0, poisson=0, severity=1.4), torch.Generator().manual_seed(0)).scale
    56.0
    """
    kind = (GaussianNoise, LaplaceNoise, PoissonNoise)[
        draw_choice(generator, (settings.gaussian, settings.laplace, settings.poisson))
    ]
    low, high = (
        (settings.lam_min, settings.lam_max) if kind is PoissonNoise else (settings.scale_min, settings.scale_max)
    )
    scale = draw_uniform(generator, low, high)
    if settings.severity is not None:
        scale = high * settings.severity
    return kind(scale, draw_seed(generator))


def deviation(noise: GaussianNoise | LaplaceNoise | PoissonNoise) -> float:
    """Standard deviation of a noise in levels, before clipping.

    >>> round(deviation(PoissonNoise(15, seed=0)), 1), round(deviation(PoissonNoise(30, seed=0)), 1)
    (15.5, 30.5)
    """
    match noise:
        case LaplaceNoise():
            return math.sqrt(2) * noise.scale
        case PoissonNoise():
            return math.sqrt(noise.scale**2 + noise.scale)
        case _:
            return noise.scale
