"""Make the README's pictures, both from the photograph that comes with scikit-image.

.venv/bin/python tools/make_readme_picture.py

docs/pictures/demo.jpg is the comparison that ``restauro demo`` writes; docs/pictures/renovate.jpg is what ``restauro
renovate --whole`` makes of ``restauro degrade face-renovation``, for two seeds.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import skimage.data

import restauro as rs
from restauro.cli.demo import demo
from restauro.picture import from_array
from restauro.restore.renovate import FaceSettings
from restauro.sheet import grid

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
SEEDS = (6, 7)


def main() -> None:
    """Make both."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        demo(folder)
        rs.write(rs.read(Path(folder) / "comparison.png"), PICTURES / "demo.jpg", quality=88, force=True)
    grid([renovation(seed) for seed in SEEDS], ("degraded", "renovated", "original")).save(
        PICTURES / "renovate.jpg", quality=88
    )
    for path in sorted(PICTURES.iterdir()):
        print(f"{path}: {path.stat().st_size} bytes")


def renovation(seed: int) -> list[np.ndarray]:
    """The upper half of the astronaut, in three states, uint8 [300, 300, 3]."""
    truth = from_array(skimage.data.astronaut()[:300, 80:380].astype(np.float32) / 255, name="astronaut")
    worn, _ = rs.degrade(truth, "face-renovation", seed=seed)
    outcome = rs.renovate(worn, faces=FaceSettings(whole=True))
    if not isinstance(outcome, rs.Restored):
        raise SystemExit(f"found {outcome}, wanted a renovated picture")
    return [np.rint(one.pixels * 255).clip(0, 255).astype(np.uint8) for one in (worn, outcome.picture, truth)]


if __name__ == "__main__":
    main()
