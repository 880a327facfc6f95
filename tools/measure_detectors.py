"""Measure the face detectors: how many faces they find, how many they see where there are none.

    python tools/measure_detectors.py --root FOLDER [-o results/face-detection.md]

Faces: the validation list of FOLDER/faces, aligned crops, as they are and after the law ``face-renovation`` (seed =
place in the list). A face counts as found if the frame of align.py drawn about its box agrees with the picture: centres
closer than 0.15 of the side, sides within a factor of 1.4. Everything else that is found there is a false alarm.

No faces: the validation lists of FOLDER/flowers, of FOLDER/labels/facades, and of the free photographs in
FOLDER/natural. Pictures with an alarm are listed by name, so that a person can look at them.

Also printed: the frame of lbp, medians over faces of the training list, which align.py holds in ``FRAMES``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from restauro.degrade.laws import degrade_tensor
from restauro.metrics.matching import digest
from restauro.picture import Picture, from_array, read
from restauro.restore.faces.align import crop_of
from restauro.restore.faces.face import Face
from restauro.restore.faces.find import (
    AGREEING_MOST,
    AGREEING_WORTH,
    DLIB_LEAST,
    LBP_ALONE,
    LBP_CERTAIN,
    LBP_LEAST,
    LBP_PROPOSES,
    detector_named,
    find_faces,
)

SMALLEST_PX = 40
DETECTORS = ("lbp", "dlib", "auto")
FREE = ("gb82/", "free_")
FRAME_FACES = 60


@dataclass
class Count:
    """What one detector did on one set."""

    pictures: int = 0
    found: int = 0
    extra: int = 0
    seconds: float = 0.0
    megapixels: float = 0.0


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, default=Path("results/face-detection.md"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    faces = listed(options.root / "faces", "val.txt")
    others = {
        "flowers": listed(options.root / "flowers", "val.txt"),
        "facades": listed(options.root / "labels" / "facades", "val.txt", ".jpg"),
        "free photographs": {
            n: p for n, p in listed(options.root / "natural", "val.txt").items() if n.startswith(FREE)
        },
    }
    lines = [
        "# Faces found and not found",
        "",
        f"Smallest face {SMALLEST_PX} px; lbp: {LBP_PROPOSES} windows or more, up to {LBP_CERTAIN} checked to log odds "
        f"of {LBP_LEAST} or more, dlib: margin {DLIB_LEAST} or more with {AGREEING_WORTH} for each of up to "
        f"{AGREEING_MOST} windows of the cascade that agree, both chosen on training pictures, dlib's on a badge in "
        f"skimage's astronaut too; auto: dlib, and lbp from {LBP_ALONE}, chosen so too, where dlib sees none. "
        "In brackets the 95 % interval of a share (Wilson).",
        "",
        *found_table(faces),
        "",
        *alarm_table(others),
        "",
        *frame_table(listed(options.root / "faces", "train.txt")),
        "",
        "- command: python tools/measure_detectors.py --root FOLDER",
        f"- face pictures: {len(faces)}, sha256 {digest(faces)[:16]}",
        *(f"- {name}: {len(files)}, sha256 {digest(files)[:16]}" for name, files in others.items()),
        "- ms per megapixel: processor time of one core of the machine that ran it",
        "",
    ]
    options.output.write_text("\n".join(lines), encoding="utf-8")
    print(options.output)


def listed(folder: Path, names: str, suffix: str = "") -> dict[str, Path]:
    """Files of a set's list by name."""
    return {name: folder / "images" / f"{name}{suffix}" for name in (folder / names).read_text().split()}


def found_table(faces: dict[str, Path]) -> list[str]:
    """Rates of finding by set, on the pictures as they are and degraded."""
    counts: dict[tuple[str, str, str], Count] = {}
    for seed, (name, path) in enumerate(faces.items()):
        clean = read(path)
        for state, picture in (("as they are", clean), ("degraded", degraded(clean, seed))):
            for detector in DETECTORS:
                found, seconds = timed(picture, detector)
                good = [face for face in found if agrees(face, picture)]
                for part in (name.split("_")[0], "all"):
                    add(counts.setdefault((state, part, detector), Count()), picture, bool(good), len(found), seconds)
    rows = table("pictures", "set", "n", *(f"{detector} found" for detector in DETECTORS))
    for state, part in sorted({(state, part) for state, part, _ in counts}):
        each = [counts[state, part, detector] for detector in DETECTORS]
        rows.append(
            f"| {state} | {part} | {each[0].pictures} | " + " | ".join(share(c.found, c.pictures) for c in each) + " |"
        )
    rows += [
        "",
        *table(
            "pictures",
            *(f"{what}, {one}" for what in ("false alarms per picture", "ms per megapixel") for one in DETECTORS),
        ),
    ]
    for state in dict.fromkeys(state for state, _, _ in counts):
        each = [counts[state, "all", detector] for detector in DETECTORS]
        alarms = " | ".join(f"{c.extra / c.pictures:.3f}" for c in each)
        rows.append(
            f"| {state} | {alarms} | " + " | ".join(f"{1e3 * c.seconds / c.megapixels:.0f}" for c in each) + " |"
        )
    return rows


def alarm_table(others: dict[str, dict[str, Path]]) -> list[str]:
    """Share of pictures without faces in which one is seen."""
    rows = table("no faces in", "n", *(f"{detector} alarms" for detector in DETECTORS))
    names = []
    for part, files in others.items():
        alarms = {
            detector: [n for n, p in files.items() if find_faces(read(p), detector, SMALLEST_PX)]
            for detector in DETECTORS
        }
        rows.append(
            f"| {part} | {len(files)} | " + " | ".join(share(len(alarms[d]), len(files)) for d in DETECTORS) + " |"
        )
        names += [f"- alarms of {d} in {part}: {', '.join(alarms[d])}" for d in DETECTORS if alarms[d]]
    return [*rows, "", *names]


def table(*heads: str) -> list[str]:
    """The first two lines of a table."""
    return ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]


def frame_table(faces: dict[str, Path]) -> list[str]:
    """Medians of FFHQ square over box, by the landmarks of dlib."""
    rows = ["| box of | faces | FFHQ side / box side | centre below the box's, in box sides |", "|---|---|---|---|"]
    names = np.random.default_rng(0).choice(list(faces), FRAME_FACES, replace=False)
    frames: list[tuple[float, float]] = []
    for name in names:
        picture = read(faces[name])
        marked, boxed = (find_faces(picture, detector, SMALLEST_PX) for detector in ("dlib", "lbp"))
        if len(marked) == 1 and boxed:
            square, box = crop_of(marked[0], 256), boxed[0]
            down = square.corners.mean(axis=0)[1] - box.centre[1]
            frames.append((256 / square.scale / box.size_px, down / box.size_px))
    side, down = np.median(np.array(frames), axis=0)
    return [*rows, f"| lbp | {len(frames)} | {side:.3f} | {down:.3f} |"]


def degraded(picture: Picture, seed: int) -> Picture:
    """The picture after the law face-renovation."""
    x = torch.from_numpy(picture.rgb()).permute(2, 0, 1)[None]
    return from_array(degrade_tensor(x, "face-renovation", seed=seed)[0][0].permute(1, 2, 0).numpy())


def timed(picture: Picture, detector: str) -> tuple[Sequence[Face], float]:
    """Faces, and processor seconds."""
    detector_named(detector)
    began = time.process_time()
    found = find_faces(picture, detector, SMALLEST_PX)
    return found, time.process_time() - began


def agrees(face: Face, picture: Picture) -> bool:
    """Whether a face is the one that this aligned picture shows."""
    side = float(min(picture.width, picture.height))
    corners: NDArray[np.float64] = crop_of(face, 256).corners
    apart = float(np.hypot(*(corners.mean(axis=0) - (picture.width / 2, picture.height / 2)))) / side
    ratio = float(np.hypot(*(corners[1] - corners[0]))) / side
    return apart < 0.15 and 1 / 1.4 < ratio < 1.4


def add(count: Count, picture: Picture, good: bool, boxes: int, seconds: float) -> None:
    """One more picture."""
    count.pictures += 1
    count.found += good
    count.extra += boxes - good
    count.seconds += seconds
    count.megapixels += picture.width * picture.height / 1e6


def share(hits: int, of: int) -> str:
    """A share with its Wilson interval, in percent."""
    z, p = 1.96, hits / of
    middle = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * np.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    return f"{100 * p:.1f} % [{100 * max(middle - half, 0):.1f}, {100 * min(middle + half, 1):.1f}]"


if __name__ == "__main__":
    main()
