"""What the laws of this folder share: steps, eight-bit levels, draws.

A law is two halves. Its *settings* say from what its strength is drawn; drawing gives *steps*: frozen records of
exact operations (``GaussianBlur(sigma_px=4.2)``) that are called on a picture and draw nothing. Steps go into the
record as they are, so that a picture can be made worse in the same way again without the random stream.

The published laws work on 8-bit pictures, so every step rounds to 1/255 before and after itself.

Random numbers come from a CPU ``torch.Generator`` wherever the picture lies: a seed means the same everywhere.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from restauro.errors import SettingError


class Step(Protocol):
    """One exact operation on x [N, C, H, W], 0..1: a frozen dataclass of numbers with a name of its own."""

    name: ClassVar[str]

    def __call__(self, x: Tensor) -> Tensor:
        """Apply it; x is not changed."""


def describe(step: Any) -> dict[str, Any]:
    """A step as JSON-able data: its name under ``"step"``, then its numbers."""
    return {"step": step.name, **asdict(step)}


def on_levels(x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply ``change`` to x as whole levels 0..255, and round and clip what comes back (half to even).

    >>> on_levels(torch.tensor([0.0, 0.5, 2.0]), lambda levels: levels / 2) * 255
    tensor([  0.,  64., 128.])
    """
    return change((x * 255).round_().clamp_(0, 255)).round().clamp_(0, 255) / 255


def counter_seed(*counters: int) -> int:
    """Turn counters such as (seed, epoch, picture) into one seed; neighbours give unrelated seeds.

    32 bits, because torch's CPU generator reads no more of a seed.

    >>> counter_seed(7, 0), counter_seed(7, 1)
    (2219572571, 1065575045)
    """
    text = ",".join(str(counter) for counter in counters)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


def draw_uniform(generator: torch.Generator, low: float, high: float) -> float:
    """Draw a number from low..high."""
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def draw_whole(generator: torch.Generator, low: int, high: int) -> int:
    """Draw a whole number from low..high, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def draw_seed(generator: torch.Generator) -> int:
    """Draw the seed of a noise field."""
    return draw_whole(generator, 0, 2**31 - 1)


def draw_choice(generator: torch.Generator, shares: Sequence[float]) -> int:
    """Draw an index with chances in proportion to ``shares``."""
    ticket = draw_uniform(generator, 0, sum(shares))
    last = max(index for index, share in enumerate(shares) if share > 0)
    for index, share in enumerate(shares[:last]):
        ticket -= share
        if ticket < 0:
            return index
    return last


def require_number(name: str, value: object, low: float, high: float, *, whole: bool = False) -> None:
    """Refuse a setting that is no (whole) number in low..high, both included."""
    kind = "a whole number" if whole else "a number"
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise SettingError(name, value, kind)
    if not low <= value <= high or math.isinf(value):
        raise SettingError(name, value, f"{kind} from {low:g}" + (f" to {high:g}" if high < math.inf else ""))


def require_range(settings: object, low_name: str, high_name: str, low: float, high: float) -> None:
    """Refuse a pair of settings that is no range within low..high."""
    first, last = getattr(settings, low_name), getattr(settings, high_name)
    require_number(low_name, first, low, high)
    require_number(high_name, last, low, high)
    if first > last:
        raise SettingError(low_name, first, f"at most {high_name} = {last:g}")


def require_shares(**shares: float) -> None:
    """Refuse shares below zero, and shares that are all zero."""
    for name, share in shares.items():
        require_number(name, share, 0, math.inf)
    if not any(shares.values()):
        raise SettingError(", ".join(shares), 0, "a share above 0 for at least one of them")


def require_severity(severity: float | None) -> None:
    """Refuse a severity that is neither None (draw from the range) nor a number in 0.01..10."""
    if severity is not None:
        require_number("severity", severity, 0.01, 10)
