"""Deblurring in numbers: what networks and known kernels gain, per strength, on sharp pictures and on real kernels.

    python tools/make_deblur_table.py --root FOLDER            # writes results/deblur.md
    python tools/make_deblur_table.py --root FOLDER --weights runs/a/a.safetensors runs/b/b.safetensors

FOLDER holds the validation photographs of recipes/deblur-general.toml and, for the real kernels, blur/kernels.npz
(eight of Levin et al. 2009; picture k gets kernel k modulo 8). Every input has the blur of its column, noise of one
level and 8 bits, by seeds that are a function of the picture's place. Networks are those named, or else all of verb
"deblur" that ship or lie finished in RUNS. Classical rows get the true kernel, which nobody has of a photograph, or
the one that is estimated from the blurred picture alone (``restauro deblur --kernel estimate``). What was trained on
the report's kernel alone stands in the table of tools/make_hybrid_table.py.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from restauro.deconvolution.deconvolve import DeconvolutionSettings, deconvolve
from restauro.degrade.kernel_files import choose_kernel, kernel_sha256, read_kernel
from restauro.degrade.kernels import KernelBlur, LinearBlur
from restauro.degrade.motion import TrajectoryBlur
from restauro.degrade.noise import GaussianNoise
from restauro.degrade.steps import counter_seed
from restauro.metrics.psnr import psnr
from restauro.metrics.report import markdown
from restauro.metrics.scoreboard import Scoreboard
from restauro.metrics.table import IDENTITY
from restauro.models import Weights, find
from restauro.picture import from_array
from restauro.restore.by_kernel import ESTIMATE, by_kernel
from restauro.restore.outcome import Failed
from restauro.train.data import Pair, load_pairs, to_tensor
from restauro.train.loop import cache_folder
from restauro.train.recipe import read_recipe
from restauro.train.rivals import finished, table_arguments, write_page
from restauro.train.sections import DegradationSection
from restauro.train.validate import UNSHARP_GRID, network, stored, unsharp

REPOSITORY = Path(__file__).resolve().parent.parent
RECIPE = REPOSITORY / "recipes" / "deblur-general.toml"
METRICS = ("psnr", "ssim", "lpips-squeeze-caffe")
NOISE_LEVELS, ANXIETY, GRID = 1.0, 0.005, 16
EXPOSURES = {"light": 0.1, "medium": 0.5, "heavy": 1.0}  # the paper's
ABLATION = "deblur-asap"  # runs of make_hybrid_table.py, which know one kernel alone
WIENER, LUCY = DeconvolutionSettings(), DeconvolutionSettings("richardson-lucy")

Blur = TrajectoryBlur | LinearBlur | KernelBlur
Restore = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Sample:
    """One picture, its blurred input [1, 3, H, W], and the kernel that blurred it (None: none did)."""

    name: str
    source: Tensor
    truth: Tensor
    kernel: Tensor | None


def main() -> int:
    """Parse the arguments, score, write."""
    parser = table_arguments(__doc__, REPOSITORY / "results" / "deblur.md", pictures=None, queue=False)
    parser.add_argument("--weights", nargs="*", help="models or files; without it all that are found")
    parser.add_argument("--only", nargs="*", help="some of the columns, for a quick look")
    given = parser.parse_args()
    found = (
        [find(name) for name in given.weights]
        if given.weights is not None
        else [one for one in finished("deblur", given.runs, "*deblur*") if not one.name.startswith(ABLATION)]
    )
    pairs = photographs(given.root, given.pictures)
    wanted = given.only or list(columns(given.root))
    parts = [heading(found)]
    for name, (about, blur) in columns(given.root).items():
        if name in wanted:
            parts.append(f"## {name}\n\n{about}\n\n" + section(samples(pairs, blur), found, name))
            print(name, file=sys.stderr)
    write_page(given.out, "\n".join(parts))
    return 0


def columns(root: Path) -> dict[str, tuple[str, Callable[[int], Blur | None]]]:
    """Name -> what it is, and the blur of picture k."""
    found: dict[str, tuple[str, Callable[[int], Blur | None]]] = {}
    for name, exposure in EXPOSURES.items():
        about = f"Random trajectories (DeblurGAN's), exposure {exposure}, anxiety {ANXIETY}."
        found[name] = (about, lambda k, exposure=exposure: TrajectoryBlur(counter_seed(11, k), exposure, ANXIETY))
    found["sharp"] = ("No blur: what a method does to a picture that needs nothing.", lambda k: None)
    found["report"] = (
        "The report's one test kernel: a ramp of 9 px, upright, that moves the picture by 1.67 px too.",
        lambda k: LinearBlur(),
    )
    kernels = root / "blur" / "kernels.npz"
    if kernels.is_file():
        names = choose_kernel(f"{kernels}:levin09_*")
        found["real kernels"] = (
            f"{len(names)} kernels of a shaken camera, measured by Levin et al. 2009.",
            lambda k: KernelBlur(names[k % len(names)], kernel_sha256(read_kernel(names[k % len(names)]))),
        )
    return found


def photographs(root: Path, most: int | None) -> tuple[Pair, ...]:
    """The validation photographs of the recipe, as they are."""
    (spec,) = read_recipe(RECIPE).data.validation
    return load_pairs(spec, root, DegradationSection(), cache_folder(), most=most, fresh=True).pairs


def samples(pairs: Sequence[Pair], blur: Callable[[int], Blur | None]) -> list[Sample]:
    """Every picture with the blur of its place, noise and 8 bits."""
    made = []
    for index, pair in enumerate(pairs):
        truth, one = to_tensor(pair.truth[None]), blur(index)
        source = GaussianNoise(NOISE_LEVELS, counter_seed(12, index))(one(truth) if one else truth)
        made.append(Sample(pair.name, source, truth, one.kernel() if one else None))
    return made


def section(given: Sequence[Sample], found: Sequence[Weights], name: str) -> str:
    """The table of one column, and below it what outputs have in common."""
    torch.manual_seed(0)
    board, errors, digest = Scoreboard(METRICS), {}, hashlib.sha256()
    sigma, amount = best_unsharp(given)
    rows: dict[str, Callable[[Sample], Tensor]] = {
        IDENTITY: lambda one: one.source,
        f"unsharp sigma={sigma} amount={amount}": lambda one: unsharp(one.source, sigma, amount),
    }
    if name != "sharp":
        rows |= {f"{how}, true kernel": lambda one, how=how: with_kernel(one, how) for how in (WIENER, LUCY)}
    rows[f"{WIENER}, estimated kernel"] = with_estimate
    networks = {one.name: network(one) for one in found}
    rows |= {about: lambda sample, net=net: net(sample.source) for about, net in networks.items()}
    for one in given:
        digest.update(one.truth.numpy().tobytes())
        for method, restore in rows.items():
            made = stored(restore(one))
            board.add(method, one.name, made, one.truth, one.source)
            errors.setdefault(method, []).append(adaptive_avg_pool2d(255 * (made - one.truth), GRID)[0].numpy())
    table = board.table(about={"command": "python tools/make_deblur_table.py"}, truth_digest=digest.hexdigest())
    return f"{markdown(table)}\n{common(errors)}"


def common(errors: Mapping[str, Sequence[np.ndarray]]) -> str:
    """Mean shift of the colours, and the pattern that all errors share, beside what chance alone would leave."""
    lines = ["| method | mean shift R, G, B | common pattern | by chance |", "|---|---|---|---|"]
    for method, maps in errors.items():
        stack = np.stack(maps)  # [pictures, 3, GRID, GRID]
        shift = stack.mean((0, 2, 3))
        centred = stack - stack.mean((2, 3), keepdims=True)
        pattern = np.sqrt(np.square(centred.mean(0)).mean())
        chance = np.sqrt(centred.var(0, ddof=1).mean() / len(stack))
        shown = ", ".join(f"{value:+.2f}" for value in shift)
        lines.append(f"| {method} | {shown} | {pattern:.3f} | {chance:.3f} |")
    return "\n".join(lines) + "\n"


def with_kernel(one: Sample, how: DeconvolutionSettings) -> Tensor:
    """Deconvolution with the very kernel of the input."""
    assert one.kernel is not None
    made = deconvolve(one.source[0].permute(1, 2, 0).contiguous().numpy(), one.kernel.numpy(), how)
    return torch.from_numpy(made).permute(2, 0, 1)[None]


def with_estimate(one: Sample) -> Tensor:
    """Deconvolution with the kernel that is estimated from the input."""
    outcome = by_kernel(from_array(one.source[0].permute(1, 2, 0).contiguous().numpy()), ESTIMATE, WIENER)
    if isinstance(outcome, Failed):  # the verb leaves the picture alone, and says so
        return one.source
    return torch.from_numpy(outcome.picture.pixels).permute(2, 0, 1)[None]


def best_unsharp(given: Sequence[Sample]) -> tuple[float, float]:
    """The unsharp mask of the grid with the best mean PSNR on these very pictures."""

    def mean_psnr(setting: tuple[float, float]) -> float:
        return float(np.mean([float(psnr(unsharp(one.source, *setting), one.truth)[0]) for one in given]))

    return max(UNSHARP_GRID, key=mean_psnr)


def heading(found: Sequence[Weights]) -> str:
    """What stands above all tables."""
    lines = [
        "# Deblurring",
        "",
        "Written by `python tools/make_deblur_table.py --root FOLDER`; its first lines say what is scored. "
        f"All inputs have noise of {NOISE_LEVELS:g} level and 8 bits.",
        "",
        "- Rows with the *true kernel* are not blind: they are told how each picture was blurred, and nobody knows "
        "that of a photograph. The unsharp mask is the best of its grid on these very pictures, and flattered.",
        "- *Estimated kernel* is `restauro deblur --kernel estimate`; where it finds no one blur, the picture counts "
        "as it is.",
        f"- Below each table, in levels of 255: the mean shift of each colour, and the *common pattern*: errors of all "
        f"outputs averaged over pictures in {GRID} x {GRID} cells, less each picture's mean, root mean square. "
        "*By chance* is what pictures without anything in common would leave. A dark spot at one place stands out "
        "against it.",
    ]
    lines += [f"- {one.name}: weights sha256 {one.sha256}" for one in found]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
