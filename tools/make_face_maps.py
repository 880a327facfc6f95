"""Maps of the parts of faces, drawn from dlib's 68 landmarks: the guide of the row SPADE in Table 2 of HiFaceGAN.

    python tools/make_face_maps.py --root FOLDER --out MAPS    # pip install 'restauro[faces]' first

MAPS becomes a data root of its own: ``faces``, a link to FOLDER/faces; ``face-maps``, a PNG of class ids for each of
its pictures; and ``face-maps.csv``, the classes. Maps are drawn from clean faces, as the paper has it. Its maps have 19
classes of a trained parser; these have seven and know no hair. Where dlib finds no face a map is all background.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from restauro.picture import Picture, read
from restauro.restore.faces.find import find_faces

Points = NDArray[np.float64]

CLASSES = ("background", "skin", "brow", "eye", "nose", "lips", "mouth")
COLOURS = ((0, 0, 0), (230, 180, 150), (90, 60, 40), (255, 255, 255), (200, 140, 110), (200, 60, 80), (90, 0, 20))
#: Class and landmarks of each part, drawn one over the other. The 68 points are those of iBUG 300-W.
PARTS = (
    (4, (27, 31, 32, 33, 34, 35)),
    (2, tuple(range(17, 22))),
    (2, tuple(range(22, 27))),
    (3, tuple(range(36, 42))),
    (3, tuple(range(42, 48))),
    (5, tuple(range(48, 60))),
    (6, tuple(range(60, 68))),
)
SMALLEST_PX = 80
#: The forehead reaches as far above the brows as this share of the way from there to the chin.
FOREHEAD = 0.35


def main() -> int:
    """Draw a map for every picture that is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    maps = given.out / "face-maps"
    maps.mkdir(parents=True, exist_ok=True)
    link = given.out / "faces"
    if not link.exists():
        link.symlink_to((given.root / "faces").resolve(), target_is_directory=True)
    rows = [f"{k},{name},{r},{g},{b}" for k, (name, (r, g, b)) in enumerate(zip(CLASSES, COLOURS, strict=True))]
    (given.out / "face-maps.csv").write_text("\n".join(["id,name,r,g,b", *rows]) + "\n", encoding="utf-8")
    blank = 0
    paths = sorted(path for path in (link / "images").rglob("*") if path.is_file())
    for number, path in enumerate(paths):
        target = maps / path.relative_to(link / "images").with_suffix(".png")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            drawn = face_map(read(path))
            blank += not drawn.any()
            Image.fromarray(drawn).save(target)
        if number % 200 == 0:
            print(f"{number} of {len(paths)}", file=sys.stderr, flush=True)
    print(f"{len(paths)} maps in {maps}; no face was found for {blank} of those drawn now")
    return 0


def face_map(picture: Picture) -> NDArray[np.uint8]:
    """Class ids [H, W] of the largest face of a picture; zeros where none is found."""
    faces = find_faces(picture, "dlib", SMALLEST_PX)
    if not faces or faces[0].landmarks is None:
        return np.zeros((picture.height, picture.width), np.uint8)
    return painted(np.asarray(faces[0].landmarks, np.float64), picture.height, picture.width)


def painted(points: Points, height: int, width: int) -> NDArray[np.uint8]:
    """Class ids [height, width] of a face whose 68 landmarks are ``points`` [68, 2], x and y in px."""
    sheet = Image.new("L", (width, height))
    pen = ImageDraw.Draw(sheet)

    def area(label: int, corners: Points) -> None:
        pen.polygon([(float(x), float(y)) for x, y in corners], fill=label)

    brows = points[17:27]
    up = FOREHEAD * (brows.mean(axis=0) - points[8])
    area(1, np.concatenate([points[:17], (brows + up)[::-1]]))
    thick = 0.04 * float(np.hypot(*(points[16] - points[0])))
    for label, places in PARTS:
        corners = points[list(places)]
        if label == 2:
            pen.line([(float(x), float(y)) for x, y in corners], fill=label, width=max(1, round(thick)))
        else:
            area(label, corners)
    return np.asarray(sheet, np.uint8)


if __name__ == "__main__":
    sys.exit(main())
