"""HiFaceGAN: the plain module beside the form that the engine runs; see :mod:`benchmarks.forms`.

*nested* at width 48 on 512 x 512 pixels, the paper's, with the weights that training starts from, and a last layer
scaled to a deviation of a quarter before the tanh, as pictures have in 0..1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from benchmarks.forms import case, crop
from benchmarks.harness import Case
from restauro.models import load
from restauro.nets.hifacegan import build_hifacegan

QUESTION = "How much faster than the plain module is HiFaceGAN as the engine runs it, and how near does it come?"
MEGAPIXELS = (512 * 512 / 1e6,)
ROUNDS = 2
SPREAD = 0.25


def network(model: str | None = None, width: int = 48) -> nn.Module:
    """Trained weights, or random ones."""
    if model:
        return load(model)
    torch.manual_seed(0)
    net = build_hifacegan("nested", width=width).eval()
    x = torch.from_numpy(crop(0, 32, 64)).permute(2, 0, 1)[None]
    with torch.no_grad():
        net.to_rgbs[-1].weight.mul_(SPREAD / net(x).clamp(-0.999, 0.999).atanh().std())
    return net


def cases(
    megapixels: Sequence[float], rounds: int, threads: int, model: str | None = None, width: int = 48
) -> list[Case]:
    """Compare on squares of every size."""
    options = {"model": model} if model else {"width": width}
    name = model or f"nested, width {width}"
    return [
        case("benchmarks.renovate:network", options, 2 * size, rounds, threads, name=name, side=side)
        for size in megapixels
        for side in [max(64, round((size * 1e6) ** 0.5 / 32) * 32)]
    ]
