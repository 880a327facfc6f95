"""Moves what a network made back to where it belongs, for networks that can tell how far it lies beside that.

The move comes last, after strength: a mixture of a picture with a moved one would show everything twice. It is made in
proportion to strength, and not at all under a mask (what is black there stays) or where only a part of a picture is
renovated (what surrounds it is as far off, and stays).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from restauro.facts import Recentres
from restauro.nets.layers.recentre import translated

Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
Shift = tuple[float, float]
NOWHERE: Shift = (0.0, 0.0)


def held(net: nn.Module) -> nn.Module:
    """The network without its moves; itself where it makes none."""
    return net.held() if isinstance(net, Recentres) else net


@torch.inference_mode()
def shift_of(net: nn.Module, pixels: Array) -> Shift:
    """How far (down, across) the network would move what it makes of a picture [H, W, 1 or 3], in pixels."""
    if not isinstance(net, Recentres):
        return NOWHERE
    x = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].expand(-1, 3, -1, -1)
    down, across = net.shift_of(x.to(next(net.parameters()).device))[0].tolist()
    return down, across


def taken(shift: Shift, strength: float) -> Shift:
    """So much of a shift."""
    return strength * shift[0], strength * shift[1]


def moved(pixels: Array, shift: Shift) -> Array:
    """Pixels [H, W, C] moved by (down, across); within the range that they had.

    Examples
    --------
    >>> moved(np.arange(4.0, dtype=np.float32).reshape(1, 4, 1), (0.0, 1.0)).ravel().tolist()
    [0.0, 0.0, 1.0, 2.0]
    """
    if shift == NOWHERE:
        return pixels
    x = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
    made = translated(x, torch.tensor([shift]))[0].permute(1, 2, 0).numpy()
    return np.ascontiguousarray(made.clip(pixels.min(), pixels.max()))


def told(shift: Shift) -> tuple[str, ...]:
    """A note for the evidence, where there is something to note.

    >>> told((1.25, -0.5))
    ('moved by 1.2 px down and 0.5 px to the left, as an uneven motion blur had moved it the other way',)
    """
    if shift == NOWHERE:
        return ()
    down, across = shift
    upright = f"{abs(down):.1f} px {'down' if down > 0 else 'up'}"
    level = f"{abs(across):.1f} px to the {'right' if across > 0 else 'left'}"
    return (f"moved by {upright} and {level}, as an uneven motion blur had moved it the other way",)
