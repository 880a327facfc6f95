"""Face renovation in numbers: Tables 1 and 2 of HiFaceGAN (Yang et al. 2020) block by block, at our scale.

    python tools/make_renovation_table.py --root FOLDER                # writes results/renovation.md
    python tools/make_renovation_table.py --queue --root FOLDER | sh   # trains what is compared, 3 minutes each

The rows SPADE want the extra ``faces``: their maps are drawn by tools/make_face_maps.py, which the queue begins with.
FOLDER holds the picture sets of recipes/renovate-hifacegan.toml, whose validation faces are scored, degraded by each
law with seeds that are a function of the picture. Networks are those that lie in RUNS, and those that ship.
Settings of the classical rows are the best of a small grid by PSNR on some of these very pictures: they are flattered.
"""

from __future__ import annotations

import hashlib
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pressure
import torch
from classical_rows import Restore, bicubic, classical, non_local_means
from torch import Tensor

from restauro.metrics.report import markdown
from restauro.metrics.scoreboard import Scoreboard
from restauro.metrics.table import IDENTITY, Table
from restauro.models import MODELS, Weights, facts_of, find, load
from restauro.train.data import PairSet, evenly, load_pairs, to_tensor
from restauro.train.loop import cache_folder
from restauro.train.recipe import read_recipe
from restauro.train.rivals import table_arguments, write_page
from restauro.train.sections import DegradationSection
from restauro.train.validate import validation_sets, whole_picture

REPOSITORY = Path(__file__).resolve().parent.parent
RECIPE = REPOSITORY / "recipes" / "renovate-hifacegan.toml"
METRICS = ("psnr", "ssim", "ms-ssim", "lpips-squeeze-caffe", "niqe", "fed", "identity")
MINUTES = 3
GENERALISTS = ("renovate-faces", "renovate-realism")
MAPS_FOLDER = "face-maps"
COMMAND = "python tools/make_renovation_table.py"

TASKS = {
    "sr4": "4x super-resolution",
    "mosaic16": "16x hallucination (mosaic)",
    "noise": "denoising",
    "blur": "deblurring",
    "jpeg": "JPEG artefact removal",
    "face-renovation": "full face renovation",
}
WIDE = ("batch=16", "precision=auto")  # what suits networks with few wide layers
#: What HiFaceGAN is compared with: the end of a run's name, row, changes of the recipe.
RIVALS = (
    (
        "unet",
        "pix2pix U-Net, width 40",
        (
            "model.architecture=desmoothgan",
            'model.options={variant="pix2pix",width=40,norm="none",residual=true}',
            *WIDE,
        ),
    ),
    (
        "deblurgan",
        "DeblurGAN, width 16",
        (
            "model.architecture=deblurgan",
            'model.options={width=16,norm="none",dropout=0.0,zero_start=true}',
            "optimiser.lr=0.002",
            *WIDE,
        ),
    ),
    (
        "sasnet",
        "SASNet, width 64",
        (
            "model.architecture=sasnet",
            "model.options={scale=2,width=64,depth=4,attention=false}",
            "optimiser.lr=0.015",
            *WIDE,
        ),
    ),
)

LIPSPADE = ("model.options.variant=lipspade",)
FEATURES_ONLY = ("loss.l1=0", "loss.ssim=0", "loss.features=1")
FEATURES_AND_L1 = ("loss.ssim=0", "loss.features=1")
#: What tools/make_face_maps.py draws, beside the same faces as of the other runs.
MAPS = (
    "model.options.guide_channels=7",
    'labels={classes="face-maps.csv",beside=true}',
    *(
        f'data.{part}=[{{name="faces",folder="faces/images",list="faces/{names}.txt",labels="face-maps",'
        'only=["sfhq*","sd3*","london*"]}]'
        for part, names in (("train", "train"), ("validation", "val"))
    ),
)


@dataclass(frozen=True)
class Run:
    """One training of the comparison: its row, its law, and what it changes in the recipe."""

    name: str
    row: str
    law: str
    changes: tuple[str, ...] = ()

    @property
    def guided(self) -> bool:
        """Whether a map of the face comes beside the picture."""
        return any(change.startswith("labels=") for change in self.changes)


def runs() -> list[Run]:
    """Every training: all networks on each task, and the ablations of Table 2 on the mosaic."""
    found = []
    for law in TASKS:
        found.append(Run(f"renovate-{law}-hifacegan", "HiFaceGAN nested, LIP, width 8", law))
        found += [Run(f"renovate-{law}-{name}", row, law, changes) for name, row, changes in RIVALS]
    option = "model.options."
    for row, changes in (
        ("suppression CAC (eqs. 2-3)", (f"{option}suppression=cac",)),
        ("suppression PAC", (f"{option}suppression=pac",)),
        ("FixConv-A (strided)", (f"{option}suppression=fixconv-a",)),
        ("FixConv-B (mean)", (f"{option}suppression=fixconv-b",)),
        ("features only, no pixel loss", FEATURES_ONLY),
        ("features + L1", FEATURES_AND_L1),
        ("LIP-SPADE (released weights' form)", LIPSPADE),
        ("LIP-SPADE FixConv-A", (*LIPSPADE, f"{option}suppression=fixconv-a")),
        ("LIP-SPADE FixConv-B", (*LIPSPADE, f"{option}suppression=fixconv-b")),
        ("LIP-SPADE features only", (*LIPSPADE, *FEATURES_ONLY)),
        ("LIP-SPADE features + L1", (*LIPSPADE, *FEATURES_AND_L1)),
        ("16xFace (no encoder)", (f"{option}variant=spade",)),
        ("SPADE (guide: map of the face)", (f"{option}variant=spade", *MAPS)),
        (
            "SPADE from the map alone",
            (f"{option}variant=spade", f"{option}start=guide", f"{option}residual=false", *MAPS),
        ),
    ):
        word = "-".join(row.lower().replace("+", "and").split("(")[0].replace(",", "").split())
        found.append(Run(f"renovate-ablation-{word}", row, "mosaic16", changes))
    return found


@dataclass(frozen=True)
class Network:
    """A trained network as a row."""

    row: str
    weights: Weights
    restore: Restore = field(compare=False)


def main() -> int:
    """Parse the arguments; print the queue, or write the tables."""
    parser = table_arguments(__doc__, REPOSITORY / "results" / "renovation.md", pictures=33)
    parser.add_argument("--only", default="", help="of the queue: runs whose name has this in it")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of one core, for each run of the queue")
    given = parser.parse_args()
    if given.queue:
        print("\n".join(queue(given.root, given.runs, given.minutes, given.only)))
        return 0
    torch.set_num_threads(1)
    write_page(given.out, report(given.root, given.runs, given.pictures, given.out))
    return 0


def queue(root: Path, folder: Path, minutes: float, only: str) -> Iterable[str]:
    """One command of tools/train_queue.py for each run that is not done."""
    left = [run for run in runs() if only in run.name and not _weights(folder, run).exists()]
    if any(run.guided for run in left):
        yield shlex.join(
            [sys.executable, "tools/make_face_maps.py", "--root", str(root), "--out", str(folder / MAPS_FOLDER)]
        )
    for run in left:
        sets = (f"name={run.name}", f"degradation.law={run.law}", f"minutes={minutes:g}", *run.changes)
        pictures = str(folder / MAPS_FOLDER if run.guided else root)
        words = [sys.executable, "tools/train_queue.py", "recipes/renovate-hifacegan.toml", "--root", pictures]
        words += ["--runs", str(folder), "--out", str(folder / "queue" / run.name)]
        # Iterations are fixed by a measurement at the start: a machine that grows busier may take longer.
        words += ["--minutes", f"{3 * minutes + 5:g}", *(word for one in sets for word in ("--set", one))]
        yield shlex.join(words)


def report(root: Path, folder: Path, pictures: int, page: Path) -> str:
    """The whole page; its curves are written beside it."""
    generalists = _generalists()
    trained = {run.name: _network(run.row, path) for run in runs() if (path := _weights(folder, run)).exists()}
    for run in runs():
        if run.guided and run.name in trained:
            trained[run.name] = _with_maps(trained[run.name], run, folder / MAPS_FOLDER, pictures)
    parts = [HEAD.format(pictures=pictures, minutes=MINUTES)]
    for law, title in TASKS.items():
        rows = [trained[run.name] for run in runs() if run.law == law and run.name in trained and _is_task(run)]
        rows += [*generalists, *_task_model(law)]
        note(f"{title}: {len(rows)} networks")
        one = pairs(root, law, {}, pictures)
        table = scored(one, {**classical(one), **{n.row: n.restore for n in rows}}, METRICS, rows, law)
        parts += [f"## {title}\n", markdown(table), f"The paper's block (FFHQ, 512 px, 5,000 faces):\n\n{PAPER[law]}\n"]
    parts += [_ablations(root, pictures, trained), _pressure(root, pictures, trained, page)]
    return "\n".join(parts)


def _ablations(root: Path, pictures: int, trained: dict[str, Network]) -> str:
    rows = [trained[run.name] for run in runs() if run.law == "mosaic16" and run.name in trained and not _rival(run)]
    text = [f"## Table 2: ablations on the 16x mosaic, {MINUTES} minutes each\n"]
    if rows:
        one = pairs(root, "mosaic16", {}, pictures)
        text.append(markdown(scored(one, {n.row: n.restore for n in rows}, METRICS, rows, "mosaic16")))
    else:
        text.append(f"None is trained yet: `{COMMAND} --queue --root FOLDER | sh`.\n")
    return "\n".join([*text, TABLE_2])


def _pressure(root: Path, pictures: int, trained: dict[str, Network], page: Path) -> str:
    """PSNR and FED against the strength of the degradation, beyond what the networks saw; curves beside the page."""
    found: dict[str, dict[float, Table]] = {}
    for law, (key, levels, _) in pressure.LADDERS.items():
        rows = [trained[run.name] for run in runs() if run.law == law and run.name in trained and _is_task(run)]
        rows += _generalists()
        for level in levels:
            note(f"pressure: {law} {level}")
            one = pairs(root, law, {key: level}, pictures)
            plain = non_local_means(one) if law == "noise" else bicubic(one)
            methods = {plain[0].split()[0]: plain[1], **{n.row: n.restore for n in rows}}
            table = scored(one, methods, pressure.METRICS, rows, law)
            found.setdefault(law, {})[level] = table
    target = page.with_name(f"{page.stem}-pressure.png")
    pressure.figure(found).save(target, optimize=True)
    tables = (pressure.lines(law, ladder) + "\n" for law, ladder in found.items())
    return "\n".join([PRESSURE, f"![]({target.name})\n", *tables])


def scored(
    one: PairSet, methods: dict[str, Restore], metrics: Sequence[str], rows: Sequence[Network], law: str
) -> Table:
    """Score methods on degraded faces; results are rounded to 8 bits first."""
    board, digest = Scoreboard(metrics), hashlib.sha256()
    for pair in one.pairs:
        digest.update(f"{pair.name} {pair.file_sha256}\n".encode())
        source, truth = to_tensor(pair.source[None]), to_tensor(pair.truth[None])
        for name, restore in {IDENTITY: lambda x: x, **methods}.items():
            made = (restore(source).clamp(0, 1) * 255).round() / 255
            board.add(name, pair.name, made, truth, source)
    about = {"command": f"{COMMAND} --root FOLDER --pictures {len(one.pairs)}", "degradation": law}
    about["validation pictures"] = f"sha256 {digest.hexdigest()[:16]}; seeds by content"
    for network in rows:
        done = network.weights.metadata["iterations"]
        about[network.row] = f"{done} iterations, weights sha256 {network.weights.sha256[:16]}"
    return board.table(about=about, truth_digest=digest.hexdigest())


def pairs(root: Path, law: str, settings: dict[str, float], pictures: int) -> PairSet:
    """Validation faces, evenly spaced, with what the law makes of them."""
    (spec,) = read_recipe(RECIPE).data.validation
    return load_pairs(spec, root, DegradationSection(law=law, settings=settings), cache_folder(), most=pictures)


def note(text: str) -> None:
    """Say how far it is."""
    print(text, file=sys.stderr, flush=True)


def _network(row: str, name: str | Path) -> Network:
    weights = find(name)
    net = load(weights)
    return Network(row, weights, whole_picture(net, facts_of(net)))


def _with_maps(network: Network, run: Run, root: Path, pictures: int) -> Network:
    """A guided network that looks the map of a degraded face up by its pixels."""
    recipe = read_recipe(RECIPE, (f"degradation.law={run.law}", "degradation.fresh=false", *run.changes))
    (held,) = validation_sets(recipe, root, cache_folder())
    given = {pair.shown().tobytes(): pair.given() for pair in evenly(held, pictures).pairs}

    def restore(x: Tensor) -> Tensor:
        return network.restore(given[(x[0].permute(1, 2, 0) * 255).round().byte().numpy().tobytes()])

    return replace(network, restore=restore)


def _generalists() -> list[Network]:
    """What ships for every task."""
    return [_network(f"{name} (generalist)", name) for name in GENERALISTS]


def _task_model(law: str) -> list[Network]:
    """What ships for this task alone, if anything does."""
    name = f"renovate-{law}"
    return [_network(f"{name} (ships)", name)] if name in MODELS else []


def _weights(folder: Path, run: Run) -> Path:
    return folder / run.name / f"{run.name}.safetensors"


def _is_task(run: Run) -> bool:
    return not run.name.startswith("renovate-ablation")


def _rival(run: Run) -> bool:
    return any(run.changes == changes for _, _, changes in RIVALS)


HEAD = """# Face renovation

Tables 1 and 2 of HiFaceGAN (Yang et al. 2020) at our scale: {pictures} validation faces of 256 px (synthetic ones and
the London set), networks trained here. All networks but those that ship were trained from nothing for
{minutes} minutes of one core each, on the same faces with (where nothing else is said) the same loss: they say which
network learns faster, not how good it can become. HiFaceGAN takes 4 crops at a time, the others 16, as suits them.
The paper's numbers stand beside ours to compare orderings only: other faces, four times the pixels, a GPU for days,
and LPIPS and NIQE by other weights than `lpips-squeeze-caffe` and `niqe:restauro1`.
FED is the same measure (dlib), on smaller faces; where no face is found it has no value, and `identity:dlib,at-truth`
takes its place: it crops the result by the landmarks of its truth.

`identity` is the degraded input. Classical rows have the best setting of a small grid, chosen on these very pictures.
"""

PAPER_HEAD = "| method | PSNR | SSIM | MS-SSIM | FED | LPIPS | NIQE |\n|---|---|---|---|---|---|---|\n"
PAPER = {
    "sr4": """| EDSR | 30.188 | 0.824 | 0.961 | 0.0843 | 0.2475 | 13.636 |
| ESRGAN | 27.134 | 0.741 | 0.935 | 0.1107 | 0.1221 | 6.984 |
| Super-FAN | 25.463 | 0.729 | 0.913 | 0.1416 | 0.2357 | 8.719 |
| WaveletCNN | 28.750 | 0.806 | 0.952 | 0.0964 | 0.2443 | 12.217 |
| HiFaceGAN | 30.824 | 0.838 | 0.971 | 0.0716 | 0.0723 | 6.961 |""",
    "mosaic16": """| Super-FAN | 20.536 | 0.540 | 0.744 | 0.4297 | 0.4411 | 7.444 |
| ESRGAN | 21.001 | 0.576 | 0.697 | 0.5138 | 0.3928 | 15.383 |
| WaveletCNN | 23.810 | 0.675 | 0.837 | 0.3713 | 0.4909 | 11.450 |
| HiFaceGAN | 23.705 | 0.619 | 0.819 | 0.3182 | 0.2449 | 6.767 |""",
    "noise": """| RIDNet | 25.432 | 0.731 | 0.891 | 0.2128 | 0.3864 | 13.002 |
| WaveletCNN | 26.530 | 0.754 | 0.895 | 0.2441 | 0.3119 | 11.395 |
| VDNet | 27.718 | 0.797 | 0.928 | 0.1551 | 0.2458 | 14.262 |
| HiFaceGAN | 31.828 | 0.845 | 0.957 | 0.1109 | 0.0868 | 7.341 |""",
    "blur": """| DeblurGAN | 25.304 | 0.718 | 0.894 | 0.1786 | 0.2574 | 12.697 |
| DeblurGANv2 | 26.908 | 0.773 | 0.913 | 0.1043 | 0.2178 | 13.729 |
| HiFaceGAN | 28.928 | 0.793 | 0.954 | 0.0913 | 0.0874 | 7.426 |""",
    "jpeg": """| ARCNN | 33.021 | 0.879 | 0.972 | 0.0845 | 0.1551 | 14.827 |
| EPGAN | 32.780 | 0.882 | 0.976 | 0.0814 | 0.1638 | 13.729 |
| HiFaceGAN | 31.611 | 0.850 | 0.970 | 0.0842 | 0.0541 | 6.911 |""",
    "face-renovation": """| degraded input | 22.905 | 0.465 | 0.756 | 0.2875 | 0.6828 | 21.955 |
| Super-FAN | 24.818 | 0.549 | 0.818 | 0.2495 | 0.4283 | 12.154 |
| WaveletCNN | 24.404 | 0.648 | 0.817 | 0.2821 | 0.3102 | 15.530 |
| DeblurGANv2 | 23.704 | 0.494 | 0.776 | 0.2403 | 0.6496 | 21.983 |
| ARCNN | 24.187 | 0.539 | 0.787 | 0.2580 | 0.6424 | 18.880 |
| GFRNet | 25.227 | 0.686 | 0.854 | 0.2524 | 0.4591 | 20.777 |
| HiFaceGAN | 25.837 | 0.674 | 0.881 | 0.2055 | 0.2093 | 7.272 |""",
}
PAPER = {law: PAPER_HEAD + rows for law, rows in PAPER.items()}

TABLE_2 = """Our SPADE is guided by a map of seven parts of the face, drawn by tools/make_face_maps.py from landmarks of
the clean face; the paper's by one of 19 classes from a trained parser. Both see what was degraded away. 16xFace and
SPADE have no encoder: they are of both families.

The paper's Table 2 (L1 is Default with a pixel loss):

| metric | SPADE | 16xFace | FixConv | Default | L1 |
|---|---|---|---|---|---|
| PSNR | 20.968 | 23.541 | 23.651 | 23.705 | 23.937 |
| SSIM | 0.596 | 0.610 | 0.615 | 0.619 | 0.628 |
| MS-SSIM | 0.718 | 0.811 | 0.818 | 0.819 | 0.823 |
| FED | 0.4595 | 0.3296 | 0.3236 | 0.3182 | 0.3197 |
| LPIPS | 0.3967 | 0.2609 | 0.2467 | 0.2449 | 0.2462 |
| NIQE | 10.367 | 7.446 | 7.011 | 6.767 | 6.938 |

Our rows but the last two minimise L1 + 0.1 (1 - SSIM), without a critic; those two are the paper's pair without and
with a pixel loss, on SqueezeNet features.
"""

PRESSURE = """## Pressure test

Noise up to 1.4 times and blocks up to four times as strong as in training (section 4.4 of the preprint, a figure
without numbers). PSNR in dB; FED where a face is found; `identity` finds the face by its truth, and has no way out.
"""


if __name__ == "__main__":
    sys.exit(main())
