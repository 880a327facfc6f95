"""What every filter asks of its input."""

from __future__ import annotations

import torch
from torch import Tensor

from restauro.errors import UsageError


def require_pictures(x: Tensor, name: str = "x", *, like: Tensor | None = None, cpu: bool = False) -> None:
    """Refuse anything but a floating [N, C, H, W] batch.

    Parameters
    ----------
    x, name
        The tensor and what the caller calls it.
    like
        Another batch whose N, H, W, type and device x must share (a guide and its picture).
    cpu
        Refuse other devices: the filter is a compiled loop with no form for them.

    Raises
    ------
    UsageError
        Says what came and what was wanted.

    Examples
    --------
    >>> require_pictures(torch.zeros(1, 3, 4, 5))
    >>> require_pictures(torch.zeros(3, 4, 5))
    Traceback (most recent call last):
    ...
    restauro.errors.UsageError: x: found float32 [3, 4, 5], wanted float32 or float64 [N, C, H, W], no side 0
    """
    found = f"{name}: found {str(x.dtype).removeprefix('torch.')} {list(x.shape)}"
    if x.dim() != 4 or 0 in x.shape or x.dtype not in (torch.float32, torch.float64):
        raise UsageError(f"{found}, wanted float32 or float64 [N, C, H, W], no side 0")
    if like is not None:
        same = (x.shape[0], *x.shape[2:]) == (like.shape[0], *like.shape[2:])
        if not same or x.dtype != like.dtype or x.device != like.device:
            raise UsageError(
                f"{found} on {x.device}, wanted the N, H, W, type and device of {list(like.shape)} "
                f"{str(like.dtype).removeprefix('torch.')} on {like.device}"
            )
    if cpu and x.device.type != "cpu":
        raise UsageError(f"{found} on {x.device}, wanted it on the CPU: move it there with .cpu()")
