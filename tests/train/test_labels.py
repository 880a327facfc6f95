"""Label maps through training, on look-alikes of facades, CamVid and the layouts of Cityscapes."""

from __future__ import annotations

import re
import tomllib
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from restauro.errors import DataError
from restauro.facts import Facts
from restauro.labels import CITYSCAPES, ClassList, read_class_list
from restauro.models import find
from restauro.nets.hifacegan import HiFaceGAN, build_hifacegan
from restauro.nets.layers.labels import instance_edges
from restauro.restore.translate import translate
from restauro.train.batches import batches
from restauro.train.check import check_data
from restauro.train.data import load_pairs
from restauro.train.loop import train
from restauro.train.recipe import Recipe
from restauro.train.validate import score_table, validation_sets, whole_picture
from tests.train.small import tiny

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "translation.md"
SMALL = {"width": 4, "max_width": 8, "depth": 1, "mlp_width": 4, "mlp_depth": 2, "tile_px": 16}
CLASSES = "id,name,r,g,b\n" + "".join(f"{k},class{k},{20 * k},{255 - 20 * k},{7 * k}\n" for k in range(12))


def _blocks(rng: np.random.Generator, size: tuple[int, int], ids: list[int]) -> np.ndarray:
    """A map of blocks of 6 x 6 pixels that holds every id."""
    rows, columns = -(-size[0] // 6), -(-size[1] // 6)
    coarse = np.resize(rng.permutation(ids), rows * columns)
    return np.kron(rng.permutation(coarse).reshape(rows, columns), np.ones((6, 6), int))[: size[0], : size[1]]


def make_pairs(
    folder: Path, names: list[str], size: tuple[int, int], classes: ClassList, suffix: str = ".png", seed: int = 0
) -> None:
    """``images/NAME`` and ``labels/NAME.png`` under ``folder``: pictures in the colours of their classes."""
    rng = np.random.default_rng(seed)
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for name in names:
        ids = _blocks(rng, size, list(classes.ids))
        Image.fromarray(ids.astype(np.uint8)).save(folder / "labels" / f"{name}.png")
        Image.fromarray(classes.painted(classes.positions(ids, name))).save(folder / "images" / f"{name}{suffix}")


@pytest.fixture
def facades(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESTAURO_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "root"
    make_pairs(root / "facades", [f"train_{k}" for k in range(3)] + ["val_0"], (48, 48), ClassList.from_csv(CLASSES))
    (root / "facades" / "classes.csv").write_text(CLASSES)
    (root / "facades" / "train.txt").write_text("train_0\ntrain_1\ntrain_2\n")
    (root / "facades" / "val.txt").write_text("val_0\n")
    return root


def facades_recipe(**changes: object) -> Recipe:
    one = {"name": "f", "folder": "facades/images", "labels": "facades/labels"}
    base: dict[str, object] = {
        "verb": "translate",
        "iterations": 2,
        "patch_px": 32,
        "model": {"architecture": "asapnet", "options": {**SMALL, "classes": 12, "edges": False}},
        "labels": {"classes": "facades/classes.csv"},
        "loss": {"l1": 1.0},
        "data": {
            "train": [{**one, "list": "facades/train.txt"}],
            "validation": [{**one, "list": "facades/val.txt"}],
        },
    }
    return tiny(**{**base, **changes})


def _loaded(recipe: Recipe, root: Path) -> list:
    return [
        load_pairs(spec, root, recipe.degradation, root, minimum_px=recipe.patch_px, labels=recipe.labels)
        for spec in recipe.data.train
    ]


def test_maps_become_planes_that_are_cropped_and_flipped_with_their_pictures(facades: Path):
    recipe = facades_recipe(iterations=6)
    sets = _loaded(recipe, facades)
    assert {pair.source.shape for pair in sets[0].pairs} == {(48, 48, 1)}, "never stored as planes"
    colours = torch.from_numpy(sets[0].pairs[0].planes.classes.painted(np.arange(12, dtype=np.uint8))).float() / 255
    flips = set()
    for given, truth in batches(sets, recipe):
        assert given.shape == (2, 12, 32, 32)
        assert set(given.unique().tolist()) == {0.0, 1.0}
        assert (given.sum(1) == 1).all()
        painted = torch.einsum("nkhw,kc->nchw", given, colours)
        torch.testing.assert_close(painted, truth, atol=1e-6, rtol=0)
        flips.add(given.argmax(1).numpy().tobytes())
    assert len(flips) == 6


@pytest.mark.parametrize("fresh", [False, True])
def test_a_map_guides_a_network_that_restores(facades: Path, tmp_path: Path, fresh: bool):
    recipe = facades_recipe(
        verb="renovate",
        labels={"classes": "facades/classes.csv", "beside": True},
        degradation={"law": "mosaic16", "fresh": fresh, "margin_px": 0},
        model={
            "architecture": "hifacegan",
            "options": {"variant": "spade", "width": 1, "guide_channels": 12, "norm": "instance"},
        },
    )
    (one,) = [
        load_pairs(spec, facades, recipe.degradation, tmp_path, minimum_px=32, labels=recipe.labels, fresh=fresh)
        for spec in recipe.data.train
    ]
    assert {pair.source.shape for pair in one.pairs} == {(48, 48, 4)}
    colours = torch.from_numpy(one.pairs[0].planes.classes.painted(np.arange(12, dtype=np.uint8))).float() / 255
    for given, truth in batches([one], recipe):
        assert given.shape == (2, 15, 32, 32)
        painted = torch.einsum("nkhw,kc->nchw", given[:, 3:], colours)
        torch.testing.assert_close(painted, truth, atol=1e-6, rtol=0)
        if fresh:
            wanted = torch.nn.functional.avg_pool2d(truth, 16).repeat_interleave(16, 2).repeat_interleave(16, 3)
            torch.testing.assert_close(given[:, :3], wanted, atol=1.01 / 255, rtol=0)
        else:
            assert (given[:, :3] != truth).any()
    (table,) = [
        score_table(held, {"net": whole_picture(*_spade())}, {}, metrics=("psnr",))
        for held in validation_sets(recipe, facades, tmp_path)
    ]
    assert [row.method.split()[0] for row in table.rows] == ["identity", "unsharp", "net"]
    made = train(recipe, root=facades, run=tmp_path / "run")
    assert made is not None
    assert "classes" in find(made).metadata
    wrong = recipe.model_copy(update={"model": recipe.model.model_copy(update={"options": {"width": 1}})})
    with pytest.raises(DataError, match="a guide of no channels beside the picture, and the labels give 12"):
        check_data(wrong, facades).refuse()


def _spade() -> tuple[HiFaceGAN, Facts]:
    net = build_hifacegan("spade", width=1, guide_channels=12).eval()
    return net, net.facts


def test_load_px_jitters_and_labels_stay_ids(facades: Path):
    recipe = facades_recipe(labels={"classes": "facades/classes.csv", "load_px": 64}, patch_px=48)
    (one,) = _loaded(recipe, facades)
    pair = one.pairs[0]
    assert pair.source.shape == (64, 64, 1)
    ids = np.asarray(Image.open(facades / "facades" / "labels" / "train_0.png"))
    wanted = np.asarray(Image.fromarray(ids).resize((64, 64), Image.Resampling.NEAREST))
    assert (pair.source[..., 0] == wanted).all(), "as Pillow's nearest neighbour"
    assert not (pair.truth == pair.shown()).all(), "the picture is interpolated"


def test_camvid_is_padded_by_reflection_and_has_an_ignored_class(tmp_path: Path):
    names = [("Sky", 128, 128, 128), ("Road", 128, 64, 128), ("Unlabelled", 0, 0, 0)]
    text = "id,name,r,g,b\n" + "".join(f"{k},{','.join(map(str, row))}\n" for k, row in enumerate(names))
    make_pairs(tmp_path / "camvid", ["0001TP_1", "0001TP_2"], (36, 48), ClassList.from_csv(text))
    (tmp_path / "camvid" / "classes.csv").write_text(text)
    recipe = facades_recipe(
        labels={"classes": "camvid/classes.csv", "ignored": [2]},
        patch_px=40,
        model={"architecture": "asapnet", "options": {**SMALL, "classes": 3, "edges": False}},
        data={"train": [{"name": "c", "folder": "camvid/images", "labels": "camvid/labels"}]},
    )
    (one,) = _loaded(recipe, tmp_path)
    pair = one.pairs[0]
    assert pair.source.shape == (40, 48, 1)
    assert (pair.source[36:] == pair.source[34:30:-1]).all()
    assert (pair.shown() == pair.truth).all(), "padded alike"
    assert pair.planes.classes.padding == 2
    assert pair.planes.classes.evaluated.tolist() == [0, 1, -1]
    assert not check_data(recipe, tmp_path).errors


# What the guide says about Cityscapes: three layouts, each a few lines of TOML, and where a layout keeps its files.
LAYOUTS = re.findall(r"```toml\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
WHERE = [
    ("leftImg8bit/{split}/{city}", "gtFine/{split}/{city}", "gtFine/{split}/{city}", "val"),
    ("{split}_images", "{split}_labels", "{split}_labels", "val"),
    ("{split}_img", "{split}_label", "{split}_inst", "test"),
]


def _cityscapes(root: Path, where: tuple[str, str, str, str]) -> None:
    rng = np.random.default_rng(0)
    for split, city, number in (("train", "aachen", 19), ("train", "bochum", 7), (where[3], "lindau", 0)):
        ids = _blocks(rng, (32, 64), list(range(34)))
        objects = np.where(ids >= 24, ids * 1000 + (np.arange(64) > 20), ids)
        stem = f"{city}_{number:06d}_000019"
        for folder, name, pixels in (
            (where[0], f"{stem}_leftImg8bit.png", CITYSCAPES.painted(CITYSCAPES.positions(ids, stem))),
            (where[1], f"{stem}_gtFine_labelIds.png", ids.astype(np.uint8)),
            (where[2], f"{stem}_gtFine_instanceIds.png", objects.astype(np.uint16)),
        ):
            path = root / folder.format(split=split, city=city) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)


@pytest.mark.parametrize(("text", "where"), [*zip(LAYOUTS, WHERE, strict=True)], ids=["cities", "asapnet", "pix2pixhd"])
def test_cityscapes_in_every_layout_of_the_guide(text: str, where: tuple[str, str, str, str], tmp_path: Path):
    _cityscapes(tmp_path, where)
    tree = tomllib.loads(text)
    model = {"architecture": "asapnet", "options": {**SMALL, "classes": 35, "edges": True}}
    recipe = facades_recipe(labels=tree["labels"], data=tree["data"], model=model)
    report = check_data(recipe, tmp_path)
    assert not report.errors
    assert [one.pictures for one in report.sets] == [2, 1]
    texts = [finding.text for finding in report.findings]
    assert "set 'train': found 2 pictures, expected 2975" in texts[0]
    assert "set 'val': found 1 pictures, expected 500" in texts[1]
    assert len(texts) == 2, "34 is ignored, so nobody misses it"
    (one,) = _loaded(recipe, tmp_path)
    assert one.pairs[0].source.shape == (32, 64, 2)
    objects = np.asarray(Image.open(next(tmp_path.rglob("aachen*instanceIds.png"))))
    edges = instance_edges(torch.from_numpy(objects.astype(np.int64))[None])[0, 0]
    assert (one.pairs[0].source[..., 1] == edges.numpy()).all()
    given, _ = next(islice(batches([one], recipe), 1))
    assert given.shape == (2, 36, 32, 32)
    assert (given[:, :35].sum(1) == 1).all()


def test_edges_without_instance_maps_are_those_between_classes(facades: Path):
    recipe = facades_recipe(
        labels={"classes": "facades/classes.csv", "edges": True},
        model={"architecture": "asapnet", "options": {**SMALL, "classes": 12, "edges": True}},
    )
    pair = _loaded(recipe, facades)[0].pairs[0]
    edges = instance_edges(torch.from_numpy(pair.source[..., 0].astype(np.int64))[None])
    assert (pair.source[..., 1] == edges[0, 0].numpy()).all()
    assert pair.given().shape == (1, 13, 48, 48)


@pytest.mark.parametrize(
    ("model", "critic"),
    [
        ({"architecture": "asapnet", "options": {**SMALL, "classes": 12, "edges": False}}, "spade"),
        (
            {
                "architecture": "pix2pixhd",
                "options": {"classes": 12, "edges": False, "width": 4, "downs": 2, "blocks": 1},
            },
            "pix2pixhd",
        ),
        ({"architecture": "spade", "options": {"guide_channels": 12, "width": 1, "hidden": 4}}, "spade"),
    ],
    ids=["asapnet", "pix2pixhd", "spade"],
)
def test_translators_train_with_a_critic_that_sees_the_labels(
    model: dict[str, object], critic: str, facades: Path, tmp_path: Path
):
    data = facades_recipe().model_dump()["data"]
    held = data["validation"] if model["architecture"] == "asapnet" else []  # scoring them takes longer than training
    recipe = facades_recipe(
        model=model,
        data={**data, "validation": held},
        critic={"architecture": critic, "width": 2},
        adversarial={"objective": "hinge", "weight": 0.1, "feature_matching": 1.0},
    )
    made = train(recipe, root=facades, run=tmp_path / "run")
    assert made
    assert (tmp_path / "run" / "samples").exists() == bool(held)
    assert read_class_list(facades / "facades" / "classes.csv").to_json() == find(made).metadata["classes"]
    outcome = translate(facades / "facades" / "labels" / "val_0.png", made)
    assert outcome.picture.pixels.shape == (48, 48, 3)


def test_a_critic_gets_one_channel_per_class(facades: Path):
    from restauro.train.step import Training

    critic = {"architecture": "spade", "width": 2}
    section = {"objective": "hinge"}
    state = Training(facades_recipe(critic=critic, adversarial=section))
    first = state.critic.net.get_submodule("discriminator_0.model0.0")
    assert first.in_channels == 12 + 3
    blind = Training(facades_recipe(critic={**critic, "conditional": False}, adversarial=section))
    assert blind.critic.net.get_submodule("discriminator_0.model0.0").in_channels == 3


def test_the_score_table_has_the_map_the_class_means_and_the_network(facades: Path):
    recipe, path = facades_recipe(), facades / "facades" / "images" / "val_0.png"
    noise = np.random.default_rng(0).integers(-9, 10, (48, 48, 3))
    Image.fromarray((np.array(Image.open(path)) + noise).clip(0, 255).astype(np.uint8)).save(path)
    (one,) = validation_sets(recipe, facades, facades)
    from restauro.train.step import Training

    net = Training(recipe).net.eval()
    table = score_table(one, {"ours": whole_picture(net, net.facts)}, {"command": "a test"}, metrics=("psnr",))
    assert [row.method for row in table.rows] == ["identity", "class means", "ours"]
    best = table.interval("class means", "psnr:rgb").mean
    assert 30 < best < 40, "these pictures are painted class by class, and have a little noise"
    assert table.interval("ours", "psnr:rgb").mean < 20


def test_every_fault_of_label_maps_is_found_in_one_go(facades: Path):
    labels, pictures = facades / "facades" / "labels", facades / "facades" / "images"
    ids = np.array(Image.open(labels / "train_0.png"))
    Image.fromarray(ids[:20]).save(labels / "train_1.png")
    ids[:2, :3] = 77
    Image.fromarray(ids).save(labels / "train_0.png")
    (labels / "train_2.png").unlink()
    (labels / "val_0.png").write_bytes((labels / "val_0.png").read_bytes()[:60])
    Image.new("L", (48, 48)).save(labels / "other.png")
    whole = {"name": "f", "folder": "facades/images", "labels": "facades/labels", "expected": 9}
    recipe = facades_recipe(
        data={"train": [whole], "validation": [{**whole, "list": "facades/val.txt", "expected": 1}]}
    )
    report = check_data(recipe, facades)
    errors = "\n".join(finding.text for finding in report.errors)
    warnings = "\n".join(finding.text for finding in report.findings if not finding.error)
    assert "set 'f': 1 maps have labels that no class has: 77 (6 px); first" in errors
    assert "train_1.png: found 48x20, its picture 48x48" in errors
    assert "no label map for 'train_2.png'; add it" in errors
    assert "val_0.png: found a truncated or damaged PNG" in errors
    assert "1 label maps have no picture, first 'other.png'; add the pictures" in warnings
    assert "found 4 pictures, expected 9" in warnings
    assert "12 declared classes" not in warnings, "nothing could be read, so nothing is missed"
    assert len(list(pictures.iterdir())) == 4
    with pytest.raises(DataError, match="more: restauro check-data"):
        train(recipe, root=facades, run=facades / "run")


def test_histogram_and_classes_that_never_occur(facades: Path):
    (facades / "facades" / "classes.csv").write_text(CLASSES + "40,balcony,1,2,3\n")
    recipe = facades_recipe(model={"architecture": "asapnet", "options": {**SMALL, "classes": 13, "edges": False}})
    report = check_data(recipe, facades)
    assert [one.role for one in report.labels] == ["train", "validation"]
    ids = np.stack([np.asarray(Image.open(facades / "facades" / "labels" / f"train_{k}.png")) for k in range(3)])
    assert [count for _, count in report.labels[0].pixels] == [*np.bincount(ids.ravel(), minlength=12), 0]
    assert re.search(r"^train f: 3 label maps: class\d+ \d+\.\d\d %, ", str(report.labels[0]))
    (finding,) = report.findings
    assert not finding.error
    assert "1 declared classes are in no training map: balcony; a network cannot learn them" in finding.text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"labels": {"classes": "none.csv"}}, "none.csv: found No such file"),
        ({"labels": {"classes": "cityscapes"}}, "set options classes = 35, edges = false"),
        ({"labels": {"classes": "facades/classes.csv", "edges": True}}, "set options classes = 12, edges = true"),
        ({"labels": {"classes": "facades/classes.csv", "ignored": [99]}}, "found id 99"),
        ({"model": {"architecture": "spade", "options": {"width": 1, "hidden": 4}}}, "guide_channels) to 12"),
    ],
)
def test_a_network_for_other_labels_is_refused(changes: dict[str, object], says: str, facades: Path):
    (finding,) = check_data(facades_recipe(**changes), facades).errors
    assert says in finding.text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"labels": None}, "the section labels and the key labels in every picture set"),
        ({"critic": {"width": 4}, "adversarial": {}}, "a critic that reads labels"),
        ({"data": {"train": [{"name": "f", "folder": "a", "labels": "b", "inputs": "c"}]}}, "not both"),
        ({"data": {"train": [{"name": "f", "folder": "a", "instances": "b"}]}}, "add the key labels"),
        ({"data": {"train": [{"name": "f", "folder": "a", "labels": "b", "names": "left"}]}}, "names"),
    ],
)
def test_recipes_that_do_not_fit_are_refused(changes: dict[str, object], says: str):
    with pytest.raises(ValueError, match=says):
        facades_recipe(**changes)


def test_recipes_without_labels_keep_their_json():
    text = tiny().to_json()
    assert not any(f'"{key}"' in text for key in ("labels", "instances", "names", "expected"))
    whole = facades_recipe()
    assert Recipe.model_validate_json(whole.to_json()) == whole
