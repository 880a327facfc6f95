"""A picture deblurred by a kernel that somebody knows, or that is estimated from the picture itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restauro.deconvolution.blind import CORRELATION, SLOPES, STEEP, find_kernel, steepness
from restauro.deconvolution.deconvolve import DeconvolutionSettings, centroid_px, deconvolve, in_light
from restauro.degrade.kernel_files import Taps, kernel_sha256, normalised, read_kernel
from restauro.errors import PictureError
from restauro.picture import Picture
from restauro.restore.outcome import Evidence, Failed, Restored
from restauro.restore.strength import blend

ESTIMATE = "estimate"  # in place of a kernel


def by_kernel(
    picture: Picture,
    kernel: str | Path | NDArray[np.floating],
    settings: DeconvolutionSettings | None = None,
    strength: float = 1.0,
    mask: NDArray[np.float32] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Restored | Failed:
    """Deblur a picture with a kernel; parameters and errors as :func:`restauro.deblur`, mask [H, W]."""
    settings = settings or DeconvolutionSettings()
    estimated = isinstance(kernel, str) and kernel == ESTIMATE
    taps = None if estimated else normalised(kernel, "array") if isinstance(kernel, np.ndarray) else read_kernel(kernel)
    began = time.perf_counter()
    try:
        if taps is None:
            given = in_light(picture.pixels) if settings.linear_light else picture.pixels
            taps = _believed(given, settings.size_px)
        made = deconvolve(picture.pixels, taps, settings, progress)
    except PictureError as error:
        return Failed(
            picture.source.name, f"{picture.source.name}: found {error.found}, wanted {error.wanted}; {error.do}"
        )
    pixels = blend(picture.pixels, made, strength, mask)
    evidence = Evidence(
        model=str(settings),
        weights_sha256=None,
        device="cpu",
        precision="float64",
        tiles=1,
        seconds=time.perf_counter() - began,
        notes=(_about(taps, estimated),),
    )
    return Restored(picture.with_pixels(pixels), evidence)


def _believed(given: NDArray[Any], size_px: int) -> Taps:
    steep = steepness(given)
    if steep > STEEP[1]:
        raise PictureError(
            "the picture",
            f"no one blur (its edges are as steep as a sharp picture's: {steep:.2f})",
            f"up to {STEEP[1]}",
            "leave it as it is, or name the kernel if there is one",
        )
    kernel, seen = find_kernel(given, size_px)
    if not seen.credible:
        raise PictureError(
            "the picture",
            f"no one blur of up to {size_px} px (its spectrum shows the estimated kernel with a correlation of "
            f"{seen.correlation:.2f} and a slope of {seen.slope:.2f})",
            f"{CORRELATION} or more and {SLOPES[0]} to {SLOPES[1]}",
            "name the kernel if it is known, try another kernel size, or use a model",
        )
    return kernel


def _about(kernel: Taps, estimated: bool) -> str:
    x, y = centroid_px(kernel)
    rows, columns = kernel.shape
    told = f"kernel of {columns}x{rows} taps, SHA-256 {kernel_sha256(kernel)[:12]}, "
    told += "estimated from this picture, and it may be wrong" if estimated else "taken as true"
    if max(abs(x), abs(y)) < 1:
        return told
    return f"{told}; its centroid is {x:+.1f} px right of and {y:+.1f} px below its middle: the result is moved back"
