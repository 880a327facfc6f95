"""What goes in comes out: depth, mode, values, for every format that loses nothing."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from restauro.picture import encode, from_array, losses, read
from tests.picture import odd_files as odd


def levels(picture, bits: int) -> np.ndarray:
    """Pixels (and alpha) as whole levels."""
    parts = [picture.pixels] if picture.alpha is None else [picture.pixels, picture.alpha[..., None]]
    return np.rint(np.concatenate(parts, axis=2) * ((1 << bits) - 1)).astype(int)


shapes = st.tuples(st.integers(1, 9), st.integers(1, 9))


@settings(max_examples=60, deadline=None)
@given(
    shape=shapes,
    bits=st.sampled_from([8, 16]),
    bands=st.sampled_from([1, 3, 4]),
    kind=st.sampled_from(["png", "tiff"]),
    seed=st.integers(0, 2**31),
)
def test_png_and_tiff_are_exact(shape, bits, bands, kind, seed):
    array = odd.noise(np.random.default_rng(seed), (*shape, bands), bits)
    picture = from_array(array)
    data = encode(picture, format=kind)
    again = read(data)
    assert again.source.bits == bits
    assert again.channels == picture.channels
    np.testing.assert_array_equal(levels(again, bits), array)
    assert encode(again) == encode(read(data)), "the same picture must give the same bytes"
    np.testing.assert_array_equal(read(encode(again)).pixels, again.pixels)


@settings(max_examples=30, deadline=None)
@given(
    shape=shapes,
    bands=st.sampled_from([1, 3, 4]),
    kind=st.sampled_from(["webp", "bmp", "gif", "png", "tiff"]),
    seed=st.integers(0, 2**31),
)
def test_eight_bit_formats_are_exact(shape, bands, kind, seed):
    array = odd.noise(np.random.default_rng(seed), (*shape, bands))
    if bands == 4 and kind in ("bmp", "gif"):
        array = array[..., :3]
    again = read(encode(from_array(array), format=kind))
    assert again.source.format == kind
    expected = array if bands > 1 or again.channels == 1 else np.repeat(array, 3, axis=2)
    np.testing.assert_array_equal(levels(again, 8), expected)


@settings(max_examples=30, deadline=None)
@given(shape=shapes, bands=st.sampled_from([1, 3, 4]), seed=st.integers(0, 2**31))
def test_float_tiff_is_exact_also_beyond_one(shape, bands, seed):
    array = np.random.default_rng(seed).normal(0.5, 2.0, (*shape, bands)).astype(np.float32)
    again = read(encode(from_array(array), format="tiff"))
    assert (again.source.bits, again.source.is_float) == (32, True)
    np.testing.assert_array_equal(again.pixels, array[..., :3])
    if bands == 4:
        np.testing.assert_array_equal(again.alpha, array[..., 3])
    twice = read(encode(again))
    np.testing.assert_array_equal(twice.pixels, again.pixels)


def test_values_beyond_one_are_noted_and_clipped_in_integer_formats():
    picture = from_array(np.array([[[0.5, 1.0, 7.5]]], np.float32))
    assert "7.5" in picture.source.notes[0]
    again = read(encode(picture, format="png"))
    assert again.source.bits == 16
    np.testing.assert_allclose(again.pixels[0, 0], [0.5, 1.0, 1.0], atol=1e-5)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("interlaced", [False, True])
def test_foreign_png(bits, bands, interlaced):
    array = odd.noise(np.random.default_rng(bands), (21, 34, bands), bits)
    picture = read(bytes(odd.vips_image(array).pngsave_buffer(interlace=interlaced)))
    assert (picture.source.mode, picture.source.bits) == ("grey" if bands < 3 else "rgb", bits)
    np.testing.assert_array_equal(levels(picture, bits), array)
    np.testing.assert_array_equal(levels(read(encode(picture)), bits), array)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bit_grey_png_keeps_its_depth_while_the_result_fits(bits):
    step = 255 // ((1 << bits) - 1)
    array = (np.random.default_rng(bits).integers(0, 1 << bits, (9, 13, 1)) * step).astype(np.uint8)
    picture = read(bytes(odd.vips_image(array).pngsave_buffer(bitdepth=bits)))
    assert (picture.source.bits, picture.source.coded_bits) == (8, bits)
    np.testing.assert_array_equal(levels(picture, 8), array)
    data = encode(picture)
    assert data[24] == bits
    np.testing.assert_array_equal(levels(read(data), 8), array)
    changed = encode(picture.with_pixels(picture.pixels * 0.9))
    assert changed[24] == 8


@pytest.mark.parametrize("colour_type", [0, 2])
def test_transparent_colour_of_a_16_bit_png_becomes_alpha(colour_type):
    array = odd.noise(np.random.default_rng(0), (4, 5, 1 if colour_type == 0 else 3), 16)
    key = array[1, 2].astype(">u2").tobytes()
    picture = read(odd.with_png_chunk(odd.png_16(array), b"tRNS", key))
    assert picture.source.bits == 16
    np.testing.assert_array_equal(levels(picture, 16)[..., :-1], array)
    assert picture.alpha is not None
    assert picture.alpha[1, 2] == 0
    assert (picture.alpha == 0).sum() == 1
    np.testing.assert_array_equal(levels(read(encode(picture)), 16), levels(picture, 16))


def palette_picture(colours: int, *, transparent: bool = False) -> tuple[bytes, np.ndarray]:
    rng = np.random.default_rng(colours)
    image = Image.fromarray(rng.integers(0, colours, (20, 30)).astype(np.uint8))
    indexed = Image.new("P", image.size)
    indexed.paste(image)
    table = rng.permutation(256 * 3)[: colours * 3] % 256
    indexed.putpalette(table.astype(np.uint8).tobytes())
    options = {"transparency": bytes([0, 100] + [255] * (colours - 2))} if transparent else {}
    data = odd.saved(indexed, "PNG", **options)
    return data, np.asarray(Image.open(io.BytesIO(data)).convert("RGBA" if transparent else "RGB"))


@pytest.mark.parametrize(("colours", "bits"), [(2, 1), (4, 2), (13, 4), (200, 8)])
@pytest.mark.parametrize("transparent", [False, True])
def test_palette_png_comes_back_as_palette_png_pixel_for_pixel(colours, bits, transparent):
    data, expected = palette_picture(colours, transparent=transparent)
    picture = read(data)
    assert (picture.source.mode, picture.source.coded_bits) == ("palette", bits)
    np.testing.assert_array_equal(levels(picture, 8), expected)
    again = encode(picture)
    assert (again[25], again[24]) == (3, bits), "colour type 3 is a palette"
    np.testing.assert_array_equal(levels(read(again), 8), expected)


@pytest.mark.parametrize("transparent", [False, True])
def test_changed_palette_png_is_reduced_to_256_colours(transparent):
    data, _ = palette_picture(16, transparent=transparent)
    picture = read(data)
    smooth = picture.with_pixels(odd.scene(20, 30).astype(np.float32) / 255)
    again = encode(smooth)
    assert again[25] == 3
    error = np.abs(read(again).pixels - smooth.pixels)
    assert error.mean() < (0.05 if transparent else 0.02)


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "GIF"])
def test_palette_files_of_other_formats(kind):
    source, expected = palette_picture(30)
    data = odd.saved(Image.open(io.BytesIO(source)), kind)
    picture = read(data)
    assert picture.source.mode == "palette"
    np.testing.assert_array_equal(levels(picture, 8), expected)
    again = read(encode(picture))
    assert (again.source.format, again.source.mode) == (kind.lower(), "palette")
    np.testing.assert_array_equal(levels(again, 8), expected)


def test_gif_with_transparency_and_many_frames():
    rng = np.random.default_rng(3)
    frames = [Image.fromarray(odd.noise(rng, (10, 12))).quantize(8) for _ in range(12)]
    data = odd.saved(frames[0], "GIF", save_all=True, append_images=frames[1:], transparency=2, disposal=2)
    picture = read(data)
    assert picture.source.notes == ("first frame of 12",)
    assert picture.alpha is not None
    assert set(np.unique(picture.alpha)) == {0, 1}
    again = read(encode(picture))
    assert again.source.notes == ()
    np.testing.assert_array_equal(again.alpha, picture.alpha)
    seen = picture.alpha > 0
    np.testing.assert_array_equal(again.pixels[seen], picture.pixels[seen])


def test_animated_webp_says_first_frame():
    frames = [Image.fromarray(odd.noise(np.random.default_rng(i), (10, 12, 3))) for i in range(3)]
    data = odd.saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    picture = read(data)
    assert picture.source.notes == ("first frame of 3",)
    np.testing.assert_array_equal(levels(picture, 8), np.asarray(frames[0]))


def test_webp_lossless_stays_lossless_and_lossy_stays_lossy():
    array = odd.noise(np.random.default_rng(0), (16, 24, 4))
    exact = read(odd.saved(array, "WEBP", lossless=True, exact=True))
    assert exact.source.lossless
    assert read(encode(exact)).source.lossless
    np.testing.assert_array_equal(levels(read(encode(exact)), 8), array)
    assert not read(encode(exact, quality=80)).source.lossless
    lossy = read(odd.saved(array, "WEBP", quality=70))
    assert not lossy.source.lossless
    assert not read(encode(lossy)).source.lossless


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_avif_keeps_depth_and_stays_close(bits):
    array = odd.scene(32, 48, 16 if bits > 8 else 8, bands=4)
    image = odd.vips_image(array)
    picture = read(bytes(image.heifsave_buffer(compression="av1", bitdepth=bits, Q=95, effort=0)))
    assert (picture.source.bits, picture.source.coded_bits) == (8 if bits == 8 else 16, bits)
    again = read(encode(picture))
    assert again.source.coded_bits == bits
    assert np.abs(again.pixels - picture.pixels).mean() < 0.01
    assert np.abs(levels(picture, 8) - np.rint(array / array.max() * 255)).mean() < 3


def test_ten_bit_avif_white_is_white():
    white = np.full((16, 16, 3), 65535, np.uint16)
    data = bytes(odd.vips_image(white).heifsave_buffer(compression="av1", bitdepth=10, effort=0))
    picture = read(data)
    assert picture.pixels.min() > 0.999
    assert read(encode(picture)).pixels.min() > 0.999


@pytest.mark.parametrize("compression", ["none", "lzw", "deflate", "packbits"])
@pytest.mark.parametrize("bits", [8, 16])
def test_tiff_keeps_its_compression(compression, bits):
    array = odd.noise(np.random.default_rng(1), (12, 10, 3), bits)
    picture = read(odd.tiff(array, compression=compression))
    again = read(encode(picture))
    assert again.source.tiff_compression == picture.source.tiff_compression
    np.testing.assert_array_equal(levels(again, bits), array)


@pytest.mark.parametrize("options", [{"tile": True}, {"bigtiff": True}, {"miniswhite": True}])
def test_odd_tiff_layouts(options):
    array = odd.noise(np.random.default_rng(2), (20, 33, 1))
    picture = read(odd.tiff(array, **options))
    np.testing.assert_array_equal(levels(picture, 8), array)
    np.testing.assert_array_equal(levels(read(encode(picture)), 8), array)


def test_one_bit_tiff():
    image = Image.fromarray(odd.scene(20, 30)[..., 0] > 128)
    picture = read(odd.saved(image, "TIFF", compression="group4"))
    assert (picture.source.coded_bits, picture.source.tiff_compression) == (1, 4)
    again = read(encode(picture))
    assert (again.source.coded_bits, again.source.tiff_compression) == (1, 4)
    np.testing.assert_array_equal(again.pixels, picture.pixels)
    assert read(encode(picture.with_pixels(picture.pixels * 0.7))).source.coded_bits == 8


def test_premultiplied_tiff_is_straight_inside_and_comes_back_as_it_was():
    straight = odd.scene(20, 30).astype(float)
    alpha = np.tile(np.arange(30, dtype=np.uint8) * 8, (20, 1))[..., None]
    stored = np.concatenate([np.rint(straight * alpha / 255), alpha], axis=2).astype(np.uint8)
    picture = read(odd.small_tiff(stored, photometric=2, extra=(1,)))
    assert picture.source.premultiplied
    assert np.abs(picture.pixels[:, 20:] * 255 - straight[:, 20:]).max() < 2
    data = encode(picture)
    kept = Image.open(io.BytesIO(data))
    assert kept.tag_v2[338] == (1,)
    again = read(data)
    np.testing.assert_array_equal(levels(again, 8)[..., 3:], alpha)
    multiplied = np.rint(again.pixels * again.alpha[..., None] * 255)
    np.testing.assert_array_equal(multiplied, stored[..., :3])
    assert not read(encode(picture, format="png")).source.premultiplied


@pytest.mark.parametrize("photometric", [1, 2])
def test_unlabelled_extra_channel_is_taken_as_alpha_and_said(photometric):
    bands = 2 if photometric == 1 else 4
    array = odd.noise(np.random.default_rng(5), (6, 7, bands))
    picture = read(odd.small_tiff(array, photometric=photometric, extra=(0,)))
    assert any("alpha" in note for note in picture.source.notes)
    np.testing.assert_array_equal(levels(picture, 8), array)


def test_half_float_tiff_is_written_as_float():
    array = odd.scene(6, 7).astype(np.float16) / 255
    picture = read(odd.small_tiff(array, form=3, photometric=2))
    assert any("32-bit" in note for note in picture.source.notes)
    np.testing.assert_array_equal(picture.pixels, array.astype(np.float32))
    assert read(encode(picture)).source.bits == 32


def test_multi_page_tiff_says_first_page():
    pages = [Image.fromarray(odd.scene(8, 9) // (i + 1)) for i in range(3)]
    picture = read(odd.saved(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    assert picture.source.notes == ("first page of 3",)
    np.testing.assert_array_equal(levels(picture, 8), np.asarray(pages[0]))


@pytest.mark.parametrize("shape", [(1, 1), (5000, 3), (3, 5000)])
@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff", "bmp", "gif", "avif"])
def test_extreme_sizes(shape, kind):
    array = np.repeat(odd.scene(1, max(shape))[0][:, None], min(shape), axis=1) if shape[0] > 1 else odd.scene(*shape)
    array = array.reshape(*shape, 3)
    again = read(encode(from_array(array), format=kind))
    assert (again.height, again.width) == shape
    if kind not in ("gif", "avif", "jpeg"):
        np.testing.assert_array_equal(levels(again, 8), array)


def test_grey_becomes_rgb_only_where_the_format_has_no_grey():
    picture = from_array(odd.scene(bands=1))
    assert losses(picture, format="png") == ()
    assert losses(picture, format="webp") == ("grey becomes RGB",)
    assert read(encode(picture, format="jpeg")).channels == 1
    np.testing.assert_array_equal(read(encode(picture, format="webp")).rgb(), picture.rgb())


def test_sixteen_bits_to_eight_round_to_nearest():
    array = np.arange(0, 65536, 7, dtype=np.uint16).reshape(1, -1, 1)
    again = read(encode(from_array(array), format="bmp"))
    np.testing.assert_array_equal(levels(again, 8), np.rint(array / 257).astype(int))


def test_alpha_is_refused_where_it_would_be_lost_but_not_when_opaque():
    picture = from_array(odd.scene(bands=4))
    with pytest.raises(Exception, match="transparency, which JPEG cannot hold"):
        encode(picture, format="jpeg")
    opaque = replace(picture, alpha=np.ones_like(picture.alpha))
    assert read(encode(opaque, format="jpeg")).alpha is None


def test_heic_needs_its_extra_or_works(monkeypatch):
    picture = from_array(odd.scene())
    try:
        import pillow_heif  # noqa: F401
    except ImportError:
        with pytest.raises(Exception, match=r"pip install 'restauro\[heic\]'"):
            encode(picture, format="heic")
        with pytest.raises(Exception, match=r"pip install 'restauro\[heic\]'"):
            read(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(32))
        return
    again = read(encode(picture, format="heic"))
    assert again.source.format == "heic"
    assert np.abs(again.pixels - picture.pixels).mean() < 0.02
    deep = read(encode(from_array(odd.scene(bits=16, bands=4)), format="heic"))
    assert (deep.source.coded_bits, deep.alpha is not None) == (10, True)
