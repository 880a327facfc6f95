"""The check of what the cascade proposes: a face passes, and its surroundings and house fronts do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file
from skimage.data import astronaut

from restauro.errors import ModelError
from restauro.restore.faces import verify
from restauro.restore.faces.verify import COUNT, features, log_odds

FACE = (178.0, 70.0, 274.0, 166.0)  # skimage's astronaut, by eye


def _grey() -> Image.Image:
    return Image.fromarray(astronaut()).convert("L")


def test_a_face_is_one_and_its_surroundings_are_none():
    grey = _grey()
    assert log_odds(grey, FACE, 10) > 2
    left, top, right, bottom = FACE
    for x, y in ((60, 0), (-60, 0), (0, 60), (120, 200), (-120, 260)):
        assert log_odds(grey, (left + x, top + y, right + x, bottom + y), 10) < 0


def test_more_windows_that_agree_make_it_surer():
    assert log_odds(_grey(), FACE, 40) > log_odds(_grey(), FACE, 4)


def test_a_house_front_is_none():
    front = np.full((96, 96), 200, np.uint8)
    front[24:44, 20:40] = front[24:44, 56:76] = 60  # two windows
    front[62:80, 34:62] = 60  # and a door
    assert log_odds(Image.fromarray(front), (12.0, 12.0, 84.0, 84.0), 12) < 0


def test_features_are_those_of_the_box_at_one_size():
    grey = _grey()
    whole = features(grey, FACE, 7)
    assert whole.shape == (COUNT,)
    assert whole[-1] == pytest.approx(np.log(7))
    assert (whole[:-1].reshape(-1, 32).max(axis=1) <= 1).all()
    double = grey.resize((1024, 1024), Image.Resampling.BICUBIC)
    assert np.abs(features(double, tuple(2 * v for v in FACE), 7) - whole).mean() < 0.02
    assert np.isfinite(features(grey, (-40.0, -40.0, 60.0, 60.0), 1)).all()
    assert np.isfinite(features(Image.new("L", (20, 20)), (0.0, 0.0, 20.0, 20.0), 1)).all()


def test_damaged_and_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(verify.resources, "files", lambda package: tmp_path)
    verify._weights.cache_clear()
    try:
        with pytest.raises(ModelError, match="install restauro again"):
            log_odds(_grey(), FACE, 1)
        (tmp_path / "weights").mkdir()
        tensors = {"weight": np.zeros(5, np.float32), "bias": np.zeros(1, np.float32)}
        save_file(tensors, tmp_path / "weights" / verify.FILE, {"format": verify.FORMAT})
        with pytest.raises(ModelError, match="another check"):
            log_odds(_grey(), FACE, 1)
    finally:
        verify._weights.cache_clear()
