"""Teach a residual U-Net how far an uneven motion blur has moved a picture: its part ``recentre``, and no other.

    .venv/bin/python tools/train_recentre.py RECIPE --weights FILE --root FOLDER -o OUT.safetensors

RECIPE names the pictures and the law that degrades them, FILE holds the network without that part, FOLDER is what the
recipe's picture sets are relative to. The law's record says how far each picture was moved, and that is what is to be
found. Half of the pictures are degraded as the recipe says; in the others what blurs is made to blur along a line, for
a Gaussian moves nothing. (With such lines alone the part finds shifts where there are none.) From OUT,
``restauro train`` goes on with the whole network. Printed is how much of the shifts' variance is found in pictures that
were held back.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from restauro.deconvolution.deconvolve import centroid_px
from restauro.degrade.blur import MotionBlur
from restauro.degrade.laws import degrade_tensor
from restauro.degrade.steps import counter_seed
from restauro.models import build, find, load, save_weights
from restauro.nets.layers.recentre import Recentre, moments
from restauro.train.data import PairSet, load_pairs, to_bytes, to_tensor
from restauro.train.loop import cache_folder
from restauro.train.recipe import Recipe, read_recipe

WIDTH, BATCH, EPOCHS, RATE, DECAY, DROPPED = 48, 256, 100, 2e-3, 0.3, 0.1


def main() -> None:
    """Degrade, teach, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--weights", required=True, help="a model's name or file")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=12000, help="how many are degraded to learn from")
    parser.add_argument("--held", type=int, default=400, help="how many of the validation sets it is tried on")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    if not arguments.output.parent.is_dir():
        raise SystemExit(f"{arguments.output.parent}: found no such folder, wanted one to write to")
    recipe = read_recipe(arguments.recipe)
    torch.manual_seed(arguments.seed)
    found = find(arguments.weights)
    if found.architecture != "residual-unet" or found.options.get("recentre"):
        raise SystemExit(f"{arguments.weights}: found {found.architecture}, wanted a residual-unet without 'recentre'")
    options = {**found.options, "recentre": WIDTH}
    net = build(found.architecture, **options)
    net.load_state_dict(load(found).state_dict(), strict=False)
    assert isinstance(net.recentre, Recentre)
    counts = (arguments.pictures, arguments.held)
    print(teach(net.recentre, recipe, arguments.root, counts, arguments.seed), flush=True)
    not_its_own = ("format", "architecture", "options", "scores")  # of the network without the part
    notes = {key: value for key, value in found.metadata.items() if key not in not_its_own}
    save_weights(net, arguments.output, found.architecture, options, {**notes, "recentre": f"{arguments.pictures}"})


def teach(net: Recentre, recipe: Recipe, root: Path, counts: tuple[int, int], seed: int) -> str:
    """Train the part in place on so many pictures; how well it then does on so many that were held back."""
    (pictures, tried), law = counts, recipe.degradation
    training, held = (
        [load_pairs(one, root, law, cache_folder(), minimum_px=recipe.patch_px, fresh=True) for one in sets]
        for sets in (recipe.data.train, recipe.data.validation)
    )
    even, odd, shifts = _gathered(_degraded(training, recipe, pictures, seed))
    chosen = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
    steps = max(1, EPOCHS * pictures // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    net.train()
    for _ in range(steps):
        some = torch.from_numpy(chosen.choice(pictures, min(BATCH, pictures), replace=False))
        kept = torch.rand(len(some), 1, odd.shape[2]) > DROPPED  # no moment is to be relied upon alone
        error = (net.shift(even[some], odd[some] * kept) - shifts[some]).square().sum(1).mean()
        optimiser.zero_grad()
        error.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    net.eval()
    even, odd, shifts = _gathered(_degraded(held, recipe, tried, seed + 1))
    with torch.no_grad():
        wrong = (net.shift(even, odd) - shifts).square().sum(1)
    size = shifts.square().sum(1)
    share, left = 1 - float(wrong.sum() / size.sum()), float(wrong[size == 0].mean().sqrt())
    return (
        f"{len(shifts)} held pictures: {share:.3f} of the shifts' variance found; "
        f"the {int((size == 0).sum())} that were not moved would be by {left:.2f} px"
    )


def _degraded(sets: list[PairSet], recipe: Recipe, count: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Pictures [1, 3, side, side] and their shifts [2], as many as asked for."""
    side, chance = recipe.patch_px, np.random.default_rng(seed)
    shares = np.array([one.weight for one in sets])
    law, drawn = recipe.degradation.law, recipe.degradation.settings
    settings = (drawn, {**drawn, "blur.gaussian": 0})
    for place in range(count):
        one = sets[int(chance.choice(len(sets), p=shares / shares.sum()))]
        truth = one.pairs[int(chance.integers(len(one.pairs)))].truth
        top, left = (int(chance.integers(length - side + 1)) for length in truth.shape[:2])
        crop = to_tensor(truth[None, top : top + side, left : left + side])
        degraded, record = degrade_tensor(crop, law, settings[place % 2], seed=counter_seed(seed, place))
        levels = to_bytes(degraded[0].permute(1, 2, 0).numpy())
        yield to_tensor(levels[None]), shift_px(record.drawn[0])


def shift_px(steps: tuple[dict[str, object], ...]) -> Tensor:
    """Down and across, px, of what these steps made."""
    total = torch.zeros(2)
    for step in steps:
        if step["step"] == MotionBlur.name:
            kernel = MotionBlur(**{key: value for key, value in step.items() if key != "step"}).kernel()
            across, down = centroid_px(kernel.numpy())
            total += torch.tensor([down, across])
    return total


def _gathered(pictures: Iterator[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """Even moments, odd moments and shifts of many pictures."""
    rows = [(*moments(x), shift[None]) for x, shift in pictures]
    even, odd, shifts = (torch.cat(column) for column in zip(*rows, strict=True))
    return even, odd, shifts


if __name__ == "__main__":
    main()
