"""What each guide of a HiFaceGAN contributes: Figure 5a of Yang et al. 2020.

The decoder is fed at several injection points, from the start tensor (1/32 of the size) to the guide of the last block.
Some points get what they get in use, the others a blank, and the picture that comes out shows what the real ones add:

===========  =====================================  =========
mode         real points                            in the figure
===========  =====================================  =========
one-plug     only point k                           upper row
progressive  the first k points                     lower row
one-ablate   all but point k
===========  =====================================  =========

``lipspade`` and ``spade`` have eight points, all fed by the picture, and the blank is what a picture of 0.5 grey would
give, as in the authors' script. That script cannot run on ``nested``: there, guides are features of the encoder, the
two middle blocks share one (seven points), and the blank of a feature is 0, the mean that its norm gives it. (A grey
picture would not do: zero padding leaves responses along its border.)
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from restauro.nets.hifacegan import HiFaceGAN

GREY = 0.5


@dataclass(frozen=True, eq=False)
class Injections:
    """What the decoder makes, [3, H, W] each, before it is added to the picture in a residual network.

    Attributes
    ----------
    points
        Names of the injection points, in order.
    plugged, ablated
        One per point: only this one real; all but this one real.
    progressive
        One more: the first 0, 1, ... points real; the last is the network's own result.
    residual
        Whether the network adds this to its input.
    """

    points: tuple[str, ...]
    plugged: tuple[Tensor, ...]
    progressive: tuple[Tensor, ...]
    ablated: tuple[Tensor, ...]
    residual: bool = False

    def contributions(self) -> dict[str, dict[str, float]]:
        """Mean absolute change that each point makes: alone, as the next in order, and by its absence."""
        blank, full = self.progressive[0], self.progressive[-1]
        return {
            point: {
                "one-plug": _distance(self.plugged[index], blank),
                "progressive": _distance(self.progressive[index + 1], self.progressive[index]),
                "one-ablate": _distance(self.ablated[index], full),
            }
            for index, point in enumerate(self.points)
        }


def inject(net: HiFaceGAN, x: Tensor) -> Injections:
    """Feed the decoder at some of its injection points only, in all three modes.

    Parameters
    ----------
    net
        In evaluation mode, of any variant that is guided by pictures (3 channels) or by its encoder.
    x
        [1, 3, H, W], 0..1, sides multiples of 32.

    Notes
    -----
    Cost: two runs of the encoder and about three of the decoder for each point.

    Examples
    --------
    >>> from restauro.nets.hifacegan import build_hifacegan
    >>> inject(build_hifacegan(width=1).eval(), torch.rand(1, 3, 32, 32)).points[:3]
    ('start', 'head_0', 'G_middle_0, 1')
    """
    points = _points(net)
    with torch.no_grad():
        real, blank = _slots(net, x), _blank(net, x)

        def make(chosen: Collection[int]) -> Tensor:
            use = {slot for point in chosen for slot in points[point][1]}
            start, *guides = [real[slot] if slot in use else blank[slot] for slot in range(len(real))]
            return net.decode(start, guides)[0]

        everything = range(len(points))
        progressive = tuple(make(range(count)) for count in range(len(points) + 1))
        # The first point alone, and all but the last, have been made already.
        plugged = (progressive[1], *(make({point}) for point in everything[1:]))
        ablated = (*(make(set(everything) - {point}) for point in everything[:-1]), progressive[-2])
    return Injections(tuple(name for name, _ in points), plugged, progressive, ablated, net.settings.residual)


def _points(net: HiFaceGAN) -> list[tuple[str, tuple[int, ...]]]:
    """Each point's name and its slots among the start tensor (0) and the guides of the seven blocks (1 to 7)."""
    points: list[tuple[str, tuple[int, ...]]] = [("start", (0,)), ("head_0", (1,))]
    if net.settings.variant == "nested":
        points += [("G_middle_0, 1", (2, 3))]
    else:
        points += [("G_middle_0", (2,)), ("G_middle_1", (3,))]
    return points + [(f"ups.{level}", (4 + level,)) for level in range(4)]


def _slots(net: HiFaceGAN, x: Tensor) -> list[Tensor]:
    start, guides = net.encode(x)
    return [start, *guides]


def _blank(net: HiFaceGAN, x: Tensor) -> list[Tensor]:
    start, *guides = _slots(net, torch.full_like(x, GREY))
    if net.settings.variant != "nested":
        return [start, *guides]
    if net.settings.start == "guide":
        start = torch.zeros_like(start)
    return [start, *(torch.zeros_like(guide) for guide in guides)]


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().mean())
