"""Networks that a map guides: which part of a face each pixel is of, beside the degraded picture.

The engine hands the map over as it does any second argument: one number per pixel, the place of its class in the list
that travels with the weights.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from restauro.errors import PictureError, UsageError
from restauro.labels import ClassList, read_labels
from restauro.models import Weights
from restauro.nets.layers.labels import semantic

Places = NDArray[np.uint8]


class Guided(nn.Module):
    """A network of a picture and a guide, as one of a picture and the places of classes.

    Parameters
    ----------
    net
        Called as ``net(x, guide)`` with a channel of the guide per class.
    classes
        How many.

    Examples
    --------
    >>> import torch
    >>> class Masked(nn.Module):
    ...     def forward(self, x, guide):
    ...         return x * guide[:, 1:2]
    >>> places = torch.tensor([[[[0.0, 1.0]]]])
    >>> Guided(Masked(), 2)(torch.ones(1, 3, 1, 2), places)[0, 0].tolist()
    [[0.0, 1.0]]
    """

    def __init__(self, net: nn.Module, classes: int) -> None:
        super().__init__()
        self.net, self.classes = net, classes

    def forward(self, x: Tensor, places: Tensor) -> Tensor:
        """Restore x [N, 3, H, W], guided by places [N, 1, H, W]."""
        restored: Tensor = self.net(x, semantic(places[:, 0].round().long(), self.classes).to(x.dtype))
        return restored


def guided(net: nn.Module, weights: Weights) -> Guided:
    """The network of weights that a map guides, ready for the engine.

    Raises
    ------
    UsageError
        It takes no guide, or more than a channel per class (borders, which a map given by hand has not).
    """
    channels, classes = getattr(net, "guide_channels", 0), len(_classes(weights))
    if channels != classes:
        wanted = f"a guide of {channels} channels, not of {classes} classes" if channels else "no guide"
        raise UsageError(f"guide: found one for {weights.name}, whose network takes {wanted}; name another model")
    return Guided(net, classes).eval()


def require_no_guide(net: nn.Module, weights: Weights) -> None:
    """Refuse to run without a map what was trained with maps.

    Raises
    ------
    UsageError
        The weights know classes, and their network takes a guide.
    """
    if "classes" in weights.metadata and getattr(net, "guide_channels", None):
        raise UsageError(f"{weights.name}: found no guide, wanted the label map of an aligned face; add guide")


def read_guide(guide: str | Path | bytes, weights: Weights, height: int, width: int) -> Places:
    """The map of a picture for these weights: places of classes, uint8 [height, width].

    Raises
    ------
    UsageError
        The weights know no classes: their network takes no guide.
    PictureError
        No label map, of another size than the picture, or with labels that no class has.
    """
    positions = read_labels(guide, _classes(weights))
    if positions.shape != (height, width):
        name = str(guide) if isinstance(guide, str | Path) else "guide"
        found = f"a map of {positions.shape[1]}x{positions.shape[0]}"
        raise PictureError(name, found, f"{width}x{height}, as the picture", "name the map of this picture")
    return positions


def _classes(weights: Weights) -> ClassList:
    text = weights.metadata.get("classes")
    if text is None:
        raise UsageError(f"guide: found one for {weights.name}, which knows no classes; leave it out")
    return ClassList.from_json(text, weights.name)
