"""Pictures degraded several times, and crops that come with their deconvolutions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from skimage import data
from skimage.io import imsave

from restauro.deconvolution.planes import PLANES
from restauro.errors import DataError
from restauro.train.data import load_pairs, network_input
from restauro.train.recipe import read_recipe
from restauro.train.sections import DegradationSection, PictureSet

LAW = DegradationSection(law="blur-general", settings={"none": 0.0}, versions=2, deconvolve=True)


def test_versions_and_planes_are_for_training_alone(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    imsave(tmp_path / "p" / "a.png", data.astronaut()[:96, :128])
    spec = PictureSet(name="p", folder="p")
    one, two = load_pairs(spec, tmp_path, LAW, tmp_path / "cache", for_training=True).pairs
    assert one.source.shape == two.source.shape == (96, 128, 3 + PLANES)
    assert np.abs(one.source[..., :3].astype(int) - two.source[..., :3]).max() > 3
    assert network_input(one.source[None], None).shape == (1, 3 + PLANES, 96, 128)
    assert np.array_equal(one.shown(), one.source[..., :3])
    (held,) = load_pairs(spec, tmp_path, LAW, tmp_path / "cache").pairs
    assert np.array_equal(held.source, one.source[..., :3])
    again = load_pairs(spec, tmp_path, LAW, tmp_path / "cache", for_training=True).pairs
    assert all(np.array_equal(a.source, b.source) for a, b in zip((one, two), again, strict=True))


@pytest.mark.parametrize("more", [{"versions": 2}, {"deconvolve": True}])
def test_what_is_of_whole_pictures_is_not_fresh(more: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="fresh, or versions and deconvolve"):
        DegradationSection(fresh=True, **more)


def test_pairs_of_files_get_planes_too(tmp_path: Path) -> None:
    for folder in ("p", "q"):
        (tmp_path / folder).mkdir()
        imsave(tmp_path / folder / "a.png", data.astronaut()[:96, :128])
    spec = PictureSet(name="p", folder="p", inputs="q")
    (pair,) = load_pairs(
        spec, tmp_path, DegradationSection(deconvolve=True), tmp_path / "cache", for_training=True
    ).pairs
    assert pair.source.shape == (96, 128, 3 + PLANES)


@pytest.mark.parametrize("change", ["model.architecture=unet", "degradation.deconvolve=false"])
def test_the_network_and_what_it_sees_belong_together(change: str) -> None:
    path = Path(__file__).parents[2] / "recipes" / "deblur-general.toml"
    with pytest.raises(DataError, match="deconvolve with blind-deblur"):
        read_recipe(path, (change, "model.options={}"))
