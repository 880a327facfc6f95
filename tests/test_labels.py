"""Class lists and label maps: exact, or refused with counts."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restauro.errors import DataError, PictureError
from restauro.labels import CITYSCAPES, ClassList, LabelClass, UnknownLabelError, read_class_list, read_ids, read_labels

THREE = ClassList.from_csv("id,name,r,g,b,ignored\n1,wall,0,0,200,0\n4,window,0,128,255,0\n300,other,9,9,9,1\n")
IDS = np.array([[1, 4, 4], [1, 1, 300]])
PLACES = np.array([[0, 1, 1], [0, 0, 2]])


def png(image: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", **options)
    return out.getvalue()


def palette_png(indices: np.ndarray, colours: list[tuple[int, int, int]]) -> bytes:
    image = Image.fromarray(indices.astype(np.uint8), "P")
    image.putpalette([value for colour in colours for value in colour])
    return png(image)


def test_ids_of_sixteen_bits_become_places():
    data = png(Image.fromarray(IDS.astype(np.uint16)))
    assert (read_labels(data, THREE) == PLACES).all()
    assert (read_ids(data) == IDS).all()
    assert read_labels(data, THREE).dtype == np.uint8


def test_colours_are_exact():
    data = png(Image.fromarray(THREE.painted(PLACES.astype(np.uint8))))
    assert (read_labels(data, THREE) == PLACES).all()
    off = THREE.painted(PLACES.astype(np.uint8)).copy()
    off[0, 0, 2] += 1
    with pytest.raises(UnknownLabelError, match=r"colours that no class has: \(0, 0, 201\) \(1 px\)") as caught:
        read_labels(png(Image.fromarray(off)), THREE)
    assert caught.value.counts == {"(0, 0, 201)": 1}


def test_a_palette_speaks_by_its_colours_or_by_its_indices_and_never_by_both():
    swapped = palette_png(np.array([[0, 1]]), [(0, 128, 255), (0, 0, 200)])
    assert read_labels(swapped, THREE).tolist() == [[1, 0]], "its colours are those of the list"
    strange = palette_png(np.array([[1, 4]]), [(1, 2, 3)] * 5)
    assert read_labels(strange, THREE).tolist() == [[0, 1]], "indices are ids"
    ramp = palette_png(np.array([[1, 4]]), [(k, k, k) for k in range(256)])
    assert read_labels(ramp, THREE).tolist() == [[0, 1]]
    with pytest.raises(PictureError, match="1 of 2 used colours are those of classes"):
        read_labels(palette_png(np.array([[0, 1]]), [(0, 0, 200), (1, 2, 3)]), THREE)


def test_unknown_ids_are_named_and_counted():
    with pytest.raises(UnknownLabelError, match=r"7 \(2 px\), 9 \(1 px\), wanted 1 wall, 4 window, 300 other"):
        read_labels(png(Image.fromarray(np.array([[7, 7, 9, 1]], np.uint8))), THREE)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "an empty file"),
        (b"plain words", "found text"),
        (png(Image.new("RGBA", (2, 2), (0, 0, 200, 7))), "mode RGBA"),
        (png(Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8)))[:900], "damaged PNG"),
    ],
    ids=["empty", "text", "transparent", "cut"],
)
def test_what_is_no_label_map_is_refused(data: bytes, says: str):
    with pytest.raises(PictureError, match=says):
        read_labels(data, THREE)


def test_a_jpeg_is_refused_and_too_many_pixels_are(tmp_path: Path):
    Image.new("L", (8, 8), 1).save(tmp_path / "a.jpg")
    with pytest.raises(PictureError, match="a JPEG picture, wanted a PNG: others change ids"):
        read_labels(tmp_path / "a.jpg", THREE)
    with pytest.raises(PictureError, match="pixel"):
        read_labels(png(Image.new("L", (20, 20), 1)), THREE, max_pixels=300)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "found columns"),
        ("id,title\n1,wall\n", "wanted id,name"),
        ("id,name\none,wall\n", "line 2"),
        ("id,name\n1,wall\n1,window\n", "found id 1 twice"),
        ("id,name\n-1,wall\n", "wanted 0 to 65535"),
        ("id,name,r,g,b\n1,wall,0,0,256\n", "line 2"),
    ],
)
def test_wrong_class_lists_are_refused(text: str, says: str):
    with pytest.raises(DataError, match=says):
        ClassList.from_csv(text)


def test_lists_travel_as_json_and_ignore_by_id(tmp_path: Path):
    assert ClassList.from_json(THREE.to_json()) == THREE
    assert THREE.padding == 2
    assert THREE.ignoring([4]).evaluated.tolist() == [0, -1, -1]
    with pytest.raises(DataError, match="found id 5"):
        THREE.ignoring([5])
    (tmp_path / "c.csv").write_text("id,name\n0,a\n1,b\n")
    plain = read_class_list(tmp_path / "c.csv")
    assert plain.padding is None
    assert len({tuple(colour) for colour in plain.painted(np.array([0, 1], np.uint8))}) == 2, "colours of our own"
    with pytest.raises(DataError, match="No such file"):
        read_class_list(tmp_path / "none.csv")
    with pytest.raises(DataError, match="no colour for 'b'"):
        ClassList((LabelClass(0, "a", (1, 2, 3)), LabelClass(1, "b")))


def test_cityscapes_has_35_ids_and_19_judged():
    assert CITYSCAPES.ids == tuple(range(35))
    ids = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    assert CITYSCAPES.evaluated[ids].tolist() == list(range(19))
    assert (CITYSCAPES.evaluated >= 0).sum() == 19
    assert read_class_list("cityscapes") is CITYSCAPES
