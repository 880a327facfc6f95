"""Label maps to pictures: any size, any way to say the ids, and no guessing."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import restauro
from restauro.errors import ModelError, PictureError, UsageError
from restauro.labels import ClassList
from restauro.models import build, find, save_weights
from restauro.nets.layers.labels import instance_edges, semantic
from restauro.restore.engine import EngineSettings
from restauro.restore.outcome import Failed, Restored
from restauro.restore.translate import translate, translator

CPU = EngineSettings(device="cpu", precision="float32")
LIST = "id,name,r,g,b\n3,wall,0,0,200\n5,window,0,128,255\n9,door,200,90,1\n"
SMALL = {"width": 4, "max_width": 8, "depth": 1, "mlp_width": 4, "mlp_depth": 2, "tile_px": 16}
IDS = np.random.default_rng(0).choice([3, 5, 9], (19, 37))


def weights(folder: Path, architecture: str = "asapnet", notes: bool = True, **options: object) -> Path:
    torch.manual_seed(0)
    chosen = {"classes": 3, "edges": False, **options} if architecture != "spade" else options
    chosen = {**SMALL, **chosen} if architecture == "asapnet" else chosen
    net = build(architecture, **chosen)  # type: ignore[arg-type]
    for parameter in net.parameters():
        if parameter.ndim == 4:
            torch.nn.init.kaiming_normal_(parameter)  # an untrained ASAP-Net is grey all over
    path = folder / f"{architecture}.safetensors"
    said = {"classes": ClassList.from_csv(LIST).to_json()} if notes else {}
    save_weights(net, path, architecture, chosen, said)  # type: ignore[arg-type]
    return path


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def pixels_of(outcome: object) -> np.ndarray:
    assert isinstance(outcome, Restored)
    return outcome.picture.pixels


def test_every_way_to_say_the_ids_gives_the_same_picture(tmp_path: Path):
    model, classes = weights(tmp_path), ClassList.from_csv(LIST)
    colours = classes.painted(classes.positions(IDS, "ids"))
    path = tmp_path / "map.png"
    path.write_bytes(png(IDS.astype(np.uint8)))
    first = pixels_of(restauro.translate(path, model=model, engine=CPU))
    assert first.shape == (19, 37, 3)
    assert first.std() > 0.01
    palette = Image.fromarray(colours).quantize(8, dither=Image.Dither.NONE)
    stream = io.BytesIO()
    palette.save(stream, "PNG")
    for labels in (str(path), path.read_bytes(), IDS, colours, png(colours), stream.getvalue(), IDS.astype(np.uint16)):
        assert np.array_equal(pixels_of(translate(labels, model, engine=CPU)), first)


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("asapnet", {}),
        ("asapnet", {"tile_px": 32}),
        ("pix2pixhd", {"width": 4, "downs": 2, "blocks": 1}),
        ("spade", {"guide_channels": 3, "width": 1, "hidden": 4}),
    ],
)
@pytest.mark.parametrize("size", [(1, 1), (33, 65)])
def test_any_size_and_every_architecture(
    architecture: str, options: dict[str, object], size: tuple[int, int], tmp_path: Path
):
    model = weights(tmp_path, architecture, **options)
    ids = np.resize(IDS, size)
    made = pixels_of(translate(ids, model, engine=CPU))
    assert made.shape == (*size, 3)
    ready = translator(model)
    multiple = ready.net.facts.multiple
    missing = [(0, -side % multiple) for side in size]
    padded = np.pad(ready.classes.positions(ids, "ids"), missing, mode="edge")
    with torch.inference_mode():
        y = ready.net(semantic(torch.from_numpy(padded)[None].long(), 3))
    wanted = y[0, :, : size[0], : size[1]].permute(1, 2, 0).numpy()
    assert np.abs(made - wanted.clip(0, 1)).max() <= 0.5 / 255 + 1e-5, "the same as the planes give"


def test_padding_is_the_ignored_class_where_the_list_has_one(tmp_path: Path):
    model = weights(tmp_path)
    ignoring = ClassList.from_csv(LIST).ignoring([9])
    ids = np.full((16, 20), 3)
    found = pixels_of(translate(ids, model, classes=ignoring, engine=CPU))
    wide = np.full((16, 32), 9)
    wide[:, :20] = 3
    assert np.array_equal(found, pixels_of(translate(wide, model, engine=CPU))[:, :20])
    assert not np.array_equal(found, pixels_of(translate(ids, model, engine=CPU)))


def test_borders_come_from_the_instance_map_or_from_the_classes(tmp_path: Path):
    model = weights(tmp_path, edges=True)
    ids = np.full((32, 32), 3)
    ids[:, 16:] = 5
    objects = np.where(np.arange(32)[:, None] < 9, 5001, 5002) + np.zeros((32, 32), int)
    plain, told = (translate(ids, model, instances=given, engine=CPU) for given in (None, objects))
    assert isinstance(plain, Restored)
    assert any("took the borders between classes" in note for note in plain.evidence.notes)
    assert isinstance(told, Restored)
    assert told.evidence.notes == ()
    ready = translator(model)
    places = torch.from_numpy(ready.classes.positions(ids, "ids")).long()[None]
    with torch.inference_mode():
        y = ready.net(semantic(places, 3, instance_edges(torch.from_numpy(objects)[None])))
    assert np.abs(pixels_of(told) - y[0].permute(1, 2, 0).numpy()).max() <= 0.5 / 255 + 1e-5
    assert not np.array_equal(pixels_of(plain), pixels_of(told))
    by_file = translate(ids, model, instances=png(objects.astype(np.uint16)), engine=CPU)
    assert np.array_equal(pixels_of(by_file), pixels_of(told))
    with pytest.raises(PictureError, match="an instance map of shape"):
        translate(ids, model, instances=objects[:5])
    with pytest.raises(UsageError, match="takes no borders"):
        translate(ids, weights(tmp_path), instances=objects)


def test_unknown_ids_are_refused_by_name_and_count(tmp_path: Path):
    ids = IDS.copy()
    ids[0, :4] = 7
    with pytest.raises(PictureError, match=r"labels: found ids that no class has: 7 \(4 px\), wanted 3 wall"):
        translate(ids, weights(tmp_path))
    with pytest.raises(PictureError, match=r"float32 of shape \[2, 2\]"):
        translate(np.zeros((2, 2), np.float32), weights(tmp_path))  # type: ignore[arg-type]


def test_class_lists_come_from_the_weights_or_the_caller(tmp_path: Path):
    path = tmp_path / "c.csv"
    path.write_text("id,name\n20,a\n21,b\n22,c\n")
    model = weights(tmp_path)
    own = pixels_of(translate(np.array([[3, 5, 9]] * 4), model, engine=CPU))
    renamed = pixels_of(translate(np.array([[20, 21, 22]] * 4), model, classes=path, engine=CPU))
    assert np.array_equal(own, renamed)
    with pytest.raises(UsageError, match=r"found 35 .*wanted 3 for asapnet"):
        translate(IDS, model, classes="cityscapes")
    bare = weights(tmp_path, notes=False)
    with pytest.raises(UsageError, match="found no class list in the weights"):
        translate(IDS, bare)
    assert isinstance(translate(IDS, bare, classes=ClassList.from_csv(LIST), engine=CPU), Restored)


def test_networks_for_pictures_and_models_for_other_verbs_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="which is for 'desmooth'"):
        translate(IDS, "desmooth-general")
    with pytest.raises(ModelError, match="a network that takes pictures"):
        translate(IDS, weights(tmp_path, classes=0))


def test_what_does_not_fit_into_memory_is_a_failure_with_a_reason(tmp_path: Path):
    outcome = translate(IDS, weights(tmp_path), engine=EngineSettings(device="cpu", memory_limit=1000))
    assert isinstance(outcome, Failed)
    assert "found a memory limit of 0 MiB, wanted about" in outcome.reason


def test_evidence_says_what_ran(tmp_path: Path):
    model = weights(tmp_path)
    outcome = translate(IDS, translator(model), engine=CPU)
    assert isinstance(outcome, Restored)
    assert outcome.evidence.weights_sha256 == find(model).sha256
    assert (outcome.evidence.device, outcome.evidence.precision, outcome.evidence.tiles) == ("cpu", "float32", 1)
