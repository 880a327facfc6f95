"""Write a recipe for GoPro (Nah et al. 2017) as it is unpacked, from a recipe that has everything but the pictures.

    python tools/make_gopro_recipe.py GOPRO_Large --root FOLDER > gopro.toml
    restauro train gopro.toml --root FOLDER

FOLDER/GOPRO_Large holds {train,test}/SCENE/{blur,blur_gamma,sharp}/FRAME.png: a picture set for each scene, its weight
the number of its frames, its inputs the blurred frames (--inputs blur_gamma for the other ones). What the recipe says
of degradation is not used: the pairs are given. At --shrink 2 the 2,103 training pairs take 3 GB of memory, as they are
11 GB.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def main() -> int:
    """Parse the arguments and print the recipe; 1 where no pair is found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="the unpacked data set, relative to the root")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--base", type=Path, default=REPOSITORY / "recipes" / "deblur-general.toml")
    parser.add_argument("--inputs", default="blur", choices=("blur", "blur_gamma"))
    parser.add_argument("--shrink", type=int, default=2)
    given = parser.parse_args()
    head, _, _ = given.base.read_text(encoding="utf-8").partition("[[data.")
    sections = []
    for part, role in (("train", "train"), ("test", "validation")):
        scenes = [path for path in sorted((given.root / given.folder / part).glob("*")) if (path / "sharp").is_dir()]
        if not scenes:
            print(f"{given.root / given.folder / part}: found no SCENE/sharp, wanted GoPro's folders", file=sys.stderr)
            return 1
        sections += [section(scene, role, f"{given.folder}/{part}/{scene.name}", given) for scene in scenes]
    print(head + "\n".join(sections), end="")
    return 0


def section(scene: Path, role: str, folder: str, given: argparse.Namespace) -> str:
    """The picture set of one scene."""
    frames = sum(1 for _ in (scene / "sharp").iterdir())
    rows = {
        "name": scene.name,
        "folder": f"{folder}/sharp",
        "inputs": f"{folder}/{given.inputs}",
        "shrink": [given.shrink],
        "weight": float(frames),
    }
    return f"[[data.{role}]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in rows.items())


if __name__ == "__main__":
    sys.exit(main())
