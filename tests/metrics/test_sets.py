"""Frechet and kernel distances, and label maps, against slow plain versions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from restauro.errors import SettingError
from restauro.metrics.fid import frechet_distance
from restauro.metrics.kid import kernel_distance
from restauro.metrics.miou import class_iou, confusion, mean_iou, pixel_accuracy


def features(n, d, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(shift, 1, (n, d)) @ rng.normal(size=(d, d))


@pytest.mark.parametrize(("n", "m", "d"), [(200, 150, 8), (40, 60, 12)])
def test_frechet_agrees_with_the_matrix_square_root(n, m, d):
    a, b = features(n, d, 1), features(m, d, 2, shift=0.5)
    ca, cb = np.cov(a.T), np.cov(b.T)
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(ca + cb - 2 * sqrtm(ca @ cb).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_frechet_with_fewer_pictures_than_features():
    a, b = features(5, 30, 1), features(7, 30, 2)
    eps = 1e-10 * np.eye(30)
    ca, cb = np.cov(a.T) + eps, np.cov(b.T) + eps
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(ca + cb - 2 * sqrtm(ca @ cb).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-3)


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 20), st.integers(1, 12), st.integers(0, 1000))
def test_frechet_is_zero_with_itself_symmetric_and_not_negative(n, d, seed):
    a, b = features(n, d, seed), features(n + 3, d, seed + 1)
    scale = np.square(a).sum()
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-12 * scale)
    assert frechet_distance(a, a[::-1]) == pytest.approx(0, abs=1e-12 * scale)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))
    assert frechet_distance(a, b) >= 0


def test_frechet_of_few_pictures_is_biased_and_the_kernel_distance_is_not():
    rng = np.random.default_rng(0)
    few = [(rng.normal(size=(10, 16)), rng.normal(size=(10, 16))) for _ in range(60)]
    many = [(rng.normal(size=(1000, 16)), rng.normal(size=(1000, 16))) for _ in range(3)]
    assert np.mean([frechet_distance(*p) for p in few]) > 20 * np.mean([frechet_distance(*p) for p in many])
    found = [kernel_distance(*p) for p in few]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))


def test_kernel_distance_is_the_unbiased_estimate_written_out():
    a, b = features(6, 4, 1), features(9, 4, 2, shift=0.3)

    def k(x, y):
        return (x @ y / 4 + 1) ** 3

    within_a = np.mean([k(x, y) for i, x in enumerate(a) for j, y in enumerate(a) if i != j])
    within_b = np.mean([k(x, y) for i, x in enumerate(b) for j, y in enumerate(b) if i != j])
    across = np.mean([k(x, y) for x in a for y in b])
    assert kernel_distance(a, b) == pytest.approx(within_a + within_b - 2 * across)


def test_pairs_bias_the_plain_estimate_and_not_the_paired_one():
    rng = np.random.default_rng(5)
    plain, paired = [], []
    for _ in range(200):
        content = rng.normal(size=(8, 6))
        a, b = (content + 0.3 * rng.normal(size=content.shape) for _ in range(2))
        plain.append(kernel_distance(a, b))
        paired.append(kernel_distance(a, b, paired=True))
    assert np.mean(plain) < -3 * np.std(plain) / np.sqrt(200)
    assert abs(np.mean(paired)) < 3 * np.std(paired) / np.sqrt(200)
    assert kernel_distance(a, a, paired=True) == 0
    with pytest.raises(SettingError, match="as many"):
        kernel_distance(a, b[:-1], paired=True)


@pytest.mark.parametrize("metric", [frechet_distance, kernel_distance])
def test_sets_that_cannot_be_compared(metric):
    for a, b in [
        (np.ones((1, 3)), np.ones((4, 3))),
        (np.ones((4, 3)), np.ones((4, 2))),
        (np.ones(4), np.ones(4)),
        (np.full((4, 3), np.nan), np.ones((4, 3))),
    ]:
        with pytest.raises(SettingError, match="features"):
            metric(a, b)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.integers(2, 6))
def test_miou_agrees_with_counting_by_hand(seed, classes):
    rng = torch.Generator().manual_seed(seed)
    truth = torch.randint(0, classes + 1, (2, 7, 9), generator=rng)  # the last label is "unlabelled"
    predicted = torch.randint(0, classes, (2, 7, 9), generator=rng)
    both = [confusion(p, t, classes=classes, ignore=classes) for p, t in zip(predicted, truth, strict=True)]
    matrix = sum(both)
    kept = truth != classes
    ious = []
    for k in range(classes):
        p, t = (predicted == k) & kept, (truth == k) & kept
        if (p | t).any():
            ious.append(float((p & t).sum() / (p | t).sum()))
    assert mean_iou(matrix) == pytest.approx(np.mean(ious))
    assert pixel_accuracy(matrix) == pytest.approx(float((predicted == truth)[kept].float().mean()))
    assert confusion(predicted, predicted, classes=classes).sum() == predicted.numel()


def test_miou_refuses_labels_that_do_not_exist():
    labels = torch.tensor([0, 1, 2])
    assert torch.isnan(class_iou(confusion(labels[:2], labels[:2], classes=3))[2])
    with pytest.raises(SettingError, match="labels 0"):
        confusion(labels, labels, classes=2)
    with pytest.raises(SettingError, match="integer"):
        confusion(labels.float(), labels, classes=3)
    with pytest.raises(SettingError, match="shape"):
        confusion(labels[:2], labels, classes=3)
