"""The verb renovate, with networks of a few hundred weights: what moves, what must not, and what is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch

import restauro as rs
from restauro.errors import PictureError, SettingError, UsageError
from restauro.models import build, save_weights
from restauro.picture import Picture, from_array
from restauro.restore import renovate as module
from restauro.restore.engine import EngineSettings
from restauro.restore.faces.align import crop_of
from restauro.restore.faces.face import Face
from restauro.restore.faces.settings import FaceSettings
from restauro.restore.renovate import Renovation
from restauro.restore.verbs import by_model

ASTRONAUT = skimage.data.astronaut()[0:300, 60:400]
FACE = Face((104.0, 60.0, 210.0, 166.0), 3.0, None, "lbp")  # hers, within some pixels of what the LBP cascade finds
OTHER = Face((10.0, 180.0, 60.0, 230.0), 2.0, None, "lbp")
OPTIONS = {"variant": "pix2pix", "width": 4, "norm": "none", "residual": True}


def saved(folder: Path, name: str, *, weight: float, bias: float) -> Path:
    """A network that adds ``bias`` and, scaled by ``weight``, something random to its input."""
    torch.manual_seed(0)
    net = build("desmoothgan", **OPTIONS)
    torch.nn.init.normal_(net.head.weight, 0, weight) if weight else torch.nn.init.zeros_(net.head.weight)
    torch.nn.init.constant_(net.head.bias, bias)
    path = folder / f"{name}.safetensors"
    save_weights(net, path, "desmoothgan", OPTIONS, {})
    return path


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    return saved(tmp_path, "identity", weight=0, bias=0)


@pytest.fixture
def lively(tmp_path: Path) -> Path:
    return saved(tmp_path, "lively", weight=0.3, bias=0)


@pytest.fixture
def picture() -> Picture:
    return from_array(ASTRONAUT, name="astronaut")


@pytest.fixture
def two_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The detector's answer, given: most tests are not about it."""
    monkeypatch.setattr(module, "find_faces", lambda picture, detector, smallest_px: (FACE, OTHER))


def restored(outcome: rs.Restored | rs.Skipped | rs.Failed) -> tuple[np.ndarray, Renovation]:
    assert isinstance(outcome, rs.Restored), outcome
    assert isinstance(outcome.evidence, Renovation)
    return outcome.picture.pixels, outcome.evidence


def moved(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a != b).any(axis=2)


def frame(face: Face, shape: tuple[int, ...]) -> np.ndarray:
    """True inside the part of the picture that a face's crop covers, and a pixel around it."""
    (left, top), (right, bottom) = crop_of(face, 64).corners.min(axis=0) - 2, crop_of(face, 64).corners.max(axis=0) + 2
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return (columns >= left) & (columns <= right) & (rows >= top) & (rows <= bottom)


# ---- the detector


def test_the_real_detector_finds_her_and_only_her_face_moves(picture: Picture, lively: Path):
    settings = FaceSettings(detector="lbp", smallest_px=72)
    pixels, evidence = restored(rs.renovate(picture, lively, faces=settings))
    (face,) = evidence.faces
    np.testing.assert_allclose(face.box, FACE.box, atol=16)
    assert (face.detector, evidence.model) == ("lbp", "lively")
    changed = moved(pixels, picture.pixels)
    assert changed[100:120, 140:170].all()
    assert not changed[~frame(Face(face.box, 1.0, None, "lbp"), pixels.shape)].any()


def test_no_face_is_an_outcome_that_says_so(lively: Path):
    brick = from_array(skimage.data.brick()[:128, :128], name="wall.png")
    outcome = rs.renovate(brick, lively, faces=FaceSettings(detector="lbp"))
    why = "no face of 40 px or more was found in the picture or in a renovated copy (lbp)"
    assert outcome == rs.Skipped("wall.png", why)
    pixels, evidence = restored(rs.renovate(brick, lively, faces=FaceSettings(detector="lbp", whole=True)))
    assert moved(pixels, brick.pixels).mean() > 0.9
    assert evidence.faces == ()
    assert "only the picture as a whole" in evidence.notes[0]


def test_a_face_too_worn_to_be_seen_is_found_in_a_renovated_copy(
    picture: Picture, lively: Path, monkeypatch: pytest.MonkeyPatch
):
    def find(looked_at: Picture, detector: str, smallest_px: int) -> tuple[Face, ...]:
        return () if np.array_equal(looked_at.pixels, picture.pixels) else (FACE,)

    monkeypatch.setattr(module, "find_faces", find)
    steps: list[tuple[int, int]] = []
    outcome = rs.renovate(picture, lively, progress=lambda done, of: steps.append((done, of)))
    pixels, evidence = restored(outcome)
    assert "in a renovated copy" in evidence.notes[0]
    assert steps == [(1, 1), (2, 2)]
    changed = moved(pixels, picture.pixels)
    assert changed[110, 155]
    assert not changed[~frame(FACE, pixels.shape)].any()  # the copy served to look, no more


# ---- faces in place


@pytest.mark.usefixtures("two_faces")
def test_a_model_that_changes_nothing_returns_the_picture(picture: Picture, identity: Path):
    for settings in (FaceSettings(), FaceSettings(whole=True)):
        pixels, evidence = restored(rs.renovate(picture, identity, faces=settings))
        np.testing.assert_array_equal(pixels, picture.pixels)
        assert [face.crop_px for face in evidence.faces] == [256, 256]


@pytest.mark.usefixtures("two_faces")
def test_a_shift_of_tone_leaves_no_box(tmp_path: Path):
    brighter = saved(tmp_path, "brighter", weight=0, bias=0.1)
    grey = from_array(np.full((300, 340, 3), 0.4, np.float32))
    pixels, _ = restored(rs.renovate(grey, brighter))
    np.testing.assert_allclose(pixels, grey.pixels, atol=0.01)  # a pasted square would be 0.1 brighter


@pytest.mark.usefixtures("two_faces")
def test_the_chosen_face_moves_and_the_other_stays(picture: Picture, lively: Path):
    for settings in (FaceSettings(which="1"), FaceSettings(near=(0, 170, 70, 240))):
        pixels, evidence = restored(rs.renovate(picture, lively, faces=settings))
        changed = moved(pixels, picture.pixels)
        assert changed[205, 35]
        assert not changed[~frame(OTHER, pixels.shape)].any()
        assert [face.crop_px for face in evidence.faces] == [None, 256]
        assert [face.score for face in evidence.faces] == [3.0, 2.0]


@pytest.mark.usefixtures("two_faces")
def test_a_number_that_is_not_there_skips_this_picture(picture: Picture, lively: Path):
    outcome = rs.renovate(picture, lively, faces=FaceSettings(which="2"))
    assert isinstance(outcome, rs.Skipped)
    assert outcome.reason.startswith("found 2 faces; faces: found 2, wanted a number in 0..1")


def test_a_box_without_a_face_is_taken_for_one_and_said(
    picture: Picture, lively: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "find_faces", lambda picture, detector, smallest_px: ())
    pixels, evidence = restored(rs.renovate(picture, lively, faces=FaceSettings(near=(100, 50, 210, 170))))
    assert moved(pixels, picture.pixels)[110, 155]
    assert [face.detector for face in evidence.faces] == ["given"]
    assert "the box itself" in evidence.notes[0]


def test_crops_have_the_faces_own_resolution_within_bounds(
    picture: Picture, lively: Path, monkeypatch: pytest.MonkeyPatch
):
    for side in (40.0, 106.0, 200.0, 240.0, 900.0):
        face = Face((20.0, 20.0, 20.0 + side, 20.0 + side), 1.0, None, "lbp")
        monkeypatch.setattr(module, "find_faces", lambda *_, face=face: (face,))
        _, evidence = restored(rs.renovate(picture, lively))
        (found,) = evidence.faces
        assert found.crop_px is not None
        assert found.crop_px % 32 == 0
        in_picture_px = 1 / crop_of(face, 1).scale
        assert abs(found.crop_px - np.clip(in_picture_px, 256, 512)) <= 16


@pytest.mark.usefixtures("two_faces")
def test_whole_renovates_the_background_and_the_faces_over_it(picture: Picture, lively: Path):
    whole = by_model("renovate", picture, lively)
    assert isinstance(whole, rs.Restored)
    pixels, evidence = restored(rs.renovate(picture, lively, faces=FaceSettings(whole=True)))
    outside = ~(frame(FACE, pixels.shape) | frame(OTHER, pixels.shape))
    np.testing.assert_allclose(pixels[outside], whole.picture.pixels.clip(0, 1)[outside], atol=1e-6)
    assert moved(pixels, whole.picture.pixels)[110, 155]
    assert evidence.tiles == 3


@pytest.mark.usefixtures("two_faces")
def test_strength_and_mask(picture: Picture, lively: Path):
    all_of_it, _ = restored(rs.renovate(picture, lively))
    nothing, _ = restored(rs.renovate(picture, lively, strength=0))
    np.testing.assert_array_equal(nothing, picture.pixels)
    half, _ = restored(rs.renovate(picture, lively, strength=0.5))
    np.testing.assert_allclose(half, (picture.pixels + all_of_it) / 2, atol=1e-6)
    area = np.zeros(ASTRONAUT.shape[:2], np.uint8)
    area[:, 155:] = 255
    masked, _ = restored(rs.renovate(picture, lively, mask=from_array(area)))
    np.testing.assert_array_equal(masked[:, :155], picture.pixels[:, :155])
    np.testing.assert_array_equal(masked[:, 155:], all_of_it[:, 155:])


@pytest.mark.usefixtures("two_faces")
def test_grey_alpha_and_progress(lively: Path):
    steps: list[tuple[int, int]] = []
    grey = from_array(ASTRONAUT[:, :, 0])
    pixels, _ = restored(rs.renovate(grey, lively, progress=lambda done, of: steps.append((done, of))))
    assert pixels.shape == (300, 340, 1)
    assert steps == [(1, 2), (2, 2)]
    rgba = from_array(np.dstack([ASTRONAUT, np.full(ASTRONAUT.shape[:2], 99, np.uint8)]))
    outcome = rs.renovate(rgba, lively)
    assert isinstance(outcome, rs.Restored)
    np.testing.assert_array_equal(outcome.picture.alpha, rgba.alpha)


@pytest.mark.usefixtures("two_faces")
def test_a_picture_that_cannot_be_computed_is_failed(picture: Picture, lively: Path):
    outcome = rs.renovate(picture, lively, engine=EngineSettings(device="cpu", memory_limit=1000))
    assert isinstance(outcome, rs.Failed)
    assert "memory" in outcome.reason


# ---- aligned


def no_detector(*_: object) -> None:
    raise AssertionError("a detector was asked")


def test_aligned_is_the_model_itself_and_asks_no_detector(lively: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "find_faces", no_detector)
    picture = from_array(ASTRONAUT[:280, 40:320])
    plain = by_model("renovate", picture, lively)
    assert isinstance(plain, rs.Restored)
    pixels, evidence = restored(rs.renovate(picture, lively, faces=FaceSettings(aligned=True)))
    np.testing.assert_array_equal(pixels, plain.picture.pixels.clip(0, 1))
    assert evidence.faces == ()


@pytest.mark.parametrize("side", [96, 640])
def test_aligned_out_of_bounds_is_renovated_at_the_bound(side: int, identity: Path, lively: Path):
    repeats = -(-side // 280)
    pixels = np.tile(ASTRONAUT[:280, 40:320], (repeats, repeats, 1))[:side, :side]
    picture, aligned = from_array(pixels), FaceSettings(aligned=True)
    same, _ = restored(rs.renovate(picture, identity, faces=aligned))
    np.testing.assert_array_equal(same, picture.pixels)
    changed, _ = restored(rs.renovate(picture, lively, faces=aligned))
    assert changed.shape == picture.pixels.shape
    assert moved(changed, picture.pixels).mean() > 0.9


# ---- historic


@pytest.mark.usefixtures("two_faces")
def test_historic_is_a_sheet_of_patches_and_results(picture: Picture, lively: Path):
    outcome = rs.renovate(picture, lively, faces=FaceSettings(historic=True))
    pixels, evidence = restored(outcome)
    assert pixels.shape[1] == 2 * 512 + 12
    assert pixels.shape[0] > 2 * 512
    assert [face.crop_px for face in evidence.faces] == [512, 512]
    for face in evidence.faces:
        assert face.niqe is not None
        assert face.niqe[0] != face.niqe[1]
    none, _ = restored(rs.renovate(picture, lively, faces=FaceSettings(historic=True, which="1"), strength=0))
    np.testing.assert_array_equal(none[-520:-20, :512], none[-520:-20, 524:])


def test_historic_takes_an_aligned_face(lively: Path):
    outcome = rs.renovate(from_array(ASTRONAUT[:64, :64]), lively, faces=FaceSettings(aligned=True, historic=True))
    pixels, evidence = restored(outcome)
    assert pixels.shape[1] == 2 * 512 + 12
    assert evidence.faces[0].box == (0, 0, 64, 64)


# ---- requests that are wrong


def test_wrong_requests_are_named(picture: Picture, lively: Path):
    with pytest.raises(SettingError, match="'biggest'"):
        FaceSettings(which="biggest")
    with pytest.raises(SettingError, match="box"):
        FaceSettings(near=(10, 10, 5, 20))
    with pytest.raises(UsageError, match="aligned"):
        FaceSettings(aligned=True, whole=True)
    with pytest.raises(UsageError, match="historic"):
        FaceSettings(historic=True, whole=True)
    with pytest.raises(UsageError, match="mask"):
        rs.renovate(picture, lively, faces=FaceSettings(historic=True), mask=picture)
    with pytest.raises(SettingError, match="strength: found 2"):
        rs.renovate(picture, lively, strength=2)
    with pytest.raises(PictureError, match="the mask: found 20x20 px"):
        rs.renovate(picture, lively, mask=from_array(np.zeros((20, 20), np.uint8)))
    with pytest.raises(SettingError, match="'haar'"):
        rs.renovate(picture, lively, faces=FaceSettings(detector="haar"))
    with pytest.raises(UsageError, match="'desmooth'"):
        rs.renovate(picture, "desmooth-general", faces=FaceSettings(aligned=True))
