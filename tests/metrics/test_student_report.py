"""The ASAP-Net report's conventions: against scikit-image, and against the general Frechet distance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from restauro.errors import SettingError
from restauro.metrics.catalogue import METRICS, REPORT, find
from restauro.metrics.fid import frechet_distance
from restauro.metrics.ssim import ssim
from restauro.metrics.student_report import mean_of_pairs, signed_ssim


def test_signed_ssim_is_scikit_images_on_signed_pictures():
    rng = np.random.default_rng(0)
    a = rng.random((40, 37, 3))
    b = np.clip(a + 0.1 * rng.standard_normal(a.shape), 0, 1)
    wanted = structural_similarity(
        2 * a - 1,
        2 * b - 1,
        data_range=2,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    x, y = (torch.from_numpy(one).permute(2, 0, 1)[None] for one in (a, b))
    assert float(signed_ssim(x, y)) == pytest.approx(wanted, abs=1e-9)
    assert abs(float(signed_ssim(x, y)) - float(ssim(x, y))) > 1e-3  # another number than the usual one


def test_mean_of_pairs_is_the_frechet_distance_of_each_batch():
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 7, 5))
    wanted = np.mean([frechet_distance(a[k : k + 2], b[k : k + 2]) for k in (0, 2, 4)])
    assert mean_of_pairs(a, b) == pytest.approx(wanted, rel=1e-9)
    with pytest.raises(SettingError, match="truth for each picture"):
        mean_of_pairs(a, b[:5])


def test_the_group_and_its_warning():
    metrics = find(("report",))
    assert tuple(metric.column.name for metric in metrics) == REPORT
    assert all("misleads" in METRICS[name].column.note for name in REPORT[1:])
