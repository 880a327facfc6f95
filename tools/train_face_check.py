"""Train the check of what the cascade takes for faces.

    python tools/train_face_check.py --root FOLDER

FOLDER holds the development pictures. Boxes are what the cascade of ``lbp`` finds in pictures of the train lists, also
those that too few of its windows agree on for ``lbp``: free faces, each degraded, and also blurred or as it is; free
photographs and flowers, in which no face is seen, as they are, degraded and blurred. Each is learned from as it is and
mirrored. A box of a face picture is a face if measure_detectors.py would count it as found.

It prints what the check does to boxes of pictures that it was not trained on (three folds, by name), and of
research-only house fronts; then it writes src/restauro/weights/face-check.safetensors: the same pictures give the same
bytes on the same machine.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch
from measure_detectors import FREE, SMALLEST_PX, agrees, degraded, listed
from numpy.typing import NDArray
from PIL import Image, ImageOps
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize
from scipy.special import expit

from restauro.models import sorted_header
from restauro.picture import Picture, from_array, read
from restauro.restore.faces.face import Face
from restauro.restore.faces.find import Lbp, bytes_of
from restauro.restore.faces.verify import FILE, FORMAT, features

WEIGHTS = Path(__file__).resolve().parents[1] / "src" / "restauro" / "weights" / FILE
FREE_FACES = ("sfhq", "sd3", "london")
FREE_FLOWERS = ("daisy", "dandelion", "roses", "sunflowers", "tulips")
HOUSES = "house fronts"  # seen by no training
SHRINK = 3e-3
FOLDS = 3
TERMS = "free to use under Apache-2.0; trained on free pictures only (CC0, CC BY, Unsplash, synthetic faces)"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Boxes:
    """What the cascade proposes: features [B, COUNT], whether it is a face, and of which picture and kind."""

    x: Floats
    face: NDArray[np.bool_]
    name: NDArray[np.str_]
    kind: NDArray[np.str_]

    def where(self, chosen: NDArray[np.bool_]) -> Boxes:
        """Some of them."""
        return Boxes(self.x[chosen], self.face[chosen], self.name[chosen], self.kind[chosen])


def main() -> None:
    """Propose, train, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    boxes = proposed(options.root)
    own = boxes.where(boxes.kind != HOUSES)
    report(boxes, own)
    weight, bias = fit(own)
    write(options.output, weight, bias, own)
    print(options.output)


def pictures(root: Path) -> Iterator[tuple[str, str, Picture]]:
    """Name, kind and picture."""
    faces = {n: p for n, p in listed(root / "faces", "train.txt").items() if n.startswith(FREE_FACES)}
    for seed, (name, path) in enumerate(faces.items()):
        clean = read(path)
        yield name, "face, degraded", degraded(clean, seed)
        if seed % 2:
            yield name, "face, blurred", blurred(clean, seed)
        else:
            yield name, "face", clean
    flowers = {n: p for n, p in listed(root / "flowers", "train.txt").items() if n.startswith(FREE_FLOWERS)}
    photographs = {n: p for n, p in listed(root / "natural", "train.txt").items() if n.startswith(FREE)}
    for seed, (name, path) in enumerate((flowers | photographs).items()):
        clean = read(path)
        yield name, "none", clean
        yield name, "none, degraded", degraded(clean, seed)
        yield name, "none, blurred", blurred(clean, seed)
    for name, path in listed(root / "labels" / "facades", "train.txt", ".jpg").items():
        yield name, HOUSES, read(path)


def blurred(picture: Picture, seed: int) -> Picture:
    """Out of focus: a Gaussian whose sigma is 0.5 to 8 px, evenly on a logarithmic scale."""
    sigma = 8.0 ** np.random.default_rng(seed).uniform(-1 / 3, 1)
    return from_array(gaussian_filter(picture.rgb(), (sigma, sigma, 0)))


def proposed(root: Path) -> Boxes:
    """Boxes of all pictures."""
    rows: list[tuple[Floats, bool, str, str]] = []
    for name, kind, picture in pictures(root):
        pixels = bytes_of(picture)
        grey = Image.fromarray(pixels).convert("L")
        for box, windows in Lbp().propose(pixels, SMALLEST_PX, fewest=1):
            is_face = kind.startswith("face") and agrees(Face(box, 1.0, None, "lbp"), picture)
            left, top, right, bottom = box
            mirrored = grey.width - right, top, grey.width - left, bottom
            for seen, place in ((grey, box), (ImageOps.mirror(grey), mirrored)):
                rows.append((features(seen, place, windows), is_face, name, kind))
    x, face, names, kinds = zip(*rows, strict=True)
    return Boxes(np.stack(x), np.array(face), np.array(names), np.array(kinds))


def fit(boxes: Boxes) -> tuple[Floats, float]:
    """Logistic regression with a square penalty on standardised features; faces and others weigh the same."""
    mean, deviation = boxes.x.mean(axis=0), boxes.x.std(axis=0) + 1e-3
    z, sign = (boxes.x - mean) / deviation, np.where(boxes.face, 1.0, -1.0)
    share = np.where(boxes.face, 0.5 / boxes.face.sum(), 0.5 / (~boxes.face).sum())

    def loss(w: Floats) -> tuple[float, Floats]:
        margin = sign * (z @ w[:-1] + w[-1])
        slope = -share * sign * expit(-margin)
        penalty = SHRINK * w[:-1]
        return float(share @ np.logaddexp(0, -margin) + penalty @ w[:-1]), np.append(
            z.T @ slope + 2 * penalty, slope.sum()
        )

    w = minimize(loss, np.zeros(z.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    weight = (w[:-1] / deviation).astype(np.float32)
    return weight.astype(np.float64), float(w[-1] - weight @ mean)


def report(boxes: Boxes, own: Boxes) -> None:
    """Shares of boxes that pass, of pictures that were held out."""
    passed, fold = np.zeros(len(boxes.face), bool), np.array([_fold(name) for name in boxes.name])
    for held in range(FOLDS):
        weight, bias = fit(own.where(np.array([_fold(name) != held for name in own.name])))
        passed[fold == held] = boxes.x[fold == held] @ weight + bias >= 0
    for kind in dict.fromkeys(boxes.kind):
        for face in (True, False):
            those = (boxes.kind == kind) & (boxes.face == face)
            if those.any():
                print(f"{kind}: {passed[those].sum()} of {those.sum()} {'faces' if face else 'others'} pass")


def _fold(name: str) -> int:
    return hashlib.sha256(name.encode()).digest()[0] % FOLDS


def write(path: Path, weight: Floats, bias: float, boxes: Boxes) -> None:
    """The weights, with everything that decided them."""
    tensors = {"weight": weight.astype(np.float32), "bias": np.array([bias], np.float32)}
    metadata = {
        "format": FORMAT,
        "made by": "tools/train_face_check.py",
        "faces": str(int(boxes.face.sum())),
        "others": str(int((~boxes.face).sum())),
        "pictures_sha256": hashlib.sha256("\n".join(sorted(set(boxes.name))).encode()).hexdigest(),
        "terms": TERMS,
    }
    path.write_bytes(sorted_header(safetensors.numpy.save(tensors, metadata=metadata)))


if __name__ == "__main__":
    main()
