"""SASNet: the plain module beside its banded form; see :mod:`benchmarks.forms`.

Without ``--model`` two networks of width 64 with random weights: four blocks without attention, as the recipe
``sasnet-small`` has them, and two with it, as the paper has sixteen. A block costs the same wherever it stands, so that
the ratio is that of deeper ones; the distance in dB is not.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from benchmarks.forms import case, randomised
from benchmarks.harness import Case
from restauro.models import load
from restauro.nets.sasnet import SASNet

QUESTION = "How much faster than the plain module is SASNet as the engine runs it, and how near does it come?"
MEGAPIXELS = (1.0,)
ROUNDS = 3
NETWORKS = {
    "4 blocks, no attention": {"width": 64, "depth": 4, "attention": False},
    "2 blocks, attention": {"width": 64, "depth": 2, "attention": True},
}


def network(model: str | None = None, **options: int | bool) -> nn.Module:
    """Trained weights, or random ones that do something."""
    return load(model) if model else randomised(SASNet(**options), 0.2)


def cases(megapixels: Sequence[float], rounds: int, threads: int, model: str | None = None) -> list[Case]:
    """Compare on every size."""
    networks = {model: {"model": model}} if model else NETWORKS
    return [
        case("benchmarks.sasnet:network", options, size, rounds, threads, name=name)
        for size in megapixels
        for name, options in networks.items()
    ]
