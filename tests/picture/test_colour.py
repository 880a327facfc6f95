"""Profiles: sRGB values inside, the file's own colours outside. The reference is Little CMS (libvips, Pillow)."""

from __future__ import annotations

import io
from itertools import product

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms

from restauro.codecs import icc as icc_file
from restauro.codecs import profile as colour
from restauro.errors import PictureError
from restauro.picture import encode, from_array, losses, read
from tests.picture import odd_files as odd

L_STAR = np.where((v := np.linspace(0, 1, 1024)) > 0.08, ((v + 0.16) / 1.16) ** 3, v * 27 / 243.89)
RGB_PROFILES = {
    "p3": odd.profile("p3"),
    "adobe": odd.matrix_profile(),
    "table": odd.matrix_profile(odd.table_curve(L_STAR)),
    "linear": odd.matrix_profile(odd.gamma_curve(1.0)),
}


def cube(bits: int = 8, steps: int = 9) -> np.ndarray:
    """Every corner and many insides of the RGB cube, [steps^2, steps, 3]."""
    grid = np.array(list(product(np.linspace(0, (1 << bits) - 1, steps), repeat=3)))
    return np.rint(grid).reshape(steps * steps, steps, 3).astype(np.uint8 if bits == 8 else np.uint16)


def png(array: np.ndarray, icc: bytes) -> bytes:
    image = odd.vips_image(array).copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    return bytes(image.pngsave_buffer(keep="icc"))


@pytest.mark.parametrize("name", RGB_PROFILES)
@pytest.mark.parametrize("bits", [8, 16])
def test_reading_agrees_with_little_cms_inside_srgb(name, bits):
    array = cube(bits)
    picture = read(png(array, RGB_PROFILES[name]))
    image = odd.vips_image(array).copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", RGB_PROFILES[name])
    expected = image.icc_transform("srgb", embedded=True, depth=16, intent="relative").numpy() / 65535
    inside = ((picture.pixels > 0.002) & (picture.pixels < 0.998)).all(axis=-1)
    assert inside.sum() > 200
    assert np.abs(picture.pixels - expected)[inside].max() < 1.2 / 255
    assert np.abs(np.clip(picture.pixels, 0, 1) - expected).max() < 1.2 / 255


def test_display_p3_red_lies_outside_srgb_by_the_known_amount():
    icc = odd.matrix_profile(odd.SRGB_CURVE, odd.DISPLAY_P3)
    picture = read(png(np.array([[[255, 0, 0]]], np.uint8), icc))
    # CSS Color 4: color(display-p3 1 0 0) is color(srgb 1.093 -0.227 -0.150).
    np.testing.assert_allclose(picture.pixels[0, 0], [1.0930, -0.2267, -0.1501], atol=1e-3)


@pytest.mark.parametrize("name", RGB_PROFILES)
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_untouched_picture_with_profile_comes_back_exactly_in_8_bit(name, kind):
    array = cube(8, 17)
    source = read(png(array, RGB_PROFILES[name]))
    data = encode(source, format=kind)
    again = read(data)
    assert again.source.icc == RGB_PROFILES[name]
    raw = pyvips.Image.new_from_buffer(data, "").numpy()
    np.testing.assert_array_equal(raw, array)


@pytest.mark.parametrize("name", RGB_PROFILES)
def test_untouched_picture_with_profile_in_16_bit(name):
    array = cube(16, 17)
    raw = pyvips.Image.new_from_buffer(encode(read(png(array, RGB_PROFILES[name]))), "").numpy()
    error = np.abs(raw.astype(int) - array)
    assert error[array > 0].max() <= 1
    # A pure gamma curve is infinitely steep at 0, where it magnifies the last bit of a float: a sixth of an
    # 8-bit level.
    assert error.max() <= (64 if name == "adobe" else 1)


@pytest.mark.parametrize(
    "icc", [odd.profile("srgb"), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()]
)
@pytest.mark.parametrize("bits", [8, 16])
def test_srgb_profiles_change_nothing(icc, bits):
    array = odd.noise(np.random.default_rng(0), (20, 30, 3), bits)
    picture = read(png(array, icc))
    np.testing.assert_array_equal(np.rint(picture.pixels * ((1 << bits) - 1)), array)
    assert picture.source.icc == icc
    assert picture.source.notes == ()
    again = encode(picture)
    np.testing.assert_array_equal(pyvips.Image.new_from_buffer(again, "").numpy(), array)
    assert read(again).source.icc == icc


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_profile(bits):
    top = (1 << bits) - 1
    array = np.arange(0, top + 1, top // 255, dtype=np.uint8 if bits == 8 else np.uint16).reshape(1, -1, 1)
    icc = odd.grey_gamma(1.8)
    picture = read(png(array, icc))
    light = (array / top) ** 1.80078125
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(picture.pixels, expected, atol=1e-5)
    again = encode(picture)
    assert read(again).source.icc == icc
    raw = pyvips.Image.new_from_buffer(again, "").numpy().reshape(array.shape)
    assert np.abs(raw.astype(int) - array).max() <= (0 if bits == 8 else 1)


def test_a_profile_that_does_not_fit_is_kept_and_said():
    array = odd.scene(bands=1)
    picture = read(odd.saved(array, "JPEG", icc_profile=odd.matrix_profile(), quality=95))
    assert "not applied" in picture.source.notes[0]
    assert read(encode(picture)).source.icc == odd.matrix_profile()
    harmless = read(odd.saved(array, "JPEG", icc_profile=odd.profile("srgb")))
    assert harmless.source.notes == ()


@pytest.mark.parametrize(
    "damage", [lambda b: b[:200], lambda b: b"\0" * len(b), lambda b: b[:140] + bytes(len(b) - 140)]
)
def test_a_damaged_profile_is_kept_and_said(damage):
    icc = damage(odd.profile("p3"))
    picture = read(odd.saved(odd.scene(), "JPEG", icc_profile=icc, quality=100, subsampling=0))
    assert "not applied" in picture.source.notes[0]
    assert read(encode(picture)).source.icc == icc
    assert np.abs(picture.pixels * 255 - odd.scene()).max() < 6


def test_profile_parser_survives_damage_anywhere():
    icc = bytearray(odd.profile("p3"))
    for i in range(128, len(icc)):
        for damaged in (bytes(icc[:i]), bytes(icc[:i]) + bytes([icc[i] ^ 0xFF]) + bytes(icc[i + 1 :])):
            try:
                parsed = icc_file.parse(damaged)
            except icc_file.IccError:
                continue
            assert len(parsed.curves) == 3


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 4])
def test_every_kind_of_parametric_curve_has_its_inverse(kind):
    numbers = {
        0: [2.2],
        1: [2.4, 0.95, 0.05],
        2: [2.4, 0.95, 0.05, 0.01],
        3: [2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045],
        4: [2.2, 0.9, 0.1, 0.1, 0.05, 0.002, 0.0113],
    }[kind]
    profile = icc_file.parse(odd.matrix_profile(odd.parametric_curve(kind, *numbers)))
    x = np.linspace(0, 1, 257, dtype=np.float32)
    y = profile.curves[0].linear(x)
    assert (np.diff(y) >= -1e-6).all()
    assert np.abs(profile.curves[0].device(y) - x).max() < 1e-3


CMYK = odd.profile("cmyk")


def cmyk_file(kind: str, icc: bytes | None) -> bytes:
    image = Image.fromarray(odd.scene(48, 64)).convert("CMYK")
    options = {"quality": 98, "subsampling": 0} if kind == "JPEG" else {}
    return odd.saved(image, kind, **options, **({"icc_profile": icc} if icc else {}))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
@pytest.mark.parametrize("icc", [CMYK, None])
def test_cmyk_in_cmyk_out(kind, icc):
    data = cmyk_file(kind, icc)
    picture = read(data)
    assert (picture.source.mode, picture.channels) == ("cmyk", 3)
    assert any("CMYK without a profile" in note for note in picture.source.notes) == (icc is None)
    again = encode(picture)
    reread = read(again)
    assert Image.open(io.BytesIO(again)).mode == "CMYK"
    assert (reread.source.mode, reread.source.icc) == ("cmyk", icc)
    # Inks are separated anew, so the ink values move, but the colour stays. JPEG adds its own loss.
    error = np.abs(reread.pixels - picture.pixels)
    assert error.mean() * 255 < 2
    assert np.percentile(error, 99) * 255 < 8


@pytest.mark.parametrize("bits", [8, 16])
def test_cmyk_tiff_keeps_depth_and_reads_as_little_cms_does(bits):
    array = odd.scene(24, 32, bits, bands=4) // 2
    image = odd.vips_image(array).copy(interpretation="cmyk")
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", CMYK)
    picture = read(bytes(image.tiffsave_buffer(keep="icc")))
    assert picture.source.bits == bits
    expected = image.icc_transform("srgb", embedded=True, depth=16, intent="relative").numpy() / 65535
    assert np.abs(np.clip(picture.pixels, 0, 1) - expected).max() < 2 / 255
    assert read(encode(picture)).source.bits == bits


def test_cmyk_with_alpha():
    array = np.dstack([odd.scene(12, 16, bands=4) // 2, odd.scene(12, 16, bands=1)])
    picture = read(odd.small_tiff(array, photometric=5, extra=(2,)))
    assert (picture.source.mode, picture.channels) == ("cmyk", 3)
    again = read(encode(picture))
    assert again.source.mode == "cmyk"
    np.testing.assert_array_equal(again.alpha, picture.alpha)


def test_cmyk_black_and_white_are_not_inverted():
    inks = np.zeros((8, 16, 4), np.uint8)
    inks[:, 8:, 3] = 255
    picture = read(odd.saved(Image.frombuffer("CMYK", (16, 8), inks, "raw", "CMYK", 0, 1), "JPEG", quality=95))
    assert picture.pixels[:, 0].min() > 0.9
    assert picture.pixels[:, 15].max() < 0.35


def test_leaving_cmyk_or_a_profile_is_said():
    picture = read(cmyk_file("TIFF", CMYK))
    assert losses(picture, format="png") == (
        "CMYK becomes RGB",
        "the colour profile is left out, colours are converted to sRGB",
    )
    again = read(encode(picture, format="png"))
    assert again.source.icc is None
    assert np.abs(again.pixels - np.clip(picture.pixels, 0, 1)).max() <= 0.51 / 255


def test_a_wide_gamut_picture_in_a_format_without_profiles_is_clipped_to_srgb():
    picture = read(png(cube(), odd.profile("p3")))
    again = read(encode(picture, format="bmp"))
    assert np.abs(again.pixels - np.clip(picture.pixels, 0, 1)).max() <= 0.51 / 255


def test_rgb_profile_built_on_tables_goes_through_little_cms():
    tables = odd.lut_profile()
    array = cube(8, 9)
    picture = read(png(array, tables))
    # Without Little CMS's own optimisation, which resamples tables coarsely and is off by 8 levels here.
    exact = ImageCms.buildTransform(
        io.BytesIO(tables), ImageCms.createProfile("sRGB"), "RGB", "RGB", 1, ImageCms.Flags.NOOPTIMIZE
    )
    expected = np.asarray(ImageCms.applyTransform(Image.fromarray(array), exact)) / 255
    error = np.abs(np.clip(picture.pixels, 0, 1) - expected).reshape(-1, 3)
    assert error[:-1].max() < 1 / 255  # the last is RGB white, which Little CMS forces to white whatever the table says
    raw = pyvips.Image.new_from_buffer(encode(picture), "").numpy()
    assert np.abs(raw.astype(int) - array).reshape(-1, 3)[:-1].max() <= 2


@pytest.mark.parametrize("number", [12, 9, 1])
def test_colour_code_points(number):
    """PNG ``cICP`` (and AVIF ``nclx``) may name primaries instead of carrying a profile."""
    data = odd.with_png_chunk(odd.saved(cube(), "PNG"), b"cICP", bytes((number, 13, 0, 1)))
    if number == 9:
        with pytest.raises(PictureError, match="primaries number 9"):
            read(data)
        return
    picture = read(data)
    assert picture.source.icc == (odd.profile("p3") if number == 12 else None)
    assert (picture.pixels.max() > 1.05) == (number == 12)


def test_display_p3_avif_without_a_profile():
    data = odd.saved(odd.scene(), "AVIF", quality=90)
    at = data.index(b"colrnclx") + 8
    p3 = data[:at] + b"\0\x0c" + data[at + 2 :]
    assert read(data).source.icc is None
    assert read(p3).source.icc == odd.profile("p3")
    assert read(encode(read(p3))).source.icc == odd.profile("p3")
    with pytest.raises(PictureError, match="HDR"):
        read(p3[: at + 2] + b"\0\x10" + p3[at + 4 :])


def test_hdr_is_refused():
    data = odd.with_png_chunk(odd.saved(cube(), "PNG"), b"cICP", bytes((9, 16, 0, 1)))
    with pytest.raises(PictureError, match="HDR"):
        read(data)


def test_float_tiff_with_a_linear_profile_is_linear_light_and_unbounded():
    array = np.array([[[0.0, 0.2140411, 1.0], [2.0, 4.0, 0.5]]], np.float32)
    image = odd.vips_image(array).copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", odd.matrix_profile(odd.gamma_curve(1.0)))
    picture = read(bytes(image.tiffsave_buffer(keep="icc")))
    grey = read(bytes(_with_icc(np.full((1, 1, 3), 0.2140411, np.float32), odd.matrix_profile(odd.gamma_curve(1.0)))))
    np.testing.assert_allclose(grey.pixels, 0.5, atol=2e-3)
    raw = pyvips.Image.new_from_buffer(encode(picture), "").numpy()
    np.testing.assert_allclose(raw, array, atol=1e-5, rtol=1e-5)


def _with_icc(array: np.ndarray, icc: bytes) -> bytes:
    image = odd.vips_image(array).copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    return bytes(image.tiffsave_buffer(keep="icc"))


def test_changed_colours_are_clipped_in_the_files_own_space():
    picture = read(png(np.full((2, 2, 3), 128, np.uint8), odd.profile("p3")))
    green = picture.with_pixels(np.tile(np.array([-0.5, 1.02, -0.3], np.float32), (2, 2, 1)))
    raw = pyvips.Image.new_from_buffer(encode(green), "").numpy()
    np.testing.assert_allclose(raw[0, 0].astype(int), [0, 255, 0], atol=30)
    assert read(encode(green)).pixels[0, 0, 0] < -0.2, "more saturated than sRGB can be"


def test_conversions_have_names_for_what_they_could_not_do():
    assert colour.choose(None, "rgb").note == ""
    assert isinstance(colour.choose(odd.profile("p3"), "rgb"), colour.Matrix)
    assert isinstance(colour.choose(odd.profile("cmyk"), "cmyk"), colour.Tables)
    assert "grey" in colour.choose(odd.profile("cmyk"), "grey").note


def test_grey_picture_turned_to_colour_leaves_its_grey_profile():
    picture = read(png(odd.scene(bands=1), odd.grey_gamma()))
    coloured = picture.with_pixels(odd.scene().astype(np.float32) / 255)
    again = read(encode(coloured))
    assert again.source.icc is None
    np.testing.assert_allclose(again.pixels, coloured.pixels, atol=1e-6)
    assert from_array(odd.scene()).grey().shape == (40, 60, 1)
