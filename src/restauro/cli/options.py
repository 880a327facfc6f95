"""Options that several verbs share, as frozen dataclasses that the command line fills in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter

from restauro.errors import UsageError
from restauro.restore.request import EngineSettings

#: Pictures to do. A lone hyphen is stdin, so hyphens must pass here; restauro.batch.walk refuses unknown options.
Inputs = Annotated[str, Parameter(allow_leading_hyphen=True)]


@Parameter(name="*")
@dataclass(frozen=True)
class FileOptions:
    """Where results go and how they are written."""

    output: Annotated[str | None, Parameter(name=["--output", "-o"], allow_leading_hyphen=True)] = None
    "File, folder (mirrored) or - for stdout; without it beside the input as NAME.<done>.EXT."
    format: str | None = None
    "png, jpeg, webp, tiff, bmp, gif, avif; without it by the output's name."
    quality: int | None = None
    "Quality 1..100 of JPEG, WebP, AVIF; without it the source's own where it has one."
    strip_metadata: bool = False
    "Write no EXIF, XMP, IPTC, comments or text; profile and resolution stay, for they decide how it looks."
    force: bool = False
    "Allow results to replace existing files, the input too."
    dry_run: bool = False
    "Say what would be done, and do nothing."
    json: bool = False
    "One JSON object per picture on stdout."
    max_pixels: int = 200_000_000
    "Refuse pictures with more pixels than this, before decoding them."


@Parameter(name="*")
@dataclass(frozen=True)
class EngineOptions:
    """How a network is run."""

    device: str = "auto"
    "auto, cpu, cuda, mps."
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    "auto, float32 or bfloat16."
    memory: str | None = None
    "What the computation may take beside the picture itself, such as 4G or 800M; without it half of what is free."
    tile: int | None = None
    "Side of the tiles in pixels; without it as large as the memory limit allows."

    def settings(self) -> EngineSettings:
        """The engine's own settings."""
        limit = None if self.memory is None else parse_bytes(self.memory)
        return EngineSettings(device=self.device, precision=self.precision, memory_limit=limit, tile_px=self.tile)


def parse_bytes(text: str) -> int:
    """Read a number of bytes with an optional K, M or G (powers of 1024).

    >>> parse_bytes("1.5G"), parse_bytes("800M")
    (1610612736, 838860800)
    """
    units = {"K": 2**10, "M": 2**20, "G": 2**30}
    digits = text.upper().removesuffix("B").removesuffix("I")
    factor = units.get(digits[-1:], 1)
    try:
        value = int(float(digits.rstrip("KMG")) * factor)
    except (ValueError, OverflowError):
        value = 0
    if value <= 0:
        raise UsageError(f"--memory: found {text!r}, wanted a size such as 4G or 800M")
    return value


def parse_settings(items: tuple[str, ...]) -> dict[str, float | int | str]:
    """Read ``name=value`` items; values become int or float where they look like one.

    >>> parse_settings(("lam=0.05", "radius_px=4"))
    {'lam': 0.05, 'radius_px': 4}
    """
    settings: dict[str, float | int | str] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise UsageError(f"--set: found {item!r}, wanted name=value, for example lam=0.05")
        settings[name] = _number(value)
    return settings


def _number(text: str) -> float | int | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
