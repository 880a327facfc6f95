"""Faces are found where they are, by either detector; and chosen."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.data import astronaut, coffee
from skimage.transform import resize

from restauro.errors import ModelError, SettingError
from restauro.metrics import dlib_models
from restauro.picture import from_array
from restauro.restore.faces.choose import choose
from restauro.restore.faces.face import Face, overlaps
from restauro.restore.faces.find import LBP_LEAST, Dlib, Lbp, detector_named, find_faces

NOSE = (225.0, 127.0)  # of skimage's astronaut, read off by eye, as the pupils
EYES = (203.0, 101.0), (247.0, 103.0)
needs_dlib = pytest.mark.skipif(bool(dlib_models.missing()), reason=dlib_models.missing())
DETECTORS = ["lbp", pytest.param("dlib", marks=needs_dlib)]


def two_faces() -> np.ndarray:
    """The astronaut twice, the right one at three quarters of the size."""
    one = astronaut()[:256, 96:352] / 255
    small = np.zeros_like(one)
    small[32:224, 32:224] = resize(one, (192, 192), anti_aliasing=True)
    return np.concatenate([one, small], axis=1).astype(np.float32)


@pytest.mark.parametrize("detector", DETECTORS)
def test_the_astronaut(detector):
    (face,) = find_faces(from_array(astronaut()), detector, smallest_px=64)
    left, top, right, bottom = face.box
    assert left < EYES[0][0] < NOSE[0] < EYES[1][0] < right
    assert top < NOSE[1] < bottom
    assert 75 < face.size_px < 125
    assert face.detector == detector
    assert (face.landmarks is None) == (detector == "lbp")


@needs_dlib
def test_landmarks_lie_on_eyes_and_nose():
    (face,) = find_faces(from_array(astronaut()), "dlib", smallest_px=64)
    for points, place in ((slice(36, 42), EYES[0]), (slice(42, 48), EYES[1]), (slice(30, 31), NOSE)):
        assert np.hypot(*(face.landmarks[points].mean(axis=0) - place)) < 3


@pytest.mark.parametrize("detector", DETECTORS)
def test_two_faces_come_largest_first_and_again_the_same(detector):
    picture = from_array(two_faces())
    faces = find_faces(picture, detector, smallest_px=50)
    assert len(faces) == 2
    assert faces[0].size_px > 1.15 * faces[1].size_px
    assert faces[0].centre[0] < 256 < faces[1].centre[0]
    again = find_faces(picture, detector, smallest_px=50)
    assert [face.box for face in again] == [face.box for face in faces]


@pytest.mark.parametrize("sigma", [3, 4])
def test_lbp_sees_a_blurred_face(sigma: float):
    """Of the stronger blur the check is in doubt, but 29 windows of the cascade are not."""
    blurred = gaussian_filter(astronaut(), (sigma, sigma, 0))[:256, 96:352]
    (face,) = find_faces(from_array(blurred), "lbp")
    assert (face.score > LBP_LEAST) is (sigma == 3)
    assert overlaps(np.array([face.box]), np.array([[78.0, 70.0, 178.0, 170.0]])) > 0.7


@pytest.mark.parametrize("detector", DETECTORS)
def test_pictures_without_faces(detector):
    for array in (np.full((90, 120), 0.5, np.float32), np.zeros((20, 300, 3), np.uint8), coffee()[100:300, 100:300]):
        assert find_faces(from_array(array), detector, smallest_px=64) == ()


def test_grey_pictures_and_colours_outside_srgb():
    grey = from_array(astronaut()[:256, 96:352]).grey()
    (found,) = find_faces(from_array(grey), "lbp", smallest_px=64)
    wide = from_array(astronaut()[:256, 96:352] / np.float32(255) * 1.1 - 0.05)
    (other,) = find_faces(wide, "lbp", smallest_px=64)
    assert overlaps(np.array([found.box]), np.array([other.box])) > 0.6


def test_higher_odds_asked_for_find_less():
    picture = astronaut()[:256, 96:352]
    counts = [len(Lbp(least).find(picture, 40)) for least in (-1000, 2, 1000)]
    assert counts[0] >= counts[1] >= 1
    assert counts[2] == 0


@needs_dlib
def test_dlib_believes_the_cascade_where_it_is_in_doubt():
    blurred = gaussian_filter(astronaut(), (4, 4, 0))[:256, 96:352]
    (face,) = Dlib().find(blurred, 40)
    assert face.score < 0  # by itself it would be none
    assert overlaps(np.array([face.box]), np.array([[78.0, 70.0, 178.0, 170.0]])) > 0.7


@needs_dlib
def test_a_badge_is_no_face():
    """The round one on her suit, in a small copy enlarged again: dlib's margin is positive, the cascade sees little."""
    picture = Image.fromarray(astronaut()).resize((300, 300)).resize((512, 512))
    saved = BytesIO()
    picture.save(saved, "JPEG", quality=40)
    pixels = np.asarray(Image.open(saved))
    assert len(Dlib(0.1).find(pixels, 40)) >= 2
    assert len(find_faces(from_array(pixels), "dlib")) == 1


def test_without_the_extra_auto_is_lbp_and_dlib_says_how(monkeypatch):
    monkeypatch.setattr(dlib_models, "find_spec", lambda name: None)
    dlib_models.frontal_detector.cache_clear()
    assert detector_named("auto").name == "lbp"
    with pytest.raises(ModelError, match=r"no package dlib and no face_recognition_models.*restauro\[faces\]"):
        find_faces(from_array(astronaut()), "dlib")


@needs_dlib
def test_with_the_extra_auto_is_dlib_and_lbp_where_that_sees_nothing():
    assert detector_named("auto").name == "dlib, then lbp"
    (seen,) = find_faces(from_array(astronaut()), smallest_px=64)
    assert seen.detector == "dlib"
    noisy = astronaut()[:256, 96:352] + np.random.default_rng(0).normal(0, 130, (256, 256, 3))
    picture = from_array(np.clip(noisy, 0, 255).astype(np.uint8))
    assert find_faces(picture, "dlib") == ()
    (missed,) = find_faces(picture)
    assert missed.detector == "lbp"
    assert find_faces(from_array(coffee()[100:300, 100:300])) == ()


@pytest.mark.parametrize("wrong", [{"detector": "haar"}, {"smallest_px": 23}])
def test_settings_that_are_refused(wrong):
    with pytest.raises(SettingError):
        find_faces(from_array(astronaut()), **wrong)


class TestChoose:
    faces = (Face((0, 0, 100, 100)), Face((200, 0, 280, 80)), Face((300, 0, 350, 50)))

    @pytest.mark.parametrize(
        ("which", "numbers"),
        [("all", (0, 1, 2)), ("largest", (0,)), ("2", (2,)), ("2,0,2", (0, 2)), ((1,), (1,)), ([2, 1], (1, 2))],
    )
    def test_by_word_and_number(self, which, numbers):
        assert choose(self.faces, which) == tuple(self.faces[k] for k in numbers)

    def test_by_box_and_size(self):
        assert choose(self.faces, near=(190, 0, 400, 100)) == self.faces[1:]
        assert choose(self.faces, "0", near=(190, 0, 400, 100)) == (self.faces[1],)
        assert choose(self.faces, near=(239, 39, 241, 41)) == (self.faces[1],)
        assert choose(self.faces, smallest_px=80) == self.faces[:2]
        assert choose(self.faces, "largest", near=(500, 500, 510, 510)) == ()
        assert choose((), "3") == ()

    @pytest.mark.parametrize("which", ["biggest", "", "1;2", "3", (-1,)])
    def test_what_is_refused(self, which):
        with pytest.raises(SettingError, match="faces"):
            choose(self.faces, which)


@pytest.mark.parametrize("box", [(1, 1, 1, 5), (0, 0, float("nan"), 5), (5, 0, 1, 9)])
def test_a_face_has_an_area(box):
    with pytest.raises(SettingError, match="box"):
        Face(box)


def test_landmarks_are_68_or_5():
    with pytest.raises(SettingError, match="landmarks"):
        Face((0, 0, 1, 1), landmarks=np.zeros((6, 2)))
