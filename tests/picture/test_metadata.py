"""Orientation, EXIF, XMP, IPTC, text and resolution: turned once, reset, and given back."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageOps

from restauro.codecs import ifd, metadata
from restauro.errors import PictureError
from restauro.picture import encode, from_array, losses, read
from tests.picture import odd_files as odd

CARRIERS = ["jpeg", "png", "webp", "tiff"]


def turned_file(kind: str, orientation: int) -> bytes:
    """A file whose EXIF asks for a turn."""
    block = odd.exif(orientation)
    if kind == "tiff":
        parsed = odd.read_exif(block)
        return odd.saved(odd.scene(), "TIFF", exif=parsed)
    options = {"jpeg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}.get(kind, {})
    return odd.saved(odd.scene(), kind.upper(), exif=block, **options)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", CARRIERS)
def test_all_orientations_are_turned_once(kind, orientation):
    data = turned_file(kind, orientation)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    picture = read(data)
    assert (picture.height, picture.width) == expected.shape[:2]
    # Two builds of libjpeg may differ by a level.
    assert np.abs(picture.pixels * 255 - expected).max() <= (2 if kind == "jpeg" else 0.01)
    assert metadata.orientation(picture.source.exif) == 1
    again = encode(picture)
    assert Image.open(io.BytesIO(again)).getexif().get(odd.ORIENTATION, 1) == 1
    assert np.abs(read(again).pixels - picture.pixels).max() < (0.04 if kind == "jpeg" else 1e-6)


@pytest.mark.parametrize("kind", CARRIERS)
def test_exif_survives_except_for_orientation_and_size(kind):
    picture = read(turned_file(kind, 6))
    kept = odd.read_exif(Image.open(io.BytesIO(encode(picture))).getexif().tobytes())
    assert kept[odd.MAKER] == "Restauro Works"
    assert kept[odd.ARTIST] == "A. Painter"
    inner, gps = kept.get_ifd(odd.EXIF_IFD), kept.get_ifd(odd.GPS_IFD)
    assert float(inner[odd.EXPOSURE]) == pytest.approx(0.004)
    assert inner[odd.MAKER_NOTE] == b"Vendor\0\1\2\3 private offsets"
    assert (inner[0xA002], inner[0xA003]) == (picture.width, picture.height) == (40, 60)
    assert tuple(float(v) for v in gps[odd.LATITUDE]) == (52.0, 10.0, 3.5)


def test_avif_keeps_exif_xmp_and_profile():
    source = read(odd.saved(odd.scene(), "JPEG", exif=odd.exif(6), icc_profile=odd.profile("p3"), xmp=odd.xmp(6)))
    again = read(encode(source, format="avif"))
    assert (again.height, again.width) == (60, 40), "not turned a second time"
    assert again.source.icc == source.source.icc
    assert again.source.xmp == source.source.xmp == odd.xmp(1)
    kept = odd.read_exif(again.source.exif)
    assert (kept[odd.MAKER], kept[odd.ORIENTATION]) == ("Restauro Works", 1)
    assert kept.get_ifd(odd.EXIF_IFD)[odd.MAKER_NOTE].startswith(b"Vendor")
    assert read(encode(again)).source.xmp == source.source.xmp


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])  # in a TIFF it is the directory, which is written anew
def test_exif_of_a_file_of_the_same_kind_is_untouched_byte_for_byte(kind):
    block = odd.exif(1)
    picture = read(odd.saved(odd.scene(), kind.upper(), exif=block))
    assert picture.source.exif == block[6:]
    assert read(encode(picture)).source.exif == block[6:]


def test_thumbnail_of_the_old_picture_is_removed():
    small = odd.saved(odd.scene(8, 12), "JPEG")
    block = odd.with_thumbnail(odd.exif(8), small)
    assert small in block
    picture = read(odd.saved(odd.scene(), "JPEG", exif=block))
    again = encode(picture)
    assert small[4:] not in again
    assert ifd.parse(read(again).source.exif).next == 0
    assert odd.read_exif(read(again).source.exif)[odd.MAKER] == "Restauro Works"


@pytest.mark.parametrize("kind", CARRIERS)
def test_xmp_survives_with_its_orientation_reset(kind):
    source = read(odd.saved(odd.scene(), "JPEG", exif=odd.exif(3), xmp=odd.xmp(3)))
    assert source.source.xmp == odd.xmp(1)
    again = read(encode(source, format=kind))
    assert again.source.xmp == odd.xmp(1)
    assert read(encode(again)).source.xmp == odd.xmp(1)


def test_orientation_only_in_xmp_turns_the_picture_too():
    assert read(odd.saved(odd.scene(), "JPEG", xmp=odd.xmp(6))).height == 60


def test_png_text_survives_in_any_script():
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Title", "Zachód słońca")
    info.add_itxt("Description", "写真", lang="ja", tkey="説明")
    info.add_text("Comment", "plain", zip=True)
    data = odd.saved(odd.scene(), "PNG", pnginfo=info)
    picture = read(data)
    expected = (("Title", "Zachód słońca"), ("Description", "写真"), ("Comment", "plain"))
    assert picture.source.text == expected
    assert read(encode(picture)).source.text == expected
    assert Image.open(io.BytesIO(encode(picture))).text["Description"] == "写真"
    assert losses(picture, format="jpeg") == ("text is left out",)


def test_compressed_text_cannot_be_a_bomb():
    bomb = b"Comment\0\0" + zlib.compress(bytes(40 << 20))
    picture = read(odd.with_png_chunk(odd.saved(odd.scene(), "PNG"), b"zTXt", bomb))
    assert len(picture.source.text[0][1]) <= 16 << 20


def test_exif_that_imagemagick_hid_in_text_is_found():
    digits = odd.exif(6).hex()
    body = b"Raw profile type exif\0\0" + zlib.compress(f"\nexif\n{len(digits) // 2:8}\n{digits}\n".encode())
    picture = read(odd.with_png_chunk(odd.saved(odd.scene(), "PNG"), b"zTXt", body))
    assert picture.height == 60
    assert odd.read_exif(picture.source.exif)[odd.MAKER] == "Restauro Works"
    assert b"eXIf" in odd.png_kinds(encode(picture))


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff", "bmp"])
def test_resolution_survives(kind):
    picture = read(odd.saved(odd.scene(), kind.upper(), dpi=(300, 150)))
    assert picture.source.dpi == pytest.approx((300, 150), abs=0.05)
    assert read(encode(picture)).source.dpi == pytest.approx(picture.source.dpi, abs=1e-9)
    assert read(encode(picture, format="png")).source.dpi == pytest.approx((300, 150), abs=0.05)


def test_resolution_of_cmyk_jpeg_and_of_a_turned_picture():
    cmyk = Image.fromarray(odd.scene()).convert("CMYK")
    picture = read(odd.saved(cmyk, "TIFF", dpi=(300, 300)))
    assert read(encode(picture, format="jpeg")).source.dpi == (300, 300)
    turned = read(odd.saved(odd.scene(), "JPEG", dpi=(300, 150), exif=odd.exif(6)))
    assert turned.source.dpi == (150, 300)


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff", "bmp"])
def test_senseless_resolution_is_dropped(kind):
    data = odd.with_png_chunk(odd.saved(odd.scene(), "PNG"), b"pHYs", struct.pack(">IIB", 2**32 - 1, 1, 1))
    picture = read(data)
    assert picture.source.dpi is None
    assert encode(replace(picture, source=replace(picture.source, dpi=(1e12, 1e-9))), format=kind)


def test_png_gamma_chunks_are_carried():
    gamma = struct.pack(">I", 45455)
    data = odd.with_png_chunk(odd.saved(odd.scene(), "PNG"), b"gAMA", gamma)
    again = encode(read(data))
    assert odd.png_kinds(again)[:2] == [b"IHDR", b"gAMA"]
    np.testing.assert_array_equal(read(again).pixels, read(data).pixels)


def jpeg_segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def test_jpeg_iptc_and_comment_and_extended_xmp_are_carried_and_the_old_thumbnail_is_not():
    def resource(number: int, body: bytes) -> bytes:
        return b"8BIM" + struct.pack(">HHI", number, 0, len(body)) + body + b"\0" * (len(body) % 2)

    caption = resource(0x0404, b"\x1c\x02\x78\0\x05Hello")
    irb = jpeg_segment(0xED, b"Photoshop 3.0\0" + resource(0x040C, b"old thumbnail") + caption)
    more = jpeg_segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + bytes(8) + b"more")
    plain = odd.saved(odd.scene(), "JPEG")
    data = plain[:2] + irb + more + jpeg_segment(0xFE, b"a comment") + plain[2:]
    again = encode(read(data))
    assert caption in again
    assert more in again
    assert b"a comment" in again
    assert b"old thumbnail" not in again
    stripped = encode(read(data), strip_metadata=True)
    assert b"Hello" not in stripped
    assert b"a comment" not in stripped


@pytest.mark.parametrize("kind", [*CARRIERS, "avif"])
def test_strip_metadata_leaves_profile_and_resolution(kind):
    source = read(
        odd.saved(odd.scene(), "JPEG", exif=odd.exif(1), xmp=odd.xmp(), icc_profile=odd.profile("p3"), dpi=(300, 300))
    )
    data = encode(source, format=kind, strip_metadata=True)
    stripped = read(data).source
    assert stripped.xmp is None
    assert b"Restauro Works" not in data
    assert b"Vendor" not in data
    assert stripped.icc == odd.profile("p3")
    if kind in ("png", "jpeg", "tiff"):
        assert stripped.dpi == pytest.approx((300, 300), abs=0.05)


def test_tiff_private_tags_survive_and_bytes_stay_little_or_big_endian_right():
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    tags = ImageFileDirectory_v2()
    tags[270], tags[305], tags[33432] = "a description", "Some Program", "(c) somebody"
    tags[33550] = (10.0, 10.0, 0.0)  # GeoTIFF pixel scale
    tags.tagtype[33550] = 12
    picture = read(odd.saved(odd.scene(), "TIFF", tiffinfo=tags))
    kept = Image.open(io.BytesIO(encode(picture))).tag_v2
    assert (kept[270], kept[305], kept[33432]) == ("a description", "Some Program", "(c) somebody")
    assert kept[33550] == (10.0, 10.0, 0.0)
    as_jpeg = Image.open(io.BytesIO(encode(picture, format="jpeg"))).getexif()
    assert as_jpeg[270] == "a description"


def test_oversized_exif_is_refused_in_jpeg_with_a_way_out():
    picture = read(odd.saved(odd.scene(), "PNG", exif=odd.exif(1) + bytes(70_000)))
    with pytest.raises(PictureError, match=r"bytes of EXIF.*--strip-metadata"):
        encode(picture, format="jpeg")
    assert encode(picture, format="jpeg", strip_metadata=True)
    assert read(encode(picture)).source.exif == picture.source.exif


@pytest.mark.parametrize("cut", [0, 3, 8, 14, 40, 100])
def test_broken_exif_is_carried_and_never_raises(cut):
    block = odd.exif(6)[6 : 6 + cut]
    picture = read(odd.saved(odd.scene(), "PNG", exif=b"Exif\0\0" + block) if cut else odd.saved(odd.scene(), "PNG"))
    assert picture.height in (40, 60)
    assert encode(picture)


def test_directory_parser_survives_every_truncation_and_bit_flip():
    block = bytearray(odd.exif(6)[6:])
    for i in range(len(block)):
        for damaged in (bytes(block[:i]), bytes(block[:i]) + bytes([block[i] ^ 0xFF]) + bytes(block[i + 1 :])):
            assert 1 <= metadata.orientation(damaged) <= 8
            upright = metadata.upright_exif(damaged, 10, 20)
            assert upright is not None
            assert len(upright) == len(damaged)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_directory_round_trip(order, big):
    content = ifd.parse(odd.exif(6)[6:])
    turned = ifd.reordered(content, order)
    head = (b"II" if order == "<" else b"MM") + (
        struct.pack(order + "HHHQ", 43, 8, 0, 16) if big else struct.pack(order + "HI", 42, 8)
    )
    again = ifd.parse(head + ifd.serialise(turned, len(head), big=big))
    assert again.entries.keys() - {ifd.EXIF_IFD, ifd.GPS_IFD} == content.entries.keys() - {ifd.EXIF_IFD, ifd.GPS_IFD}
    assert again.numbers(odd.ORIENTATION) == (6,)
    assert again.children[ifd.GPS_IFD].numbers(2) == (52.0, 10.0, 3.5)
    assert again.children[ifd.EXIF_IFD].numbers(odd.EXPOSURE) == pytest.approx((0.004,))


def test_a_picture_from_an_array_has_no_metadata():
    data = encode(from_array(odd.scene()), format="jpeg")
    assert b"Exif" not in data
    assert read(data).source.dpi is None
