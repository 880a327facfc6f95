"""Count the units of the shipped DeSmoothGANs that nothing wakes: the table of docs/guide/training.md.

    .venv/bin/python tools/count_dead_units.py --root FOLDER [MODEL ...]

FOLDER is what the picture sets of the recipes are relative to. A unit counts as dead if its ReLU lets something
through at fewer than one place in 10,000 of the first crops that the recipe draws, which ``revive`` looks at too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from restauro.models import load
from restauro.nets.desmoothgan import DeSmoothGAN
from restauro.train.batches import first_inputs
from restauro.train.data import load_pairs
from restauro.train.loop import cache_folder
from restauro.train.recipe import read_recipe
from restauro.train.revive import count_dead

REPOSITORY = Path(__file__).resolve().parent.parent
MODELS = ("desmooth-general", "desmooth-portraits", "desmooth-l0", "desmooth-realism")


def main() -> None:
    """Print a row for each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--root", type=Path, required=True)
    arguments = parser.parse_args()
    for number, model in enumerate(arguments.models):
        counts = _counts(model, arguments.root)
        if number == 0:
            print(f"| | {' | '.join(counts)} |\n|---|{'---|' * len(counts)}")
        cells = (f"{dead} of {units}" for dead, units in counts.values())
        print(f"| `{model}` | {' | '.join(cells)} |", flush=True)


def _counts(model: str, root: Path) -> dict[str, tuple[int, int]]:
    recipe = read_recipe(REPOSITORY / "recipes" / f"{model}.toml")
    law = recipe.degradation
    sets = [
        load_pairs(one, root, law, cache_folder(), minimum_px=recipe.patch_px, fresh=law.fresh, for_training=True)
        for one in recipe.data.train
    ]
    net = load(model)
    assert isinstance(net, DeSmoothGAN)
    return count_dead(net, first_inputs(sets, recipe))


if __name__ == "__main__":
    main()
