"""Label maps to photographs in numbers: results/translate.md.

    python tools/make_translate_table.py --root FOLDER            # scores what ships or lies finished in RUNS
    python tools/make_translate_table.py --root FOLDER --queue    # prints what trains the rivals, equal minutes each

FOLDER holds the pictures of recipes/translate-facades.toml. How well a picture shows its map is asked of a segmenter,
a U-Net that is trained here on the photographs of the training list (kept in RUNS/segmenter-facades.pt; the same
photographs, seed and iterations give the same one). Its own mistakes bound all rows: see the row ``photographs``.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restauro.degrade.steps import counter_seed
from restauro.metrics.miou import confusion, mean_iou, pixel_accuracy
from restauro.metrics.report import markdown
from restauro.metrics.scoreboard import Scoreboard
from restauro.metrics.table import IDENTITY
from restauro.models import Weights, find
from restauro.nets.unet import UNet
from restauro.train.data import Pair, digest, load_pairs, to_tensor
from restauro.train.loop import cache_folder
from restauro.train.muon import Muon
from restauro.train.precision import choose_precision
from restauro.train.recipe import Recipe, read_recipe
from restauro.train.rivals import finished, loss_curves, table_arguments, training, write_page
from restauro.train.sections import OptimiserSection
from restauro.train.step import learning_rate
from restauro.train.validate import class_means, network, stored, whole_picture

REPOSITORY = Path(__file__).resolve().parent.parent
RECIPE = REPOSITORY / "recipes" / "translate-facades.toml"
COMMAND = "python tools/make_translate_table.py --root FOLDER"
METRICS = ("psnr", "ssim", "lpips-squeeze-caffe", "fsd", "ksd")
TRUTHS = "photographs"
MINUTES = 12
#: Run -> architecture, options: rivals of the recipe's own network, on the same budget.
RIVALS: dict[str, tuple[str, dict[str, str | int | float | bool]]] = {
    "translate-rival-pix2pixhd": ("pix2pixhd", {"classes": 12, "edges": False, "width": 24, "blocks": 6}),
    "translate-rival-spade": ("spade", {"guide_channels": 12, "width": 16}),
}
#: The segmenter: iterations, batch, side of its crops.
ITERATIONS, BATCH, CROP_PX = 800, 4, 160
RATE = OptimiserSection(name="muon", lr=8e-3, warmup=100)

Restore = Callable[[Tensor], Tensor]


def main() -> int:
    """Parse the arguments, train the segmenter where it is not there, score, write."""
    parser = table_arguments(__doc__, REPOSITORY / "results" / "translate.md", pictures=None)
    parser.add_argument("--weights", nargs="*", help="models or files; without it all that are found")
    parser.add_argument("--iterations", type=int, default=ITERATIONS, help="of the segmenter")
    given = parser.parse_args()
    if given.queue:
        print("\n".join(queue(given.root, given.runs)))
        return 0
    recipe = read_recipe(RECIPE)
    found = (
        [find(name) for name in given.weights]
        if given.weights is not None
        else finished("translate", given.runs, "translate-*")
    )
    segment = segmenter(recipe, given.root, given.runs / "segmenter-facades.pt", given.iterations)
    pairs = photographs(recipe, given.root, given.pictures)
    page = scored(pairs, found, segment) + "\n" + loss_curves([RECIPE.stem, *RIVALS], given.runs, given.out)
    write_page(given.out, page)
    return 0


def queue(root: Path, runs: Path) -> list[str]:
    """The commands that train the rivals."""
    return [
        training("recipes/translate-facades.toml", root, runs, name, architecture, options, MINUTES)
        for name, (architecture, options) in RIVALS.items()
    ]


def photographs(recipe: Recipe, root: Path, most: int | None) -> tuple[Pair, ...]:
    """The validation pairs of the recipe."""
    (spec,) = recipe.data.validation
    return load_pairs(spec, root, recipe.degradation, cache_folder(), most=most, labels=recipe.labels).pairs


def segmenter(recipe: Recipe, root: Path, kept: Path, iterations: int) -> Restore:
    """A U-Net from pictures [1, 3, H, W] to classes [1, H, W], trained on the recipe's training photographs."""
    sets = [
        load_pairs(spec, root, recipe.degradation, cache_folder(), minimum_px=CROP_PX, labels=recipe.labels)
        for spec in recipe.data.train
    ]
    pairs, about = [pair for one in sets for pair in one.pairs], f"{digest(sets)} {iterations}"
    assert pairs[0].planes is not None
    torch.manual_seed(0)
    net = UNet(24, downs=4)
    net.head = nn.Conv2d(24, len(pairs[0].planes.classes), 1)
    if kept.is_file() and (state := torch.load(kept, weights_only=True))["about"] == about:
        net.load_state_dict(state["net"])
    else:
        fit(net, pairs, iterations)
        kept.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"about": about, "net": net.state_dict()}, kept)
    logits = whole_picture(net.eval(), net.facts)
    return lambda x: logits(x).argmax(1)


def fit(net: nn.Module, pairs: Sequence[Pair], iterations: int) -> None:
    """Cross-entropy on random crops, flipped or not; crop and order are functions of the iteration."""
    optimiser = Muon(net.parameters(), lr=RATE.lr)
    device = torch.device("cpu")
    precision = choose_precision("auto", device)
    for iteration in range(iterations):
        rng = np.random.default_rng(counter_seed(0, iteration))
        crops = [window(pairs[int(rng.integers(len(pairs)))], rng) for _ in range(BATCH)]
        x = to_tensor(np.stack([picture for picture, _ in crops]))
        wanted = torch.from_numpy(np.stack([classes for _, classes in crops])).long()
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(RATE, iteration, iterations)
        optimiser.zero_grad()
        with precision.autocast(device):
            made = net(x.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(made.float(), wanted)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), RATE.clip)
        optimiser.step()
        if iteration % 100 == 0:
            print(f"segmenter: {iteration} of {iterations}, cross-entropy {float(loss.detach()):.3f}", file=sys.stderr)


def window(pair: Pair, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random crop of a photograph, [S, S, 3], and of its classes, [S, S]."""
    top, left = (int(rng.integers(side - CROP_PX + 1)) for side in pair.truth.shape[:2])
    where = (slice(top, top + CROP_PX), slice(left, left + CROP_PX))
    picture, classes = pair.truth[where], pair.source[where][..., 0]
    if rng.random() < 0.5:
        picture, classes = picture[:, ::-1], classes[:, ::-1]
    return picture.copy(), classes.copy()


def scored(pairs: Sequence[Pair], found: Sequence[Weights], segment: Restore) -> str:
    """The whole page."""
    board, report, counts, sums = Scoreboard(METRICS), Scoreboard(("report",)), {}, hashlib.sha256()
    classes = pairs[0].planes.classes if pairs[0].planes else ()
    painter, paint = class_means(pairs)
    methods: Mapping[str, Restore] = {painter: paint} | {one.name: network(one) for one in found}
    for pair in pairs:
        sums.update(f"{pair.name} {pair.file_sha256}\n".encode())
        given, truth, shown = pair.given(), to_tensor(pair.truth[None]), to_tensor(pair.shown()[None])
        made = {IDENTITY: shown} | {name: stored(restore(given)) for name, restore in methods.items()}
        for name, picture in made.items():
            board.add(name, pair.name, picture, truth, shown)
            report.add(name, pair.name, picture, truth, shown)
        labels = torch.from_numpy(pair.source[..., 0].astype(np.int64))
        for name, picture in (made | {TRUTHS: truth}).items():
            if name != IDENTITY:
                seen = confusion(segment(picture)[0], labels, classes=len(classes))
                counts[name] = counts.get(name, 0) + seen
        print(pair.name, file=sys.stderr)
    tables = [one.table(about={"command": COMMAND}, truth_digest=sums.hexdigest()) for one in (board, report)]
    lines = [
        "# Label maps to photographs",
        "",
        f"Written by `{COMMAND}` on the {len(pairs)} validation pictures of `recipes/translate-facades.toml`.",
        "",
        "- `identity` is the map in the colours of its list, `class means` every pixel in the mean colour of its class",
        "  over these very pictures: in squared error nothing flat can beat it, so PSNR alone says little here.",
        f"- `{RECIPE.stem}` and `translate-rival-...` had {MINUTES} minutes of one core each (`{COMMAND} --queue`).",
        *(f"- {one.name}: weights sha256 {one.sha256}" for one in found),
        "",
        markdown(tables[0]),
        "## Does the picture show its map?",
        "",
        "What a small U-Net, trained here on the training photographs, reads from the pictures. What it reads from the",
        "real photographs is the score of a perfect translation.",
        "",
        "| pictures | mIoU | pixel accuracy |",
        "|---|---:|---:|",
        *(f"| {name} | {mean_iou(seen):.3f} | {pixel_accuracy(seen):.3f} |" for name, seen in counts.items()),
        "",
        "## As the report would have scored them",
        "",
        "For the reader of the report only: docs/metrics.md says how these two numbers mislead.",
        "",
        markdown(tables[1]),
    ]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    sys.exit(main())
