"""DeSmoothGAN: the plain module beside the form that the engine runs; see :mod:`benchmarks.forms`.

The shipped weights, and the row *ours* at width 32 with random ones, whose last layer is scaled such that they change
the picture by 0.05 (root mean square), as a desmoother does. ``--model`` in their place.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from benchmarks.forms import case, crop
from benchmarks.harness import Case
from restauro.models import load
from restauro.nets.desmoothgan import DeSmoothGAN, build_desmoothgan

QUESTION = "How much faster than the plain module is DeSmoothGAN as the engine runs it, and how near does it come?"
MEGAPIXELS = (1.0,)
ROUNDS = 5
CHANGE = 0.05


def network(model: str | None = None) -> nn.Module:
    """Trained weights, or *ours* with random ones."""
    if model:
        return load(model)
    torch.manual_seed(0)
    net = build_desmoothgan("ours", width=32, norm="none", residual=True).eval()
    assert isinstance(net, DeSmoothGAN)
    x = torch.from_numpy(crop(0, 32, 64)).permute(2, 0, 1)[None]
    with torch.no_grad():
        nn.init.normal_(net.head.weight)
        net.head.weight *= CHANGE / (net(x) - x).square().mean().sqrt()
    return net


def cases(megapixels: Sequence[float], rounds: int, threads: int, model: str | None = None) -> list[Case]:
    """Compare on every size."""
    networks = {model: model} if model else {"desmooth-general": "desmooth-general", "ours, width 32": None}
    return [
        case("benchmarks.desmooth_speed:network", {"model": given}, size, rounds, threads, name=name)
        for size in megapixels
        for name, given in networks.items()
    ]
