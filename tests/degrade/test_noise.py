from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from restauro.degrade.noise import (
    GaussianNoise,
    LaplaceNoise,
    NoiseSettings,
    PoissonNoise,
    deviation,
    draw_noise,
)

SHAPE = (1, 3, 100, 100)


@pytest.mark.parametrize(
    ("noise", "std"),
    [
        (GaussianNoise(20, 1), 20),
        (GaussianNoise(40, 2), 40),
        (LaplaceNoise(20, 3), 28.3),
        (LaplaceNoise(40, 4), 56.6),
        (PoissonNoise(15, 5), 15.5),
        (PoissonNoise(30, 6), 30.5),
    ],
)
def test_deviations_of_the_sheet(noise: GaussianNoise, std: float):
    field = noise.field(SHAPE)
    assert deviation(noise) == pytest.approx(std, abs=0.05)
    assert float(field.std()) == pytest.approx(std, rel=0.03)
    assert abs(float(field.mean())) < 4 * std / np.sqrt(field.numel())


def test_fields_follow_their_laws():
    assert stats.kstest(GaussianNoise(25, 7).field(SHAPE).numpy().ravel(), "norm", (0, 25)).pvalue > 1e-3
    assert stats.kstest(LaplaceNoise(25, 8).field(SHAPE).numpy().ravel(), "laplace", (0, 25)).pvalue > 1e-3
    counts = np.bincount(PoissonNoise(20, 9).field(SHAPE).abs().int().numpy().ravel(), minlength=60)
    wanted = stats.poisson(20).pmf(np.arange(len(counts))) * counts.sum()
    common = wanted > 5
    assert stats.chisquare(counts[common], wanted[common] / wanted[common].sum() * counts[common].sum()).pvalue > 1e-3


def test_poisson_noise_has_two_humps_and_ignores_the_signal():
    noise = PoissonNoise(25, 3)
    dark, light = torch.full(SHAPE, 100 / 255), torch.full(SHAPE, 140 / 255)
    assert torch.allclose(noise(dark) - dark, noise(light) - light, atol=1e-6)
    field = noise.field(SHAPE)
    assert float((field.abs() < 8).float().mean()) < 0.001
    assert float((field > 0).float().mean()) == pytest.approx(0.5, abs=0.01)


def test_channels_and_pixels_are_independent():
    field = GaussianNoise(30, 11).field(SHAPE)[0].reshape(3, -1).numpy()
    assert np.abs(np.corrcoef(field) - np.eye(3)).max() < 0.04
    assert abs(np.corrcoef(field[0, 1:], field[0, :-1])[0, 1]) < 0.04


def test_noise_is_rounded_and_clipped_to_levels(astronaut: torch.Tensor):
    y = LaplaceNoise(40, 1)(astronaut) * 255
    torch.testing.assert_close(y, y.round(), atol=1e-4, rtol=0)
    assert float(y.min()) == 0
    assert float(y.max()) == 255


@pytest.mark.parametrize("severity", [1.0, 1.2, 1.4])
def test_pressure_levels_of_the_paper(severity: float):
    generator = torch.Generator().manual_seed(0)
    found = {type(n): n.scale for n in (draw_noise(NoiseSettings(severity=severity), generator) for _ in range(40))}
    assert found == {
        GaussianNoise: pytest.approx(40 * severity),
        LaplaceNoise: pytest.approx(40 * severity),
        PoissonNoise: pytest.approx(30 * severity),
    }


def test_a_third_each_within_their_ranges():
    generator = torch.Generator().manual_seed(1)
    drawn = [draw_noise(NoiseSettings(), generator) for _ in range(1500)]
    for kind, low, high in ((GaussianNoise, 20, 40), (LaplaceNoise, 20, 40), (PoissonNoise, 15, 30)):
        scales = [noise.scale for noise in drawn if isinstance(noise, kind)]
        assert abs(len(scales) - 500) < 75
        assert stats.kstest(scales, "uniform", (low, high - low)).pvalue > 1e-3
