"""Renovating a face with a map of its parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

import restauro as rs
from restauro.cli.main import main
from restauro.errors import PictureError, UsageError
from restauro.labels import ClassList, LabelClass, read_ids
from restauro.models import build, find, load, save_weights
from restauro.nets.layers.labels import semantic
from restauro.picture import from_array
from restauro.restore.engine import EngineSettings
from restauro.restore.faces.settings import FaceSettings

CLASSES = ClassList((LabelClass(0, "background"), LabelClass(5, "skin"), LabelClass(9, "eye"), LabelClass(10, "nose")))
OPTIONS = {"variant": "spade", "width": 1, "guide_channels": 4, "norm": "instance", "residual": True}
FACE = skimage.data.astronaut()[0:256, 100:356]
PLAIN = EngineSettings(device="cpu", precision="float32")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    net = build("hifacegan", **OPTIONS)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)
    path = tmp_path / "guided.safetensors"
    save_weights(net, path, "hifacegan", OPTIONS, {"classes": CLASSES.to_json()})
    return path


@pytest.fixture
def face_map(tmp_path: Path) -> Path:
    ids = np.zeros((256, 256), np.uint8)
    ids[40:200, 60:190] = 5
    ids[90:110, 80:120] = 9
    Image.fromarray(ids).save(tmp_path / "map.png")
    return tmp_path / "map.png"


def test_the_map_reaches_the_network_class_by_class(weights: Path, face_map: Path, tmp_path: Path):
    picture = from_array(FACE, name="face")
    made = rs.renovate(picture, weights, faces=FaceSettings(aligned=True), guide=face_map, engine=PLAIN)
    assert isinstance(made, rs.Restored)
    places = np.searchsorted([0, 5, 9, 10], read_ids(face_map))
    x = torch.from_numpy(FACE.copy()).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        wanted = load(find(weights))(x, semantic(torch.from_numpy(places)[None].long(), 4)).clamp(0, 1)
    found = torch.from_numpy(made.picture.pixels).permute(2, 0, 1)[None]
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=0)
    Image.fromarray(np.zeros((256, 256), np.uint8)).save(tmp_path / "blank.png")
    other = rs.renovate(picture, weights, faces=FaceSettings(aligned=True), guide=tmp_path / "blank.png", engine=PLAIN)
    assert np.abs(other.picture.pixels - made.picture.pixels).max() > 0.05


def test_the_command_takes_a_map_too(weights: Path, face_map: Path, tmp_path: Path):
    Image.fromarray(FACE).save(tmp_path / "face.png")
    words = ["renovate", str(tmp_path / "face.png"), "--model", str(weights), "--guide", str(face_map)]
    assert main([*words, "--aligned", "-o", str(tmp_path / "new.png")]) == 0
    assert rs.read(tmp_path / "new.png").width == 256
    assert main([*words, "-o", str(tmp_path / "other.png")]) == 2, "not aligned"
    assert not (tmp_path / "other.png").exists()


def test_wrong_maps_and_models_are_named(weights: Path, face_map: Path, tmp_path: Path):
    picture, aligned = from_array(FACE, name="face"), FaceSettings(aligned=True)
    with pytest.raises(UsageError, match="add aligned"):
        rs.renovate(picture, weights, guide=face_map)
    with pytest.raises(UsageError, match="guide: found one for renovate-faces, which knows no classes; leave it out"):
        rs.renovate(picture, "renovate-faces", faces=aligned, guide=face_map)
    with pytest.raises(UsageError, match="found no guide, wanted the label map of an aligned face; add guide"):
        rs.renovate(picture, weights, faces=aligned)
    net, bordered = build("hifacegan", **{**OPTIONS, "guide_channels": 5}), tmp_path / "bordered.safetensors"
    save_weights(net, bordered, "hifacegan", {**OPTIONS, "guide_channels": 5}, {"classes": CLASSES.to_json()})
    with pytest.raises(UsageError, match="takes a guide of 5 channels, not of 4 classes"):
        rs.renovate(picture, bordered, faces=aligned, guide=face_map)
    Image.fromarray(np.zeros((128, 256), np.uint8)).save(tmp_path / "small.png")
    with pytest.raises(PictureError, match=r"256x128.*256x256"):
        rs.renovate(picture, weights, faces=aligned, guide=tmp_path / "small.png")
    Image.fromarray(np.full((256, 256), 7, np.uint8)).save(tmp_path / "strange.png")
    with pytest.raises(PictureError, match="7"):
        rs.renovate(picture, weights, faces=aligned, guide=tmp_path / "strange.png")
