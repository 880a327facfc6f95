"""The HTML report: self-contained, escaped, with pictures in the right order."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restauro.errors import SettingError
from restauro.metrics.evaluate import evaluate_folders
from restauro.metrics.html import error_colours, html_page
from restauro.metrics.matching import match_by_name


class Tags(HTMLParser):
    VOID = frozenset({"meta", "img", "circle", "path"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.sources += [value for key, value in attrs if key in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.fixture
def folders(tmp_path) -> list[Path]:
    rng = np.random.default_rng(0)
    for index, name in enumerate(("fine", "a <b> & 'c'", "poor")):
        truth = rng.integers(40, 200, (30, 40, 3)).astype(np.uint8)
        for folder, change in (("truth", 0), ("restored", 10 * index), ("input", 30)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(truth + np.uint8(change)).save(tmp_path / folder / f"{name}.png")
    return [tmp_path / name for name in ("restored", "truth", "input")]


def test_the_page_is_whole_escaped_and_needs_nothing_else(folders):
    table = evaluate_folders(*folders, metrics=("psnr", "ssim"), about={"command": "x < y"})
    page = html_page(table, match_by_name(*folders)[0], most=1)
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert all(source.startswith("data:image/png;base64,") for source in tags.sources)
    assert len(tags.sources) == 1 + 2 * 4  # scale, then input, restored, truth and map of the worst and the best
    assert "<b>" not in page
    assert "x &lt; y" in page
    assert page.index("Worst by psnr:rgb") < page.index("<h3>poor") < page.index("Best by") < page.index("<h3>fine")
    assert page == html_page(table, match_by_name(*folders)[0], most=1)
    assert "1 of 3 pictures are infinite" in page


def test_the_map_in_the_page_has_the_fixed_scale(folders):
    table = evaluate_folders(*folders[:2], metrics=("ciede2000",))
    page = html_page(table, match_by_name(*folders[:2])[0], most=3)
    images = [base64.b64decode(found) for found in re.findall(r"base64,([^\"]+)", page)]
    maps = [np.asarray(Image.open(io.BytesIO(image))) for image in images][3::3]
    brightness = [found.mean() for found in maps]
    assert brightness[-1] == 0  # the picture that is right
    assert brightness == sorted(brightness, reverse=True)


def test_colours_get_brighter_with_the_error():
    ramp = error_colours(np.linspace(0, 25, 200)[None])[0].astype(float)
    luma = ramp @ [0.299, 0.587, 0.114]
    assert (np.diff(luma) >= -0.6).all()  # rounding to bytes
    assert (ramp[160:] == ramp[-1]).all()


@pytest.mark.parametrize("wrong", [{"most": -1}, {"side_px": 0}, {"method": "nobody"}])
def test_settings_are_checked(folders, wrong):
    table = evaluate_folders(*folders, metrics=("psnr",))
    with pytest.raises(SettingError, match=next(iter(wrong))):
        html_page(table, match_by_name(*folders)[0], **wrong)
