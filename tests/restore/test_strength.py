from __future__ import annotations

import numpy as np
import pytest

from restauro.errors import PictureError, SettingError
from restauro.restore.strength import blend

RNG = np.random.default_rng(0)
A = RNG.random((7, 5, 3), np.float32)
B = RNG.random((7, 5, 3), np.float32)


def test_ends_are_bit_for_bit():
    assert np.array_equal(blend(A, B, 0), A)
    assert np.array_equal(blend(A, B, 1), B)


def test_between_is_linear():
    np.testing.assert_allclose(blend(A, B, 0.3), 0.7 * A + 0.3 * B, atol=1e-6)


def test_mask_keeps_black_bit_for_bit_and_takes_white_whole():
    mask = np.zeros((7, 5), np.float32)
    mask[2:4] = 1
    mask[5] = 0.5
    out = blend(A, B, 1.0, mask)
    assert np.array_equal(out[:2], A[:2])
    assert np.array_equal(out[2:4], B[2:4])
    np.testing.assert_allclose(out[5], (A[5] + B[5]) / 2, atol=1e-6)


def test_wrong_settings():
    with pytest.raises(SettingError, match=r"strength: found 1\.5"):
        blend(A, B, 1.5)
    with pytest.raises(SettingError, match="strength"):
        blend(A, B, float("nan"))
    with pytest.raises(PictureError, match="5x7 px, the size of the picture"):
        blend(A, B, 1.0, np.ones((5, 5), np.float32))
