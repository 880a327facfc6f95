"""The strength dial: how much of what a model proposes is taken. Zero is the input, bit for bit.

Most proposals are mixed with the input pixel by pixel (:func:`blend`). A network with a dial of its own
(``facts.dial``) is told instead how much of what it takes out is to stay (:func:`alpha_of`, :class:`Dialled`), and
there strength goes on beyond 1, to detail boosted.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor, nn

from restauro.errors import PictureError, SettingError
from restauro.facts import Facts
from restauro.nets.layers.symmetry import self_ensemble

Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True)
class NetworkSettings:
    """How a network is asked, beside its strength.

    Parameters
    ----------
    views
        1, or 8: the mean over the eight symmetries of the square, at eight times the time (self-ensemble).
    samples
        What a network with a dial puts in the place of the detail that it takes out: 0 = nothing (deterministic);
        1 = noise, as in SASNet's paper; K = the mean of K pictures with noise, at (K + 1) / 2 times the time.
    seed
        Of the noise.

    Examples
    --------
    >>> NetworkSettings(views=4)
    Traceback (most recent call last):
    ...
    restauro.errors.SettingError: views: found 4, wanted 1 or 8
    """

    views: int = 1
    samples: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise SettingError(one.name, value, "a whole number from 0")
        if self.views not in (1, 8):
            raise SettingError("views", self.views, "1 or 8")


class Dialled(nn.Module):
    """A network with its strength and its settings set, for the engine: a function of a picture, and of a map.

    Parameters
    ----------
    net
        Any network; one without a dial is only averaged over its views.
    alpha
        How much of what a network with a dial takes out stays, where no map says it; None: a network without one.
    settings
        See :class:`NetworkSettings`.

    Examples
    --------
    >>> from restauro.nets.sasnet import SASNet
    >>> net, x = SASNet(width=4, depth=1).eval(), torch.rand(1, 3, 8, 12)
    >>> half = Dialled(net, 0.5)
    >>> torch.equal(half(x), net(x, alpha=0.5)), torch.equal(half(x, torch.ones(1, 1, 8, 12)), x)
    (True, True)
    """

    def __init__(self, net: nn.Module, alpha: float | None, settings: NetworkSettings = NetworkSettings()) -> None:
        super().__init__()
        self.net, self.alpha, self.settings = net, alpha, settings

    def forward(self, x: Tensor, alpha: Tensor | None = None) -> Tensor:
        """Run on x [N, 3, H, W] with a map alpha [N, 1, H, W], or with the one alpha for all pixels."""
        settings = self.settings
        # Seeded anew for every tile: the result does not depend on how many were computed before.
        noise = torch.Generator(x.device).manual_seed(settings.seed) if settings.samples else None

        def once(x_and_map: Tensor) -> Tensor:
            x = x_and_map[:, :3]
            if self.alpha is None:
                y: Tensor = self.net(x)
            else:
                here = self.alpha if alpha is None else x_and_map[:, 3:]
                y = self.net(x, alpha=here, samples=settings.samples, generator=noise)
            return y

        x_and_map = x if alpha is None else torch.cat([x, alpha], dim=1)
        return once(x_and_map) if settings.views == 1 else self_ensemble(once, x_and_map)


@dataclass(frozen=True, eq=False)
class Asked:
    """What is asked of a network for one picture: the function to run, its facts, and its map; and what to take of it.

    Attributes
    ----------
    net, facts, alpha_map
        For :func:`restauro.restore.engine.run`.
    alpha
        For all pixels, where there is no map; None: the network has no dial.
    strength, mask
        As :func:`blend` takes them.
    """

    net: nn.Module
    facts: Facts
    alpha: float | None
    alpha_map: Array | None
    strength: float
    mask: Array | None

    def take(self, source: Array, made: Array) -> Array:
        """The result [H, W, C], from the picture and what the network made of it."""
        if self.alpha is None:
            return blend(source, made, self.strength, self.mask)
        # Bit for bit the input where nothing is asked for: grey pictures and seams of tiles round otherwise.
        kept = self.alpha == 1 if self.alpha_map is None else (self.alpha_map == 1)[:, :, None]
        return np.where(kept, source, made)


def ask(net: nn.Module, facts: Facts, strength: float, mask: Array | None, settings: NetworkSettings) -> Asked:
    """Put strength, mask [H, W] and settings to a network: to its own dial where it has one.

    Raises
    ------
    SettingError
        A strength outside its range; samples of a network that draws nothing.
    """
    if settings.views > 1:
        facts = replace(facts, bytes_per_px=facts.bytes_per_px + 8 * facts.channels)  # the sum, and a view
    if facts.dial:
        alpha, alpha_map = alpha_of(strength, mask)
        return Asked(Dialled(net, alpha, settings).eval(), facts, alpha, alpha_map, strength, mask)
    check_strength(strength)
    if settings.samples:
        raise SettingError("samples", settings.samples, "0: this network draws nothing")
    one = net if settings.views == 1 else Dialled(net, None, settings).eval()
    return Asked(one, facts, None, None, strength, mask)


def alpha_of(strength: float, mask: Array | None = None) -> tuple[float, Array | None]:
    """How much of what a network takes out stays: one number, and a map where there is a mask.

    Strength 0 is the input (alpha 1), 1 the network's result (alpha 0). Above 1 the dial turns the other way: 1.5 is
    the input with half as much detail again (alpha 1.5). Where a mask is 0, alpha is 1: the input.

    >>> alpha_of(0.25)[0], alpha_of(1.5)[0], alpha_of(1.0, np.array([[0.0, 1.0]], np.float32))[1].tolist()
    (0.75, 1.5, [[1.0, 0.0]])
    """
    if not 0 <= strength <= 2:
        raise SettingError("strength", strength, "a number in 0..1, or to 2 for detail boosted")
    alpha = float(strength) if strength > 1 else 1 - float(strength)
    return alpha, None if mask is None else 1 + np.float32(alpha - 1) * mask


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
    check_strength(strength)
    if mask is None:
        if strength in (0, 1):
            return proposal if strength else source
        return source + np.float32(strength) * (proposal - source)
    check_mask(mask, source)
    weight = (np.float32(strength) * mask)[:, :, None]
    mixed = source + weight * (proposal - source)
    return np.where(weight == 1, proposal, np.where(weight == 0, source, mixed))


def check_strength(strength: float) -> None:
    """Refuse a strength outside 0..1: there is nothing beyond a proposal."""
    if not 0 <= strength <= 1:
        raise SettingError("strength", strength, "a number in 0..1")


def check_mask(mask: Array, source: Array) -> None:
    """Refuse a mask [H, W] of another size than the picture [H, W, C]."""
    if mask.shape != source.shape[:2]:
        raise PictureError(
            "the mask",
            f"{mask.shape[1]}x{mask.shape[0]} px",
            f"{source.shape[1]}x{source.shape[0]} px, the size of the picture",
            "draw it at that size",
        )
