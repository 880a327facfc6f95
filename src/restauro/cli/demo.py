"""``restauro demo``: the main job on a picture that comes with the installation."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from restauro.errors import RestauroError
from restauro.picture import from_array, write
from restauro.restore.outcome import Restored

if TYPE_CHECKING:
    from restauro.sheet import Array

#: Where the detail of the comparison is cut out of the astronaut (top, left, height, width).
FACE = (40, 160, 128, 128)


def demo(folder: str = "restauro-demo", *, model: str = "desmooth-l0") -> int:
    """Smooth the astronaut of scikit-image (public domain), and give her the detail back.

    Writes original.png, smoothed.png, restored.png and comparison.png; files of an earlier demo are replaced.

    Parameters
    ----------
    folder
        Where the pictures go.
    model
        The network that restores.
    """
    import numpy as np
    from skimage.data import astronaut

    from restauro.restore.verbs import desmooth, smooth
    from restauro.sheet import Panel, comparison

    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RestauroError(
            f"{target}: found {error.strerror}, wanted a folder for the pictures; name another"
        ) from None
    original = from_array(astronaut(), name="astronaut")
    # 8 bits in between, as a file would have: the network gets what a person would give it.
    flat = smooth(original, "l0", lam=0.02)
    smoothed = from_array(np.rint(np.clip(flat.pixels, 0, 1) * 255).astype(np.uint8), name="smoothed astronaut")
    outcome = desmooth(smoothed, model)
    if not isinstance(outcome, Restored):
        raise RestauroError(f"demo: {outcome.reason}")
    restored = outcome.picture
    panels = (
        Panel(smoothed.pixels, "input: smoothed (L0)", _score(smoothed.pixels, original.pixels)),
        Panel(restored.pixels, f"restored by {outcome.evidence.model}", _score(restored.pixels, original.pixels)),
        Panel(original.pixels, "original, never shown to the program"),
    )
    beside = from_array(comparison(panels, FACE), name="comparison")
    for name, picture in (
        ("original", original),
        ("smoothed", smoothed),
        ("restored", restored),
        ("comparison", beside),
    ):
        write(picture, target / f"{name}.png", force=True)
    for panel in panels[:2]:
        sys.stdout.write(f"{panel.title:<34}{panel.line}\n")
    sys.stdout.write(f"restored in {outcome.evidence.seconds:.1f} s on {outcome.evidence.device}; ")
    sys.stdout.write(f"look at {target / 'comparison.png'}\n")
    return 0


def _score(pixels: Array, truth: Array) -> str:
    import numpy as np
    import torch

    from restauro.metrics.psnr import psnr
    from restauro.metrics.ssim import ssim

    a, b = (torch.from_numpy(np.clip(p, 0, 1)).permute(2, 0, 1)[None] for p in (pixels, truth))
    return f"PSNR {float(psnr(a, b)[0]):.2f} dB, SSIM {float(ssim(a, b)[0]):.3f}"
