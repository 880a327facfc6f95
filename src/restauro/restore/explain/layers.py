"""Look inside a network while it runs: the maps of its modulating layers and the curves of its attending ones.

Layers are found by their type, wherever they stand:

===============================================  ===============================================================
:class:`restauro.nets.layers.sft.SFT`            y (1 + gamma) + beta: DeSmoothGAN, eq. 1
:class:`restauro.nets.spade.Spade`               norm(y) (1 + gamma) + beta: SPADE
:class:`.hifacegan_blocks.SpadeNorm`             norm(y) gamma + beta: HiFaceGAN
:class:`.full_attention.FullAttention`           y_j = F(g_j), one curve for a picture: DeSmoothGAN, eqs. 2-4
===============================================  ===============================================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from restauro.errors import SettingError
from restauro.nets.hifacegan_blocks import SpadeNorm
from restauro.nets.layers.attend import SoftmaxAxis, attend, attention_curve
from restauro.nets.layers.full_attention import FullAttention
from restauro.nets.layers.sft import SFT
from restauro.nets.spade import Spade


@dataclass(frozen=True, eq=False)
class Modulation:
    """Gamma (as the layer makes it, without any 1 that is added) and beta of every pixel, [C, h, w] each."""

    name: str
    gamma: Tensor
    beta: Tensor


@dataclass(frozen=True, eq=False)
class Attention:
    """The maps f, g, h of an attending layer, [h, w] each, float64.

    With one number per position, what position j receives depends on g_j alone: y_j = F(g_j).
    """

    name: str
    f: Tensor
    g: Tensor
    h: Tensor
    axis: SoftmaxAxis = "key"
    nodes: int | None = None

    def curve(self, count: int = 200) -> tuple[Tensor, Tensor]:
        """The curve F over the range of g: ``count`` values of t, and F(t)."""
        t = torch.linspace(float(self.g.min()), float(self.g.max()), count, dtype=torch.float64)
        f, g, h = (x.flatten()[None] for x in (self.f, self.g, self.h))
        return t, attention_curve(f, g, h, self.axis, self.nodes)(t[None])[0]

    def row(self, y: int, x: int) -> Tensor:
        """How much each position gives to position (y, x): [h, w]; on the key axis it sums to 1.

        The layer is linear in h, so this is the derivative of y_j by h: no n x n table, on either axis.
        """
        f, g = self.f.flatten()[None], self.g.flatten()[None]
        h = self.h.flatten()[None].clone().requires_grad_()
        with torch.enable_grad():
            received = attend(f, g, h, self.axis, self.nodes)[0, y * self.g.shape[1] + x]
            (row,) = torch.autograd.grad(received, h)
        return row.reshape(self.h.shape)


Layer = Modulation | Attention


def layer_names(net: nn.Module) -> dict[str, type[Layer]]:
    """Names of the layers that can be looked into, in the network's order, and what each will give.

    >>> from restauro.nets.desmoothgan import build_desmoothgan
    >>> list(layer_names(build_desmoothgan("ours", width=4)))[-2:]
    ['attention.2', 'attention.3']
    """
    kinds: dict[str, type[Layer]] = {}
    for name, module in net.named_modules():
        if isinstance(module, SFT | Spade | SpadeNorm):
            kinds[name] = Modulation
        elif isinstance(module, FullAttention) and module.spatial:
            kinds[name] = Attention
    return kinds


def watch(net: nn.Module, x: Tensor, names: Sequence[str]) -> tuple[Tensor, tuple[Layer, ...]]:
    """Run a network, and keep what some of its layers did.

    Parameters
    ----------
    net
        In evaluation mode. Hooks hang on it while it runs: it must not be running elsewhere.
    x
        [1, 3, H, W], 0..1, sides of the network's multiple.
    names
        Of :func:`layer_names`.

    Returns
    -------
    Tensor, tuple of Modulation and Attention
        The network's output; what the layers did, in the order of ``names``.

    Raises
    ------
    SettingError
        A name that is not there; those that are, are listed.
    """
    known = layer_names(net)
    for name in names:
        if name not in known:
            raise SettingError("layer", name, f"one of {', '.join(known)}" if known else "none: this network has none")
    seen: dict[str, Layer] = {}
    with ExitStack() as hooks, torch.no_grad():
        for name in names:
            handle = net.get_submodule(name).register_forward_hook(_keeper(name, seen))
            hooks.callback(handle.remove)
        output: Tensor = net(x)
    return output, tuple(seen[name] for name in names)


def _keeper(name: str, seen: dict[str, Layer]) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
    def keep(module: nn.Module, given: tuple[Any, ...], _: Any) -> None:
        match module:
            case SFT():
                gamma, beta = module.maps(given[1])
                seen[name] = Modulation(name, gamma[0], beta[0])
            case Spade() | SpadeNorm():
                hidden = module.mlp_shared(given[1])
                seen[name] = Modulation(name, module.mlp_gamma(hidden)[0], module.mlp_beta(hidden)[0])
            case FullAttention():
                f, g, h = module.maps(given[0])[0].double().unbind(0)
                seen[name] = Attention(name, f, g, h, module.axis, module.nodes)

    return keep
