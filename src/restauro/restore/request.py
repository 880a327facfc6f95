"""What is asked for, checked before torch is loaded: how to run, and whether a method of smoothing is a filter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from restauro.errors import SettingError, UsageError, nearest
from restauro.facts import Precision
from restauro.models import MODELS, Weights
from restauro.smooth.catalogue import METHODS


@dataclass(frozen=True)
class EngineSettings:
    """How to run; the defaults suit a person at a desk.

    Parameters
    ----------
    device
        ``"auto"`` (CUDA, else MPS, else CPU) or a torch device such as ``"cpu"`` or ``"cuda:1"``.
    precision
        ``"auto"``: see :func:`restauro.restore.device.choose_precision`. Pixels are float32 before and after in any
        case.
    memory_limit
        Bytes that a run may take on the device, on top of what is taken already (the input is the caller's);
        on the CPU the result counts too. ``None``: half of what is free when the run starts. Runs at the same
        time do not know of each other: divide it among them. What the C library keeps of memory that was given
        back comes on top (glibc's of the size of one buffer now and then).
    tile_px
        Most that a tile writes on a side (but for rounding up to the network's multiple); it reads the
        network's halo around that. ``None``: no tiles where the picture fits the memory, else the largest.
    min_tile_px
        Tiles never become smaller than this (or than ``tile_px``): better an error than a week of work.
    threads
        Threads of torch on the CPU, during the run; ``None`` leaves torch's own setting alone, and so should
        callers that run several pictures at once (the setting may be shared by all of them).

    Examples
    --------
    >>> EngineSettings(precision="float16")
    Traceback (most recent call last):
    ...
    restauro.errors.SettingError: precision: found 'float16', wanted auto, float32 or bfloat16
    """

    device: str = "auto"
    precision: Literal["auto"] | Precision = "auto"
    memory_limit: int | None = None
    tile_px: int | None = None
    min_tile_px: int = 64
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise SettingError("precision", self.precision, "auto, float32 or bfloat16")
        for name in ("memory_limit", "tile_px", "min_tile_px", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingError(name, value, "a whole number from 1")


DEFAULTS = EngineSettings()


def is_filter(method: str | Path | Weights) -> bool:
    """Whether a method of smoothing is a filter; if not it is a network.

    >>> is_filter("l0"), is_filter("mine.safetensors")
    (True, False)
    """
    if not isinstance(method, str) or Path(method).suffix == ".safetensors" or method in MODELS:
        return False
    if method not in METHODS:
        networks = [spec.name for spec in MODELS.values() if spec.verb == "smooth"]
        wanted = nearest(method, [*METHODS, *networks])
        raise UsageError(f"method: found {method!r}, wanted {wanted}, or the path of a .safetensors file")
    return True
