"""NIQE: its statistics, its fit, its refusals. Values of pictures are in test_golden.py."""

from __future__ import annotations

import json
from importlib.resources import files

import numpy as np
import pytest
import torch
from scipy.special import gamma

from restauro.errors import DataError, SettingError
from restauro.metrics.niqe import MODEL_FILE, _asymmetric_gaussian, fit, niqe, patch_features, shipped
from tools.make_golden import pictures


def picture(case: str, which: int = 0) -> torch.Tensor:
    return torch.from_numpy(pictures(case)[which]).permute(2, 0, 1)[None]


@pytest.mark.parametrize(("shape", "left", "right"), [(0.7, 1.0, 1.0), (2.0, 0.5, 1.5), (3.2, 2.0, 1.0)])
def test_parameters_of_an_asymmetric_generalised_gaussian_are_found(shape, left, right):
    rng = np.random.default_rng(0)
    size = rng.gamma(1 / shape, 1, (1, 600, 600)) ** (1 / shape)
    negative = rng.random(size.shape) < left / (left + right)
    found = [float(v[0]) for v in _asymmetric_gaussian(np.where(negative, -left * size, right * size))]
    mean = (right - left) * gamma(2 / shape) / gamma(1 / shape)
    assert found == pytest.approx([shape, left, right, mean], rel=0.03, abs=0.02)


def test_damage_raises_the_score():
    clean = niqe(picture("astronaut blur")).item()
    damaged = [niqe(picture(f"astronaut {change}", 1)).item() for change in ("blur", "noise", "levels")]
    assert clean + 1 < min(damaged)


def test_flat_and_trimmed_pictures():
    assert torch.isfinite(niqe(torch.full((1, 3, 96, 192), 0.5))).all()
    x = picture("coffee blur")
    torch.testing.assert_close(niqe(x), niqe(x[..., :192]))  # 201 columns: the last nine belong to no patch


def test_a_fit_learns_from_sharp_patches_only():
    sharp = torch.rand(1, 3, 96 * 6, 96 * 7, generator=torch.Generator().manual_seed(0))
    half_flat = sharp.clone()
    half_flat[..., : 96 * 3, :] = 0.5
    model = fit([half_flat, half_flat.flip(3)])
    sharp_half = fit([half_flat[..., 96 * 3 :, :], half_flat[..., 96 * 3 :, :].flip(3)])
    # Up to the patches along the cut, whose neighbourhoods the crop changed.
    np.testing.assert_allclose(model.mean, sharp_half.mean, rtol=0.02, atol=0.01)
    assert niqe(sharp, model) < niqe(sharp) / 5


def test_too_little_is_refused():
    with pytest.raises(SettingError, match="two patches"):
        niqe(torch.zeros(1, 3, 96, 191))
    with pytest.raises(DataError, match="sharp patches"):
        fit([torch.rand(1, 3, 96, 192)])
    with pytest.raises(DataError, match="0 sharp patches"):
        fit([])


def test_the_shipped_model_says_what_made_it():
    content = json.loads(files("restauro.metrics").joinpath(MODEL_FILE).read_text("utf-8"))
    assert content["pictures"] > 100
    assert len(content["pictures sha256"]) == 64
    model = shipped()
    assert np.linalg.eigvalsh(model.covariance).min() > 0
    features, sharpness = patch_features(np.arange(96.0 * 192).reshape(96, 192) % 251)
    assert features.shape == (2, len(model.mean)) == (2, 36)
    assert sharpness.shape == (2,)
