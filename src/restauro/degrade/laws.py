"""The table of degradation laws, and the one function that applies a law and records what it did.

A law maps a picture to a worse one. Its settings are numbers; a seed decides whatever is random in it, and the
record that comes back is enough to do the same again: by the seed, or by the drawn steps alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from restauro.degrade.blur import BlurSettings, GaussianBlur, MotionBlur, draw_blur
from restauro.degrade.jpeg import Jpeg, JpegSettings, draw_jpeg
from restauro.degrade.kernels import (
    DiscBlur,
    KernelBlur,
    KernelFileSettings,
    LinearBlur,
    LinearBlurSettings,
    draw_kernel_file,
    draw_linear,
)
from restauro.degrade.mosaic import Mosaic, MosaicSettings
from restauro.degrade.motion import (
    GeneralBlurSettings,
    TrajectoryBlur,
    TrajectorySettings,
    draw_general,
    draw_trajectory,
)
from restauro.degrade.noise import GaussianNoise, LaplaceNoise, NoiseSettings, PoissonNoise, draw_noise
from restauro.degrade.pipeline import RenovationSettings, draw_renovation
from restauro.degrade.resize import Resize, ResizeSettings, SuperResolutionSettings, draw_resize
from restauro.degrade.smoothers import (
    MixedSettings,
    Smoother,
    SmootherSettings,
    StrengthSettings,
    draw_mixed,
    draw_smoother,
)
from restauro.degrade.steps import Step, counter_seed, describe
from restauro.errors import UsageError
from restauro.smooth.inputs import require_pictures
from restauro.smooth.l0 import L0Settings, l0

Setting = float | str | None


@dataclass(frozen=True)
class Law:
    """One degradation: its settings' class, and how the steps of one picture are drawn from them."""

    settings: type[Any]
    draw: Callable[[Any, torch.Generator], tuple[Step, ...]]
    summary: str


@dataclass(frozen=True)
class Record:
    """What was done: enough to do it again.

    Parameters
    ----------
    law, settings, seed
        As applied; the settings are complete.
    drawn
        The steps of each picture of the batch, in order, as :func:`repeat_steps` takes them.
    """

    law: str
    settings: Mapping[str, Any]
    seed: int
    drawn: tuple[tuple[Mapping[str, Any], ...], ...] = ()


@dataclass(frozen=True)
class L0(L0Settings):
    """Detail removed by L0 gradient minimisation; not rounded to 8 bits."""

    name: ClassVar[str] = "l0"

    def __call__(self, x: Tensor) -> Tensor:
        """Smooth x [N, C, H, W], 0..1."""
        return l0(x, self).clamp(0, 1)


LAWS: dict[str, Law] = {
    "l0": Law(
        L0Settings,
        lambda settings, _: (L0(**asdict(settings)),),
        "detail removed by L0 gradient minimisation (Xu et al. 2011)",
    ),
    "sr4": Law(
        SuperResolutionSettings,
        lambda settings, _: (Resize(1 / settings.factor, settings.method),),
        "four times smaller and large again (bicubic)",
    ),
    "resize": Law(
        ResizeSettings,
        lambda settings, generator: (draw_resize(settings, generator),),
        "four to eight times smaller and large again",
    ),
    "mosaic16": Law(
        MosaicSettings,
        lambda settings, _: (Mosaic(settings.block_px),),
        "blocks of 16 x 16 pixels, each its mean",
    ),
    "noise": Law(
        NoiseSettings,
        lambda settings, generator: (draw_noise(settings, generator),),
        "Gaussian, Laplace or Poisson-like noise, a third each",
    ),
    "blur": Law(
        BlurSettings,
        lambda settings, generator: (draw_blur(settings, generator),),
        "motion or Gaussian blur, half each",
    ),
    "jpeg": Law(
        JpegSettings,
        lambda settings, generator: (draw_jpeg(settings, generator),),
        "JPEG of quality 18 to 51",
    ),
    "face-renovation": Law(
        RenovationSettings,
        draw_renovation,
        "blur, noise, JPEG and 4-8x reduction in random order (Yang et al. 2020)",
    ),
    "smoother": Law(
        SmootherSettings,
        lambda settings, generator: (draw_smoother(settings.method, settings.draw(generator), generator),),
        "one smoother, its strength on a scale that all share",
    ),
    "smoothers-mixed": Law(
        MixedSettings,
        draw_mixed,
        "one of seven smoothers, drawn, at a drawn strength",
    ),
    "beautify": Law(
        StrengthSettings,
        lambda settings, generator: (draw_smoother("beautify", settings.draw(generator), generator),),
        "skin smoothed as by a beauty filter",
    ),
    "motion-trajectory": Law(
        TrajectorySettings,
        lambda settings, generator: (draw_trajectory(settings, generator),),
        "the random path of a shaken camera (Kupyn et al. 2018)",
    ),
    "linear-blur": Law(
        LinearBlurSettings,
        lambda settings, generator: (draw_linear(settings, generator),),
        "lines of 3 to 13 px, as the report trained on",
    ),
    "linear-blur-test": Law(
        LinearBlur,
        lambda settings, _: (settings,),
        "the one line of 9 px that the report tested with",
    ),
    "kernel-file": Law(
        KernelFileSettings,
        lambda settings, generator: (draw_kernel_file(settings, generator),),
        "the kernel in a file (path=KERNEL.png, .npy, .npz or .txt)",
    ),
    "blur-general": Law(
        GeneralBlurSettings,
        draw_general,
        "a random path, a line, a Gaussian, defocus or no blur, then a little noise and perhaps JPEG",
    ),
}

STEPS: dict[str, Callable[..., Step]] = {
    step.name: step
    for step in (
        L0,
        Smoother,
        GaussianBlur,
        MotionBlur,
        TrajectoryBlur,
        DiscBlur,
        LinearBlur,
        KernelBlur,
        GaussianNoise,
        LaplaceNoise,
        PoissonNoise,
        Jpeg,
        Resize,
        Mosaic,
    )
}


def degrade_tensor(
    x: Tensor, law: str, settings: Mapping[str, Setting] | None = None, *, seed: int = 0
) -> tuple[Tensor, Record]:
    """Apply one law to x [N, C, H, W], 0..1; the result is in 0..1 too.

    Parameters
    ----------
    x
        Float32 or float64, on any device. Every picture draws for itself; the first one of a batch comes out as
        it would alone.
    law
        A name of :data:`LAWS`.
    settings
        Settings of the law by name; those of a part as ``part.name``, for example ``noise.severity``.
    seed
        Decides whatever is random. For sets, see :func:`restauro.degrade.steps.counter_seed`.

    Raises
    ------
    UsageError
        Unknown law or unknown setting, with the known ones.

    Examples
    --------
    >>> y, record = degrade_tensor(torch.full((1, 3, 4, 4), 0.5), "l0", {"lam": 0.05})
    >>> record.settings["lam"], record.seed
    (0.05, 0)
    >>> x = torch.full((1, 3, 16, 16), 0.5)
    >>> y, record = degrade_tensor(x, "face-renovation", {"noise.severity": 1.4}, seed=7)
    >>> [step["step"] for step in record.drawn[0]]
    ['jpeg', 'gaussian-blur', 'resize', 'laplace-noise']
    """
    if law not in LAWS:
        raise UsageError(f"degradation: found {law!r}, wanted one of {', '.join(LAWS)}")
    require_pictures(x)
    chosen = _settings(LAWS[law].settings(), settings or {}, law)
    made, drawn = [], []
    for index, picture in enumerate(x):
        generator = torch.Generator().manual_seed(counter_seed(seed, index))
        steps = LAWS[law].draw(chosen, generator)
        made.append(_apply(picture[None], steps))
        drawn.append(tuple(describe(step) for step in steps))
    return torch.cat(made), Record(law, asdict(chosen), seed, tuple(drawn))


def repeat_steps(x: Tensor, drawn: Sequence[Sequence[Mapping[str, Any]]]) -> Tensor:
    """Make x [N, C, H, W], 0..1, worse exactly as a record's ``drawn`` says; JSON that was read back will do.

    Raises
    ------
    UsageError
        An unknown step, or steps for another number of pictures.

    Examples
    --------
    >>> x = torch.rand(2, 3, 16, 16)
    >>> y, record = degrade_tensor(x, "face-renovation", seed=7)
    >>> torch.equal(repeat_steps(x, record.drawn), y)
    True
    """
    require_pictures(x)
    if len(drawn) != len(x):
        raise UsageError(f"drawn: found steps for {len(drawn)} pictures, wanted them for {len(x)}")
    return torch.cat([_apply(picture[None], map(_step, steps)) for picture, steps in zip(x, drawn, strict=True)])


def _apply(x: Tensor, steps: Iterable[Step]) -> Tensor:
    for step in steps:
        x = step(x)
    return x


def _step(described: Mapping[str, Any]) -> Step:
    name = described.get("step")
    if name not in STEPS:
        raise UsageError(f"step: found {name!r}, wanted one of {', '.join(STEPS)}")
    return STEPS[name](**{key: value for key, value in described.items() if key != "step"})


def _settings(default: Any, given: Mapping[str, Setting], law: str) -> Any:
    """``default`` with settings changed by name; ``part.name`` reaches into a part."""
    known = list(_names(default))
    for key in given:
        if key not in known:
            raise UsageError(f"degradation {law}: found setting {key!r}, wanted one of {', '.join(known)}")
    changes: dict[str, Any] = {key: value for key, value in given.items() if "." not in key}
    for part in {key.partition(".")[0] for key in given if "." in key}:
        inside = {key.removeprefix(part + "."): value for key, value in given.items() if key.startswith(part + ".")}
        changes[part] = _settings(getattr(default, part), inside, law)
    return replace(default, **changes)


def _names(settings: Any) -> Iterator[str]:
    for field in fields(settings):
        part = getattr(settings, field.name)
        if is_dataclass(part):
            yield from (f"{field.name}.{name}" for name in _names(part))
        else:
            yield field.name
