"""What `restauro train --few-shot` is worth on a filter that no shipped model has seen.

    python tools/measure_few_shot.py --root FOLDER

takes the recipe's first training and validation set (faces), smooths both by filters that `desmooth-general` was not
trained on (UNSEEN in restauro.degrade.smoothers), fits the model to the first PAIRS training pairs, and scores it on
the validation pictures beside the model as it ships. Writes results/few-shot.md. FOLDER is what the recipe's picture
sets are relative to.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from restauro.degrade.smoothers import UNSEEN, Smoother
from restauro.metrics.report import markdown
from restauro.models import facts_of, find, load
from restauro.train.data import Pair, PairSet, load_pairs, to_tensor
from restauro.train.few_shot import few_shot_recipe
from restauro.train.loop import cache_folder, train
from restauro.train.recipe import read_recipe
from restauro.train.sections import DegradationSection, PictureSet
from restauro.train.validate import score_table, whole_picture

REPOSITORY = Path(__file__).resolve().parent.parent
MODEL = "desmooth-general"
TEXT = """# A model for one's own filter

`desmooth-general` knows seven smoothers. Here it meets others, as it ships and fitted to a few pairs (`restauro train
--few-shot`). The pairs are training faces, the scores are of validation faces.
"""


def main() -> None:
    """Parse the arguments; fit and score for each filter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--pictures", type=int, default=33)
    given = parser.parse_args()
    torch.set_num_threads(1)
    parts = [TEXT]
    for method in UNSEEN:
        parts += [f"## {method}", "", table(method, given)]
    (REPOSITORY / "results" / "few-shot.md").write_text("\n".join(parts) + "\n", encoding="utf-8")


def table(method: str, given: argparse.Namespace) -> str:
    """Fit to one filter, and score."""
    data = read_recipe(REPOSITORY / "recipes" / f"{MODEL}.toml").data
    every = truths(data.train[0], given.root)
    step = max(1, len(every) // given.pairs)
    folder = given.runs / f"few-shot-{method}"
    for pair in every[::step][: given.pairs]:
        for side, pixels in (("inputs", smoothed(pair, method).source), ("truths", pair.truth)):
            (folder / side).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / side / f"{Path(pair.name).stem}.png")
    recipe, root = few_shot_recipe(find(MODEL), folder / "truths", folder / "inputs", f"fitted-to-{method}")
    run = given.runs / recipe.name
    weights = run / f"{recipe.name}.safetensors"
    if not weights.exists():
        train(recipe, root=root, run=run, resume=True)
    every = truths(data.validation[0], given.root)
    held = [smoothed(pair, method) for pair in every[:: max(1, len(every) // given.pictures)]]
    nets = {MODEL: load(MODEL), f"{MODEL}, fitted to {given.pairs} pairs": load(weights)}
    about = {
        "command": f"python tools/measure_few_shot.py --root FOLDER --pairs {given.pairs}",
        "filter": f"{method}, {', '.join(f'{key} {value:g}' for key, value in UNSEEN[method].items())}",
        "weights sha256": find(MODEL).sha256,
    }
    methods = {name: whole_picture(net, facts_of(net)) for name, net in nets.items()}
    return markdown(score_table(PairSet("faces", 1.0, tuple(held)), methods, about))


def truths(spec: PictureSet, root: Path) -> tuple[Pair, ...]:
    """The pictures of a set as they are."""
    return load_pairs(spec, root, DegradationSection(), cache_folder(), fresh=True).pairs


def smoothed(pair: Pair, method: str) -> Pair:
    """The same picture with its smoothed form as the input."""
    worn = Smoother(method, UNSEEN[method])(to_tensor(pair.truth[None]))[0]
    return replace(pair, source=(worn.permute(1, 2, 0) * 255).round().byte().numpy())


if __name__ == "__main__":
    main()
