"""How well the two face models do by strength of degradation, and by where the faces come from.

    python tools/make_face_scores.py --root FOLDER            # writes results/face-scores.md

FOLDER holds the validation faces of recipes/renovate-faces-full.toml, and of the same list StyleGAN2's, which nothing
that ships was trained on. Inputs are made by the law ``face-renovation``, by seeds that are a function of the picture.
"""

from __future__ import annotations

import hashlib
import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from restauro.metrics.interval import Interval
from restauro.metrics.scoreboard import Scoreboard
from restauro.metrics.table import IDENTITY, Table, picture_of
from restauro.models import Weights, find
from restauro.train.data import PairSet, load_pairs, to_tensor
from restauro.train.loop import cache_folder
from restauro.train.recipe import read_recipe
from restauro.train.rivals import table_arguments, write_page
from restauro.train.sections import DegradationSection
from restauro.train.validate import Restore, network, stored

REPOSITORY = Path(__file__).resolve().parent.parent
RECIPE = REPOSITORY / "recipes" / "renovate-faces-full.toml"
MODELS = ("renovate-faces", "renovate-realism")
UNSEEN = "stylegan2"
STRENGTHS = (0.25, 0.5, 0.75, 1.0, 1.25)
DRAWS, DRAWS_BY_STRENGTH = 8, 2
PSNR, SSIM, LPIPS = METRICS = ("psnr:rgb", "ssim:gauss11,rgb,valid", "lpips-squeeze-caffe")
DIGITS = {PSNR: 2, SSIM: 3, LPIPS: 3}

HEADING = """# The face models by strength and by set

Gains are over the degraded input, paired; lpips-squeeze-caffe is that of the result, the input's stands beside it.
Mean over pictures and draws, 95 % bootstrap interval over pictures (seed 0). {faces} faces of 256 px, of which
{unseen} are StyleGAN2's, a source that neither model was trained on.
"""


def main() -> int:
    """Parse the arguments, score, write."""
    given = table_arguments(__doc__, REPOSITORY / "results" / "face-scores.md", pictures=None, queue=False).parse_args()
    found = [find(name) for name in MODELS]
    methods = {weights.name: network(weights) for weights in found}

    def scored(name: str, settings: dict[str, float], draws: int) -> Table:
        print(name, file=sys.stderr)
        return score(faces(given.root, given.pictures, settings, draws), methods)

    drawn = scored("as drawn", {}, DRAWS)
    strengths = {f"{s:g}": scored(f"strength {s:g}", {"severity": s}, DRAWS_BY_STRENGTH) for s in STRENGTHS}
    untouched = score(faces(given.root, given.pictures, None, 1), methods)
    write_page(given.out, page(drawn, strengths, untouched, found))
    return 0


def faces(root: Path, most: int | None, settings: Mapping[str, float] | None, draws: int) -> PairSet:
    """The recipe's validation faces and StyleGAN2's; without settings they are their own inputs."""
    (spec,) = read_recipe(RECIPE).data.validation
    spec = spec.model_copy(update={"only": (*spec.only, f"{UNSEEN}*")})
    law = DegradationSection(law="face-renovation", settings=dict(settings or {}))
    return load_pairs(spec, root, law, cache_folder(), most=most, draws=draws, fresh=settings is None)


def score(one: PairSet, methods: Mapping[str, Restore]) -> Table:
    """Inputs and results against the truth."""
    board, digest = Scoreboard(METRICS), hashlib.sha256()
    for pair in one.pairs:
        digest.update(f"{pair.name} {pair.file_sha256}\n".encode())
        x, truth = to_tensor(pair.source[None]), to_tensor(pair.truth[None])
        board.add(IDENTITY, pair.name, x, truth, x)
        for method, restore in methods.items():
            board.add(method, pair.name, stored(restore(x)), truth, x)
    return board.table(truth_digest=digest.hexdigest(), draws=one.draws)


def source_of(name: str) -> str:
    """Where a face comes from, by its file's name: ``sfhqt2i_0007.jpg #3`` is of ``sfhqt2i``."""
    return re.split(r"[_.]", name, maxsplit=1)[0]


def only(table: Table, wanted: Callable[[str], bool]) -> Table:
    """The pictures of a table whose names are wanted."""

    def kept(values: Mapping[str, float]) -> dict[str, float]:
        return {name: value for name, value in values.items() if wanted(name)}

    rows = tuple(
        replace(
            row,
            values={metric: kept(values) for metric, values in row.values.items()},
            names=tuple(name for name in row.names if wanted(name)),
        )
        for row in table.rows
    )
    return replace(table, rows=rows)


def page(drawn: Table, strengths: Mapping[str, Table], untouched: Table, found: list[Weights]) -> str:
    """The whole page but for its last section."""
    names = sorted({picture_of(name) for name in drawn.identity.names})
    sources = sorted({source_of(name) for name in names}, key=lambda source: (source == UNSEEN, source))
    by_set = {f"all but {UNSEEN}": only(drawn, lambda name: source_of(name) != UNSEEN)}
    by_set |= {source: only(drawn, lambda name, wanted=source: source_of(name) == wanted) for source in sources}
    unseen = sum(source_of(name) == UNSEEN for name in names)
    digest = drawn.identity.truth_digest[:16]
    return "\n".join(
        (
            HEADING.format(faces=len(names), unseen=unseen),
            "## By strength\n",
            "All four steps in random order, each at the same multiple of its strong end (1: reduced to an eighth, and",
            "so on); `as drawn` is the published law, between its weak and its strong ends.",
            f"{DRAWS_BY_STRENGTH} draws of each face, {DRAWS} as drawn.\n",
            *lines("strength", {**strengths, "as drawn": drawn}),
            "\n## By set\n",
            f"As drawn, {DRAWS} draws of each face. `london` are real persons in studio light (Face Research Lab",
            "London Set); the others are synthetic.\n",
            *lines("set", by_set),
            "\n## Faces that need nothing\n",
            "What a model makes of a face that was not degraded, against that face.\n",
            "| model | PSNR | SSIM | lpips-squeeze-caffe |",
            "|---|---|---|---|",
            *(
                f"| `{weights.name}` | "
                + " | ".join(show(untouched.interval(weights.name, metric), DIGITS[metric]) for metric in METRICS)
                + " |"
                for weights in found
            ),
            "",
            *(f"- {weights.name}: weights sha256 {weights.sha256[:16]}" for weights in found),
            f"- validation pictures: sha256 {digest}; seeds by content",
            "- command: python tools/make_face_scores.py --root FOLDER",
        )
    )


def lines(what: str, tables: Mapping[str, Table]) -> list[str]:
    """One table: a line for each of these."""
    head = [what, "faces", "input PSNR", "input lpips"]
    for model in MODELS:
        head += [f"`{model}`: PSNR gain", "SSIM gain", "lpips"]
    found = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for name, table in tables.items():
        count = len({picture_of(one) for one in table.identity.names})
        cells = [name, str(count), *(mean(table.interval(IDENTITY, metric), metric) for metric in (PSNR, LPIPS))]
        for model in MODELS:
            cells += [show(table.gain(model, metric), DIGITS[metric], "+") for metric in (PSNR, SSIM)]
            cells.append(show(table.interval(model, LPIPS), DIGITS[LPIPS]))
        found.append(f"| {' | '.join(cells)} |")
    return found


def mean(found: Interval | None, metric: str) -> str:
    """A mean alone."""
    return "" if found is None else f"{found.mean:.{DIGITS[metric]}f}"


def show(found: Interval | None, digits: int, sign: str = "") -> str:
    """A mean, and its interval where more than one picture has a value."""
    if found is None:
        return ""
    low, high = (f"{end:{sign}.{digits}f}" for end in (found.low, found.high))
    return f"{found.mean:{sign}.{digits}f}" + (f" [{low}, {high}]" if math.isfinite(found.low) else "")


if __name__ == "__main__":
    with torch.no_grad():
        raise SystemExit(main())
