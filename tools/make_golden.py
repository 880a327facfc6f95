"""Make tests/golden/metrics.json: metric values from implementations that this library does not use.

    python tools/make_golden.py                          # rewrites the file; needs torchmetrics (1.9 was
    used) and scikit-image python tools/make_golden.py --features FOLDER        # also the values on
    SqueezeNet features, in plain numpy float64

The pictures are made from ``skimage.data`` by whole-number arithmetic, so that every machine gets the same
bytes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy import ndimage, special
from skimage import color, data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden" / "metrics.json"
NIQE_MODEL = GOLDEN.parents[2] / "src" / "restauro" / "metrics" / "niqe_restauro1.json"
FEATURE_CASES = ("astronaut noise", "coffee blur")

Array = np.ndarray


def noise(x: Array) -> Array:
    """Add -31..32 grey levels from a linear congruential generator."""
    state = np.arange(x.size, dtype=np.uint64).reshape(x.shape)
    for _ in range(3):
        state = (state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)) >> np.uint64(7)
    return np.clip(x.astype(np.int64) + (state % np.uint64(64)).astype(np.int64) - 31, 0, 255).astype(np.uint8)


def blur(x: Array) -> Array:
    """Mean of 5x5 pixels, edges repeated, rounded down."""
    wide = np.pad(x.astype(np.int64), ((2, 2), (2, 2), (0, 0)), mode="edge")
    h, w = x.shape[:2]
    return (sum(wide[i : i + h, j : j + w] for i in range(5) for j in range(5)) // 25).astype(np.uint8)


def levels(x: Array) -> Array:
    """Keep eight levels per channel."""
    return (x // 32 * 32 + 16).astype(np.uint8)


def shade(x: Array) -> Array:
    """Darken the red and lift the blue channel."""
    return np.stack([x[..., 0] // 2, x[..., 1], 128 + x[..., 2] // 2], axis=2).astype(np.uint8)


CHANGES: dict[str, Callable[[Array], Array]] = {
    "noise": noise,
    "blur": blur,
    "levels": levels,
    "shade": shade,
}


def pictures(case: str) -> tuple[Array, Array]:
    """True and changed picture of a case such as ``"astronaut noise"``: float64 [H, W, 3] in 0..1."""
    name, change = case.split()
    whole = np.asarray(getattr(data, name)())[:192, 100:301]  # sides that are neither equal nor even
    return whole / 255, CHANGES[change](whole) / 255


def cases() -> list[str]:
    """Every picture with every change."""
    return [f"{name} {change}" for name in ("astronaut", "coffee", "rocket") for change in CHANGES]


def terms(a: Array, b: Array, mode: str) -> tuple[Array, Array]:
    """Luminance and contrast of SSIM in scipy, at every pixel; `mode` says what surrounds the picture."""
    taps = np.exp(-np.square(np.arange(11) - 5) / 4.5)
    taps /= taps.sum()

    def mean(x: Array) -> Array:
        for axis in (0, 1):
            x = ndimage.correlate1d(x, taps, axis=axis, mode=mode)
        return x

    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    return (2 * ma * mb + 1e-4) / (ma**2 + mb**2 + 1e-4), (2 * cov + 9e-4) / (va + vb + 9e-4)


def ssim_valid(a: Array, b: Array) -> float:
    """By scikit-image."""
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(structural_similarity(a, b, data_range=1.0, channel_axis=2, **options))


def ssim_zeropad(a: Array, b: Array) -> float:
    """The PyTorch form in scipy: zeros around the picture, mean over every pixel."""
    luminance, contrast = terms(a, b, "constant")
    return float(np.mean(luminance * contrast))


def ms_ssim(a: Array, b: Array, last_power: int) -> float:
    """Contrast of four scales by scipy, the last term by scikit-image.

    Not by torchmetrics 1.9, which crops the contrast to the valid region but not the last term, and so is off
    by 1e-5.
    """
    product = 1.0
    for weight in (0.0448, 0.2856, 0.3001, 0.2363):
        product *= terms(a, b, "reflect")[1][5:-5, 5:-5].mean() ** weight
        h, w = (side // 2 * 2 for side in a.shape[:2])
        a, b = (x[:h, :w].reshape(h // 2, 2, w // 2, 2, 3).mean(axis=(1, 3)) for x in (a, b))
    return float(product * ssim_valid(a, b) ** (0.1333 * last_power))


def niqe(x: Array) -> float:
    """NIQE written out patch by patch, with the shape found by trying all of them; x [H,W,3] in 0..1."""
    model = json.loads(NIQE_MODEL.read_text())
    shapes = np.arange(0.2, 10, 0.001)
    ratios = special.gamma(2 / shapes) ** 2 / (special.gamma(1 / shapes) * special.gamma(3 / shapes))

    def describe(v: Array) -> tuple[float, float, float, float]:
        left, right = np.sqrt(np.mean(v[v < 0] ** 2)), np.sqrt(np.mean(v[v >= 0] ** 2))
        g = left / right
        wanted = np.mean(np.abs(v)) ** 2 / np.mean(v**2) * (g**3 + 1) * (g + 1) / (g**2 + 1) ** 2
        shape = shapes[np.argmin(np.abs(ratios - wanted))]
        scale = np.sqrt(special.gamma(1 / shape) / special.gamma(3 / shape))
        mean = (right - left) * scale * special.gamma(2 / shape) / special.gamma(1 / shape)
        return shape, mean, left * scale, right * scale

    def normal(luma: Array) -> Array:
        blurred = ndimage.gaussian_filter(luma, 7 / 6, mode="nearest", radius=3)
        deviation = np.sqrt(np.abs(ndimage.gaussian_filter(luma**2, 7 / 6, mode="nearest", radius=3) - blurred**2))
        return np.round((luma - blurred) / (deviation + 1), 9)

    luma = 255 * x @ [0.299, 0.587, 0.114]
    h, w = (side // 96 * 96 for side in luma.shape)
    luma = luma[:h, :w]
    halved = sum(luma[i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4
    rows = []
    for top in range(0, h, 96):
        for first in range(0, w, 96):
            row: list[float] = []
            for whole, k in ((normal(luma), 1), (normal(halved), 2)):
                patch = whole[top // k : (top + 96) // k, first // k : (first + 96) // k]
                shape, _, left, right = describe(patch)
                row += [shape, (left + right) / 2]
                for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
                    row += describe(patch * np.roll(np.roll(patch, dy, 0), dx, 1))
            rows.append(row)
    difference = np.mean(rows, axis=0) - model["mean"]
    both = (np.cov(np.transpose(rows)) + model["covariance"]) / 2
    return float(np.sqrt(difference @ np.linalg.pinv(both) @ difference))


def pixel_values(case: str) -> dict[str, float]:
    """The metrics that need no weights."""
    a, b = pictures(case)
    return {
        "psnr:rgb": float(peak_signal_noise_ratio(a, b, data_range=1.0)),
        "ssim:gauss11,rgb,valid": ssim_valid(a, b),
        "ssim:gauss11,rgb,zeropad": ssim_zeropad(a, b),
        "ms-ssim:gauss11,rgb,valid": ms_ssim(a, b, 1),
        "ciede2000:d65,mean": float(color.deltaE_ciede2000(color.rgb2lab(a), color.rgb2lab(b)).mean()),
        "niqe:restauro1": niqe(b),
    }


def conv(x: Array, weight: Array, bias: Array, stride: int = 1, pad: int = 0) -> Array:
    """Convolution followed by ReLU; x [C,H,W]."""
    k = weight.shape[2]
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (pad, pad), (pad, pad))), (k, k), (1, 2))
    found = np.einsum("chwij,ocij->ohw", windows[:, ::stride, ::stride], weight, optimize=True)
    return np.maximum(found + bias[:, None, None], 0)


def pool(x: Array) -> Array:
    """3x3 maximum, stride 2, sizes rounded up."""
    h, w = (-(-(side - 3) // 2) for side in x.shape[1:])
    wide = np.pad(x, ((0, 0), (0, 2 * h + 3 - x.shape[1]), (0, 2 * w + 3 - x.shape[2])), constant_values=-np.inf)
    return np.lib.stride_tricks.sliding_window_view(wide, (3, 3), (1, 2))[:, ::2, ::2].max(axis=(3, 4))


def squeezenet(x: Array, weights: dict[str, Array]) -> dict[str, Array]:
    """All activations of SqueezeNet 1.1 for x [H,W,3] in 0..1."""

    def layer(x: Array, name: str, stride: int = 1, pad: int = 0) -> Array:
        return conv(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride, pad)

    x = x[..., ::-1].transpose(2, 0, 1) * 255 - np.array([104.0, 117.0, 123.0])[:, None, None]
    found = {"conv1": layer(x, "conv1", stride=2)}
    x = pool(found["conv1"])
    for fire in (f"fire{k}" for k in range(2, 10)):
        small = layer(x, f"{fire}.squeeze1x1")
        x = np.concatenate([layer(small, f"{fire}.expand1x1"), layer(small, f"{fire}.expand3x3", pad=1)])
        found[fire] = x
        if fire in ("fire3", "fire5"):
            x = pool(x)
    return found


def feature_values(case: str, folder: Path) -> dict[str, float | list[float]]:
    """LPIPS-like distance, and the first eight numbers of the pooled features."""
    with np.load(folder / "squeezenet11_imagenet_features.npz") as arrays:
        weights = {key: arrays[key].astype(np.float64) for key in arrays.files}
    with np.load(folder / "lpips_v0.1_linear.npz") as arrays:
        linear = [arrays[f"squeeze.lin{k}"].astype(np.float64) for k in range(7)]
    one, other = (squeezenet(x, weights) for x in pictures(case))
    total = 0.0
    for name, weight in zip(("conv1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9"), linear, strict=True):
        u, v = (x / np.sqrt(np.square(x).sum(axis=0) + 1e-20) for x in (one[name], other[name]))
        total += float((np.square(u - v) * weight[:, None, None]).sum(axis=0).mean())
    return {"lpips-squeeze-caffe": total, "fire9 means": one["fire9"].mean(axis=(1, 2))[:8].tolist()}


def main() -> None:
    """Write the file; values of features stay as they are where no folder is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, help="folder with the SqueezeNet and LPIPS weights")
    folder = parser.parse_args().features
    old = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    features = {case: feature_values(case, folder) for case in FEATURE_CASES} if folder else old.get("features", {})
    content = {
        "made by": "tools/make_golden.py",
        "with": {name: version(name) for name in ("numpy", "scipy", "scikit-image")},
        "pixels": {case: pixel_values(case) for case in cases()},
        "features": features,
    }
    GOLDEN.write_text(json.dumps(content, indent=1) + "\n")
    print(f"{GOLDEN.name}: {len(content['pixels'])} cases, {len(features)} with features", file=sys.stderr)


if __name__ == "__main__":
    main()
