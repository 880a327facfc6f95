"""``asap-deblur`` beside DeblurGAN, as small as they are trained here and as large as in their papers.

Both as the engine runs them, in float32, on noise of 16 : 9: 1280 x 720 at 0.92 megapixels, and rows up to whole tiles.
Weights are random; times do not depend on them. How well they deblur at equal minutes of training: results/hybrid.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.harness import Case, compare, in_fresh_process
from benchmarks.inputs import use_threads
from restauro.models import build, for_use
from restauro.train.recipe import read_recipe

QUESTION = "How much faster than DeblurGAN is our repair of the hybrid, asap-deblur?"
MEGAPIXELS = (0.92,)
TILE_PX = 32
RECIPE = Path(__file__).parents[1] / "recipes" / "deblur-asap.toml"
#: Name -> architecture, options. The small ones are those of tools/make_hybrid_table.py: recipes/deblur-asap.toml, and
#: DeblurGAN without norms, as it is trained there.
FORMS: dict[str, tuple[str, dict[str, str | int | float | bool]]] = {
    "asap-deblur, small": ("asap-deblur", dict(read_recipe(RECIPE).model.options)),
    "DeblurGAN, small": ("deblurgan", {"width": 16, "norm": "none", "dropout": 0.0}),
    "asap-deblur": ("asap-deblur", {"tile_px": TILE_PX, "reach_px": 0, "stem_width": 64}),
    "DeblurGAN": ("deblurgan", {}),
    "DeblurGAN, one convolution": ("deblurgan", {"convs_per_block": 1}),
}


def size_of(megapixels: float) -> tuple[int, int]:
    """Height and width, 16 : 9, up to whole tiles.

    >>> size_of(0.92)
    (736, 1280)
    """
    unit = (megapixels * 1e6 / 144) ** 0.5
    height, width = (max(1, -(-round(side * unit) // TILE_PX)) * TILE_PX for side in (9, 16))
    return height, width


def work(form: str, megapixels: float) -> Callable[[], Tensor]:
    """A network and its picture, ready."""
    architecture, options = FORMS[form]
    net: nn.Module = for_use(build(architecture, **options).eval())
    x = torch.rand(1, 3, *size_of(megapixels), generator=torch.Generator().manual_seed(0))

    def once() -> Tensor:
        with torch.inference_mode():
            y: Tensor = net(x)
        return y

    return once


def prepare(form: str, megapixels: float, threads: int) -> Callable[[], None]:
    """Make one ready in a fresh process, tried on a small picture."""
    use_threads(threads)
    work(form, 0.01)()
    ready = work(form, megapixels)

    def without_result() -> None:
        ready()

    return without_result


def cases(megapixels: Sequence[float], rounds: int, threads: int) -> list[Case]:
    """Compare on every size."""
    use_threads(threads)
    return [_case(size, rounds, threads) for size in megapixels]


def _case(megapixels: float, rounds: int, threads: int) -> Case:
    works = {form: work(form, megapixels) for form in FORMS}
    small, small_ratios = compare({form: works[form] for form in list(FORMS)[:2]}, rounds)
    large, large_ratios = compare({form: works[form] for form in list(FORMS)[2:]}, rounds)
    memory = {
        form: in_fresh_process(
            "benchmarks.deblur:prepare", {"form": form, "megapixels": megapixels, "threads": threads}
        )[1]
        for form in FORMS
    }
    height, width = size_of(megapixels)
    return Case(width, height, small | large, small_ratios | large_ratios, memory, {})
