"""The table of classical filters: a method's name, its settings, its function, its paper."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from restauro.errors import UsageError
from restauro.smooth.l0 import L0Settings, l0

Setting = float | int | str


@dataclass(frozen=True)
class Method:
    """One filter: its settings' class, its function of ([N, C, H, W], settings), and its source."""

    settings: type[Any]
    function: Callable[[Tensor, Any], Tensor]
    paper: str


METHODS: dict[str, Method] = {
    "l0": Method(L0Settings, l0, "Xu et al. 2011, L0 gradient minimization"),
}


def smooth_tensor(x: Tensor, method: str, settings: Mapping[str, Setting]) -> Tensor:
    """Smooth x [N, C, H, W], 0..1, by a method of :data:`METHODS`.

    Raises
    ------
    UsageError
        Unknown method or setting, with the nearest known one.
    SettingError
        A value outside its range.

    Examples
    --------
    >>> import torch
    >>> smooth_tensor(torch.rand(1, 3, 8, 8), "l0", {"lam": 0.05}).shape
    torch.Size([1, 3, 8, 8])
    """
    if method not in METHODS:
        raise UsageError(f"method: found {method!r}, wanted {_nearest(method, METHODS)}")
    kind = METHODS[method].settings
    known = [field.name for field in fields(kind)]
    for name in settings:
        if name not in known:
            raise UsageError(f"{method}: found setting {name!r}, wanted {_nearest(name, known)}")
    return METHODS[method].function(x, kind(**settings))


def _nearest(found: str, known: Any) -> str:
    close = difflib.get_close_matches(found, list(known), n=1)
    return f"{close[0]!r} perhaps (of {', '.join(known)})" if close else f"one of {', '.join(known)}"
