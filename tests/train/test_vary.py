"""Crops of pictures turned, resized, recoloured, bent and mixed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from restauro.errors import DataError
from restauro.train import batches as module
from restauro.train import vary as module_vary
from restauro.train.batches import batches
from restauro.train.data import load_pairs
from restauro.train.recipe import Recipe
from restauro.train.vary import ANGLE_DEGREES, GAIN, GAMMA, SCALE, _sampled, varied
from tests.train.small import TINY, make_pictures, tiny

FACE = skimage.data.astronaut()[:128, 150:290].copy()
FRESH = {"law": "face-renovation", "fresh": True}


def _recipe(**changes: object) -> Recipe:
    data = TINY["data"]
    assert isinstance(data, dict)
    train = [{**data["train"][0], **changes}]
    return tiny(degradation=FRESH, data={**data, "train": train})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_pictures(tmp_path)


def test_nothing_asked_for_is_the_plain_crop():
    plain = _sampled(FACE, 40, 0.0, 1.0, [10 + 20, 30 + 20])
    assert np.array_equal((plain * 255).round().byte().permute(1, 2, 0).numpy(), FACE[10:50, 30:70])


def test_a_quarter_turn_is_exact():
    turned = _sampled(FACE, 40, math.pi / 2, 1.0, [30, 50]) * 255
    plain = np.rot90(FACE[10:50, 30:70])
    assert np.abs(turned.permute(1, 2, 0).numpy() - plain).max() < 0.05


def test_twice_the_size_agrees_with_torchs_resizing():
    large = _sampled(FACE, 64, 0.0, 2.0, [64, 70])[:, 8:-8, 8:-8]
    x = torch.from_numpy(FACE).permute(2, 0, 1)[None].float() / 255
    wanted = torch.nn.functional.interpolate(x, scale_factor=2, mode="bicubic", align_corners=False)[0]
    torch.testing.assert_close(large, wanted[:, 128 - 24 : 128 + 24, 140 - 24 : 140 + 24], atol=1e-4, rtol=0)


def test_a_draw_is_a_function_of_its_seed_and_seeds_differ():
    assert np.array_equal(varied(FACE, 64, 5), varied(FACE, 64, 5))
    assert not np.array_equal(varied(FACE, 64, 5), varied(FACE, 64, 6))


def test_colours_stay_within_their_ranges():
    grey = np.full((40, 40, 3), 128, np.uint8)
    found = np.array([varied(grey, 8, seed)[4, 4] for seed in range(300)]) / 255
    level = 128 / 255
    low, high = level**GAMMA / GAIN, level ** (1 / GAMMA) * GAIN
    assert found.min() >= low - 1 / 255
    assert found.max() <= high + 1 / 255
    assert found.min() < low + 0.05, "the ranges are used"
    assert found.max() > high - 0.05


def test_a_bright_line_turns_by_no_more_than_it_may():
    lines = np.zeros((96, 96, 3), np.uint8)
    lines[46:50] = 255
    slopes = []
    for seed in range(100):
        crop = varied(lines, 48, seed)[..., 0].astype(float)
        rows = (crop * np.arange(48)[:, None]).sum(0) / np.maximum(crop.sum(0), 1)
        if (crop.sum(0) > 2 * 255).all() and crop[0].max() == crop[-1].max() == 0:
            slopes.append(math.degrees(math.atan((rows[-1] - rows[0]) / 47)))
    assert len(slopes) > 30
    assert max(map(abs, slopes)) <= ANGLE_DEGREES + 0.5
    assert max(slopes) > 0.6 * ANGLE_DEGREES
    assert min(slopes) < -0.6 * ANGLE_DEGREES
    assert SCALE > 1


def test_a_bent_crop_shows_the_same_things_a_little_elsewhere():
    straight, side = varied(FACE, 96, 7), 96
    assert np.array_equal(varied(FACE, side, 7, bend=0.0), straight)
    bent = varied(FACE, side, 7, bend=0.03)
    assert not np.array_equal(bent, straight)
    window = np.lib.stride_tricks.sliding_window_view(straight, (9, 9, 3))[:, :, 0].astype(float)
    for row, column in ((30, 30), (48, 60), (66, 40)):
        part = bent[row - 4 : row + 5, column - 4 : column + 5].astype(float)
        found = np.abs(window - part).mean(axis=(2, 3, 4))
        down, across = np.unravel_index(found.argmin(), found.shape)
        reach = 0.03 * side * SCALE * 1.5 + 1  # a smooth curve through the knots overshoots them
        assert max(abs(down + 4 - row), abs(across + 4 - column)) <= reach, "parts move no further than asked"


def test_a_bent_line_stays_a_line_without_steps():
    lines = np.zeros((96, 96, 3), np.uint8)
    lines[44:52] = 255
    for seed in range(5):
        crop = varied(lines, 64, seed, bend=0.05)[..., 0].astype(float)
        rows = (crop * np.arange(64)[:, None]).sum(0) / np.maximum(crop.sum(0), 1)
        seen = crop.sum(0) > 4 * 255
        assert np.abs(np.diff(rows))[seen[1:] & seen[:-1]].max() < 1.5


def test_a_mixed_picture_is_made_of_both_with_soft_seams():
    size = np.indices((96, 96))
    across, down = ((100 + 40 * np.sin(axis / 2)).astype(np.uint8)[..., None].repeat(3, 2) for axis in size[::-1])
    shares = []
    for seed in range(12):
        mixed = module_vary._mixed(across, down, np.random.default_rng(seed)).astype(float)
        ours = np.abs(np.diff(mixed, axis=1)).mean() / np.abs(np.diff(across.astype(float), axis=1)).mean()
        theirs = np.abs(np.diff(mixed, axis=0)).mean() / np.abs(np.diff(down.astype(float), axis=0)).mean()
        assert 0.85 < ours + theirs < 1.1, "what one picture loses the other one has"
        shares.append(theirs)
    assert min(shares) < 0.4
    assert max(shares) > 0.6


def test_parts_of_another_picture_come_in_this_ones_colour():
    ours, theirs = (np.full((64, 64, 3), level, np.uint8) for level in (90, 200))
    mixed = module_vary._mixed(ours, theirs, np.random.default_rng(1))
    assert np.abs(mixed.astype(int) - 90).max() <= 1
    with pytest.raises(ValueError, match="two pictures of one size"):
        varied(ours, 32, 1, other=theirs[:60])


def test_mixed_crops_resume_as_they_were(root: Path, tmp_path: Path):
    made = {}
    for mix in (0.0, 1.0):
        recipe = _recipe(vary=1.0, mix=mix, bend=0.02)
        one = load_pairs(recipe.data.train[0], root, recipe.degradation, tmp_path / "c", fresh=True)
        made[mix] = list(batches([one], recipe))
        for (a, b), (c, d) in zip(made[mix][3:], batches([one], recipe, start=3), strict=True):
            assert torch.equal(a, c)
            assert torch.equal(b, d)
    assert not any(torch.equal(a, b) for (_, a), (_, b) in zip(made[0.0], made[1.0], strict=True))


def test_pictures_of_two_sizes_are_not_mixed(root: Path, tmp_path: Path):
    Image.fromarray(FACE[:60, :64]).save(root / "pictures" / "1.png")
    recipe = _recipe(vary=1.0, mix=0.5)
    with pytest.raises(DataError, match="pictures of 2 sizes"):
        load_pairs(recipe.data.train[0], root, recipe.degradation, tmp_path / "c", fresh=True)


def test_bend_and_mix_are_of_varied_crops():
    with pytest.raises(ValueError, match="'vary' above 0"):
        _recipe(mix=0.5)


def test_input_and_truth_are_of_the_same_crop(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "degraded", lambda truth, law, seed: truth)
    recipe = _recipe(vary=1.0, bend=0.03, mix=0.5)
    one = load_pairs(recipe.data.train[0], root, recipe.degradation, tmp_path / "c", fresh=True)
    for given, truth in batches([one], recipe):
        assert given.shape == (2, 3, 32, 32)
        assert torch.equal(given, truth)


def test_a_share_of_the_crops_is_varied_and_resumed_runs_see_the_same(root: Path, tmp_path: Path):
    made = {}
    for share in (0.5, 0.0):
        recipe = _recipe(vary=share)
        one = load_pairs(recipe.data.train[0], root, recipe.degradation, tmp_path / "c", fresh=True)
        made[share] = list(batches([one], recipe))
        late = list(batches([one], recipe, start=3))
        for (a, b), (c, d) in zip(made[share][3:], late, strict=True):
            assert torch.equal(a, c)
            assert torch.equal(b, d)
    whole = [p.truth for p in one.pairs]

    def is_plain(crop: torch.Tensor) -> bool:
        levels = (crop * 255).round().byte().permute(1, 2, 0).numpy()
        both = (levels, levels[:, ::-1])
        views = [np.lib.stride_tricks.sliding_window_view(p, levels.shape)[:, :, 0] for p in whole]
        return any((view == side).all(axis=(2, 3, 4)).any() for view in views for side in both)

    kinds = {share: [is_plain(crop) for _, truth in made[share] for crop in truth] for share in made}
    assert all(kinds[0.0])
    assert 0 < sum(kinds[0.5]) < len(kinds[0.5])


@pytest.mark.parametrize(
    "recipe",
    [{"degradation": {"law": "l0"}}, {"inputs": "pictures"}],
    ids=["a law that is not drawn anew", "pictures that have their inputs"],
)
def test_vary_is_for_pictures_that_are_degraded_anew(recipe: dict[str, object]):
    data = TINY["data"]
    assert isinstance(data, dict)
    train = [{**data["train"][0], "vary": 0.5, **({"inputs": "pictures"} if "inputs" in recipe else {})}]
    with pytest.raises(ValueError, match="'vary' for pictures alone"):
        tiny(data={**data, "train": train}, degradation=recipe.get("degradation", FRESH))


def test_vary_is_not_for_validation():
    data = TINY["data"]
    assert isinstance(data, dict)
    with pytest.raises(ValueError, match="'vary' in training sets only"):
        tiny(data={**data, "validation": [{**data["validation"][0], "vary": 0.5}]}, degradation=FRESH)
