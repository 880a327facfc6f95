"""Desmoothing in numbers: Table 1 of DeSmoothGAN at our scale, results/desmooth.md.

    python tools/make_desmooth_table.py --root FOLDER --queue > queue.sh    # what trains the rows, equal minutes each
    python tools/make_desmooth_table.py --root FOLDER                       # scores those that lie finished in RUNS

FOLDER holds the pictures of recipes/desmooth-faces.toml and recipes/desmooth-flowers.toml. The rows are the paper's,
from one family of networks, at a width and a number of minutes for two cores. Ours and its two neighbours (SFT pooled;
no attention) are trained with three seeds, so that one can see what a difference is worth.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from restauro.metrics.report import markdown
from restauro.metrics.table import IDENTITY, Table
from restauro.models import Weights, build, find
from restauro.train.data import evenly
from restauro.train.loop import cache_folder
from restauro.train.recipe import read_recipe
from restauro.train.rivals import table_arguments, training, write_page
from restauro.train.validate import network, score_table, validation_sets

REPOSITORY = Path(__file__).resolve().parent.parent
COMMAND = "python tools/make_desmooth_table.py --root FOLDER"
METRICS = ("sc", "ssim", "psnr", "lpips-squeeze-caffe")
SETS = {"faces": "CelebA", "flowers": "flowers"}  # ours, the paper's
MINUTES, WIDTH, SEEDS = 2, 32, (1, 2, 3)
#: What differs from the recipes: small batches make more steps, the tables score the networks.
CHANGES = ("batch=8", "ema=0.98", "optimiser.warmup=20", "data.validation=[]")
FLOOR = "residual-unet"  # what every network has to beat
#: Variant -> what the paper calls it, and how many seeds it gets.
ROWS = {
    "pix2pix": ("pix2pix = Ours w/o SFT & FA", 1),
    "pix2pix-ex": ("pix2pix-EX", 1),
    "adain": ("AdaIN", 3),
    "spade": ("SPADE", 1),
    "ours": ("Ours", 3),
    "no-sft": ("Ours w/o SFT", 1),
    "no-fa": ("Ours w/o FA", 3),
    "no-sr": ("Ours w/o SR", 1),
    "no-cr": ("Ours w/o CR", 1),
    FLOOR: ("residual U-Net (not the paper's)", 1),
}
#: Table 1 of the paper: SC, SSIM, PSNR, LPIPS on CelebA-HQ, then on flowers, at 256 px.
PAPER = {
    "pix2pix": ((37.53, 0.7414, 26.78, 0.0939), (46.48, 0.7224, 25.45, 0.1007)),
    "pix2pix-ex": ((34.28, 0.7470, 26.96, 0.0921), (33.93, 0.7296, 25.95, 0.0996)),
    "adain": ((32.87, 0.7618, 27.21, 0.0850), (42.39, 0.7414, 25.90, 0.0996)),
    "spade": ((31.24, 0.7501, 26.67, 0.0997), (31.55, 0.7407, 25.76, 0.1105)),
    "ours": ((32.39, 0.7661, 27.36, 0.0803), (31.43, 0.7518, 26.38, 0.0858)),
    "no-sft": ((35.89, 0.7449, 26.90, 0.0930), (42.65, 0.7188, 25.58, 0.1027)),
    "no-fa": ((33.72, 0.7607, 27.09, 0.0907), (31.67, 0.7483, 26.37, 0.0903)),
}
DIGITS = (2, 4, 2, 4)


@dataclass(frozen=True)
class Run:
    """One training: a row of the table on one set with one seed."""

    variant: str
    seed: int
    where: str

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"table1-{self.where}-{self.variant}-{self.seed}"

    def weights(self, runs: Path) -> Path:
        """The finished network."""
        return runs / self.name / f"{self.name}.safetensors"


def main() -> int:
    """Parse the arguments; print the queue, or score and write."""
    parser = table_arguments(__doc__, REPOSITORY / "results" / "desmooth.md", pictures=33)
    given = parser.parse_args()
    if given.queue:
        print("\n".join(command(run, given.root, given.runs) for run in missing(given.runs)))
        return 0
    torch.set_num_threads(1)
    write_page(given.out, page(given.root, given.runs, given.pictures))
    return 0


def all_runs() -> list[Run]:
    """First seeds before second ones, so that a queue broken off has every row."""
    return [
        Run(variant, seed, where)
        for seed in SEEDS
        for where in SETS
        for variant, (_, seeds) in ROWS.items()
        if seed <= seeds and where in variant_sets(variant)
    ]


def variant_sets(variant: str) -> tuple[str, ...]:
    """On which sets it is trained: w/o SR and w/o CR come from a figure of the paper, on faces."""
    return tuple(SETS) if variant in (*PAPER, FLOOR) else ("faces",)


def missing(runs: Path) -> list[Run]:
    """What is not trained yet."""
    return [run for run in all_runs() if not run.weights(runs).exists()]


def command(run: Run, root: Path, runs: Path) -> str:
    """What trains it. All rows add to their input: from nothing, no picture would come of some minutes."""
    recipe = f"recipes/desmooth-{run.where}.toml"
    more = (f"seed={run.seed}", *CHANGES)
    if run.variant == FLOOR:  # wide layers and sums of blocks want a smaller rate
        return training(recipe, root, runs, run.name, FLOOR, {}, MINUTES, (*more, "optimiser.lr=0.002"))
    norm = "batch" if run.variant == "spade" else "none"  # SPADE modulates normed features
    options = {"variant": run.variant, "width": WIDTH, "norm": norm, "residual": True}
    return training(recipe, root, runs, run.name, "desmoothgan", options, MINUTES, more)


def page(root: Path, runs: Path, pictures: int) -> str:
    """The whole of results/desmooth.md."""
    parts = [HEAD]
    for where, theirs in SETS.items():
        recipe = read_recipe(REPOSITORY / "recipes" / f"desmooth-{where}.toml")
        one = evenly(validation_sets(recipe, root, cache_folder())[0], pictures)
        found = {run: find(run.weights(runs)) for run in all_runs() if run.where == where and run not in missing(runs)}
        methods = {label(run): network(weights) for run, weights in found.items()}
        print(f"{where}: {len(found)} networks, {len(one.pairs)} pictures", file=sys.stderr)
        table = score_table(one, methods, {"command": COMMAND}, metrics=METRICS)
        parts += [f"## {where.capitalize()}\n", beside(table, found, theirs), markdown(table)]
    return "\n".join(parts).rstrip() + "\n"


def label(run: Run) -> str:
    """How a run is called in the tables.

    >>> label(Run("ours", 2, "faces"))
    'Ours, seed 2'
    """
    return f"{ROWS[run.variant][0]}, seed {run.seed}"


def beside(table: Table, found: Mapping[Run, Weights], theirs: str) -> str:
    """Rows by variant, means over seeds with their spread, the paper's numbers in brackets."""
    heads = ("SC", "SSIM", "PSNR", "lpips-squeeze (paper: LPIPS)")
    lines = [
        f"| method | parameters | iterations | {' | '.join(f'{head}' for head in heads)} |",
        "|---|---:|---:|" + "---:|" * len(heads),
        f"| identity | | | {' | '.join(shown(table, [IDENTITY], None))} |",
    ]
    where = next(ours for ours, paper in SETS.items() if paper == theirs)
    for variant, (name, _) in ROWS.items():
        mine = [run for run in found if run.variant == variant]
        if not mine and where not in variant_sets(variant):
            continue
        if not mine:
            lines.append(f"| {name} | not trained |" + " |" * (1 + len(heads)))
            continue
        told = PAPER[variant][list(SETS.values()).index(theirs)] if variant in PAPER else None
        size = f"{parameters(found[mine[0]]):,}"
        steps = "/".join(str(json.loads(found[run].metadata["recipe"])["iterations"]) for run in mine)
        lines.append(f"| {name} | {size} | {steps} | {' | '.join(shown(table, [label(r) for r in mine], told))} |")
    return "\n".join(lines) + "\n"


def parameters(weights: Weights) -> int:
    """How many numbers were trained; spectral norm's vectors are not."""
    return sum(one.numel() for one in build(weights.architecture, **weights.options).parameters())


def shown(table: Table, methods: Sequence[str], told: Sequence[float] | None) -> list[str]:
    """Cells of a row: the mean over its seeds, half their range where there are several, the paper's number."""
    cells = []
    for place, column in enumerate(table.columns):
        intervals = [table.interval(method, column.name) for method in methods]
        means = [one.mean for one in intervals if one is not None]
        digits = DIGITS[place]
        text = f"{np.mean(means):.{digits}f}" if means else ""
        if len(means) > 1:
            text += f" ± {(max(means) - min(means)) / 2:.{digits}f}"
        cells.append(text + (f" ({told[place]:.{digits}f})" if told else ""))
    return cells


HEAD = f"""# Desmoothing: Table 1 of DeSmoothGAN at our scale

Written by `{COMMAND}`. L0 smoothing (lambda 0.02, kappa 2) undone on free faces and flowers. Every row had {MINUTES}
minutes of one core (`{COMMAND} --queue` prints the commands), width {WIDTH} in place
of 64, L1 + 0.05 (1 - SSIM) in place of the paper's adversarial and VGG losses, and adds to its input, which the paper's
rows do not: from nothing, no picture would come of {MINUTES} minutes. All but SPADE are without norm, batch or
spectral, as what ships is; w/o SFT & FA is pix2pix then. The paper's numbers stand in brackets: other pictures, a
graphics card; its LPIPS is another network's than our lpips-squeeze. SC and lpips-squeeze: lower is better. Of three
seeds, the mean and half the range.
"""


if __name__ == "__main__":
    sys.exit(main())
