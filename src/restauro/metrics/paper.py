"""The storage path of the published HiFaceGAN scores: every metric there reads JPEG files.

Their test loop writes output and truth at x255, clipped and **floored**, as JPEG quality 95 with halved chroma
(4:2:0), and scores what comes back, so the truth is compressed too. :func:`stored` does that to a tensor; the metrics
of ``paper`` mode carry ``jpeg95`` in their names.

Differs: they store input, output and truth side by side in one file, so that the chroma of the border columns sees a
neighbour; here every picture is a file of its own. Their mean runs over whole chunks of 250 files only and counts
unreadable files as perfect; here nothing is dropped and nothing unreadable is scored.
"""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from restauro.metrics.inputs import picture

SUFFIX = ",jpeg95"


def stored(x: Tensor) -> Tensor:
    """What comes back of `x` from a JPEG file: floored to 8 bits, quality 95, 4:2:0.

    Parameters
    ----------
    x
        Float [N,3,H,W], sRGB in 0..1.

    Returns
    -------
    Tensor
        float64 [N,3,H,W] on `x`'s device, multiples of 1/255.

    Raises
    ------
    SettingError
        No picture, or values outside 0..1.

    Notes
    -----
    Cost: a JPEG round trip per picture, about 20 ms per megapixel.

    Examples
    --------
    >>> grey = torch.full((1, 3, 16, 16), 0.5)
    >>> sorted(set((stored(grey) * 255).round().int().flatten().tolist()))
    [127]
    """
    pixels = (picture(x) * 255).clamp(0, 255).floor().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    back = np.stack([_through_jpeg(one) for one in pixels])
    return torch.from_numpy(back).permute(0, 3, 1, 2).to(x.device, torch.float64) / 255


def _through_jpeg(pixels: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, subsampling="4:2:0")
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))
