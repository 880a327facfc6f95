"""Motion blur by random trajectories of a shaken camera, and the mixture that a general deblurrer meets.

Source: Kupyn et al., "DeblurGAN", CVPR 2018, section 4.1, after Boracchi and Foi, "Modeling the performance of image
restoration from motion blur", TIP 2012. Constants are those of the authors' code, where they differ from the paper's.

The camera is a particle in the plane. Each step adds to its velocity a Gaussian shake and a pull back to the start,
now and then a jolt that turns it round, and sets its speed back to the same value: a path of ``length_px`` for every
draw. The kernel is the time that the path spends in each pixel while the shutter is open. Unlike the authors' code,
a kernel sums to 1 whatever the exposure, lies with its centroid in its centre (a pair is not misregistered), and
borders reflect.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from restauro.degrade.blur import GaussianBlur, MotionBlur
from restauro.degrade.jpeg import Jpeg
from restauro.degrade.kernels import DiscBlur, convolve, from_linear, require_flag, to_linear
from restauro.degrade.noise import GaussianNoise
from restauro.degrade.steps import (
    Step,
    draw_choice,
    draw_seed,
    draw_uniform,
    draw_whole,
    on_levels,
    require_number,
    require_range,
    require_severity,
    require_shares,
)

STEPS_OF_A_PATH = 2000


@dataclass(frozen=True)
class TrajectorySettings:
    """What a trajectory is drawn from.

    Parameters
    ----------
    exposure_min, exposure_max
        Strength: the part of the path during which the shutter is open, drawn evenly. 0 is no blur, 1 the whole path;
        the paper takes 0.1, 0.5 and 1.
    length_px
        Length of the whole path. Kernels are much smaller, as it winds: at 60 px, 6 px at exposure 0.1, 16 at 0.5 and
        about 20 at 1 (medians at anxiety 0.005).
    anxiety_min, anxiety_max
        How much the hand trembles, drawn evenly; the more, the smaller the kernel. The authors' range.
    centred
        Put the kernel's centroid into its centre. False: the start of the path, so that the picture moves too.
    linear_light
        Blur light, as a camera does, instead of sRGB values, as the paper does.
    severity
        None draws the exposure from its range; a number fixes it at that multiple of its strong end (at most 1).
    """

    exposure_min: float = 0.02
    exposure_max: float = 1.0
    length_px: float = 60.0
    anxiety_min: float = 0.003
    anxiety_max: float = 0.01
    centred: bool = True
    linear_light: bool = False
    severity: float | None = None

    def __post_init__(self) -> None:
        require_range(self, "exposure_min", "exposure_max", 0, 1)
        require_number("length_px", self.length_px, 0, 600)
        require_range(self, "anxiety_min", "anxiety_max", 0, 1)
        require_flag("centred", self.centred)
        require_flag("linear_light", self.linear_light)
        require_severity(self.severity)


@dataclass(frozen=True)
class TrajectoryBlur:
    """Blur along one random path, made again from its seed.

    >>> blur = TrajectoryBlur(seed=3, exposure=0.5, anxiety=0.005)
    >>> blur.kernel().shape, round(float(blur.kernel().sum()), 6)
    (torch.Size([25, 25]), 1.0)
    >>> blur(torch.full((1, 3, 8, 8), 0.6)).unique() * 255
    tensor([153.])
    """

    name: ClassVar[str] = "trajectory-blur"
    seed: int
    exposure: float
    anxiety: float
    length_px: float = 60.0
    centred: bool = True
    linear_light: bool = False

    def __post_init__(self) -> None:
        require_number("seed", self.seed, 0, 2**32 - 1, whole=True)
        require_number("exposure", self.exposure, 0, 1)
        require_number("anxiety", self.anxiety, 0, 1)
        require_number("length_px", self.length_px, 0, 600)
        require_flag("centred", self.centred)
        require_flag("linear_light", self.linear_light)

    def path(self) -> NDArray[np.float64]:
        """The whole trajectory in px, [2000, 2] as (x, y), from (0, 0)."""
        generator = torch.Generator().manual_seed(self.seed)
        pull, jolts, shake, angle = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
        chances = torch.rand(STEPS_OF_A_PATH - 1, 2, generator=generator, dtype=torch.float64).numpy()
        shakes = torch.randn(STEPS_OF_A_PATH - 1, 2, generator=generator, dtype=torch.float64).numpy()
        step = self.length_px / (STEPS_OF_A_PATH - 1)
        if step == 0:
            return np.zeros((STEPS_OF_A_PATH, 2))
        return trajectory(step, self.anxiety, 0.7 * pull, 0.2 * jolts, 10 * shake, 2 * math.pi * angle, chances, shakes)

    def kernel(self) -> Tensor:
        """The taps, [side, side], summing to 1; side odd."""
        seen = self.path()[: max(1, round(self.exposure * STEPS_OF_A_PATH))]
        if self.centred:
            seen = seen - seen.mean(0)
        return torch.from_numpy(splat(seen))

    def __call__(self, x: Tensor) -> Tensor:
        """Blur x [N, C, H, W], 0..1."""
        if self.linear_light:
            return on_levels(x, lambda v: from_linear(convolve(to_linear(v), self.kernel())))
        return on_levels(x, lambda v: convolve(v, self.kernel()))


@dataclass(frozen=True)
class GeneralBlurSettings:
    """What pictures that need deblurring have met: one blur or none, then a little noise, then perhaps JPEG.

    Parameters
    ----------
    trajectory
        Of the random paths.
    paths, lines, gaussian, disc, none
        Shares of the kinds of blur; ``none`` teaches a network to leave sharp pictures alone.
    line_min_px, line_max_px
        Length of straight lines at any angle; an even one grows by 1.
    sigma_min_px, sigma_max_px
        Of the Gaussian.
    radius_min_px, radius_max_px
        Of the disc (defocus).
    noise_max
        Largest standard deviation of the Gaussian noise, in levels of 255; drawn evenly from 0.
    jpeg
        Chance of JPEG, of quality ``quality_min`` to ``quality_max``.
    severity
        None draws the blur from its ranges; a number fixes it at that multiple of their strong ends.
    """

    trajectory: TrajectorySettings = field(default_factory=TrajectorySettings)
    paths: float = 0.55
    lines: float = 0.15
    gaussian: float = 0.08
    disc: float = 0.1
    none: float = 0.12
    line_min_px: int = 3
    line_max_px: int = 25
    sigma_min_px: float = 0.4
    sigma_max_px: float = 2.5
    radius_min_px: float = 0.7
    radius_max_px: float = 4.0
    noise_max: float = 2.0
    jpeg: float = 0.3
    quality_min: int = 70
    quality_max: int = 95
    severity: float | None = None

    def __post_init__(self) -> None:
        require_shares(paths=self.paths, lines=self.lines, gaussian=self.gaussian, disc=self.disc, none=self.none)
        for name in ("line_min_px", "line_max_px"):
            require_number(name, getattr(self, name), 1, 999, whole=True)
        require_range(self, "line_min_px", "line_max_px", 1, 999)
        require_range(self, "sigma_min_px", "sigma_max_px", 0.01, 300)
        require_range(self, "radius_min_px", "radius_max_px", 0, 30)
        require_number("noise_max", self.noise_max, 0, 255)
        require_number("jpeg", self.jpeg, 0, 1)
        for name in ("quality_min", "quality_max"):
            require_number(name, getattr(self, name), 1, 100, whole=True)
        require_range(self, "quality_min", "quality_max", 1, 100)
        require_severity(self.severity)


def draw_trajectory(settings: TrajectorySettings, generator: torch.Generator) -> TrajectoryBlur:
    """Draw one trajectory.

    >>> draw_trajectory(TrajectorySettings(severity=0.5), torch.Generator().manual_seed(0)).exposure
    0.5
    """
    exposure = draw_uniform(generator, settings.exposure_min, settings.exposure_max)
    if settings.severity is not None:
        exposure = min(1.0, settings.exposure_max * settings.severity)
    return TrajectoryBlur(
        anxiety=draw_uniform(generator, settings.anxiety_min, settings.anxiety_max),
        seed=draw_seed(generator),
        exposure=exposure,
        length_px=settings.length_px,
        centred=bool(settings.centred),
        linear_light=bool(settings.linear_light),
    )


def draw_general(settings: GeneralBlurSettings, generator: torch.Generator) -> tuple[Step, ...]:
    """Draw the steps of one picture.

    >>> steps = draw_general(GeneralBlurSettings(), torch.Generator().manual_seed(5))
    >>> [step.name for step in steps]
    ['motion-blur', 'gaussian-noise']
    """
    steps: list[Step] = list(_draw_one_blur(settings, generator))
    steps.append(GaussianNoise(draw_uniform(generator, 0, settings.noise_max), draw_seed(generator)))
    if draw_uniform(generator, 0, 1) < settings.jpeg:
        steps.append(Jpeg(draw_whole(generator, settings.quality_min, settings.quality_max)))
    return tuple(steps)


def _draw_one_blur(settings: GeneralBlurSettings, generator: torch.Generator) -> tuple[Step, ...]:
    def strength(low: float, high: float) -> float:
        drawn = draw_uniform(generator, low, high)
        return drawn if settings.severity is None else high * settings.severity

    shares = (settings.paths, settings.lines, settings.gaussian, settings.disc, settings.none)
    match draw_choice(generator, shares):
        case 0:
            own = settings.trajectory
            own = own if own.severity is not None else replace(own, severity=settings.severity)
            return (draw_trajectory(own, generator),)
        case 1:
            length = max(1, round(strength(settings.line_min_px, settings.line_max_px)))
            return (MotionBlur(length + 1 - length % 2, angle_deg=draw_uniform(generator, 0, 180)),)
        case 2:
            return (GaussianBlur(strength(settings.sigma_min_px, settings.sigma_max_px)),)
        case 3:
            return (DiscBlur(strength(settings.radius_min_px, settings.radius_max_px)),)
        case _:
            return ()


@njit(nogil=True, cache=True)
def trajectory(
    step: float,
    anxiety: float,
    pull: float,
    jolts: float,
    shake: float,
    angle: float,
    chances: NDArray[Any],
    shakes: NDArray[Any],
) -> NDArray[Any]:
    """The random walk, [T, 2] as (x, y); every step is ``step`` long.

        v <- v + q + anxiety * step * (shake * n_t - pull * x_t),    v <- step * v / |v|,    x_{t+1} = x_t + v

    with n_t of ``shakes`` [T - 1, 2]; where ``chances[t, 0]`` < jolts * anxiety, q is 2 v turned by half a turn and up
    to half a radian (``chances[t, 1]``), else 0. ``angle`` in radians is the first direction.
    """
    path = np.zeros((len(chances) + 1, 2))
    first = anxiety if anxiety > 0 else step
    vx, vy = first * math.cos(angle), first * math.sin(angle)
    x, y = 0.0, 0.0
    for t in range(len(chances)):
        qx, qy = 0.0, 0.0
        if chances[t, 0] < jolts * anxiety:
            turn = math.pi + chances[t, 1] - 0.5
            qx = 2 * (vx * math.cos(turn) - vy * math.sin(turn))
            qy = 2 * (vx * math.sin(turn) + vy * math.cos(turn))
        vx += qx + anxiety * step * (shake * shakes[t, 0] - pull * x)
        vy += qy + anxiety * step * (shake * shakes[t, 1] - pull * y)
        speed = math.hypot(vx, vy)
        vx, vy = step * vx / speed, step * vy / speed
        x, y = x + vx, y + vy
        path[t + 1, 0], path[t + 1, 1] = x, y
    return path


@njit(nogil=True, cache=True)
def splat(points: NDArray[Any]) -> NDArray[Any]:
    """Spread points [T, 2] bilinearly over the pixels of a square about (0, 0); the taps sum to 1."""
    radius = math.ceil(np.abs(points).max())
    taps = np.zeros((2 * radius + 3, 2 * radius + 3))
    for t in range(len(points)):
        x, y = points[t, 0] + radius, points[t, 1] + radius
        left, top = math.floor(x), math.floor(y)
        right, low = x - left, y - top
        taps[top, left] += (1 - right) * (1 - low)
        taps[top, left + 1] += right * (1 - low)
        taps[top + 1, left] += (1 - right) * low
        taps[top + 1, left + 1] += right * low
    side = 2 * radius + 1
    kernel: NDArray[Any] = taps[:side, :side] / taps[:side, :side].sum()
    return kernel
