"""Full face renovation of HiFaceGAN (Yang et al. 2020): blur, noise, JPEG and reduction in random order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch

from restauro.degrade.blur import BlurSettings, draw_blur
from restauro.degrade.jpeg import JpegSettings, draw_jpeg
from restauro.degrade.noise import NoiseSettings, draw_noise
from restauro.degrade.resize import ResizeSettings, draw_resize
from restauro.degrade.steps import Step, draw_uniform, require_number, require_severity

Group = TypeVar("Group", BlurSettings, NoiseSettings, JpegSettings, ResizeSettings)


@dataclass(frozen=True)
class RenovationSettings:
    """What a full degradation is drawn from; by default the published law.

    Parameters
    ----------
    blur, noise, jpeg, resize
        The four groups.
    probability
        Chance that a group takes part; all always do in the published law. Below 1, a picture can come out
        untouched.
    alone
        Chance that exactly one group does, each as likely as the others, whatever ``probability`` says.
    severity
        Severity of every group that states none itself: None draws from their ranges, a number fixes all four at
        that multiple of their strong ends.
    """

    blur: BlurSettings = field(default_factory=BlurSettings)
    noise: NoiseSettings = field(default_factory=NoiseSettings)
    jpeg: JpegSettings = field(default_factory=JpegSettings)
    resize: ResizeSettings = field(default_factory=ResizeSettings)
    probability: float = 1.0
    alone: float = 0.0
    severity: float | None = None

    def __post_init__(self) -> None:
        require_number("probability", self.probability, 0, 1)
        require_number("alone", self.alone, 0, 1)
        require_severity(self.severity)


def draw_renovation(settings: RenovationSettings, generator: torch.Generator) -> tuple[Step, ...]:
    """Draw the steps of one picture: every order of the groups is equally likely.

    >>> steps = draw_renovation(RenovationSettings(), torch.Generator().manual_seed(7))
    >>> [step.name for step in steps]
    ['resize', 'jpeg', 'gaussian-blur', 'poisson-noise']
    """
    draw: tuple[Callable[[], Step], ...] = (
        lambda: draw_blur(_severe(settings.blur, settings.severity), generator),
        lambda: draw_noise(_severe(settings.noise, settings.severity), generator),
        lambda: draw_jpeg(_severe(settings.jpeg, settings.severity), generator),
        lambda: draw_resize(_severe(settings.resize, settings.severity), generator),
    )
    order = torch.randperm(4, generator=generator).tolist()
    if settings.alone and draw_uniform(generator, 0, 1) < settings.alone:
        return (draw[order[0]](),)
    return tuple(draw[group]() for group in order if draw_uniform(generator, 0, 1) < settings.probability)


def _severe(group: Group, severity: float | None) -> Group:
    return group if group.severity is not None else replace(group, severity=severity)
