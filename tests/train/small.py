"""A recipe and a folder of pictures that train in a second."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import skimage.data
from PIL import Image

from restauro.train.recipe import Recipe

TINY: Mapping[str, object] = {
    "name": "tiny",
    "verb": "desmooth",
    "summary": "a test",
    "terms": "none",
    "iterations": 6,
    "batch": 2,
    "patch_px": 32,
    "precision": "float32",
    "ema": 0.5,
    "model": {"architecture": "desmoothgan", "options": {"width": 4, "norm": "none", "residual": True}},
    "loss": {"l1": 1.0, "ssim": 0.1},
    "data": {
        "train": [{"name": "t", "folder": "pictures", "list": "train.txt"}],
        "validation": [{"name": "v", "folder": "pictures", "list": "val.txt"}],
    },
}
ADVERSARIAL: Mapping[str, object] = {
    "critic": {"architecture": "deblurgan", "width": 4},
    "adversarial": {"objective": "hinge", "weight": 0.1, "feature_matching": 1.0, "critic_steps": 2},
}


def tiny(**changes: object) -> Recipe:
    """The tiny recipe with some keys changed."""
    return Recipe.model_validate({**TINY, **changes})


def make_pictures(folder: Path) -> Path:
    """Three training pictures and one validation picture of 64 x 64 under ``folder``; returns it."""
    (folder / "pictures").mkdir(parents=True)
    astronaut = skimage.data.astronaut()
    for index in range(4):
        Image.fromarray(astronaut[64 * index : 64 * index + 64, 100:164]).save(folder / "pictures" / f"{index}.png")
    (folder / "train.txt").write_text("0.png\n1.png\n2.png\n")
    (folder / "val.txt").write_text("3.png\n")
    return folder
