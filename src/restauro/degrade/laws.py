"""The table of degradation laws, and the one function that applies a law and records what it did.

A law maps a picture to a worse one. Its settings are numbers; a seed decides whatever is random in it, and the
record that comes back is enough to do the same again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor

from restauro.errors import UsageError
from restauro.smooth.l0 import L0Settings, l0


@dataclass(frozen=True)
class Law:
    """One degradation: its settings' class, and what it does to [N, C, H, W] in 0..1 with a seeded generator."""

    settings: type[Any]
    apply: Callable[[Tensor, Any, torch.Generator], Tensor]
    summary: str


@dataclass(frozen=True)
class Record:
    """What was done: enough to do it again."""

    law: str
    settings: Mapping[str, float]
    seed: int


def _l0(x: Tensor, settings: L0Settings, generator: torch.Generator) -> Tensor:
    return l0(x, settings).clamp(0, 1)


LAWS: dict[str, Law] = {
    "l0": Law(L0Settings, _l0, "detail removed by L0 gradient minimisation (Xu et al. 2011)"),
}


def degrade_tensor(
    x: Tensor, law: str, settings: Mapping[str, float] | None = None, *, seed: int = 0
) -> tuple[Tensor, Record]:
    """Apply one law to x [N, C, H, W], 0..1; the result is in 0..1 too.

    Raises
    ------
    UsageError
        Unknown law or unknown setting, with the known ones.

    Examples
    --------
    >>> y, record = degrade_tensor(torch.full((1, 3, 4, 4), 0.5), "l0", {"lam": 0.05})
    >>> record.settings["lam"], record.seed
    (0.05, 0)
    """
    if law not in LAWS:
        raise UsageError(f"degradation: found {law!r}, wanted one of {', '.join(LAWS)}")
    kind = LAWS[law].settings
    known = [field.name for field in fields(kind)]
    for key in settings or {}:
        if key not in known:
            raise UsageError(f"degradation {law}: found setting {key!r}, wanted one of {', '.join(known)}")
    chosen = kind(**(settings or {}))
    generator = torch.Generator(device=x.device).manual_seed(seed)
    return LAWS[law].apply(x, chosen, generator), Record(law, asdict(chosen), seed)
