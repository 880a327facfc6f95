"""Known kernels taken back from real pictures; how much is gained is stated, and less is a failure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import restauro as rs
from restauro.deconvolution.deconvolve import DeconvolutionSettings, centroid_px, deconvolve
from restauro.degrade.kernels import convolve, from_linear, to_linear
from restauro.degrade.motion import TrajectoryBlur
from restauro.errors import PictureError, SettingError, UsageError
from restauro.picture import from_array
from restauro.restore.outcome import Failed, Restored

LUCY = DeconvolutionSettings("richardson-lucy", iterations=20)


def blurred(pixels: np.ndarray, kernel: np.ndarray, sigma_levels: float = 1.0, light: bool = False) -> np.ndarray:
    """The picture after the kernel, noise and rounding to 8 bits."""
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].double()
    taps = torch.from_numpy(kernel)
    y = from_linear(convolve(to_linear(255 * x), taps)) if light else 255 * convolve(x, taps)
    noise = np.random.default_rng(0).normal(0, sigma_levels, pixels.shape)
    levels = np.rint(y[0].permute(1, 2, 0).numpy() + noise).clip(0, 255)
    return (levels / 255).astype(np.float32)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(np.square(a.astype(np.float64) - b).mean()))


@pytest.fixture(scope="module")
def kernel() -> np.ndarray:
    return TrajectoryBlur(4, exposure=0.5, anxiety=0.005).kernel().numpy()


@pytest.mark.parametrize(("settings", "gain"), [(DeconvolutionSettings(), 3.5), (LUCY, 4.5)])
def test_a_known_kernel_is_taken_back(
    astronaut_array: np.ndarray, kernel: np.ndarray, settings: DeconvolutionSettings, gain: float
):
    given = blurred(astronaut_array, kernel)
    made = deconvolve(given, kernel, settings)
    assert made.dtype == np.float32
    assert made.shape == given.shape
    assert 0 <= made.min() <= made.max() <= 1
    assert psnr(made, astronaut_array) > psnr(given, astronaut_array) + gain


def test_without_noise_less_balance_is_better(astronaut_array: np.ndarray, kernel: np.ndarray):
    pixels = astronaut_array[..., :1]
    wide = convolve(torch.from_numpy(pixels).permute(2, 0, 1)[None].double(), torch.from_numpy(kernel))
    given = wide[0].permute(1, 2, 0).numpy().astype(np.float32)
    inside = slice(30, -30)

    def inner(balance: float) -> float:
        made = deconvolve(given, kernel, DeconvolutionSettings(balance=balance))
        return psnr(made[inside, inside], pixels[inside, inside])

    scores = [inner(balance) for balance in (1.0, 0.03, 0.001)]
    assert scores == sorted(scores)
    assert scores[-1] > 32


def test_borders_do_not_ring(astronaut_array: np.ndarray, kernel: np.ndarray):
    """Without the continuation, the opposite border would come through: twice the error and more."""
    from skimage.restoration import wiener

    given = blurred(astronaut_array, kernel)[..., :1]
    truth = astronaut_array[..., :1]
    plain = wiener(given[..., 0].astype(np.float64), kernel, 0.01)[..., None]
    made = deconvolve(given, kernel)
    rim = np.ones(truth.shape, bool)
    rim[10:-10, 10:-10] = False
    assert np.abs(made - truth)[rim].mean() < 0.7 * np.abs(plain - truth)[rim].mean()


def test_a_kernel_off_its_centre_moves_the_picture_back(astronaut_array: np.ndarray):
    kernel = np.zeros((7, 9))
    kernel[1, 7] = 1  # 3 px to the right, 2 px up
    assert centroid_px(kernel) == (3, -2)
    given = blurred(astronaut_array, kernel, 0)
    assert np.array_equal(given[:-2, 3:], astronaut_array[2:, :-3])
    made = deconvolve(given, kernel, DeconvolutionSettings(balance=1e-4))
    assert psnr(made[10:-10, 10:-10], astronaut_array[10:-10, 10:-10]) > 35


def test_light_is_deblurred_as_light(astronaut_array: np.ndarray, kernel: np.ndarray):
    given = blurred(astronaut_array, kernel, 0.5, light=True)
    as_light = deconvolve(given, kernel, DeconvolutionSettings("richardson-lucy", iterations=15, linear_light=True))
    as_srgb = deconvolve(given, kernel, DeconvolutionSettings("richardson-lucy", iterations=15))
    assert psnr(as_light, astronaut_array) > psnr(as_srgb, astronaut_array) + 0.5


@pytest.mark.parametrize("settings", [None, DeconvolutionSettings("richardson-lucy", iterations=3)])
def test_one_tap_leaves_the_picture(astronaut_array: np.ndarray, settings: DeconvolutionSettings | None):
    made = deconvolve(astronaut_array, np.ones((1, 1)), settings)
    assert np.abs(made - astronaut_array).mean() < (0.02 if settings is None else 1e-6)


def test_the_verb(astronaut_array: np.ndarray, kernel: np.ndarray):
    given = from_array(blurred(astronaut_array, kernel))
    outcome = rs.deblur(given, kernel=kernel)
    assert isinstance(outcome, Restored)
    assert np.array_equal(outcome.picture.pixels, deconvolve(given.pixels, kernel))
    assert outcome.evidence.model == "wiener balance=0.01"
    assert "taken as true" in outcome.evidence.notes[0]
    assert np.array_equal(rs.deblur(given, kernel=kernel, strength=0).picture.pixels, given.pixels)
    half = rs.deblur(given, kernel=kernel, strength=0.5).picture.pixels
    np.testing.assert_allclose(half, (given.pixels + outcome.picture.pixels) / 2, atol=1e-6)
    mask = np.zeros((*given.pixels.shape[:2], 1), np.float32)
    mask[:, 100:] = 1
    masked = rs.deblur(given, kernel=kernel, mask=from_array(mask)).picture.pixels
    assert np.array_equal(masked[:, :100], given.pixels[:, :100])
    assert np.array_equal(masked[:, 100:], outcome.picture.pixels[:, 100:])


def test_grey_pictures_and_alpha(kernel: np.ndarray):
    rgba = np.random.default_rng(0).random((40, 44, 4), np.float32)
    made = rs.deblur(from_array(rgba), kernel=kernel).picture
    assert np.array_equal(made.alpha, from_array(rgba).alpha)
    grey = rs.deblur(from_array(rgba[..., :1]), kernel=kernel).picture
    np.testing.assert_allclose(grey.pixels[..., 0], made.pixels[..., 0], atol=1e-6)


def test_a_kernel_larger_than_the_picture():
    pixels = np.zeros((20, 9, 3), np.float32)
    with pytest.raises(PictureError, match=r"found 9x20 px, wanted at least the kernel's 11x1"):
        deconvolve(pixels, np.full((1, 11), 1 / 11))
    outcome = rs.deblur(from_array(pixels, name="small.png"), kernel=np.ones((1, 11)))
    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith("small.png: found 9x20 px, wanted at least the kernel's 11x1")


def test_a_kernel_by_path_says_where_it_pulls(tmp_path: Path):
    (tmp_path / "k.txt").write_text("0 0 0 1 1")
    outcome = rs.deblur(from_array(np.zeros((9, 9, 3), np.float32)), kernel=tmp_path / "k.txt")
    assert isinstance(outcome, Restored)
    assert "+1.5 px right of" in outcome.evidence.notes[0]


def test_what_cannot_be_asked():
    picture = from_array(np.zeros((8, 8, 3), np.float32))
    with pytest.raises(UsageError, match="found a model and a kernel"):
        rs.deblur(picture, "deblur-general", kernel=np.ones((3, 3)))
    with pytest.raises(UsageError, match="without a kernel"):
        rs.deblur(picture, deconvolution=DeconvolutionSettings())
    with pytest.raises(UsageError, match="negative taps"):
        rs.deblur(picture, kernel=-np.ones((3, 3)))
    with pytest.raises(UsageError, match="is for 'desmooth', wanted one for 'deblur'"):
        rs.deblur(picture, "desmooth-general")
    for wrong in ({"method": "blind"}, {"iterations": 0}, {"balance": 0}, {"linear_light": 2}):
        with pytest.raises(SettingError):
            DeconvolutionSettings(**wrong)


def test_without_a_kernel_the_model_that_ships():
    assert rs.deblur(from_array(np.zeros((8, 8, 3), np.float32))).evidence.model == "deblur-general"
