"""Dead units of a trained network, woken without changing what it does.

A unit behind a ReLU that no picture lifts above zero gets no gradient: it stays as it is for good, and so do its
weights. Networks without norm can lose most of a layer so, early and without a sign in the loss. A dead unit gives
nothing to the next layer, so it may get new weights in, and weights out that start at zero: the network does what it
did (but where a unit was awake at one place in 10,000) and has the unit again to learn with (after Sokar et al. 2023,
*The dormant neuron phenomenon*).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from restauro.nets.desmoothgan import DeSmoothGAN

AWAKE = 1e-4  # the share of places where a unit is above zero, from which on it is left alone


@torch.no_grad()
def revive(net: DeSmoothGAN, pictures: Tensor, generator: torch.Generator) -> dict[str, tuple[int, int]]:
    """Give every dead unit new weights in, drawn at random, and weights out of zero.

    The new weights see all channels alike, and give the unit mean 0 and, on the pictures, the deviation of what the
    layer is given, at most 1.

    Parameters
    ----------
    net
        Is changed. Layers with norm, SFT or attention behind them are left alone.
    pictures
        What it is tried on, [N, 3, H, W], 0..1: enough of them that what is dead on all is dead.
    generator
        Of the new weights.

    Returns
    -------
    dict
        Of each layer how many of its units were dead, and how many it has.

    Examples
    --------
    >>> from restauro.nets.desmoothgan import DeSmoothGANSettings
    >>> net = DeSmoothGAN(DeSmoothGANSettings(4, 2, "none", residual=True))
    >>> _ = nn.init.constant_(net.down[1].bias, -9.0), nn.init.constant_(net.up[0].bias, 9.0)
    >>> revive(net, torch.rand(1, 3, 16, 16), torch.Generator())
    {'bottom': (8, 8), 'up.0': (0, 4)}
    """
    found = {}
    for name, layer, following in net.rectified():
        assert isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))
        given, made = _through(net, layer, pictures)
        dead = _dead(made)
        found[name] = (len(dead), made.shape[1])
        if not len(dead):
            continue
        of_unit = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
        weight, bias = layer.weight.transpose(0, of_unit), layer.bias  # [units, inputs, kernel, kernel]
        assert bias is not None
        fresh = torch.randn(len(dead), *weight.shape[1:], generator=generator)
        strength = given.square().mean((0, 2, 3)).sqrt().clamp_min(1e-6)
        weight[dead] = fresh.to(weight) / strength.view(-1, 1, 1)
        bias[dead] = 0
        woken = layer(given)[:, dead]
        scale = strength.median().clamp_max(1) / woken.std((0, 2, 3)).clamp_min(1e-6)
        weight[dead] *= scale.view(-1, 1, 1, 1)
        bias[dead] = -scale * woken.mean((0, 2, 3))
        for after, first in following:
            inputs = after.weight if isinstance(after, nn.ConvTranspose2d) else after.weight.transpose(0, 1)  # type: ignore[operator]
            inputs[first + dead] = 0
    return found


@torch.no_grad()
def count_dead(net: DeSmoothGAN, pictures: Tensor) -> dict[str, tuple[int, int]]:
    """Of each layer how many of its units are dead on pictures [N, 3, H, W], 0..1, and how many it has."""
    made = {name: _through(net, layer, pictures)[1] for name, layer, _ in net.rectified()}
    return {name: (len(_dead(one)), one.shape[1]) for name, one in made.items()}


def _dead(made: Tensor) -> Tensor:
    """Indices of the units of a layer's output [N, C, H, W] that a ReLU lets nothing through of."""
    return ((made > 0).float().mean((0, 2, 3)) < AWAKE).nonzero()[:, 0]


def _through(net: nn.Module, layer: nn.Module, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """What a layer is given, and what it makes of it."""
    seen: list[tuple[Tensor, Tensor]] = []
    hook = layer.register_forward_hook(lambda _, given, made: seen.append((given[0], made)))
    try:
        net(pictures)
    finally:
        hook.remove()
    return seen[0]
