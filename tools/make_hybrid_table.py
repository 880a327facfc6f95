"""The report's hybrid of ASAP-Net and DeblurGAN, repaired step by step: results/hybrid.md.

    python tools/make_hybrid_table.py --root FOLDER            # scores what lies finished in RUNS
    python tools/make_hybrid_table.py --root FOLDER --queue    # prints what trains it, 8 minutes of one core each

All are trained (recipes/deblur-asap.toml) and scored on the one kernel that the report tested with, on the photographs
of recipes/deblur-general.toml in FOLDER. Beside PSNR stand the faults that the report's pictures showed: colours that
shift, a dark spot that all outputs share, and seams between tiles.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from make_deblur_table import REPOSITORY, Sample, columns, photographs, samples, section
from torch import Tensor

from restauro.degrade.kernels import LinearBlur
from restauro.models import Weights, load
from restauro.train.rivals import finished, loss_curves, table_arguments, training, write_page
from restauro.train.validate import network, stored

MINUTES = 8
TILE_PX = 16
SMALL = {"width": 32, "max_width": 256, "depth": 3, "tile_px": TILE_PX}
ASAP = SMALL | {"mlp_width": 32, "mlp_depth": 4}
STEM = {"width": 16, "max_width": 128, "depth": 2, "tile_px": 32, "reach_px": 0, "stem_width": 48}
STEM |= {"mlp_width": 16, "mlp_depth": 3}
NOTHING = {"reach_px": 0, "skip": False, "shared_mlp": False}
PLAIN = {"norm": "none", "dropout": 0.0, "zero_start": True}
#: What is compared on the report's kernel: run -> architecture, options.
ABLATION: dict[str, tuple[str, dict[str, str | int | float | bool]]] = {
    "deblur-asap-as-run": ("hybrid-deblur", SMALL),
    "deblur-asap-nothing": ("asap-deblur", ASAP | NOTHING),
    "deblur-asap-scaled": ("asap-deblur", ASAP | NOTHING | {"shared_mlp": True}),
    "deblur-asap-skip": ("asap-deblur", ASAP | NOTHING | {"skip": True}),
    "deblur-asap-skip-scaled": ("asap-deblur", ASAP | NOTHING | {"skip": True, "shared_mlp": True}),
    "deblur-asap-neighbours-unscaled": ("asap-deblur", ASAP | {"shared_mlp": False}),
    "deblur-asap-neighbours": ("asap-deblur", ASAP),
    "deblur-asap-no-blue": ("asap-deblur", ASAP | {"blue": False}),
    "deblur-asap-zero-padding": ("asap-deblur", ASAP | {"padding": "zero"}),
    "deblur-asap-instance-norm": ("asap-deblur", ASAP | {"norm": "instance-affine"}),
    "deblur-asap-tile32": ("asap-deblur", ASAP | {"tile_px": 2 * TILE_PX}),
    "deblur-asap": ("asap-deblur", STEM),
    "deblur-asap-versus-deblurgan": ("deblurgan", {"width": 16, "blocks": 9} | PLAIN),
}
#: Scored with mirrored borders too.
COMPARED = ("deblur-asap", "deblur-asap-versus-deblurgan")

HEAD = """# The hybrid, repaired

Written by `python tools/make_hybrid_table.py --root FOLDER`. {about} Every network was trained on it, and on nothing
else, for {minutes} minutes of one core (`--queue`), from the same seed, with the same loss (L1) and pictures.

- `as-run` is the report's network, small: two of three colours, no skip, tanh, spectral norm, zero padding.
- `nothing` has all three colours, no norm, reflection padding and a usual start, and none of the three repairs: the
  global skip (`skip`), the head's output scaled by 1 / C and shared weights learnt beside it (`scaled`), the
  neighbourhood of 5 x 5 pixels. `neighbours` has all three; below it what one of its other settings is worth: without
  blue, with zero padding, with instance norm.
- `tile32`: tiles of twice the side, so that the low-resolution network sees half the resolution and costs a quarter.
- `deblur-asap`, the recipe: with these tiles, and in place of the neighbourhood eight features of a pixel's
  surroundings, from a stem of nine shared convolutions at a quarter of the resolution. Its perceptrons are smaller.
- `versus-deblurgan`: DeblurGAN at the same minutes. `deblur-general` never
  saw this kernel; it is trained for shaken cameras.
- Time at 720p: benchmarks/results/deblur.md.
- Below the first tables, in levels of 255: the mean shift of each colour (the darkening), and the *common pattern* of
  all outputs' errors beside what chance would leave (the dark spot); see results/deblur.md.
"""
MIRRORED = """## Without the grey rows

The report's blur takes mid-grey for what lies beyond the border; all inputs share the rows that this darkens or lights.
Here the border is mirrored, as it was in training.
"""
SEAMS = """## Seams

The mean step of the error from pixel to pixel where two tiles of {tile} px meet, over that elsewhere: 1 without seams.

"""


def main() -> int:
    """Parse the arguments, score, write."""
    parser = table_arguments(__doc__, REPOSITORY / "results" / "hybrid.md", pictures=None)
    given = parser.parse_args()
    if given.queue:
        print("\n".join(queue(given.root, given.runs)))
        return 0
    found = finished("deblur", given.runs, "deblur-asap*")
    found.sort(key=lambda one: list(ABLATION).index(one.name) if one.name in ABLATION else len(ABLATION))
    about, blur = columns(given.root)["report"]
    pictures = samples(photographs(given.root, given.pictures), blur)
    parts = [
        HEAD.format(about=about, minutes=MINUTES),
        section(pictures, found, "report"),
        MIRRORED,
        section(
            samples(photographs(given.root, given.pictures), lambda _: LinearBlur(grey_border=False)),
            [one for one in found if one.name in COMPARED],
            "report",
        ),
        SEAMS.format(tile=TILE_PX) + seams(pictures, found),
        loss_curves(ABLATION, given.runs, given.out),
    ]
    write_page(given.out, "\n".join(parts))
    return 0


def queue(root: Path, runs: Path) -> list[str]:
    """The commands that train it."""
    slower = {"deblurgan": ("optimiser.lr=0.002",)}  # sums of many blocks
    return [
        training("recipes/deblur-asap.toml", root, runs, name, kind, options, MINUTES, slower.get(kind, ()))
        for name, (kind, options) in ABLATION.items()
    ]


def seams(pictures: Sequence[Sample], found: Sequence[Weights]) -> str:
    """The table of seams."""
    lines = ["| network | iterations | parameters | seams |", "|---|---:|---:|---:|"]
    for one in found:
        net = network(one)
        ratios = [seam(stored(net(sample.source)) - sample.truth) for sample in pictures]
        count = sum(size.numel() for size in load(one).parameters())
        lines.append(f"| {one.name} | {one.metadata.get('iterations', '')} | {count:,} | {np.mean(ratios):.3f} |")
    return "\n".join(lines) + "\n"


def seam(error: Tensor) -> float:
    """The ratio of one error map [1, 3, H, W]; both directions.

    >>> tiles = torch.arange(64).div(TILE_PX, rounding_mode="floor") % 2
    >>> seam(torch.zeros(1, 3, 64, 64) + 9 * tiles + torch.arange(64)[:, None] % 2)
    5.5
    """
    across, within = [], []
    for axis in (2, 3):
        steps = error.diff(dim=axis).abs().mean([0, 1, 5 - axis])
        meets = torch.arange(1, len(steps) + 1) % TILE_PX == 0
        across.append(float(steps[meets].mean()))
        within.append(float(steps[~meets].mean()))
    return sum(across) / sum(within)


if __name__ == "__main__":
    sys.exit(main())
