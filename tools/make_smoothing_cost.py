"""What the networks of texture removal cost, results/smoothing-cost.md (SASNet's Table 2).

    python -m tools.make_smoothing_cost --rounds 3          # in the root of the repository; one thread, minutes

Counted on one picture of 512 x 384, float32, batch 1: parameters; GFLOP as torch's counter has them (two for each
multiply-accumulate of convolutions and linear layers); time and memory of the eager module, each run in a process of
its own, in turn. The paper's figures are in two conventions: JESSNet's and SASNet's are multiply-accumulates with
biases, activations and normalisation (our GFLOP are about twice that), DRF's and ResNet's fit only as twice the
multiply-accumulates; its memory is that of a GPU with the buffers of its libraries. Our SASNet does not compute the
last g2 and g3, whose code is put aside: with them it has 416.34 GFLOP.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.harness import Memory, facts, in_fresh_process
from restauro.models import build

REPOSITORY = Path(__file__).resolve().parents[1]
WIDTH, HEIGHT = 512, 384
FIRST = "SASNet"  # the others' times are divided by its


@dataclass(frozen=True)
class Entry:
    """A network and what the paper says of it: G, MB."""

    name: str
    architecture: str
    options: Mapping[str, int | bool] = field(default_factory=dict)
    paper_g: float | None = None
    paper_mb: int | None = None


ENTRIES = (
    Entry(FIRST, "sasnet", {}, 209.12, 748),
    Entry("SASNet without attention", "sasnet", {"attention": False}),
    Entry("SASNet x4", "sasnet", {"scale": 4}),
    Entry("SASNet x8", "sasnet", {"scale": 8}),
    Entry("sasnet-small", "sasnet", {"depth": 4, "attention": False}),
    Entry("DRF", "drf", {}, 14.42, 214),
    Entry("ResNet", "resnet", {}, 719.04, 3638),
    Entry("JESSNet", "jessnet", {}, 672.04, 1053),
    Entry("DEAF", "deaf"),
    Entry("U-Net", "unet"),
    Entry("auto-encoder", "autoencoder"),
)


def main() -> None:
    """Parse the arguments, measure, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="of time and memory; 0 counts alone")
    parser.add_argument("--results", type=Path, default=REPOSITORY / "results")
    given = parser.parse_args()
    before = facts()
    seconds: dict[str, list[float]] = {entry.name: [] for entry in ENTRIES}
    memory: dict[str, Memory | None] = {}
    for _ in range(given.rounds):
        for entry in ENTRIES:
            arguments = {"architecture": entry.architecture, "options": dict(entry.options)}
            runs, memory[entry.name], _ = in_fresh_process("tools.make_smoothing_cost:prepare", arguments, 2)
            seconds[entry.name].append(runs[-1])  # the first one also plans
    lines = [
        "| network | parameters | GFLOP | paper, G | MiB added | paper, MB | time / SASNet's | seconds |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        *(row(entry, seconds, memory.get(entry.name)) for entry in ENTRIES),
    ]
    host, packages = before["machine"], before["versions"]
    measured = (
        f"`python -m tools.make_smoothing_cost --rounds {given.rounds}`, revision {before['revision']}, one thread; "
        f"{host['cpu']}, {host['cores']} cores, load {host['load_1min']} before; torch {packages['torch']}. "
        "Random weights, which cost the same. Times are medians; ratios are within a round, median (least to most)."
    )
    about = (__doc__ or "").partition("\n\n    ")[2].partition("\n\n")[2].strip()
    text = ["# Texture removal: what the networks cost", "", about, "", *lines, "", measured, ""]
    (given.results / "smoothing-cost.md").write_text("\n".join(text), encoding="utf-8")


def prepare(architecture: str, options: Mapping[str, int | bool]) -> Callable[[], None]:
    """One forward pass, ready to go."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net, x = build(architecture, **options).eval(), torch.rand(1, 3, HEIGHT, WIDTH)

    def work() -> None:
        with torch.inference_mode():
            net(x)

    return work


def count(entry: Entry) -> tuple[int, float]:
    """Parameters and GFLOP, on tensors without memory.

    >>> count(ENTRIES[0])
    (2152032, 407.67)
    """
    with torch.device("meta"):
        net, x = build(entry.architecture, **entry.options).eval(), torch.empty(1, 3, HEIGHT, WIDTH)
    with FlopCounterMode(display=False) as counter:
        net(x)
    return sum(p.numel() for p in net.parameters()), round(counter.get_total_flops() / 1e9, 2)


def row(entry: Entry, seconds: Mapping[str, list[float]], memory: Memory | None) -> str:
    """One line of the table."""
    parameters, gflop = count(entry)
    ratios = [mine / first for mine, first in zip(seconds[entry.name], seconds[FIRST], strict=True)]
    cells = [
        entry.name,
        f"{parameters:,}",
        f"{gflop:.2f}",
        f"{entry.paper_g}" if entry.paper_g else "",
        f"{memory.added:.0f}" if memory else "not measured",
        f"{entry.paper_mb}" if entry.paper_mb else "",
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else "not measured",
        f"{statistics.median(seconds[entry.name]):.2f}" if ratios else "not measured",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
