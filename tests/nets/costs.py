"""What a network costs, counted without computing it, in the two conventions that papers use."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

M = TypeVar("M", bound=nn.Module)


def on_meta(build: Callable[[], M], height: int = 384, width: int = 512) -> tuple[M, Tensor]:
    """A network in eval mode and a picture, neither with any memory; 512 x 384 is SASNet's Table 2."""
    with torch.device("meta"):
        return build().eval(), torch.empty(1, 3, height, width)


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def gflop(call: Callable[[], object]) -> float:
    """Of torch's own counter: two per multiply-accumulate of convolutions and linear layers."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 1e9


def gmac(net: nn.Module, call: Callable[[], object]) -> float:
    """Of ptflops 0.6: multiply-accumulates, biases, two per normalised element and one per activation *module*."""
    total = 0

    def count(module: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += output.numel() * (module.weight[0].numel() + (module.bias is not None))
        elif isinstance(module, nn.ConvTranspose2d):  # as if every output pixel took the whole kernel: too many
            total += output.numel() * (module.weight[:, 0].numel() + 1)
        elif isinstance(module, nn.Linear):
            total += output.numel() * (module.in_features + 1)
        elif isinstance(module, nn.BatchNorm2d):
            total += 2 * output.numel()
        elif isinstance(module, (nn.ReLU, nn.LeakyReLU)):
            total += output.numel()

    handles = [module.register_forward_hook(count) for module in net.modules() if not list(module.children())]
    call()
    for handle in handles:
        handle.remove()
    return total / 1e9


def reach_px(call: Callable[[Tensor], Tensor], size_px: int, at: range) -> int:
    """How far from ``at`` (rows and columns alike) an input pixel can be and still matter, by gradients.

    Only right where nothing cancels: give every weight the same sign and keep away from saturation.
    """
    x = torch.rand(1, 3, size_px, size_px, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x.requires_grad_()
    y = call(x)
    reach = 0
    for i in at:
        (gradient,) = torch.autograd.grad(y[0, :, i, i].sum(), x, retain_graph=True)
        reach = max(reach, int((gradient[0].abs().sum(0).nonzero() - i).abs().max()))
    return reach


def shake(net: M, std: float = 0.5, seed: int = 0) -> M:
    """Random weights in place of those that start at zero, the same for every network of that make."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in net.named_parameters():
        values = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() > 1:
            values *= std / parameter[0].numel() ** 0.5
        else:
            values = values / 10 + (0 if name.endswith("bias") else 1)
        parameter.data = values.to(parameter)
    return net
