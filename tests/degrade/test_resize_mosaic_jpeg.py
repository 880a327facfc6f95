from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from restauro.degrade.jpeg import Jpeg, JpegSettings, draw_jpeg, quality_of
from restauro.degrade.mosaic import Mosaic
from restauro.degrade.resize import Resize, ResizeSettings, area, draw_resize
from restauro.errors import SettingError, UsageError


def to_bytes(x: torch.Tensor) -> np.ndarray:
    return (x[0].permute(1, 2, 0) * 255).round().numpy().astype(np.uint8)


@pytest.mark.parametrize("scale", [0.125, 0.17, 0.25])
def test_cubic_is_opencvs_both_ways(astronaut: torch.Tensor, scale: float):
    full = to_bytes(astronaut)
    height, width = round(full.shape[0] * scale), round(full.shape[1] * scale)
    small = cv2.resize(full, (width, height), interpolation=cv2.INTER_CUBIC)
    assert np.abs(to_bytes(Resize(scale).down(astronaut, (height, width))).astype(int) - small).max() <= 1
    wanted = cv2.resize(small, full.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    difference = np.abs(to_bytes(Resize(scale)(astronaut)).astype(int) - wanted)
    assert difference.max() <= 1
    assert difference.mean() < 0.01


@pytest.mark.parametrize("size", [(48, 56), (24, 50), (31, 29)])
def test_area_is_opencvs(astronaut: torch.Tensor, size: tuple[int, int]):
    wanted = cv2.resize(astronaut[0].permute(1, 2, 0).numpy(), size[::-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(area(astronaut, size)[0].permute(1, 2, 0).numpy(), wanted, atol=2e-6)


def test_antialiased_is_pillows(astronaut: torch.Tensor):
    """In Pillow's float mode; its 8-bit mode rounds and clips between rows and columns as well."""
    levels = (astronaut[0, 0] * 255).numpy()
    small = np.asarray(Image.fromarray(levels).resize((56, 48), Image.Resampling.BICUBIC))
    found = Resize(0.25, "antialiased").down(astronaut, (48, 56))[0, 0].numpy() * 255
    assert np.abs(found - small.clip(0, 255)).max() < 0.501
    large = np.asarray(Image.fromarray(found).resize((224, 192), Image.Resampling.BICUBIC))
    back = Resize(0.25, "antialiased")(astronaut)[0, 0].numpy() * 255
    assert np.abs(back - large.clip(0, 255)).max() < 0.501


def test_reduction_by_severity():
    generator = torch.Generator()
    assert draw_resize(ResizeSettings(severity=1.0), generator).scale == 0.125
    assert draw_resize(ResizeSettings(severity=2.0), generator).scale == 0.0625
    assert draw_resize(ResizeSettings(severity=0.01), generator).scale == 1
    drawn = [draw_resize(ResizeSettings(), generator).scale for _ in range(300)]
    assert 0.125 <= min(drawn) < 0.13
    assert 0.245 < max(drawn) <= 0.25


@pytest.mark.parametrize("block", [16, 32])
def test_mosaic_is_rounded_area_then_nearest(astronaut: torch.Tensor, block: int):
    full = to_bytes(astronaut)
    small = cv2.resize(full, (full.shape[1] // block, full.shape[0] // block), interpolation=cv2.INTER_AREA)
    wanted = cv2.resize(small, full.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(to_bytes(Mosaic(block)(astronaut)), wanted)


@settings(deadline=None, max_examples=20)
@given(st.sampled_from([1, 2, 3, 16, 32, 40, 48, 64]), st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**31))
def test_mosaic_of_any_size_is_idempotent_and_keeps_block_means(block: int, height: int, width: int, seed: int):
    x = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(seed))
    y = Mosaic(block)(x)
    assert torch.equal(Mosaic(block)(y), y)
    last = (slice(height - (height - 1) % block - 1, None), slice(width - (width - 1) % block - 1, None))
    assert float(y[0, 0, -1, -1]) == pytest.approx(float(x[0, 0][last].mean()), abs=1.01 / 255)


def test_quality_map_of_the_sheet():
    assert [quality_of(c) for c in (50, 60, 70, 80, 84)] == [51, 41, 31, 22, 18]
    generator = torch.Generator().manual_seed(0)
    drawn = {draw_jpeg(JpegSettings(), generator).quality for _ in range(800)}
    assert (min(drawn), max(drawn)) == (18, 51)


@pytest.mark.parametrize("quality", [18, 51, 95])
def test_jpeg_is_a_real_file_decoded(astronaut: torch.Tensor, quality: int):
    bgr = np.ascontiguousarray(to_bytes(astronaut)[..., ::-1])
    file = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    wanted = np.asarray(Image.open(io.BytesIO(file.tobytes())))
    found = to_bytes(Jpeg(quality)(astronaut)).astype(int)
    assert np.abs(found - wanted).mean() < 0.05  # two builds of one codec


def test_swapped_jpeg_encodes_red_as_blue(astronaut: torch.Tensor):
    swapped = Jpeg(20, swapped=True)(astronaut)
    assert torch.equal(swapped, Jpeg(20)(astronaut.flip(1)).flip(1))
    assert not torch.equal(swapped, Jpeg(20)(astronaut))


def test_grey_jpeg_and_two_channels(astronaut: torch.Tensor):
    grey = astronaut[:, :1]
    assert Jpeg(30)(grey).shape == grey.shape
    with pytest.raises(UsageError, match="jpeg: found 2 channels, wanted 1 or 3"):
        Jpeg(30)(astronaut[:, :2])


def test_wrong_settings_are_named():
    with pytest.raises(SettingError, match="method: found 'nearest', wanted cubic, area or antialiased"):
        ResizeSettings(method="nearest")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="compression_max: found 101"):
        JpegSettings(compression_max=101)
    with pytest.raises(SettingError, match="swapped"):
        JpegSettings(swapped=2)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="quality: found 0"):
        Jpeg(0)
