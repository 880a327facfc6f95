"""Bad input: one clear sentence that names the file, nothing else on the terminal."""

from __future__ import annotations

import errno
import io
import os
import struct
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from restauro.errors import PictureError, RestauroError, SettingError
from restauro.picture import encode, from_array, read
from tests.picture import odd_files as odd

KINDS = ["png", "jpeg", "webp", "tiff", "bmp", "gif", "avif"]


def sample(kind: str, **options: object) -> bytes:
    return encode(from_array(odd.scene(48, 64)), format=kind, **options)


def sentence(error: pytest.ExceptionInfo[RestauroError], name: str = "bytes") -> str:
    """The message, checked for its form."""
    text = str(error.value)
    assert text.startswith(f"{name}: found "), text
    assert ", wanted " in text
    assert "; " in text
    assert "\n" not in text
    assert "Traceback" not in text
    assert len(text) < 400
    return text


@pytest.fixture(autouse=True)
def silent(capfd):
    """Nothing that a C library says may reach the user's terminal."""
    yield
    assert capfd.readouterr() == ("", "")


def test_missing_file(tmp_path):
    path = tmp_path / "nothing.png"
    with pytest.raises(PictureError) as error:
        read(path)
    assert "no such file" in sentence(error, str(path))


def test_directory(tmp_path):
    with pytest.raises(PictureError) as error:
        read(tmp_path)
    assert "a directory" in sentence(error, str(tmp_path))


def test_empty_file(tmp_path):
    path = tmp_path / "empty.png"
    path.touch()
    with pytest.raises(PictureError) as error:
        read(path)
    assert "an empty file" in sentence(error, str(path))


def test_name_with_a_null_byte_and_a_device():
    with pytest.raises(PictureError):
        read("a\0b.png")
    if os.path.exists("/dev/zero"):
        with pytest.raises(PictureError) as error:
            read("/dev/zero")
        assert "device" in sentence(error, "/dev/zero")


def test_unreadable_file(tmp_path, monkeypatch):
    path = tmp_path / "secret.png"
    path.write_bytes(sample("png"))

    def refuse(self):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)  # not chmod: root, as in containers, may read everything
    with pytest.raises(PictureError) as error:
        read(path)
    assert "may not read" in sentence(error, str(path))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"This is not a picture.\n", "text"),
        ("Zażółć gęślą jaźń".encode(), "text"),
        (b"BM is how this text begins, and it goes on for a while", "text"),
        (b"<!DOCTYPE html><html>not found</html>", "a web page (HTML)"),
        (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"PK\3\4rest", "a ZIP"),
        (b"\0\1\2\3" * 9, "an unknown kind of file"),
        (b"\xff\x0a\0\0", "a JPEG XL"),
        (b"v/1\x01", "an OpenEXR"),
    ],
)
def test_something_else_named_jpg(tmp_path, content, found):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(PictureError) as error:
        read(path)
    assert found in sentence(error, str(path))


def test_a_png_named_jpg_is_a_png(tmp_path):
    path = tmp_path / "really.jpg"
    path.write_bytes(sample("png"))
    assert read(path).source.format == "png"


def test_text_stream():
    with pytest.raises(PictureError, match="binary stream"):
        read(io.StringIO("hello"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0.02, 0.3, 0.7, 0.97, -1])
def test_truncated(kind, part):
    data = _SAMPLES[kind]
    end = {"gif": -2}.get(kind, -1)  # a GIF that lacks only its last byte is whole
    cut = data[: max(16, int(len(data) * part))] if part > 0 else data[:end]
    with pytest.raises(PictureError) as error:
        read(cut)
    assert "truncated or damaged" in sentence(error)


@pytest.mark.parametrize("part", [0.3, 0.7, 0.97])
@pytest.mark.parametrize(
    "data",
    [
        odd.saved(odd.scene(), "JPEG", progressive=True),
        odd.saved(odd.scene(), "PNG"),
        odd.saved(odd.scene(), "TIFF"),
        odd.saved(odd.scene(), "TIFF", compression="tiff_lzw"),
        odd.saved(odd.scene(), "WEBP", lossless=True),
        odd.saved(Image.fromarray(odd.scene()).quantize(16), "BMP"),
        odd.saved(Image.fromarray(odd.scene()).convert("CMYK"), "JPEG"),
    ],
    ids=["progressive", "png", "tiff", "lzw", "lossless", "bmp", "cmyk"],
)
def test_truncated_files_of_other_makers(data, part):
    with pytest.raises(PictureError) as error:
        read(data[: int(len(data) * part)])
    sentence(error)


@settings(max_examples=150, deadline=None)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 2**31))
def test_damaged_bytes_give_a_picture_or_a_sentence(kind, seed):
    rng = np.random.default_rng(seed)
    data = bytearray(_SAMPLES[kind])
    for _ in range(int(rng.integers(1, 12))):
        data[int(rng.integers(0, len(data)))] = int(rng.integers(0, 256))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            picture = read(bytes(data), max_pixels=1_000_000)
        except PictureError:
            return
    assert np.isfinite(picture.pixels).all()


_SAMPLES = {kind: sample(kind) for kind in KINDS}


def bomb(kind: str) -> bytes:
    """A small file whose header promises a huge picture."""
    data, big = bytearray(sample(kind, quality=80)), 60_000
    if kind == "png":
        return bytes(data[:8]) + odd.png_chunk(b"IHDR", struct.pack(">II", big, big) + data[24:29]) + bytes(data[33:])
    at, size = {
        "jpeg": (data.find(b"\xff\xc0") + 5, struct.pack(">HH", big, big)),
        "bmp": (18, struct.pack("<ii", big, big)),
        "gif": (6, struct.pack("<HH", 1_500, 1_500)),  # libvips takes more for a mistake and looks at the frame
        "webp": (data.find(b"\x9d\x01\x2a") + 3, struct.pack("<HH", 16_383, 16_383)),
        "avif": (data.find(b"ispe") + 8, struct.pack(">II", big, big)),
    }[kind]
    data[at : at + len(size)] = size
    return bytes(data)


@pytest.mark.parametrize("kind", ["png", "jpeg", "bmp", "gif", "webp", "avif"])
def test_decompression_bomb_is_refused_from_its_header(kind):
    with pytest.raises(PictureError) as error:
        read(bomb(kind), max_pixels=1_000_000)
    # libheif refuses such sizes by itself, with its own words.
    assert "megapixels" in sentence(error) or kind == "avif"


def test_tiff_bomb():
    data = bytearray(odd.small_tiff(odd.scene(bands=1)))
    for tag in (256, 257):
        at = data.index(struct.pack("<HHI", tag, 4, 1)) + 8
        data[at : at + 4] = struct.pack("<I", 100_000)
    with pytest.raises(PictureError, match=r"100000 x 100000 = 10000\.0 megapixels"):
        read(bytes(data))


@pytest.mark.parametrize("kind", KINDS)
def test_the_limit_can_be_set_both_ways(kind):
    data = _SAMPLES[kind]
    assert read(data, max_pixels=48 * 64).width == 64
    with pytest.raises(PictureError, match=r"64 x 48 = .*max_pixels"):
        read(data, max_pixels=48 * 64 - 1)


def test_senseless_settings():
    with pytest.raises(SettingError, match="max_pixels"):
        read(_SAMPLES["png"], max_pixels=0)
    picture = from_array(odd.scene())
    for quality in (0, 101, -5):
        with pytest.raises(SettingError, match="quality"):
            encode(picture, format="jpeg", quality=quality)
    with pytest.raises(SettingError, match="format"):
        encode(picture, format="pcx")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_float_tiff_that_is_not_finite(value, dtype):
    array = np.zeros((4, 5, 3), dtype)
    array[2, 3, 1] = value
    with pytest.raises(PictureError) as error:
        read(odd.small_tiff(array, form=3, photometric=2))
    assert "not finite" in sentence(error)


@pytest.mark.parametrize(
    ("samples", "options", "found"),
    [
        (np.zeros((4, 5, 7), np.uint8), {}, "7 channels"),
        (np.zeros((4, 5, 2), np.uint8), {}, "2 channels"),
        (np.zeros((4, 5, 5), np.uint8), {"photometric": 2, "extra": (0, 0)}, "5 channels"),
        (np.zeros((4, 5, 1), np.complex64), {"form": 6}, "complex samples of 64 bits"),
        (np.zeros((4, 5, 2), np.complex64), {"form": 6}, "complex samples of 64 bits"),
        (np.zeros((4, 5, 1), np.float64), {"form": 3}, "float samples of 64 bits"),
        (np.zeros((4, 5, 1), np.int16), {"form": 2}, "signed integer samples of 16 bits"),
        (np.zeros((4, 5, 1), np.uint32), {}, "unsigned integer samples of 32 bits"),
        (np.zeros((4, 5, 3), np.uint8), {"photometric": 8}, "colours of kind 8"),
    ],
)
def test_tiff_that_is_no_picture_of_a_supported_kind(samples, options, found):
    with pytest.raises(PictureError) as error:
        read(odd.small_tiff(samples, **options))
    assert found in sentence(error)


def test_camera_raw_is_not_taken_for_a_picture():
    data = odd.small_tiff(odd.scene(bands=1))
    with pytest.raises(PictureError, match="camera raw"):
        read(data[:8] + b"CR\2\0" + data[12:])


def test_twelve_bit_jpeg():
    data = bytearray(_SAMPLES["jpeg"])
    data[data.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(PictureError, match="12 bits"):
        read(bytes(data))


def test_arrays_that_are_no_pictures():
    for array in (
        np.zeros((3, 4), bool),
        np.zeros((3, 4), np.int64),
        np.zeros((3, 4, 2), np.uint8),
        np.zeros(3, np.uint8),
    ):
        with pytest.raises(PictureError, match="array: found an array of"):
            from_array(array)
    with pytest.raises(PictureError, match="not finite"):
        from_array(np.full((2, 2), np.nan))
    with pytest.raises(PictureError, match="shape"):
        from_array(np.zeros((0, 4, 3), np.uint8))


def test_pixels_that_do_not_fit():
    picture = from_array(odd.scene(bands=4))
    with pytest.raises(PictureError, match="alpha of shape"):
        picture.with_pixels(np.zeros((4, 4, 3)))
    with pytest.raises(PictureError, match="pixels of shape"):
        picture.with_pixels(np.zeros((40, 60, 2)))
    broken = picture.with_pixels(np.full((40, 60, 3), np.nan))
    with pytest.raises(PictureError, match="not finite"):
        encode(broken)


def test_too_long_for_the_format():
    picture = from_array(np.zeros((1, 20_000), np.uint8))
    with pytest.raises(PictureError, match="sides of at most 16383 pixels for WEBP"):
        encode(picture, format="webp")


def test_nothing_is_imported_before_it_is_needed():
    script = """
        import sys, time
        start = time.perf_counter()
        import restauro.picture
        assert time.perf_counter() - start < 5
        heavy = {"torch", "pyvips", "PIL", "scipy", "pillow_heif"} & set(sys.modules)
        assert not heavy, heavy
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)


def test_reading_bad_files_is_silent_in_a_program_without_logging():
    """libvips and its codecs warn on stderr unless they are told not to."""
    script = """
        import sys
        from restauro.errors import PictureError
        from restauro.picture import read
        for data in eval(sys.stdin.read()):
            try:
                read(data)
            except PictureError:
                pass
    """
    cuts = [data[: len(data) * part // 10] for data in _SAMPLES.values() for part in (3, 9)]
    junk = _SAMPLES["jpeg"][:700] + b"\xff\xff\x12\x34" + _SAMPLES["jpeg"][704:]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        input=repr([*cuts, junk, odd.saved(odd.scene(), "TIFF")[:-90]]),
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("", "")
