"""Make the README's pictures, all from the photograph that comes with scikit-image.

.venv/bin/python tools/make_readme_picture.py

docs/pictures/demo.jpg is the comparison that ``restauro demo`` writes; docs/pictures/renovate.jpg is what ``restauro
renovate --whole`` makes of ``restauro degrade face-renovation``, for two seeds; docs/pictures/deblur.jpg what
``restauro deblur`` makes of ``restauro degrade motion-trajectory --set severity=0.5``, likewise.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import skimage.data

import restauro as rs
from restauro.cli.demo import demo
from restauro.picture import from_array
from restauro.restore.faces.settings import FaceSettings
from restauro.sheet import grid

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
SEEDS = (6, 7)
SHAKEN = (7, 3)
CROP = (slice(0, 300), slice(80, 380))


def main() -> None:
    """Make all."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        demo(folder)
        rs.write(rs.read(Path(folder) / "comparison.png"), PICTURES / "demo.jpg", quality=88, force=True)
    grid([renovation(seed) for seed in SEEDS], ("degraded", "renovated", "original")).save(
        PICTURES / "renovate.jpg", quality=88
    )
    grid([deblurring(seed) for seed in SHAKEN], ("shaken", "deblurred", "original")).save(
        PICTURES / "deblur.jpg", quality=88
    )
    for path in sorted(PICTURES.iterdir()):
        print(f"{path}: {path.stat().st_size} bytes")


def renovation(seed: int) -> list[np.ndarray]:
    """The upper half of the astronaut, in three states, uint8 [300, 300, 3]."""
    truth = from_array(skimage.data.astronaut()[CROP].astype(np.float32) / 255, name="astronaut")
    worn, _ = rs.degrade(truth, "face-renovation", seed=seed)
    restored = done(rs.renovate(worn, faces=FaceSettings(whole=True)))
    return [levels(one) for one in (worn, restored, truth)]


def deblurring(seed: int) -> list[np.ndarray]:
    """The same part of the astronaut, shaken, deblurred, and as it was."""
    truth = from_array(skimage.data.astronaut().astype(np.float32) / 255, name="astronaut")
    shaken, _ = rs.degrade(truth, "motion-trajectory", {"severity": 0.5}, seed=seed)
    restored = done(rs.deblur(shaken))
    return [levels(one)[CROP] for one in (shaken, restored, truth)]


def done(outcome: rs.Restored | rs.Failed) -> rs.Picture:
    """The picture of an outcome."""
    if not isinstance(outcome, rs.Restored):
        raise SystemExit(f"found {outcome}, wanted a restored picture")
    return outcome.picture


def levels(picture: rs.Picture) -> np.ndarray:
    """uint8 [H, W, C]."""
    return np.rint(picture.pixels * 255).clip(0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
