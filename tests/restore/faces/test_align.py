"""Crops are upright, framed as FFHQ, and resampled without aliases."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.data import astronaut
from skimage.transform import rotate

from restauro.errors import SettingError
from restauro.metrics import dlib_models
from restauro.picture import from_array
from restauro.restore.faces.align import crop_of, cut, whole
from restauro.restore.faces.face import Face
from restauro.restore.faces.find import find_faces
from restauro.restore.faces.sample import Similarity, between, resample

needs_dlib = pytest.mark.skipif(bool(dlib_models.missing()), reason=dlib_models.missing())
SIMILARITIES = st.builds(
    lambda log_scale, angle, x, y: Similarity(
        math.exp(log_scale) * math.cos(angle), math.exp(log_scale) * math.sin(angle), x, y, 64
    ),
    st.floats(-2, 2),
    st.floats(-3.2, 3.2),
    st.floats(-300, 300),
    st.floats(-300, 300),
)


def face_at(move: Similarity) -> Face:
    """Five landmarks of an upright face (eyes 40 apart, mouth 44 below), moved."""
    upright = np.array([[80.0, 100], [120, 100], [100, 120], [86, 144], [114, 144]])
    return Face((0, 0, 1, 1), landmarks=move.apply(upright))


@given(SIMILARITIES)
def test_inverse_and_corners(similarity):
    points = np.array([[3.0, -8], [1e3, 50]])
    np.testing.assert_allclose(similarity.inverse().apply(similarity.apply(points)), points, atol=1e-7)
    np.testing.assert_allclose(similarity.apply(similarity.corners), [[0, 0], [64, 0], [64, 64], [0, 64]], atol=1e-7)


@given(SIMILARITIES)
def test_a_turned_face_comes_out_upright_and_the_same(move):
    face = face_at(move)
    found = crop_of(face, 256).apply(face.landmarks)
    # FFHQ by hand: e = (40, 0), m = (0, 44): half side max(80, 79.2), centre at (100, 104.4).
    expected = (np.array([[80.0, 100], [120, 100], [100, 120], [86, 144], [114, 144]]) - (20, 24.4)) * 256 / 160
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_margin_widens_the_frame():
    face = face_at(Similarity(1, 0, 0, 0, 64))
    tight, wide = crop_of(face, 100), crop_of(face, 100, margin=0.25)
    assert wide.scale == pytest.approx(tight.scale / 1.5)
    np.testing.assert_allclose(wide.corners.mean(axis=0), tight.corners.mean(axis=0))


def test_growing_is_opencvs_cubic(astronaut_array):
    square = astronaut_array[:, :192]
    ours, theirs = cut(square, whole(192, 192, 384)), cv2.resize(square, (384, 384), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(ours[8:-8, 8:-8], np.clip(theirs, 0, 1)[8:-8, 8:-8], atol=2e-5)


def test_shrinking_has_no_aliases():
    stripes = np.tile(np.array([0.0, 1.0], np.float32), (128, 64))[:, :, None]
    small = cut(stripes, between(np.array([64, 64]), np.array([40.0, 25.0]), 24))
    assert np.abs(small - 0.5).max() < 0.06
    nearest = stripes[::4, ::4]
    assert nearest.std() == 0  # what a plain subsampling makes of it: black
    assert nearest.mean() == 0


def test_a_crop_over_the_border_mirrors_the_picture(astronaut_array):
    over = between(np.array([0.0, 96.0]), np.array([32.0, 0.0]), 64)
    made = cut(astronaut_array, over)
    np.testing.assert_allclose(made[:, :32], made[:, :31:-1], atol=1e-6)
    np.testing.assert_allclose(made[:, 32:], astronaut_array[64:128, :32], atol=1e-6)


def test_a_part_is_the_part_of_the_whole(astronaut_array):
    turn = Similarity(0.6, 0.3, 12.0, -7.0, 64)
    everything = resample(astronaut_array, turn.inverse(), (0, 0, 64, 64))
    part = resample(astronaut_array, turn.inverse(), (10, 20, 50, 60))
    np.testing.assert_allclose(part[2:-2, 2:-2], everything[22:58, 12:48], atol=1e-5)


@needs_dlib
def test_a_turned_photograph_gives_the_same_crop():
    picture = astronaut() / np.float32(255)
    turned = rotate(picture, 17, center=(222, 122), order=3, mode="edge").clip(0, 1).astype(np.float32)
    crops = []
    for pixels in (picture, turned):
        (face,) = find_faces(from_array(pixels), "dlib", smallest_px=64)
        crops.append(cut(pixels, crop_of(face, 64)))
    middle = slice(16, 48)
    alike = np.corrcoef(crops[0][middle, middle].ravel(), crops[1][middle, middle].ravel())[0, 1]
    assert alike > 0.97
    unaligned = np.corrcoef(picture[90:154, 190:254].ravel(), turned[90:154, 190:254].ravel())[0, 1]
    assert unaligned < alike - 0.1


@needs_dlib
def test_box_frame_is_close_to_the_landmark_frame():
    (face,) = find_faces(from_array(astronaut()), "dlib", smallest_px=64)
    (boxed,) = find_faces(from_array(astronaut()), "lbp", smallest_px=64)
    frames = crop_of(face, 256), crop_of(boxed, 256)
    assert frames[1].scale == pytest.approx(frames[0].scale, rel=0.2)
    apart = frames[0].corners.mean(axis=0) - frames[1].corners.mean(axis=0)
    assert np.hypot(*apart) < 0.15 * 256 / frames[0].scale


def test_what_is_refused():
    with pytest.raises(SettingError, match="margin"):
        crop_of(Face((0, 0, 9, 9)), 64, margin=-0.5)
    with pytest.raises(SettingError, match="landmarks"):
        crop_of(Face((0, 0, 9, 9), landmarks=np.ones((68, 2))), 64)
    with pytest.raises(SettingError, match="size_px"):
        crop_of(Face((0, 0, 9, 9)), 0)
    with pytest.raises(SettingError, match="similarity"):
        Similarity(0, 0, 1, 1, 8)
