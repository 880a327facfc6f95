"""FED, LLE and identity distance: against dlib used by hand, and what they must say of people."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, shift
from skimage.data import astronaut

from restauro.errors import ModelError
from restauro.metrics import dlib_models
from restauro.metrics.identity import NAME_FED, NAME_IDENTITY, NAME_LLE, FaceMetrics, face_metrics
from restauro.metrics.report import markdown
from restauro.metrics.scoreboard import Scoreboard
from restauro.picture import read

NAMES = (NAME_FED, NAME_LLE, NAME_IDENTITY)
needs_dlib = pytest.mark.skipif(bool(dlib_models.missing()), reason=dlib_models.missing())


def face() -> np.ndarray:
    return np.ascontiguousarray(astronaut()[:256, 96:352])


def tensor(pixels: np.ndarray) -> torch.Tensor:
    array = pixels / 255 if pixels.dtype == np.uint8 else pixels
    return torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)[None].float()


def blurred(pixels: np.ndarray, sigma: float) -> np.ndarray:
    return gaussian_filter(pixels, (sigma, sigma, 0))


@pytest.fixture(scope="module")
def metrics() -> FaceMetrics:
    return FaceMetrics()


@needs_dlib
def test_of_a_picture_with_itself_they_are_zero(metrics):
    x = tensor(face())
    assert [metric(x, x).item() for metric in (metrics.fed, metrics.lle, metrics.identity)] == [0, 0, 0]


@needs_dlib
def test_they_agree_with_dlib_used_as_the_published_script_does(metrics):
    import dlib

    detect = dlib.get_frontal_face_detector()
    five, sixty_eight = (
        dlib.shape_predictor(str(dlib_models.models_file(f)))
        for f in ("shape_predictor_5_face_landmarks.dat", "shape_predictor_68_face_landmarks.dat")
    )
    network = dlib.face_recognition_model_v1(str(dlib_models.models_file(dlib_models.EMBEDDER_FILE)))
    vectors, points = [], []
    pair = face(), blurred(face(), 2)
    for pixels in pair:
        first = detect(pixels, 1)[0]
        vectors.append(np.array(network.compute_face_descriptor(pixels, five(pixels, first), 1)))
        p = [(q.x, q.y) for q in sixty_eight(pixels, first).parts()]
        top_lip = [*p[48:55], p[64], p[63], p[62], p[61], p[60]]
        bottom_lip = [*p[54:60], p[48], p[60], p[67], p[66], p[65], p[64]]
        points.append(np.array(p[:48] + top_lip + bottom_lip))
    assert len(points[0]) == 72
    one, other = (tensor(pixels) for pixels in pair)
    assert metrics.fed(other, one).item() == pytest.approx(np.linalg.norm(vectors[0] - vectors[1]), abs=1e-6)
    expected = np.linalg.norm(points[0] - points[1], axis=1).mean() * 512 / 256
    assert metrics.lle(other, one).item() == pytest.approx(expected, abs=1e-9)
    assert metrics.lle(other, one).item() > 0


@needs_dlib
def test_symmetric_and_worse_with_more_blur(metrics):
    x, y, z = (tensor(blurred(face(), sigma)) for sigma in (0, 1.5, 3))
    for metric in (metrics.fed, metrics.lle):
        assert metric(x, y).item() == metric(y, x).item()
    for metric in (metrics.fed, metrics.identity):
        assert 0 < metric(y, x).item() < metric(z, x).item() < 0.6
    batch = metrics.fed(torch.cat([y, z]), torch.cat([x, x]))
    assert batch.tolist() == [metrics.fed(y, x).item(), metrics.fed(z, x).item()]


@needs_dlib
def test_a_moved_face_has_moved_landmarks_but_the_same_identity(metrics):
    moved = shift(face().astype(float), (0, 8, 0), order=1, mode="nearest").astype(np.uint8)
    assert metrics.lle(tensor(moved), tensor(face())).item() == pytest.approx(16, abs=2.5)  # px of 512
    assert metrics.fed(tensor(moved), tensor(face())).item() < 0.25


@needs_dlib
def test_no_face_is_infinite_and_listed_by_name(metrics):
    grey, x = tensor(np.full((256, 256, 3), 90, np.uint8)), tensor(face())
    for restored, truth in ((grey, x), (x, grey)):
        assert metrics.fed(restored, truth).item() == math.inf
        assert metrics.lle(restored, truth).item() == math.inf
    assert metrics.identity(x, grey).item() == math.inf
    assert 0.3 < metrics.identity(grey, x).item() < math.inf  # at the truth's landmarks, nothing hides
    board = Scoreboard(("psnr", *NAMES))
    board.add("ours", "a", tensor(blurred(face(), 1)), x)
    board.add("ours", "b", grey, x)
    table = board.table()
    text = markdown(table)
    listed = "1 of 2 pictures are infinite (no face found in the picture or in its truth: b)"
    assert f"ours, {NAME_FED}: {listed}" in text
    assert f"ours, {NAME_LLE}: {listed}" in text
    assert f"ours, {NAME_IDENTITY}:" not in text
    assert table.interval("ours", NAME_FED).count == 1
    assert table.interval("ours", "psnr:rgb").count == 2


def test_without_the_extra_the_columns_are_empty_and_say_why(monkeypatch):
    monkeypatch.setattr(dlib_models, "find_spec", lambda name: None)
    for cached in (face_metrics, dlib_models.frontal_detector, dlib_models.landmarks, dlib_models.embedder):
        cached.cache_clear()
    with pytest.raises(ModelError, match="faces"):
        FaceMetrics()
    board = Scoreboard(("psnr", "fed"))
    board.add("ours", "a", tensor(face()), tensor(face()))
    (row,) = (row for row in board.table().rows if row.method == "ours")
    assert "pip install 'restauro[faces]'" in row.empty[NAME_FED]
    assert "psnr:rgb" in row.values


@needs_dlib
@pytest.mark.data
def test_other_people_are_further_away_than_two_versions_of_one(metrics, data_root: Path):
    folder = data_root / "faces" / "images"
    persons = sorted({path.name[:10] for path in folder.glob("london_*_neutral.jpg")})[:3]
    pictures = [tensor(read(folder / f"{person}_neutral.jpg").rgb()) for person in persons]
    for k, one in enumerate(pictures):
        softer = tensor(blurred(one[0].permute(1, 2, 0).numpy(), 1.5))
        smiling = tensor(read(folder / f"{persons[k]}_smiling.jpg").rgb())
        same = max(metrics.fed(softer, one).item(), metrics.fed(smiling, one).item())
        others = [metrics.fed(other, one).item() for n, other in enumerate(pictures) if n != k]
        assert same < min(others)
