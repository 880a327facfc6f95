"""How well the two face models do by strength, by where the faces come from, at the paper's size, by lightness of skin.

    python tools/make_face_scores.py --root FOLDER            # writes results/face-scores.md

FOLDER holds the validation faces of recipes/renovate-faces-full.toml, and of the same list StyleGAN2's, which nothing
that ships was trained on; and faces/hq512, some of the validation faces at 512 px. Inputs are made by the law
``face-renovation``, by seeds that are a function of the picture.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from skimage.color import rgb2lab
from torch import Tensor

from restauro.metrics.interval import Interval
from restauro.metrics.report import shown
from restauro.metrics.scoreboard import Scoreboard
from restauro.metrics.table import IDENTITY, Table, picture_of
from restauro.models import Weights, find
from restauro.train.data import Bytes3, PairSet, load_pairs, to_tensor
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
LARGE = "faces/hq512"
DRAWS, DRAWS_BY_STRENGTH, DRAWS_OF_LARGE = 8, 2, 4
PSNR, SSIM, LPIPS = METRICS = ("psnr:rgb", "ssim:gauss11,rgb,valid", "lpips-squeeze-caffe")
DIGITS = {PSNR: 2, SSIM: 3, LPIPS: 3}
SHORT = {PSNR: "PSNR", SSIM: "SSIM", LPIPS: "lpips"}
#: Share of height and of width that eyes, nose, cheeks and mouth of an aligned face lie in; and cheeks and nose alone.
INSIDE, SKIN = ((0.35, 0.85), (0.25, 0.75)), ((0.5, 0.65), (0.3, 0.7))

HEADING = """# The face models by strength, by set and by lightness of skin

Gains are over the degraded input, paired; lpips-squeeze-caffe is that of the result, the input's stands beside it.
Mean over pictures and draws, 95 % bootstrap interval over pictures (seed 0). {faces} faces of 256 px, of which
{unseen} are StyleGAN2's, a source that neither model was trained on.
"""


def main() -> int:
    """Parse the arguments, score, write."""
    given = table_arguments(__doc__, REPOSITORY / "results" / "face-scores.md", pictures=None, queue=False).parse_args()
    found = [find(name) for name in MODELS]
    methods = {weights.name: network(weights) for weights in found}

    def of(settings: dict[str, float] | None, draws: int, folder: str | None = None) -> PairSet:
        print(f"{folder or 'faces'}: {settings}, {draws} draws", file=sys.stderr)
        return faces(given.root, given.pictures, settings, draws, folder)

    drawn, inside = score(one := of({}, DRAWS), methods)
    skin = by_skin(one, inside)
    large, _ = score(of({}, DRAWS_OF_LARGE, LARGE), methods)
    strengths = {f"{s:g}": score(of({"severity": s}, DRAWS_BY_STRENGTH), methods)[0] for s in STRENGTHS}
    untouched, _ = score(of(None, 1), methods)
    write_page(given.out, page(drawn, large, strengths, skin, untouched, found))
    return 0


def faces(
    root: Path, most: int | None, settings: Mapping[str, float] | None, draws: int, folder: str | None = None
) -> PairSet:
    """The recipe's validation faces and StyleGAN2's, or those in ``folder``; their own inputs without settings."""
    (spec,) = read_recipe(RECIPE).data.validation
    if folder is None:
        spec = spec.model_copy(update={"only": (*spec.only, f"{UNSEEN}*")})
    else:
        spec = spec.model_copy(update={"folder": folder, "list": None})
    law = DegradationSection(law="face-renovation", settings=dict(settings or {}))
    return load_pairs(spec, root, law, cache_folder(), most=most, draws=draws, fresh=settings is None)


def score(one: PairSet, methods: Mapping[str, Restore]) -> tuple[Table, Table]:
    """Inputs and results against the truth: the pictures, and PSNR inside the faces."""
    board, inside, digest = Scoreboard(METRICS), Scoreboard((PSNR,)), hashlib.sha256()
    for pair in one.pairs:
        digest.update(f"{pair.name} {pair.file_sha256}\n".encode())
        x, truth = to_tensor(pair.source[None]), to_tensor(pair.truth[None])
        for method, restore in {IDENTITY: lambda x: x, **methods}.items():
            made = stored(restore(x))
            board.add(method, pair.name, made, truth, x)
            inside.add(method, pair.name, cut(made, INSIDE), cut(truth, INSIDE))
    return board.table(truth_digest=digest.hexdigest(), draws=one.draws), inside.table(draws=one.draws)


def by_skin(one: PairSet, inside: Table) -> dict[str, Table]:
    """What was scored inside the faces, by thirds of them from dark to light: range of L* -> table."""
    lightness = {picture_of(pair.name): lightness_of(pair.truth) for pair in one.pairs}
    found = {}
    for part in np.array_split(sorted(lightness, key=lambda name: (lightness[name], name)), 3):
        names = {str(name) for name in part}
        ends = [lightness[str(name)] for name in (part[0], part[-1])]
        found[f"{ends[0]:.0f} to {ends[1]:.0f}"] = only(inside, lambda name, names=names: picture_of(name) in names)
    return found


def lightness_of(truth: Bytes3) -> float:
    """Mean CIELAB L* (D65) of cheeks and nose of an aligned face, 0..100."""
    skin = cut(to_tensor(truth[None]), SKIN)[0].permute(1, 2, 0).numpy()
    return float(rgb2lab(skin)[..., 0].mean())


def cut(x: Tensor, box: tuple[tuple[float, float], tuple[float, float]]) -> Tensor:
    """The part of pictures [..., H, W] between shares of their height and of their width."""
    (top, bottom), (left, right) = box
    h, w = x.shape[-2:]
    return x[..., round(top * h) : round(bottom * h), round(left * w) : round(right * w)]


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


def page(
    drawn: Table,
    large: Table,
    strengths: Mapping[str, Table],
    skin: Mapping[str, Table],
    untouched: Table,
    found: list[Weights],
) -> str:
    """The whole page but for its last section."""
    names = sorted({picture_of(name) for name in drawn.identity.names})
    by_set = {f"all but {UNSEEN}": only(drawn, lambda name: source_of(name) != UNSEEN), **by_source(drawn)}
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
            "\n## At 512 px, the size of the paper\n",
            "The law's blur is in pixels, and its noise in each: at 256 px both weigh twice as much as at 512.",
            f"These are the validation faces that are there at 512 px, as drawn, {DRAWS_OF_LARGE} draws of each; of",
            "SD3's there is more around them than at 256. The paper has, on 5,000 others, an input of 22.91 dB;",
            "HiFaceGAN +2.93 dB and SSIM +0.209 (its Table 1).\n",
            *lines("set", {"all": large, **by_source(large)}),
            "\n## By lightness of skin\n",
            f"As drawn, {DRAWS} draws of each face, but scored between brows and chin alone, so that hair, clothes and",
            "what is behind do not count. Thirds of the faces by the mean CIELAB L* of cheeks and nose in the picture,",
            "which is of the light as much as of the skin.\n",
            *lines("L*", skin, (PSNR,)),
            "\n## Faces that need nothing\n",
            "What a model makes of a face that was not degraded, against that face.\n",
            "| model | PSNR | SSIM | lpips-squeeze-caffe |",
            "|---|---|---|---|",
            *(
                f"| `{weights.name}` | "
                + " | ".join(shown(untouched.interval(weights.name, metric), DIGITS[metric]) for metric in METRICS)
                + " |"
                for weights in found
            ),
            "",
            *(f"- {weights.name}: weights sha256 {weights.sha256[:16]}" for weights in found),
            f"- validation pictures: sha256 {digest}, at 512 px {large.identity.truth_digest[:16]}; seeds by content",
            "- command: python tools/make_face_scores.py --root FOLDER",
        )
    )


def by_source(table: Table) -> dict[str, Table]:
    """The table of each source, the unseen one last."""
    sources = sorted({source_of(name) for name in table.identity.names}, key=lambda source: (source == UNSEEN, source))
    return {source: only(table, lambda name, wanted=source: source_of(name) == wanted) for source in sources}


def lines(what: str, tables: Mapping[str, Table], metrics: Sequence[str] = METRICS) -> list[str]:
    """One table: a line for each of these."""
    gains, means = [one for one in metrics if one != LPIPS], [one for one in metrics if one == LPIPS]
    head = [what, "faces", *(f"input {SHORT[metric]}" for metric in (PSNR, *means))]
    for model in MODELS:
        words = [*(f"{SHORT[metric]} gain" for metric in gains), *(SHORT[metric] for metric in means)]
        head += [f"`{model}`: {words[0]}", *words[1:]]
    found = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for name, table in tables.items():
        count = len({picture_of(one) for one in table.identity.names})
        cells = [name, str(count), *(mean(table.interval(IDENTITY, metric), metric) for metric in (PSNR, *means))]
        for model in MODELS:
            cells += [shown(table.gain(model, metric), DIGITS[metric], "+") for metric in gains]
            cells += [shown(table.interval(model, metric), DIGITS[metric]) for metric in means]
        found.append(f"| {' | '.join(cells)} |")
    return found


def mean(found: Interval | None, metric: str) -> str:
    """A mean alone."""
    return "" if found is None else f"{found.mean:.{DIGITS[metric]}f}"


if __name__ == "__main__":
    with torch.no_grad():
        raise SystemExit(main())
