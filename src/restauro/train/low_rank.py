"""Fit a trained network to a few pairs: low-rank changes of its weights, and little else (Hu et al. 2021, LoRA).

Each convolution's weight W [C_out, C_in k^2] becomes W + B A with B [C_out, r], A [r, C_in k^2] and B = 0 at first;
W stays as it was. Biases and whole SFT and attention layers, which steer the others, are free. With five pairs the
few thousand numbers of A and B find a smoother's habits where all weights would find the pairs' pictures.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from restauro.errors import SettingError
from restauro.nets.layers.full_attention import FullAttention
from restauro.nets.layers.sft import SFT

_INSIDE = ".parametrizations."
_LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


class LowRankChange(nn.Module):
    """W -> W + B A, starting at W.

    Parameters
    ----------
    weight
        [C_out, ...]; the other axes count as one.
    rank
        r; cut to the smaller side of the matrix.

    Examples
    --------
    >>> weight = torch.ones(8, 3, 3, 3)
    >>> change = LowRankChange(weight, rank=2)
    >>> bool((change(weight) == weight).all()), sum(p.numel() for p in change.parameters())
    (True, 70)
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = weight.shape[0], weight[0].numel()
        rank = min(rank, rows, columns)
        self.down = nn.Parameter(torch.randn(rank, columns) / columns**0.5)
        self.up = nn.Parameter(torch.zeros(rows, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """The changed weight, float32 (a product in bfloat16 would lose small changes)."""
        with torch.autocast(weight.device.type, enabled=False):
            return weight + (self.up @ self.down).view_as(weight)


def free_low_rank(net: nn.Module, rank: int) -> int:
    """Freeze a network but for low-rank changes, biases, SFT and attention; returns how many numbers are left free.

    Raises
    ------
    SettingError
        A rank under 1.
    """
    if rank < 1:
        raise SettingError("rank", rank, "a whole number from 1")
    net.requires_grad_(False)
    whole = [module for module in net.modules() if isinstance(module, (SFT, FullAttention))]
    steering = {id(part) for module in whole for part in module.modules()}
    for module in whole:
        module.requires_grad_(True)
    for layer in [m for m in net.modules() if isinstance(m, _LAYERS) and id(m) not in steering]:
        parametrize.register_parametrization(layer, "weight", LowRankChange(layer.weight, rank))
        if layer.bias is not None:
            layer.bias.requires_grad_(True)
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


def merged_state(net: nn.Module) -> dict[str, Tensor]:
    """The state of a network with every low-rank change added in: the names and shapes of the network as built."""
    state: dict[str, Tensor] = {}
    for key, value in net.state_dict().items():
        owner, found, rest = key.partition(_INSIDE)
        if not found:
            state[key] = value
        elif rest == "weight.original":
            weight = net.get_submodule(owner).weight
            assert isinstance(weight, Tensor)
            state[f"{owner}.weight"] = weight.detach()
    return state
