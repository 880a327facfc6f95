"""Every metric against values that tools/make_golden.py took from other implementations."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from restauro.metrics.catalogue import METRICS, Setup
from restauro.metrics.fid import squeeze_features
from restauro.nets.features import SQUEEZENET11_FILE, load_squeezenet11
from tools.make_golden import GOLDEN, pictures

CONTENT = json.loads(GOLDEN.read_text())
PIXELS = [(case, name, value) for case, by_name in CONTENT["pixels"].items() for name, value in by_name.items()]


def tensors(case: str, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    truth, changed = (torch.from_numpy(x).to(dtype).permute(2, 0, 1)[None] for x in pictures(case))
    return changed, truth


@pytest.fixture
def weights() -> Path:
    folder = os.environ.get("RESTAURO_FEATURES")
    if not folder:
        pytest.skip("needs pretrained weights: set RESTAURO_FEATURES to their folder")
    return Path(folder)


@pytest.mark.parametrize(("case", "name", "value"), PIXELS)
def test_pixel_metrics(case, name, value):
    found = METRICS[name].build(Setup())(*tensors(case, torch.float64))
    assert found.item() == pytest.approx(value, rel=1e-6)


def test_eight_bit_float32_pictures_give_the_same():
    case = "astronaut noise"
    for name, value in CONTENT["pixels"][case].items():
        assert METRICS[name].build(Setup())(*tensors(case)).item() == pytest.approx(value, rel=1e-4), name


@pytest.mark.data
@pytest.mark.parametrize("case", CONTENT["features"])
def test_squeezenet_metrics_against_plain_numpy(case, weights):
    changed, truth = tensors(case)
    golden = CONTENT["features"][case]
    metric = METRICS["lpips-squeeze-caffe"].build(Setup(features=weights))
    assert metric(changed, truth).item() == pytest.approx(golden["lpips-squeeze-caffe"], rel=1e-4)
    assert metric(truth, changed).item() == pytest.approx(metric(changed, truth).item(), rel=1e-6)
    assert metric(truth, truth).item() == pytest.approx(0, abs=1e-9)
    corners = METRICS["lpips-squeeze-caffe:corners"].build(Setup(features=weights))
    parts = [[x[..., k : x.shape[2] - 7 + k, k : x.shape[3] - 7 + k] for x in (changed, truth)] for k in range(8)]
    assert corners(changed, truth).item() == pytest.approx(np.mean([metric(*part).item() for part in parts]), rel=1e-6)
    features = squeeze_features(truth, load_squeezenet11(weights / SQUEEZENET11_FILE))[0, :8]
    np.testing.assert_allclose(features, golden["fire9 means"], rtol=1e-3, atol=1e-4)
