"""The tables of texture removal in results/: every filter and network on the sets of tools/make_sps.py.

    python tools/make_smoothing_tables.py quality --root runs      # SASNet's Table 1 (--keep: networks alone)
    python tools/make_smoothing_tables.py ablations --root runs    # Table 3
    python tools/make_smoothing_tables.py queue --root runs        # prints the commands that train the networks

ROOT holds sps/ and nks/, truth, input and lists each. Every filter has one setting per set, the one of its grid with
the best mean PSNR on pictures of the tuning list; scores are of the validation list, in 8 bits as files hold them.
Networks are taken from RUNS/NAME/NAME.safetensors, or from the models that ship; one without weights has an empty row.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from restauro.errors import RestauroError
from restauro.metrics.psnr import psnr
from restauro.metrics.report import from_json, json_text, markdown
from restauro.metrics.scoreboard import Scoreboard
from restauro.metrics.table import IDENTITY, Row, Table
from restauro.models import MODELS, facts_of, find, load
from restauro.nets.layers.symmetry import self_ensemble
from restauro.smooth.catalogue import Setting, smooth_tensor
from restauro.train.data import PairSet, digest, load_pairs, to_tensor
from restauro.train.rivals import write_page
from restauro.train.sections import DegradationSection, PictureSet
from restauro.train.validate import stored, whole_picture

REPOSITORY = Path(__file__).resolve().parents[1]
RECIPE = "recipes/sasnet-small.toml"
TOOL = "python tools/make_smoothing_tables.py"
METRICS = ("psnr:rgb", "ssim:gauss11,rgb,valid", "ssim:gauss11,rgb,zeropad")
SETS = {"sps": "SPS-like", "nks": "NKS-like"}
SETTING = "setting of "
TUNING_PX = 128  # middle of a tuning picture
MINUTES = 4  # of every queued network: a budget of one core
RATE, SASNET_RATE = 5e-3, 1.5e-2  # Muon's; SASNets learned less at 0.005 (tuning pictures), a U-Net at 0.015
Restore = Callable[[Tensor], Tensor]
Settings = dict[str, Setting]


def grid(**values: Sequence[Setting]) -> tuple[Settings, ...]:
    """Every combination.

    >>> grid(lam=(1, 2), p=(0.5,))
    ({'lam': 1, 'p': 0.5}, {'lam': 2, 'p': 0.5})
    """
    return tuple(dict(zip(values, row, strict=True)) for row in product(*values.values()))


GRIDS: Mapping[str, tuple[Settings, ...]] = {
    "guided": grid(radius_px=(2, 4, 8), eps=(0.0025, 0.01, 0.03, 0.06, 0.12, 0.25)),
    "rolling-guidance": grid(sigma_px=(2.0, 3.0, 4.0, 6.0, 8.0), sigma_range=(0.03, 0.05, 0.1, 0.15)),
    "l0": grid(lam=(0.003, 0.01, 0.02, 0.05, 0.1, 0.2)),
    "rtv": grid(lam=(0.0025, 0.005, 0.01, 0.02, 0.04), sigma_px=(1.0, 2.0, 3.0, 4.0, 5.0, 6.0)),
    "sdf": grid(lam=(3.0, 30.0, 300.0), nu=(50.0, 400.0, 2000.0)),
    "ils": (
        *grid(lam=(0.3, 1.0, 5.0), steps=(4, 10), anchor=("input", "current")),
        *grid(lam=(3.0, 10.0, 30.0), steps=(10,), penalty=("welsch",), gamma=(0.02, 0.04, 0.07, 0.1, 0.15)),
    ),
    "pnls-approx": grid(threshold=(0.0125, 0.025, 0.05, 0.1, 0.2)),
    "iso-approx": grid(lam=(0.05, 0.1, 0.2), threshold=(0.01, 0.02, 0.06)),
    "bilateral": grid(sigma_px=(2.0, 3.0, 5.0, 8.0), sigma_range=(0.1, 0.2, 0.4, 0.7)),
    "joint-bilateral": grid(
        sigma_px=(3.0, 5.0, 8.0, 12.0), sigma_range=(0.05, 0.1, 0.2, 0.4), guide_sigma_px=(1.0, 2.0)
    ),
    "fgs": grid(lam=(50.0, 250.0, 1000.0, 4000.0), sigma=(0.03, 0.06, 0.12, 0.25)),
    "wls": grid(lam=(0.1, 0.3, 1.0, 3.0, 10.0), alpha=(0.4, 0.8, 1.2)),
    "sgf": grid(radius_px=(8, 12, 16), sigma=(0.05, 0.1), tau=(0.1, 0.2, 0.3)),
    "domain-transform": grid(sigma_px=(3.0, 5.0, 10.0, 20.0), sigma_range=(0.3, 0.6, 1.0, 2.0)),
}


@dataclass(frozen=True)
class Network:
    """A network of the tables."""

    name: str
    what: str
    architecture: str
    options: Mapping[str, int | bool] = field(default_factory=dict)
    rate: float = RATE


SASNET_SMALL = Network("sasnet-small", "SASNet x2, as long as the recipe says", "sasnet")
NETWORKS = (
    Network("smooth-autoencoder", "auto-encoder", "autoencoder", {"width": 24}),
    Network("smooth-unet", "U-Net", "unet", {"width": 24}),
    Network("smooth-sasnet-x2-plain", "SASNet x2", "sasnet", {"scale": 2, "depth": 4, "attention": False}, SASNET_RATE),
    Network("smooth-sasnet-x2", "SASNet x2, attention", "sasnet", {"scale": 2, "depth": 4}, SASNET_RATE),
    Network("smooth-sasnet-x4", "SASNet x4, attention", "sasnet", {"scale": 4, "depth": 4}, SASNET_RATE),
    Network("smooth-sasnet-x8", "SASNet x8, attention", "sasnet", {"scale": 8, "depth": 6}, SASNET_RATE),
    Network("smooth-deaf", "DEAF", "deaf", {"width": 64}),
    Network("smooth-drf", "DRF", "drf", {"width": 16}),
    Network("smooth-resnet", "ResNet", "resnet", {"width": 32, "depth": 8}),
    Network("smooth-jessnet", "JESSNet", "jessnet", {"width": 16}),
)
ABLATIONS = NETWORKS[:6]

#: Table 1 of the paper: PSNR and SSIM on SPS, then on NKS. Its bilateral, FGS, WLS, SGF and DT rows do not exist.
PAPER = {
    IDENTITY: (20.28, 0.26, 28.04, 0.54),
    "guided": (25.33, 0.65, 28.15, 0.83),
    "rolling-guidance": (25.86, 0.64, 32.56, 0.91),
    "l0": (28.48, 0.78, 28.32, 0.90),
    "rtv": (26.89, 0.82, 30.69, 0.90),
    "sdf": (27.06, 0.80, 33.17, 0.89),
    "ils": (25.46, 0.62, 31.5, 0.81),
    "pnls-approx": (25.43, 0.66, 33.2, 0.92),
    "iso-approx": (27.10, 0.81, 33.25, 0.95),
    "smooth-deaf": (27.36, 0.82, 30.45, 0.90),
    "smooth-drf": (27.01, 0.79, 30.02, 0.88),
    "smooth-resnet": (29.84, 0.88, 33.24, 0.92),
    "smooth-jessnet": (31.73, 0.92, 34.24, 0.94),
    "sasnet-small": (33.18, 0.94, 34.75, 0.95),
}
#: Table 3 of the paper.
PAPER_ABLATIONS = {
    "smooth-autoencoder": (22.02, 0.81, 24.70, 0.84),
    "smooth-unet": (32.15, 0.90, 33.41, 0.94),
    "smooth-sasnet-x2-plain": (32.59, 0.92, 34.20, 0.95),
    "smooth-sasnet-x2": (33.18, 0.94, 34.75, 0.95),
    "smooth-sasnet-x4": (32.20, 0.91, 33.88, 0.94),
    "smooth-sasnet-x8": (31.43, 0.92, 32.50, 0.93),
}


def main() -> int:
    """Parse the arguments and write one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=("quality", "ablations", "queue"))
    parser.add_argument("--root", type=Path, default=Path("runs"), help="folder of sps/ and nks/")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of trained networks")
    parser.add_argument("--results", type=Path, default=REPOSITORY / "results")
    parser.add_argument("--tuning", type=int, default=8, help="pictures of each tuning list")
    parser.add_argument("--pictures", type=int, default=40, help="pictures of each validation list")
    parser.add_argument("--without", nargs="*", default=[], metavar="FILTER", help="leave slow filters' rows empty")
    parser.add_argument("--keep", action="store_true", help="filter rows of results/smoothing.*.json stay as they are")
    parser.add_argument("--anew", nargs="*", default=[], metavar="FILTER", help="but not these rows")
    given = parser.parse_args()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            {"quality": quality, "ablations": ablations, "queue": queue}[given.table](given)
    except (RestauroError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def queue(given: argparse.Namespace) -> None:
    """Print a shell script that trains every network of both tables on one thread, MINUTES each."""
    print("# Made by: " + TOOL + " queue\nexport OMP_NUM_THREADS=1")
    for network in NETWORKS:
        options = ", ".join(f"{key} = {str(value).lower()}" for key, value in network.options.items())
        sets = {
            "name": network.name,
            "summary": f"{network.what}: four minutes of one core",
            "minutes": MINUTES,
            "data.validation": "[]",  # the tables score them
            "ema": 0.98,
            "optimiser.lr": network.rate,
            "optimiser.warmup": 20,
            "model.architecture": network.architecture,
            "model.options": f"{{ {options} }}",
        }
        words = " ".join(f"--set '{key}={value}'" for key, value in sets.items())
        where = f"--root {given.root} --runs {given.runs} --out {given.runs}/queue/{network.name} --minutes 60"
        print(f"python tools/train_queue.py {RECIPE} {where} {words}")


def pairs_of(name: str, split: str, root: Path, most: int) -> PairSet:
    """At most `most` pairs of a list."""
    spec = PictureSet(name=name, folder=f"{name}/truth", inputs=f"{name}/input", list=f"{name}/{split}.txt")
    whole = load_pairs(spec, root, DegradationSection(), Path())  # paired sets use neither law nor cache
    return PairSet(whole.name, whole.weight, whole.pairs[:most])


def tune(one: PairSet, method: str) -> list[float]:
    """Mean PSNR of every setting of a filter's grid, on the middles of pictures."""
    found = []
    for settings in GRIDS[method]:
        values = []
        for pair in one.pairs:
            top, left = ((side - TUNING_PX) // 2 for side in pair.truth.shape[:2])
            window = (slice(max(0, top), max(0, top) + TUNING_PX), slice(max(0, left), max(0, left) + TUNING_PX))
            x, truth = to_tensor(pair.source[window][None]), to_tensor(pair.truth[window][None])
            values.append(float(psnr(stored(smooth_tensor(x, method, settings)), truth)[0]))
        found.append(float(np.mean(values)))
    return found


def score(one: PairSet, methods: Mapping[str, Restore], missing: Mapping[str, str], about: Mapping[str, str]) -> Table:
    """Identity, methods, and an empty row for each that is missing."""
    board = Scoreboard(METRICS)
    for pair in one.pairs:
        x, truth = to_tensor(pair.source[None]), to_tensor(pair.truth[None])
        board.add(IDENTITY, pair.name, x, truth)
        for name, restore in methods.items():
            board.add(name, pair.name, stored(restore(x)), truth)
    about = {"set": SETS[one.name], **about, "pictures sha256": digest([one])}
    table = board.table(about=about, truth_digest=digest([one]))
    for name, reason in missing.items():
        table = table.with_row(Row(name, empty=dict.fromkeys(METRICS, reason)))
    return table


def trained(networks: Sequence[Network], runs: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Loaded networks by name, and why the others are not there."""
    there, missing = {}, {}
    for network in networks:
        path = runs / network.name / f"{network.name}.safetensors"
        if network.name in MODELS or path.exists():
            there[network.name] = load(find(network.name if network.name in MODELS else path))
        else:
            missing[network.name] = f"not trained; see docs/guide/smoothing.md and {TOOL} queue"
    return there, missing


def quality(given: argparse.Namespace) -> None:
    """Table 1: identity, tuned filters, networks; beside the paper's numbers."""
    networks, missing = trained((SASNET_SMALL, *NETWORKS), given.runs)
    nets: dict[str, Restore] = {key: whole_picture(net, facts_of(net)) for key, net in networks.items()}
    missing |= dict.fromkeys(given.without, f"left out by --without, it is slow; {TOOL} quality --keep adds it")
    tables = {}
    for name in SETS:
        saved = given.results / f"smoothing.{name}.json"
        kept, settings = kept_filters(saved) if given.keep else ({}, {})
        kept = {method: row for method, row in kept.items() if method not in given.anew}
        wanted = [method for method in GRIDS if method not in {*given.without, *kept}]
        filters, more = tuned(name, wanted, pairs_of(name, "tune", given.root, given.tuning))
        about = {"command": f"{TOOL} quality --root FOLDER --pictures {given.pictures} --tuning {given.tuning}"}
        validation = pairs_of(name, "validation", given.root, given.pictures)
        gone = {method: why for method, why in missing.items() if method not in kept}
        table = score(validation, filters | nets, gone, about | settings | more)
        rows = {row.method: row for row in (*kept.values(), *table.rows)}
        order = [IDENTITY, *GRIDS, SASNET_SMALL.name, *(network.name for network in NETWORKS)]
        tables[name] = Table(table.columns, tuple(rows[method] for method in order), table.about)
        saved.write_text(json_text(tables[name]), encoding="utf-8")
    text = ["# Texture removal", "", INTRODUCTION, "", "## Beside the paper", "", *beside(tables, PAPER), ""]
    for name, table in tables.items():
        text += [f"## {SETS[name]}", "", markdown(table)]
    text += ["## Grids", "", *(f"- {m}: {spans(g)}" for m, g in GRIDS.items()), ""]
    (given.results / "smoothing.md").write_text("\n".join(text), encoding="utf-8")


def tuned(name: str, methods: Sequence[str], tuning: PairSet) -> tuple[dict[str, Restore], dict[str, str]]:
    """Filters at their best settings, and these as notes."""
    filters: dict[str, Restore] = {}
    notes = {}
    for method in methods:
        values = tune(tuning, method)
        best = int(np.argmax(values))
        settings = GRIDS[method][best]
        filters[method] = partial(smooth_tensor, method=method, settings=settings)
        notes[SETTING + method] = f"{words(settings)} ({values[best]:.2f} dB on {len(tuning.pairs)} tuning pictures)"
        print(f"{name}: {method}: {notes[SETTING + method]}", file=sys.stderr, flush=True)
    return filters, notes


def kept_filters(saved: Path) -> tuple[dict[str, Row], dict[str, str]]:
    """Measured filter rows of an earlier table, and their settings."""
    earlier = from_json(saved.read_text(encoding="utf-8"))
    rows = {row.method: row for row in earlier.rows if row.method in GRIDS and row.pictures}
    return rows, {key: value for key, value in earlier.about.items() if key.startswith(SETTING)}


INTRODUCTION = """SASNet's Table 1 on the free sets of `tools/make_sps.py`: other pictures than the paper's at the same
levels, so that its numbers stand beside ours for orientation alone. No structure and no texture of training or tuning
is in validation (in SPS as published, both are). Filters: one setting per set, tuned on pictures of their own.
Networks called `smooth-...` had four minutes of one core each by one optimiser, SASNet's at a rate of 0.015, the others
at 0.005; `sasnet-small` what its recipe says. Sizes stand in `tools/make_smoothing_tables.py`.
Rows ending in `-approx` are after papers whose code or text was not to be had.
Grids were widened where the first tuning picked their ends; RTV's also after a look at validation, where its first
choice (sigma 4) has 27.41 dB on SPS-like: hold that against a network."""


def words(settings: Mapping[str, Setting]) -> str:
    """Settings as text.

    >>> words({"lam": 0.1, "p": 2})
    'lam=0.1 p=2'
    """
    return " ".join(f"{key}={value}" for key, value in settings.items())


def spans(settings: Sequence[Settings]) -> str:
    """A grid as text.

    >>> spans(grid(lam=(1, 2), p=(0.5,)))
    'lam 1, 2; p 0.5'
    """
    keys = dict.fromkeys(key for one in settings for key in one)
    tried = {key: dict.fromkeys(one[key] for one in settings if key in one) for key in keys}
    return "; ".join(f"{key} {', '.join(map(str, values))}" for key, values in tried.items())


def beside(tables: Mapping[str, Table], paper: Mapping[str, tuple[float, ...]]) -> list[str]:
    """Markdown: our means beside the paper's, PSNR in dB and SSIM (zero padding, the form its rivals used)."""
    heads = [f"{title} {metric}" for title in SETS.values() for metric in ("PSNR", "SSIM")]
    lines = [
        "| method | " + " | ".join(f"{head} | paper" for head in heads) + " |",
        "|---|" + "---:|" * 2 * len(heads),
    ]
    for row in tables["sps"].rows:
        told, cells = paper.get(row.method), [row.method]
        for k, (table, metric) in enumerate(product(tables.values(), (METRICS[0], METRICS[2]))):
            found, digits = table.interval(row.method, metric), 2 if metric == METRICS[0] else 3
            cells += [f"{found.mean:.{digits}f}" if found else "", f"{told[k]:.2f}" if told else ""]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def ablations(given: argparse.Namespace) -> None:
    """Table 3: scale and attention at equal minutes; noise and self-ensemble at test on one network."""
    networks, missing = trained((*ABLATIONS, SASNET_SMALL), given.runs)
    tables = {}
    for name in SETS:
        validation = pairs_of(name, "validation", given.root, given.pictures)
        restore = {key: whole_picture(net, facts_of(net)) for key, net in networks.items()}
        if SASNET_SMALL.name in networks:
            restore |= modes(networks[SASNET_SMALL.name])
        about = {"command": f"{TOOL} ablations --root FOLDER --pictures {given.pictures}", "seed of the noise": "0"}
        tables[name] = score(validation, restore, missing, about)
    text = ["# Texture removal: SASNet's parts", "", ABLATION_TEXT, "", *beside(tables, PAPER_ABLATIONS), ""]
    for name, table in tables.items():
        text += [f"## {SETS[name]}", "", markdown(table)]
    write_page(given.results / "smoothing-ablations.md", "\n".join(text))


ABLATION_TEXT = """SASNet's Table 3 on the free sets of `tools/make_sps.py`. Networks called `smooth-...` had four
minutes of one core, whatever their cost: one that is cheaper saw more pictures. The rows after `sasnet-small` are that
network with other fillings for the detail put aside at test, where its training had zeros."""


def modes(net: nn.Module) -> dict[str, Restore]:
    """Other ways to run one SASNet."""

    def sampled(count: int) -> Restore:
        def run(x: Tensor) -> Tensor:
            y: Tensor = net(x, samples=count, generator=torch.Generator().manual_seed(0))
            return y

        return run

    return {
        "sasnet-small, one sample": sampled(1),
        "sasnet-small, mean of 8 samples": sampled(8),
        "sasnet-small, self-ensemble": lambda x: self_ensemble(net, x),
    }


if __name__ == "__main__":
    sys.exit(main())
