"""The linear-time filters beside their fastest faithful peers: time, memory, and how far the results agree.

The peer is OpenCV's filter of the same name and settings, except for iterative least squares, which OpenCV does not
have: there it is the same steps written down with NumPy's FFT in float64. Agreement is taken 32 pixels inside,
because OpenCV treats borders differently; its bilateral filters also add up colour differences instead of taking
their Euclidean length, so those agree less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import cv2
import numpy as np
import torch

from benchmarks.harness import Case, compare, in_fresh_process
from benchmarks.inputs import picture, use_threads
from restauro.smooth.catalogue import smooth_tensor
from restauro.smooth.fgs import FGSSettings
from restauro.smooth.ils import ILSSettings

QUESTION = "Are our linear-time filters at least as fast as their peers, and do they agree?"
MEGAPIXELS = (0.25, 1.0, 4.0)

Work = Callable[[], np.ndarray]
OPENCV = cv2.ximgproc


def _guided(pixels: np.ndarray) -> Work:
    return lambda: OPENCV.guidedFilter(pixels, pixels, 4, 0.01)


def _bilateral(pixels: np.ndarray) -> Work:
    return lambda: cv2.bilateralFilter(pixels, -1, 0.1, 3.0)


def _rolling_guidance(pixels: np.ndarray) -> Work:
    def work() -> np.ndarray:
        guide = np.zeros_like(pixels)
        for _ in range(4):
            guide = OPENCV.jointBilateralFilter(guide, pixels, -1, 0.1, 3.0)
        return guide

    return work


def _fgs(pixels: np.ndarray) -> Work:
    guide = np.rint(pixels * 255).astype(np.uint8)  # OpenCV wants a guide of bytes, and the lam of the first pass
    return lambda: OPENCV.fastGlobalSmootherFilter(guide, pixels, FGSSettings().lams[0], 25.5)


def _domain_transform(pixels: np.ndarray) -> Work:
    return lambda: OPENCV.dtFilter(pixels, pixels, 20, 0.4, mode=OPENCV.DTF_RF)


def _ils(pixels: np.ndarray) -> Work:
    f = pixels.astype(np.float64)
    s, (height, width, _) = ILSSettings(), pixels.shape
    waves = [4 * np.sin(np.pi * np.fft.fftfreq(n)) ** 2 for n in (height, width)]
    system = 1 + s.curvature * s.lam / 2 * (waves[0][:, None, None] + waves[1][None, :, None])

    def work() -> np.ndarray:
        u, spectrum = f, np.fft.fft2(f, axes=(0, 1))
        for _ in range(s.steps):
            divergence = np.zeros_like(u)
            for axis in (0, 1):
                t = np.roll(u, -1, axis) - u
                mu = s.curvature * t - s.p * t * (t * t + s.eps) ** (s.p / 2 - 1)
                divergence += np.roll(mu, 1, axis) - mu
            right = spectrum + s.lam / 2 * np.fft.fft2(divergence, axes=(0, 1))
            u = np.fft.ifft2(right / system, axes=(0, 1)).real
        return u

    return work


PEERS: Mapping[str, tuple[str, Callable[[np.ndarray], Work]]] = {
    "guided": ("OpenCV", _guided),
    "bilateral": ("OpenCV", _bilateral),
    "rolling-guidance": ("OpenCV's joint bilateral, 4 times", _rolling_guidance),
    "fgs": ("OpenCV", _fgs),
    "domain-transform": ("OpenCV", _domain_transform),
    "ils": ("NumPy's FFT, float64", _ils),
}


def _ours(pixels: np.ndarray, method: str) -> Work:
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()
    return lambda: smooth_tensor(x, method, {})[0].permute(1, 2, 0).numpy()


def _works(pixels: np.ndarray, method: str) -> dict[str, Work]:
    return {"restauro": _ours(pixels, method), "peer": PEERS[method][1](pixels)}


def prepare(candidate: str, method: str, megapixels: float, threads: int) -> Callable[[], None]:
    """Make one candidate ready in a fresh process: loaded, compiled, tried on a small picture."""
    use_threads(threads)
    _works(picture(0), method)[candidate]()
    work = _works(picture(megapixels), method)[candidate]

    def without_result() -> None:
        work()

    return without_result


def cases(megapixels: Sequence[float], rounds: int, threads: int) -> list[Case]:
    """Compare every method with its peer on every size."""
    use_threads(threads)
    return [_case(method, size, rounds, threads) for method in PEERS for size in megapixels]


def _case(method: str, megapixels: float, rounds: int, threads: int) -> Case:
    pixels = picture(megapixels)
    works = _works(pixels, method)
    seconds, ratios = compare(works, rounds)
    inside = slice(32, -32) if min(pixels.shape[:2]) > 64 else slice(None)
    difference = (works["restauro"]().astype(np.float64) - works["peer"]())[inside, inside]
    measure = partial(in_fresh_process, "benchmarks.filters:prepare")
    arguments = {"method": method, "megapixels": megapixels, "threads": threads}
    memory = {name: measure({"candidate": name} | arguments)[1] for name in works}
    agreement_db = float(-10 * np.log10(np.mean(difference**2) + 1e-30))
    notes = {"method": method, "peer is": PEERS[method][0], "agreement, dB": agreement_db}
    height, width, _ = pixels.shape
    return Case(width, height, seconds, ratios, memory, notes)
