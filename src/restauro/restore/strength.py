"""The strength dial: how much of what a model proposes is taken. Zero is the input, bit for bit."""

from __future__ import annotations

import numpy as np

from restauro.errors import PictureError, SettingError

Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def blend(source: Array, proposal: Array, strength: float, mask: Array | None = None) -> Array:
    """Move from ``source`` towards ``proposal``.

    Parameters
    ----------
    source, proposal
        float32 [H, W, C], same shape.
    strength
        0 = ``source`` bit for bit, 1 = ``proposal`` bit for bit.
    mask
        float32 [H, W] in 0..1, multiplied with ``strength`` pixel by pixel; where it is 0 the source stays bit for bit.

    Examples
    --------
    >>> a, b = np.zeros((1, 1, 1), np.float32), np.ones((1, 1, 1), np.float32)
    >>> float(blend(a, b, 0.25)[0, 0, 0])
    0.25
    """
    if not 0 <= strength <= 1:
        raise SettingError("strength", strength, "a number in 0..1")
    if mask is None:
        if strength in (0, 1):
            return proposal if strength else source
        return source + np.float32(strength) * (proposal - source)
    if mask.shape != source.shape[:2]:
        raise PictureError(
            "the mask",
            f"{mask.shape[1]}x{mask.shape[0]} px",
            f"{source.shape[1]}x{source.shape[0]} px, the size of the picture",
            "draw it at that size",
        )
    weight = (np.float32(strength) * mask)[:, :, None]
    mixed = source + weight * (proposal - source)
    return np.where(weight == 1, proposal, np.where(weight == 0, source, mixed))
