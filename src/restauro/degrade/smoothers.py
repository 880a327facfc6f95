"""Smoothers as degradations: one of a stated method and strength, or one drawn from the mix.

What a desmoother meets in the world is a picture that *somehow* lost its detail. Here seven quick smoothers share one
scale of strength: 0 takes so little that one must look twice, 1 is about as flat as anybody makes a picture, and
between the two the setting that decides (``lam``, ``eps``, ...) grows geometrically. The ends were chosen so that the
methods change photographs of 256 to 384 px alike: PSNR to the input is 38 to 41 dB at 0 and 25 to 28 dB at 1 (median;
for ``beautify`` on skin, 44 and 30); ``tests/degrade/test_smoothers.py`` holds them to about that. The other settings
of a method (radius, width) are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from restauro.degrade.beautify import BeautifySettings, beautify
from restauro.degrade.steps import (
    Step,
    draw_choice,
    draw_uniform,
    on_levels,
    require_number,
    require_range,
    require_shares,
)
from restauro.errors import SettingError, UsageError
from restauro.smooth.catalogue import smooth_tensor


@dataclass(frozen=True)
class Scale:
    """How strength becomes the settings of one method.

    Parameters
    ----------
    ends
        Setting -> its values at strength 0 and 1, geometric between.
    drawn
        Setting -> lowest and highest value, drawn geometrically whatever the strength.
    """

    ends: Mapping[str, tuple[float, float]]
    drawn: Mapping[str, tuple[float, float]] = field(default_factory=dict)


SCALES: dict[str, Scale] = {
    "l0": Scale({"lam": (0.0015, 0.03)}),
    "guided": Scale({"eps": (0.0018, 0.12)}, {"radius_px": (3, 12)}),
    "bilateral": Scale({"sigma_range": (0.055, 0.6)}, {"sigma_px": (2.5, 6)}),
    "rtv": Scale({"lam": (0.0004, 0.014)}, {"sigma_px": (1.5, 4)}),
    "fgs": Scale({"sigma": (0.009, 0.055)}, {"lam": (100, 900)}),
    "domain-transform": Scale({"sigma_range": (0.15, 1.0)}, {"sigma_px": (6, 30)}),
    "beautify": Scale({"amount": (0.8, 1.0), "eps": (0.003, 0.08), "edge": (0.1, 0.2)}, {"radius_px": (4, 12)}),
}
_WHOLE = {"radius_px"}
#: Smoothers that no recipe trains on, and settings at which they flatten a photograph: to test what was learned.
UNSEEN: dict[str, dict[str, float]] = {
    "sgf": {"radius_px": 12, "sigma": 0.05, "tau": 0.1},
    "wls": {"lam": 0.3, "alpha": 1.2},
}


@dataclass(frozen=True)
class Smoother:
    """One smoother with exact settings, rounded to 8 bits like a saved picture.

    Parameters
    ----------
    method
        A name of :data:`restauro.smooth.catalogue.METHODS`, or ``"beautify"``.
    values
        Its settings by name.

    Examples
    --------
    >>> x = torch.rand(1, 3, 8, 8)
    >>> Smoother("guided", {"radius_px": 4, "eps": 0.01})(x).shape
    torch.Size([1, 3, 8, 8])
    """

    name: ClassVar[str] = "smoother"
    method: str
    values: Mapping[str, float]

    def __call__(self, x: Tensor) -> Tensor:
        """Smooth x [N, C, H, W], 0..1."""
        return on_levels(x, lambda v: self._smooth(v / 255) * 255)

    def _smooth(self, x: Tensor) -> Tensor:
        if self.method != "beautify":
            return smooth_tensor(x, self.method, self.values)
        known = [f.name for f in fields(BeautifySettings)]
        if unknown := sorted(set(self.values) - set(known)):
            raise UsageError(f"beautify: found setting {unknown[0]!r}, wanted one of {', '.join(known)}")
        values: dict[str, Any] = dict(self.values)
        return beautify(x, BeautifySettings(**values))


@dataclass(frozen=True)
class StrengthSettings:
    """From what the strength is drawn.

    Parameters
    ----------
    strength
        0..1 fixes it; None draws it evenly from ``strength_min``..``strength_max``.
    """

    strength: float | None = None
    strength_min: float = 0.0
    strength_max: float = 1.0

    def __post_init__(self) -> None:
        require_range(self, "strength_min", "strength_max", 0, 1)
        if self.strength is not None:
            require_number("strength", self.strength, 0, 1)

    def draw(self, generator: torch.Generator) -> float:
        """Draw it; the stream moves on as far when the strength is fixed."""
        drawn = draw_uniform(generator, self.strength_min, self.strength_max)
        return drawn if self.strength is None else self.strength


@dataclass(frozen=True)
class SmootherSettings(StrengthSettings):
    """One method of :data:`SCALES` at a fixed or drawn strength."""

    method: str = "l0"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in SCALES:
            raise SettingError("method", self.method, f"one of {', '.join(SCALES)}")


@dataclass(frozen=True)
class MixedSettings(StrengthSettings):
    """Shares of the methods, and the strength of whichever is drawn.

    Parameters
    ----------
    none
        Share of pictures that are left as they are: a desmoother should learn to leave such pictures alone.
    """

    none: float = 0.0
    l0: float = 1.0
    guided: float = 1.0
    bilateral: float = 1.0
    rtv: float = 1.0
    fgs: float = 1.0
    domain_transform: float = 1.0
    beautify: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_shares(**self.shares())

    def shares(self) -> dict[str, float]:
        """Setting -> share."""
        return {name: getattr(self, name) for name in ("none", *(method.replace("-", "_") for method in SCALES))}


def draw_smoother(method: str, strength: float, generator: torch.Generator) -> Smoother:
    """Settings of a method of :data:`SCALES` at a strength; those that strength leaves open are drawn.

    Examples
    --------
    >>> draw_smoother("l0", 1.0, torch.Generator()).values
    {'lam': 0.03}
    """
    scale, values = SCALES[method], settings_at(method, strength)
    values |= {name: _between(*ends, draw_uniform(generator, 0, 1)) for name, ends in scale.drawn.items()}
    return Smoother(method, {name: round(value) if name in _WHOLE else value for name, value in values.items()})


def settings_at(method: str, strength: float) -> dict[str, float]:
    """The settings of a method that strength decides.

    >>> settings_at("l0", 0.5)["lam"]
    0.0067...
    """
    return {name: _between(*ends, strength) for name, ends in SCALES[method].ends.items()}


def draw_mixed(settings: MixedSettings, generator: torch.Generator) -> tuple[Step, ...]:
    """Draw the steps of one picture: one smoother, or none at all.

    Examples
    --------
    >>> [step.method for step in draw_mixed(MixedSettings(), torch.Generator().manual_seed(1))]
    ['l0']
    """
    place = draw_choice(generator, list(settings.shares().values()))
    strength = settings.draw(generator)
    return () if place == 0 else (draw_smoother(list(SCALES)[place - 1], strength, generator),)


def _between(low: float, high: float, share: float) -> float:
    return float(low * (high / low) ** share)
