"""JPEG: the quality and the subsampling of the source, unless asked otherwise."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from restauro.codecs import jpeg
from restauro.picture import encode, from_array, read
from tests.picture import odd_files as odd


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_quality_is_recognised_for_every_quality():
    tiny = odd.scene(8, 8)
    for quality in range(1, 101):
        assert read(odd.saved(tiny, "JPEG", quality=quality)).source.jpeg_quality == quality


@pytest.mark.parametrize("preset", ["web_low", "web_very_high", "low", "maximum"])
def test_tables_of_other_programs_are_kept_number_for_number(preset):
    data = odd.saved(odd.scene(), "JPEG", quality=preset)
    source = read(data).source
    assert 1 <= source.jpeg_quality <= 100
    again = encode(read(data))
    assert opened(again).quantization == opened(data).quantization
    assert abs(len(again) - len(data)) < 0.05 * len(data)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("quality", [40, 85, 97])
@pytest.mark.parametrize("progressive", [False, True])
def test_quality_subsampling_and_progression_are_kept(subsampling, quality, progressive):
    data = odd.saved(odd.scene(), "JPEG", quality=quality, subsampling=subsampling, progressive=progressive)
    source = read(data)
    assert (source.source.jpeg_quality, source.source.jpeg_subsampling) == (quality, subsampling)
    assert source.source.jpeg_progressive == progressive
    again = encode(source)
    assert (read(again).source.jpeg_quality, read(again).source.jpeg_subsampling) == (quality, subsampling)
    assert read(again).source.jpeg_progressive == progressive
    # A second generation with the same tables loses next to nothing.
    assert np.abs(read(again).pixels - source.pixels).mean() * 255 < 0.6


def test_quality_can_be_asked_for():
    source = read(odd.saved(odd.scene(), "JPEG", quality=95, subsampling="4:2:2"))
    again = read(encode(source, quality=40)).source
    assert (again.jpeg_quality, again.jpeg_subsampling) == (40, "4:2:2")
    fresh = from_array(odd.scene())
    assert read(encode(fresh, format="jpeg", quality=95)).source.jpeg_subsampling == "4:4:4"
    assert read(encode(fresh, format="jpeg", quality=60)).source.jpeg_subsampling == "4:2:0"
    assert read(encode(fresh, format="jpeg")).source.jpeg_quality == 92


@pytest.mark.parametrize("quality", [10, 75, 100])
def test_grey_and_cmyk_keep_their_quality(quality):
    for mode in ("L", "CMYK"):
        data = odd.saved(Image.fromarray(odd.scene()).convert(mode), "JPEG", quality=quality)
        again = encode(read(data))
        assert opened(again).mode == mode
        assert read(again).source.jpeg_quality == quality


def test_zigzag_is_the_one_of_the_standard():
    # ITU-T T.81, figure A.6: the first row of the zig-zag sequence numbers.
    places = np.empty(64, int)
    places[jpeg._ZIGZAG] = np.arange(64)
    assert places.reshape(8, 8)[0].tolist() == [0, 1, 5, 6, 14, 15, 27, 28]
    assert places.reshape(8, 8)[:, 0].tolist() == [0, 2, 3, 9, 10, 20, 21, 35]


def test_bytes_after_the_end_are_harmless():
    data = odd.saved(odd.scene(), "JPEG")
    np.testing.assert_array_equal(read(data + b"trailing bytes" * 9).pixels, read(data).pixels)


def test_gain_map_is_said_to_be_dropped():
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" hdrgm:Version="1.0"/>'
    assert any("gain map" in note for note in read(odd.saved(odd.scene(), "JPEG", xmp=xmp)).source.notes)
