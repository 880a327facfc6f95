"""The README's first command, as it stands there after the installation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from restauro.cli.main import main


def test_demo_restores_the_astronaut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    folder = tmp_path / "restauro-demo"
    assert sorted(p.name for p in folder.iterdir()) == [
        "comparison.png",
        "original.png",
        "restored.png",
        "smoothed.png",
    ]
    truth = skimage.data.astronaut().astype(np.float64)
    error = {}
    for name in ("original", "smoothed", "restored"):
        with Image.open(folder / f"{name}.png") as image:
            error[name] = np.square(np.asarray(image, np.float64) - truth).mean()
    assert error["original"] == 0
    gain_db = 10 * np.log10(error["smoothed"] / error["restored"])
    assert gain_db > 0.3, "the network gives detail back, measured against the truth it never saw"
    said = capsys.readouterr().out
    assert "PSNR" in said
    assert "comparison.png" in said
    assert main(["demo"]) == 0, "a second demo replaces the first"
