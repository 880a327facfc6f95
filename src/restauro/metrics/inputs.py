"""What every picture metric checks first: two float tensors of one shape, sRGB values in 0..1.

A metric that quietly clips, rounds or rescales would make tables unlike each other, so nothing is changed here: a
network's raw output is refused until its owner says ``.clamp(0, 1)`` (what writing it to a file would do).
"""

from __future__ import annotations

import torch
from torch import Tensor

from restauro.errors import SettingError

SLACK = 1e-5  # a float32 round trip through another colour order or scale may leave 0..1 by this much


def picture(x: Tensor, name: str = "picture") -> Tensor:
    """Return `x` [N,3,H,W] in float64, or say what is wrong with it.

    Float64 (float32 on MPS, which has nothing wider), because float32 puts errors of 2e-5 into the SSIM of flat
    bright pictures, and nobody should have to ask whether a metric moved or its rounding.

    Raises
    ------
    SettingError
        Not a float tensor [N,3,H,W], empty, not finite, or outside 0..1.

    Examples
    --------
    >>> picture(torch.zeros(1, 3, 4, 4, dtype=torch.float16)).dtype
    torch.float64
    """
    if not x.is_floating_point() or x.ndim != 4 or x.shape[1] != 3 or x.numel() == 0:
        raise SettingError(name, f"{x.dtype} {list(x.shape)}", "a float tensor [N, 3, H, W]")
    low, high = (float(v) for v in x.detach().aminmax())
    if not (low >= -SLACK and high <= 1 + SLACK):  # written so that NaN is refused too
        raise SettingError(name, f"values {low:.4g}..{high:.4g}", "0..1; use .clamp(0, 1), or divide by 255")
    return x.to(torch.float32 if x.device.type == "mps" else torch.float64)


def picture_pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return `a` and `b`, checked and widened by :func:`picture`.

    Raises
    ------
    SettingError
        Either is no picture, or their shapes differ.

    Examples
    --------
    >>> picture_pair(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 5))
    Traceback (most recent call last):
    ...
    restauro.errors.SettingError: b: found [1, 3, 4, 5], wanted the shape of a, [1, 3, 4, 4]
    """
    if a.shape != b.shape:
        raise SettingError("b", list(b.shape), f"the shape of a, {list(a.shape)}")
    return picture(a, "a"), picture(b, "b")
