"""The loaders of the original SPS and NKS, on tiny folders that look like them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from restauro.errors import DataError
from restauro.train.data import load_pairs
from restauro.train.sections import DegradationSection, PictureSet
from restauro.train.smoothing_sets import SPS_TRUTHS, blend, unpack_nks, unpack_sps, write_sps

ASTRONAUT = skimage.data.astronaut()


def save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def names(out: Path, split: str) -> list[str]:
    return (out / f"{split}.txt").read_text().split()


def test_blend_against_a_loop_over_pixels():
    rng = np.random.default_rng(0)
    truth, texture = ASTRONAUT[:7, 100:109], rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
    tiled = np.empty((7, 9))
    for i in range(7):
        for j in range(9):
            red, green, blue = texture[i % 3, j % 4].tolist()
            tiled[i, j] = 0.114 * red + 0.587 * green + 0.299 * blue  # R and B exchanged, as published
    expected = np.clip(np.rint(truth + (tiled - tiled.mean())[..., None]), 0, 255)
    np.testing.assert_array_equal(blend(truth, texture), expected)


def test_a_flat_texture_changes_nothing():
    np.testing.assert_array_equal(blend(ASTRONAUT[:8, :8], np.full((3, 3, 3), 200, np.uint8)), ASTRONAUT[:8, :8])


@pytest.mark.parametrize("split", ["random", "disjoint"])
def test_sps_from_truths_and_textures(tmp_path: Path, split: str):
    for k in range(6):
        save(ASTRONAUT[8 * k : 8 * k + 8, :12], tmp_path / "truths" / f"{k:02d}.png")
    for k in range(5):
        save(ASTRONAUT[100 + k : 105 + k, 200:203], tmp_path / "textures" / f"{k:02d}.jpg")
    out = tmp_path / "sps"
    counts = write_sps(tmp_path / "truths", tmp_path / "textures", out, split=split)
    lists = {name: {int(n[:-4]) for n in names(out, name)} for name in counts}
    assert counts == {name: len(found) for name, found in lists.items()}
    assert not lists["train"] & lists["validation"]
    assert not lists["train"] & lists["tune"]
    assert all(counts.values())
    seen = [{divmod(n, 6)[axis] for n in lists["train"] | lists["tune"]} for axis in (0, 1)]
    held = [{divmod(n, 6)[axis] for n in lists["validation"]} for axis in (0, 1)]
    assert all(bool(a & b) == (split == "random") for a, b in zip(seen, held, strict=True))
    spec = PictureSet(name="sps", folder="sps/truth", inputs="sps/input", list="sps/train.txt")
    pair = load_pairs(spec, tmp_path, DegradationSection(), tmp_path).pairs[0]
    texture, truth = divmod(int(pair.name[:-4]), 6)
    np.testing.assert_array_equal(pair.truth, ASTRONAUT[8 * truth : 8 * truth + 8, :12])
    grain = pixels(tmp_path / "textures" / f"{texture:02d}.jpg")
    np.testing.assert_array_equal(pair.source, blend(pair.truth, grain))


def test_sps_side_by_side(tmp_path: Path):
    numbers = [texture * SPS_TRUTHS + truth for texture in range(3) for truth in (0, 1, 7)]
    for k, number in enumerate(numbers):
        save(ASTRONAUT[k : k + 6, 50:70], tmp_path / "blended" / f"{number}.png")
    counts = unpack_sps(tmp_path / "blended", tmp_path / "out")
    assert counts["validation"] == 1
    assert counts["train"] + counts["tune"] == 4  # neither its truth nor its texture
    last = numbers[-1]
    np.testing.assert_array_equal(pixels(tmp_path / "out" / "truth" / f"{last}.png"), ASTRONAUT[8:14, 50:60])
    np.testing.assert_array_equal(pixels(tmp_path / "out" / "input" / f"{last}.png"), ASTRONAUT[8:14, 60:70])


def test_sps_side_by_side_without_numbers_needs_the_random_split(tmp_path: Path):
    for name in "abcdefghijkl":
        save(ASTRONAUT[:6, :20], tmp_path / "in" / f"{name}.png")
    with pytest.raises(DataError, match="random"):
        unpack_sps(tmp_path / "in", tmp_path / "out")
    assert unpack_sps(tmp_path / "in", tmp_path / "again", split="random")["validation"] == 2


@pytest.mark.parametrize("layout", ["names", "folders"])
def test_nks(tmp_path: Path, layout: str):
    for s in (1, 2, 12):
        truth = ASTRONAUT[s : s + 9, 30:41]
        for t in (1, 10):
            save(truth // 2 + t, tmp_path / "NKS" / "input" / f"S{s}T{t}.png")
            if layout == "folders":
                save(truth, tmp_path / "NKS" / "GT" / f"S{s}T{t}.png")
        if layout == "names":
            save(truth, tmp_path / "NKS" / "input" / f"S{s}.png")
    counts = unpack_nks(tmp_path / "NKS", tmp_path / "out")
    assert counts == {"train": 0, "tune": 6, "validation": 6}
    assert set(names(tmp_path / "out", "validation")) == {f"S{s}T{t}.png" for s in (1, 2, 12) for t in (1, 10)}
    np.testing.assert_array_equal(pixels(tmp_path / "out" / "truth" / "S12T10.png"), ASTRONAUT[12:21, 30:41])
    np.testing.assert_array_equal(pixels(tmp_path / "out" / "input" / "S12T10.png"), ASTRONAUT[12:21, 30:41] // 2 + 10)


def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path):
    with pytest.raises(DataError, match="no picture"):
        unpack_nks(tmp_path, tmp_path / "out")
    save(ASTRONAUT[:6, :8], tmp_path / "a" / "S1T1.png")
    with pytest.raises(DataError, match="no truth S1"):
        unpack_nks(tmp_path / "a", tmp_path / "out")
    save(ASTRONAUT[:6, :6], tmp_path / "a" / "S1.png")
    with pytest.raises(DataError, match="6 x 6 and 8 x 6"):
        unpack_nks(tmp_path / "a", tmp_path / "out")
    save(ASTRONAUT[:6, :7], tmp_path / "odd" / "1.png")
    with pytest.raises(DataError, match="side by side"):
        unpack_sps(tmp_path / "odd", tmp_path / "out")
