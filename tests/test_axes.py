"""Axes: where values lie in the frame, and what is drawn of it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from restauro.axes import Axes

FRAME = (60.0, 10.0, 160.0, 90.0)


def drawn(axes: Axes) -> np.ndarray:
    image = Image.new("RGB", (200, 100), "white")
    axes.grid(ImageDraw.Draw(image))
    return np.asarray(image)


def test_the_ends_of_the_axes_are_the_corners() -> None:
    axes = Axes(FRAME, (2, 4), (-1, 3))
    assert axes.place(2, -1) == (60, 90)
    assert axes.place(4, 3) == (160, 10)
    assert axes.place(3, 1) == (110, 50)


def test_a_margin_keeps_the_ends_off_the_frame() -> None:
    axes = Axes(FRAME, (0, 1), (0, 1), margin=(8, 6))
    assert axes.place(0, 0) == (68, 84)
    assert axes.place(1, 1) == (152, 16)


def test_a_logarithmic_axis_is_even_in_factors() -> None:
    axes = Axes(FRAME, (0, 1), (0.01, 1), logarithmic=True)
    assert axes.place(0, 0.1)[1] == pytest.approx(50)


def test_one_value_lies_at_the_low_end() -> None:
    assert Axes(FRAME, (5, 5), (7, 7)).place(5, 7) == (60, 90)
    assert Axes(FRAME, (5, 5), (7, 7), logarithmic=True).place(5, 7) == (60, 90)


def test_the_grid_has_a_frame_three_lines_and_labels_left_of_them() -> None:
    picture = drawn(Axes(FRAME, (0, 1), (0, 4)))
    inside = picture[11:90, 110] < 255
    assert np.flatnonzero(inside.any(-1)).tolist() == [39], "the middle; the other two lie on the frame"
    assert (picture[10, 60:161] < 255).all()
    assert (picture[10:91, 160] < 255).all()
    for y in (10, 50, 90):
        assert (picture[y - 4 : y + 5, 40:59] < 255).any(), "a label"
    assert (picture[:, 161:] == 255).all()


def test_one_value_has_one_line_and_one_label() -> None:
    picture = drawn(Axes(FRAME, (0, 1), (4, 4)))
    assert (picture[5:80, 20:59] == 255).all()
    assert (picture[84:97, 20:59] < 255).any()
