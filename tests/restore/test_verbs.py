from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data

import restauro as rs
from restauro.errors import ModelError, SettingError, UsageError
from restauro.picture import from_array
from restauro.restore.engine import EngineSettings

FACE = skimage.data.astronaut()[0:96, 160:256]


def test_smooth_then_desmooth_comes_nearer_to_the_truth():
    truth = from_array(FACE)
    flat = rs.smooth(truth, "l0", lam=0.02)
    outcome = rs.desmooth(flat)
    assert isinstance(outcome, rs.Restored)
    before = np.square(flat.pixels - truth.pixels).mean()
    after = np.square(outcome.picture.pixels - truth.pixels).mean()
    assert after < before


def test_evidence_names_what_was_done():
    outcome = rs.desmooth(from_array(FACE), engine=EngineSettings(device="cpu", precision="float32"))
    assert isinstance(outcome, rs.Restored)
    assert outcome.evidence.model == "desmooth-general"
    assert outcome.evidence.precision == "float32"
    assert len(outcome.evidence.weights_sha256 or "") == 64


def test_bfloat16_and_tiles_agree_with_the_plain_form():
    """PSNR of at least 50 dB between what users get by default and the float32 whole picture."""
    picture = from_array(np.tile(FACE, (3, 3, 1)))
    plain = rs.desmooth(picture, engine=EngineSettings(device="cpu", precision="float32"))
    quick = rs.desmooth(picture, engine=EngineSettings(device="cpu", precision="bfloat16", tile_px=64))
    tiled = rs.desmooth(picture, engine=EngineSettings(device="cpu", precision="float32", tile_px=64))
    assert isinstance(plain, rs.Restored)
    assert isinstance(quick, rs.Restored)
    assert isinstance(tiled, rs.Restored)
    assert quick.evidence.tiles > 1
    assert np.square(quick.picture.pixels - plain.picture.pixels).mean() < 1e-5
    np.testing.assert_allclose(tiled.picture.pixels, plain.picture.pixels, atol=1e-5)


def test_alpha_grey_and_size_are_kept():
    rgba = np.dstack([FACE, np.full(FACE.shape[:2], 128, np.uint8)])
    outcome = rs.desmooth(from_array(rgba))
    assert isinstance(outcome, rs.Restored)
    assert np.array_equal(outcome.picture.alpha, from_array(rgba).alpha)
    grey = rs.desmooth(from_array(FACE[:, :, 0]))
    assert isinstance(grey, rs.Restored)
    assert grey.picture.pixels.shape == (96, 96, 1)


def test_a_picture_that_cannot_be_computed_is_failed_not_passed_off():
    outcome = rs.desmooth(from_array(FACE, name="aunt"), engine=EngineSettings(device="cpu", memory_limit=1000))
    assert isinstance(outcome, rs.Failed)
    assert outcome.name == "aunt"
    assert "aunt" in outcome.reason


def test_wrong_requests_are_named(tmp_path: Path):
    picture = from_array(FACE)
    with pytest.raises(ModelError, match="desmooth-general"):
        rs.desmooth(picture, "desmooth-genral")
    with pytest.raises(UsageError, match="'l0'"):
        rs.smooth(picture, "l00")
    with pytest.raises(UsageError, match="'lam'"):
        rs.smooth(picture, "l0", lamb=1)
    with pytest.raises(SettingError, match="lam: found -1"):
        rs.smooth(picture, "l0", lam=-1)
    with pytest.raises(SettingError, match="strength"):
        rs.smooth(picture, "l0", strength=2)
    with pytest.raises(UsageError, match="wanted one of"):
        rs.degrade(picture, "nonsense")


def test_degrade_is_the_smoother_with_a_record():
    picture = from_array(FACE)
    worse, record = rs.degrade(picture, "l0", {"lam": 0.05}, seed=3)
    assert record.law == "l0"
    assert record.seed == 3
    np.testing.assert_array_equal(worse.pixels, rs.smooth(picture, "l0", lam=0.05).pixels.clip(0, 1))
