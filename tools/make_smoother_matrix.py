"""Trained on one smoother, asked about another: results/desmooth-matrix.md and its heat map, desmooth-matrix.png.

    python tools/make_smoother_matrix.py --root FOLDER --queue > queue.sh    # trains one network for each smoother
    python tools/make_smoother_matrix.py --root FOLDER                       # scores those that lie finished in RUNS

Rows of networks that do not lie there any more are kept as they stand in the page.

FOLDER holds the pictures of recipes/desmooth-faces.toml and recipes/desmooth-natural.toml. Section 4.4 of DeSmoothGAN
shows pictures of this; here are numbers. SGF and WLS are in nobody's training.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from restauro.degrade.smoothers import UNSEEN, Smoother, draw_smoother
from restauro.degrade.steps import counter_seed
from restauro.metrics.interval import Interval, mean_interval
from restauro.metrics.psnr import psnr
from restauro.models import MODELS, find
from restauro.restore.explain.draw import heat
from restauro.train.data import Pair, load_pairs, to_tensor
from restauro.train.loop import cache_folder
from restauro.train.recipe import read_recipe
from restauro.train.rivals import table_arguments, training, write_page
from restauro.train.sections import DegradationSection
from restauro.train.validate import Restore, network, stored

REPOSITORY = Path(__file__).resolve().parent.parent
COMMAND = "python tools/make_smoother_matrix.py --root FOLDER"
SHIPPED = tuple(name for name, spec in MODELS.items() if spec.verb == "desmooth")
MINUTES, STRENGTH = 2, 0.8
TRAINED = ("l0", "guided", "rtv", "fgs")
TESTED = (*TRAINED, "bilateral", "domain-transform", "beautify", *UNSEEN)
SETS = {"faces": "desmooth-faces", "photographs": "desmooth-natural"}  # and whose validation they are
CELL_PX, FULL_DB = 48, 3.0
ALONE = {name: f"{name} alone" for name in TRAINED}  # smoother -> row
Matrix = Mapping[str, Mapping[str, Interval]]  # network -> smoother -> gain


def main() -> int:
    """Parse the arguments; print the queue, or score and write."""
    parser = table_arguments(__doc__, REPOSITORY / "results" / "desmooth-matrix.md", pictures=17)
    given = parser.parse_args()
    if given.queue:
        print("\n".join(queue(given.root, given.runs)))
        return 0
    torch.set_num_threads(1)
    nets = networks(given.runs)
    before = given.out.read_text(encoding="utf-8") if given.out.exists() else ""
    gone = [net for net in ALONE.values() if net not in nets]
    matrices = {}
    for name in SETS:
        pairs = truths(name, given.root, given.pictures)
        matrices[name] = {**kept(before, name, gone, len(pairs)), **matrix(pairs, nets)}
    write_page(given.out, page(matrices, given.out.with_suffix(".png").name))
    drawn(matrices).save(given.out.with_suffix(".png"), optimize=True)
    return 0


def run_name(smoother: str) -> str:
    """Of the training on one smoother."""
    return f"matrix-{smoother}"


def queue(root: Path, runs: Path) -> list[str]:
    """The commands that train: faces, one smoother at all strengths, the same network and minutes."""
    options = {"variant": "pix2pix", "width": 40, "norm": "none", "residual": True}
    more = ("degradation.law=smoother", "ema=0.99", "optimiser.warmup=20", "data.validation=[]")
    return [
        training(
            "recipes/desmooth-faces.toml",
            root,
            runs,
            run_name(smoother),
            "desmoothgan",
            options,
            MINUTES,
            (*more, f'degradation.settings={{method="{smoother}"}}'),
        )
        for smoother in TRAINED
    ]


def networks(runs: Path) -> dict[str, Restore]:
    """Those that are trained, and the models that ship."""
    paths = {name: runs / run_name(name) / f"{run_name(name)}.safetensors" for name in TRAINED}
    found = {ALONE[name]: network(find(path)) for name, path in paths.items() if path.exists()}
    return found | {name: network(find(name)) for name in SHIPPED}


def truths(name: str, root: Path, most: int) -> list[Pair]:
    """Validation pictures as they are."""
    spec = read_recipe(REPOSITORY / "recipes" / f"{SETS[name]}.toml").data.validation[0]
    return list(load_pairs(spec, root, DegradationSection(), cache_folder(), most=most, fresh=True).pairs)


def smoother_of(name: str, place: int) -> Smoother:
    """The smoother of a column, for the picture at a place of the list: what strength leaves open is drawn."""
    if name in UNSEEN:
        return Smoother(name, UNSEEN[name])
    return draw_smoother(name, STRENGTH, torch.Generator().manual_seed(counter_seed(21, place)))


def matrix(pairs: Sequence[Pair], nets: Mapping[str, Restore]) -> Matrix:
    """Mean gain in PSNR over the smoothed picture, with its interval; 8 bits throughout."""
    gains: dict[str, dict[str, list[float]]] = {name: {column: [] for column in TESTED} for name in nets}
    for place, pair in enumerate(pairs):
        truth = to_tensor(pair.truth[None])
        for column in TESTED:
            source = smoother_of(column, place)(truth)
            for name, restore in nets.items():
                gains[name][column].append(decibel(restore(source), truth) - decibel(source, truth))
        print(pair.name, file=sys.stderr)
    return {
        name: {column: mean_interval(values, generator=np.random.default_rng(0)) for column, values in row.items()}
        for name, row in gains.items()
    }


def kept(before: str, name: str, rows: Sequence[str], count: int) -> dict[str, Mapping[str, Interval]]:
    """Rows of one set as the page ``before`` has them; those that it lacks, or has of another count, are left out."""
    _, _, part = before.partition(f"## {name.capitalize()} ({count})")
    found: dict[str, Mapping[str, Interval]] = {}
    for line in part.partition("## ")[0].splitlines():
        row, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        if row in rows:
            values = [[float(value) for value in re.findall(r"[+-][0-9.]+", cell)] for cell in cells]
            found[row] = {column: Interval(*three, count) for column, three in zip(TESTED, values, strict=True)}
    return found


def decibel(made: Tensor, truth: Tensor) -> float:
    """PSNR of one picture, as a file would hold it."""
    return float(psnr(stored(made), truth)[0])


def page(matrices: Mapping[str, Matrix], picture: str) -> str:
    """The whole of results/desmooth-matrix.md."""
    parts = [HEAD, f"![gain by training and test smoother]({picture})\n"]
    for name, found in matrices.items():
        lines = [f"| trained on | {' | '.join(TESTED)} |", "|---|" + "---:|" * len(TESTED)]
        lines += [f"| {net} | {' | '.join(cell(row[column]) for column in TESTED)} |" for net, row in found.items()]
        count = next(iter(next(iter(found.values())).values())).count
        parts += [f"## {name.capitalize()} ({count})\n", "\n".join(lines) + "\n"]
    return "\n".join(parts).rstrip() + "\n"


def cell(gain: Interval) -> str:
    """A gain with its interval.

    >>> cell(Interval(1.234, 1.0, 1.5, 20))
    '+1.23 [+1.00, +1.50]'
    """
    return f"{gain.mean:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]"


def drawn(matrices: Mapping[str, Matrix]) -> Image.Image:
    """Heat maps of the means, one below the other: blue loses, green is level, red gains FULL_DB and more."""
    parts = []
    for found in matrices.values():
        means = np.array([[row[column].mean for column in TESTED] for row in found.values()], np.float32)
        size = (CELL_PX * means.shape[0], CELL_PX * means.shape[1])
        parts += [heat(means, size, -FULL_DB, FULL_DB), np.ones((CELL_PX // 3, size[1], 3), np.float32)]
    return Image.fromarray(np.rint(np.concatenate(parts[:-1]) * 255).astype(np.uint8))


HEAD = f"""# Trained on one smoother, asked about another

Written by `{COMMAND}`. Gain in PSNR (dB) over the smoothed picture, mean over validation pictures with its 95 %
bootstrap interval. Rows: networks that saw one smoother, at all strengths, on faces, {MINUTES} minutes of one core each
(`{COMMAND} --queue`); and those that ship: `desmooth-general` saw all columns up to
beautify and photographs too, `desmooth-l0` L0 alone. Columns: smoothers at
strength {STRENGTH:g} of the scale in `src/restauro/degrade/smoothers.py`; SGF and WLS, which nobody saw, at
{"; ".join(f"{name} {', '.join(f'{key}={value:g}' for key, value in UNSEEN[name].items())}" for name in UNSEEN)}.
In the picture rows and columns are those of the tables, faces above photographs; dark blue loses {FULL_DB:g} dB, green
is level, dark red gains {FULL_DB:g} dB or more.
"""

if __name__ == "__main__":
    sys.exit(main())
