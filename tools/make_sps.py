"""Make free stand-ins for two data sets of texture removal: SPS-like (strong texture) and NKS-like (weak).

    python tools/make_sps.py --root FOLDER --out runs
    python tools/make_sps.py --sps PICTURES --out original          # the user's own copies of the real ones: SPS with
    python tools/make_sps.py --sps TRUTHS TEXTURES --out original   # truth and input side by side, or to be blended,
    python tools/make_sps.py --nks FOLDER --out original            # and NKS; restauro.train.smoothing_sets

ROOT holds structure pictures in ROOT/structures and seamless texture tiles in ROOT/textures, each with lists train.txt
and val.txt, and manifest.csv (columns file, licence). Only pictures under a free licence are taken. OUT gets::

    sps/truth/NAME.png    the structure                      sps/train.txt  tune.txt  validation.txt
    sps/input/NAME.png    the structure with texture         sps/pairs.csv  what each pair was made of, with licences
    nks/...               the same, without train.txt        sps/about.json seed, digest, mean PSNR of inputs

An input is clip(structure + amplitude * texture), the texture a tile made grey, high-passed (minus its Gaussian of
16 px), of zero mean and unit deviation (Feng et al. 2021 tile grey textures over flattened pictures; Xu et al. 2020 put
natural textures, some coloured, on vector art). The amplitude is calibrated so that inputs have on average the PSNR of
the original sets: 20.3 dB and 28.0 dB, tables of the SASNet paper. Tuning and validation pairs are as in the papers.
Of the training pairs, half are too; the other half have more kinds of texture, weak to strong.

No structure and no texture is in two of train, tune and validation, of either set. Same sources and seed, same bytes.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from restauro.errors import RestauroError
from restauro.train.smoothing_sets import unpack_nks, unpack_sps, write_sps

FREE = ("CC0*", "CC BY [234]*", "*upstream*: CC BY 2.0 per photo*", "Apache 2.0*", "public domain*")
SPLITS = ("train", "tune", "validation")
HIGH_PASS_PX = 16.0
CALIBRATED_ON = 80  # pairs of a split
Array = np.ndarray


@dataclass(frozen=True)
class Kind:
    """One of the two sets: level of its inputs, which structures, and how often a texture keeps its colours."""

    name: str
    psnr_db: float
    structures: str
    coloured: float
    splits: tuple[str, ...]


KINDS = (
    Kind("sps", 20.3, "*", 0.0, SPLITS),
    Kind("nks", 28.0, "vector/*", 0.3, SPLITS[1:]),
)


@dataclass(frozen=True)
class Source:
    """A picture to make pairs of, with its licence."""

    name: str
    path: Path
    licence: str

    def pixels(self) -> Array:
        """float32 [H, W, 3] in 0..1."""
        return np.asarray(Image.open(self.path).convert("RGB"), dtype=np.float32) / 255


@dataclass(frozen=True)
class Parts:
    """A pair before it is blended: structure [S, S, 3], texture [S, S, 1 or 3] of unit deviation, and what they are."""

    structure: Array
    texture: Array
    strength: float
    record: dict[str, str]


def main() -> int:
    """Parse the arguments and write the sets asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="structures/, textures/ and manifest.csv, to make the sets from")
    parser.add_argument("--sps", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--nks", type=Path, metavar="FOLDER")
    parser.add_argument("--split", choices=("disjoint", "random"), default="disjoint", help="of --sps")
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--side", type=int, default=256, help="of every picture, in pixels")
    for split, count in zip(SPLITS, (2400, 40, 80), strict=True):
        parser.add_argument(f"--{split}", type=int, default=count, metavar="PAIRS")
    given = parser.parse_args()
    if not (given.root or given.sps or given.nks) or len(given.sps or ()) > 2:
        parser.error("wanted --root FOLDER, --sps with one folder or two, or --nks FOLDER")
    try:
        if given.root:
            counts = {split: getattr(given, split) for split in SPLITS}
            for about in make_sets(given.root, given.out, given.seed, given.side, counts):
                print(json.dumps(about))
        if given.sps:
            take = unpack_sps if len(given.sps) == 1 else write_sps
            print(json.dumps(take(*given.sps, given.out / "sps", split=given.split, seed=given.seed)))
        if given.nks:
            print(json.dumps(unpack_nks(given.nks, given.out / "nks", seed=given.seed)))
    except (ValueError, RestauroError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def make_sets(root: Path, out: Path, seed: int, side: int, counts: dict[str, int]) -> list[dict]:
    """Write both sets below `out`; their about.json as data."""
    structures = split_sources(free_sources(root, "structures"), seed)
    textures = split_sources(free_sources(root, "textures"), seed + 1)
    return [write_set(kind, structures, textures, out / kind.name, seed, side, counts) for kind in KINDS]


def free_sources(root: Path, folder: str) -> dict[str, list[Source]]:
    """The free pictures on a folder's two lists: "train" and "val"."""
    try:
        with (root / "manifest.csv").open(newline="", encoding="utf-8") as file:
            licences = {row["file"]: row["licence"] for row in csv.DictReader(file)}
        lists = {name: (root / folder / f"{name}.txt").read_text(encoding="utf-8").split() for name in ("train", "val")}
    except OSError as error:
        raise ValueError(f"{error.filename}: found {error.strerror}, wanted a list; name its root by --root") from None
    found = {
        role: [
            Source(name, root / folder / name, licences[f"{folder}/{name}"])
            for name in names
            if any(fnmatch(licences.get(f"{folder}/{name}", ""), free) for free in FREE)
        ]
        for role, names in lists.items()
    }
    for role, sources in found.items():
        if len(sources) < 2:
            raise ValueError(f"{root / folder}: found {len(sources)} free pictures on {role}.txt, wanted two or more")
    return found


def split_sources(found: dict[str, list[Source]], seed: int) -> dict[str, list[Source]]:
    """Validation as listed; of the training list every tenth, drawn by the seed, is for tuning."""
    order = np.random.default_rng(seed).permutation(len(found["train"]))
    tuning = set(order[: max(1, len(order) // 10)].tolist())
    return {
        "train": [source for k, source in enumerate(found["train"]) if k not in tuning],
        "tune": [source for k, source in enumerate(found["train"]) if k in tuning],
        "validation": found["val"],
    }


def write_set(
    kind: Kind,
    structures: dict[str, list[Source]],
    textures: dict[str, list[Source]],
    folder: Path,
    seed: int,
    side: int,
    counts: dict[str, int],
) -> dict:
    """Write one set; its about.json as data."""
    for name in ("truth", "input"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    about: dict = {"set": kind.name, "seed": seed, "side_px": side, "aim_psnr_db": kind.psnr_db, "splits": {}}
    records, total = [], hashlib.sha256()
    for split in kind.splits:
        chosen = [source for source in structures[split] if fnmatch(source.name, kind.structures)]
        if not chosen:
            raise ValueError(f"{kind.name}: found no free structure {kind.structures!r} to {split}, wanted some")

        def plain(k: int, split: str = split, chosen: list[Source] = chosen) -> Parts:
            rng = np.random.default_rng([seed, KINDS.index(kind), SPLITS.index(split), k])
            return plain_parts(chosen[k % len(chosen)], textures[split][k % len(textures[split])], side, kind, rng)

        def parts(k: int, split: str = split, chosen: list[Source] = chosen) -> Parts:
            if split != "train":
                return plain(k)
            rng = np.random.default_rng([seed, KINDS.index(kind), SPLITS.index(split), k, 1])
            if k % 2:
                return training_parts(chosen, textures[split], side, rng)
            one = plain(k)
            return replace(one, structure=shuffled(one.structure, rng))

        amplitude = calibrate(plain, min(counts[split], CALIBRATED_ON), kind.psnr_db)
        levels, names = [], []
        for k in range(counts[split]):
            one = parts(k)
            truth, blended = blend(one, amplitude)
            names.append(f"{split}-{k:04d}.png")
            for role, pixels in (("truth", truth), ("input", blended)):
                Image.fromarray(pixels).save(folder / role / names[-1])
                total.update(pixels.tobytes())
            levels.append(psnr_db(truth, blended))
            strength = f"{255 * amplitude * one.strength:.2f}"
            records.append({"file": names[-1], **one.record, "amplitude_255": strength, "psnr_db": f"{levels[-1]:.2f}"})
        (folder / f"{split}.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        about["splits"][split] = {
            "pairs": len(names),
            "structures": len(chosen),
            "textures": len(textures[split]),
            "amplitude_255": round(255 * amplitude, 2),
            "mean_psnr_db": round(float(np.mean(levels)), 2),
        }
    about["pixels_sha256"] = total.hexdigest()
    with (folder / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(records[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(records)
    (folder / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return about


def plain_parts(structure: Source, texture: Source, side: int, kind: Kind, rng: np.random.Generator) -> Parts:
    """As the papers blend: a crop, and one tile repeated over it as it is, nearly always grey."""
    tile = residual(texture.pixels(), coloured=bool(rng.random() < kind.coloured))
    offset = rng.integers(0, tile.shape[:2])
    rows, columns = (np.arange(side) + offset[axis] for axis in (0, 1))
    spread = tile[np.ix_(rows % tile.shape[0], columns % tile.shape[1])]
    record = described(structure.name, structure.licence, texture.name, texture.licence)
    return Parts(crop(structure.pixels(), side, rng), unit(spread), 1.0, record)


def training_parts(structures: list[Source], textures: list[Source], side: int, rng: np.random.Generator) -> Parts:
    """More kinds than the papers': drawn structures and textures, turned and scaled tiles, two textures, fading."""
    if rng.random() < 0.35:
        structure, name, licence = drawn_structure(side, rng), "drawn", "generated"
    else:
        source = structures[rng.integers(len(structures))]
        structure, name, licence = shuffled(crop(source.pixels(), side, rng), rng), source.name, source.licence
    texture, texture_name, texture_licence = training_texture(textures, side, rng)
    if rng.random() < 0.2:
        second, *of = training_texture(textures, side, rng)
        bright = structure.mean(2, keepdims=True) > np.median(structure)
        texture = np.where(bright, texture, second)
        texture_name, texture_licence = f"{texture_name} {of[0]}", f"{texture_licence} + {of[1]}"
    if rng.random() < 0.3:
        field = ndimage.gaussian_filter(rng.standard_normal((side, side)), side / 6)
        texture = texture * np.clip(0.7 + field / field.std() * 0.5, 0.1, 1.5)[..., None]
    strength = float(np.exp(rng.uniform(np.log(0.25), np.log(1.6))))
    return Parts(structure, unit(texture), strength, described(name, licence, texture_name, texture_licence))


def described(structure: str, structure_licence: str, texture: str, texture_licence: str) -> dict[str, str]:
    """The row of pairs.csv."""
    return {
        "structure": structure,
        "structure_licence": structure_licence,
        "texture": texture,
        "texture_licence": texture_licence,
    }


def training_texture(textures: list[Source], side: int, rng: np.random.Generator) -> tuple[Array, str, str]:
    """A tile or a drawn texture, [S, S, 1 or 3] of unit deviation; its name and licence."""
    if rng.random() < 0.2:
        return unit(drawn_texture(side, rng)), "drawn", "generated"
    source = textures[rng.integers(len(textures))]
    tile = residual(source.pixels(), coloured=bool(rng.random() < 0.2))
    scale = float(np.exp(rng.uniform(np.log(0.5), np.log(2)))) if rng.random() < 0.6 else 1.0
    angle = float(rng.uniform(0, 2 * np.pi)) if rng.random() < 0.5 else float(rng.integers(4)) * np.pi / 2
    return unit(turned(tile, side, scale, angle, rng.uniform(0, 128, 2))), source.name, source.licence


def turned(tile: Array, side: int, scale: float, angle: float, offset: Array) -> Array:
    """A seamless tile repeated over [side, side], scaled and turned."""
    if scale < 1:
        tile = ndimage.gaussian_filter(tile, (0.5 * (1 / scale - 1) + 0.1,) * 2 + (0,), mode="grid-wrap")
    y, x = np.mgrid[:side, :side] / scale
    c, s = np.cos(angle), np.sin(angle)
    where = np.stack([c * y - s * x + offset[0], s * y + c * x + offset[1]])
    planes = [ndimage.map_coordinates(tile[..., k], where, order=3, mode="grid-wrap") for k in range(tile.shape[2])]
    return np.stack(planes, axis=2)


def residual(tile: Array, *, coloured: bool) -> Array:
    """High-passed tile, [H, W, 1], or [H, W, 3] where coloured."""
    if not coloured:
        tile = tile @ np.array([[0.299], [0.587], [0.114]], np.float32)
    return tile - ndimage.gaussian_filter(tile, (HIGH_PASS_PX, HIGH_PASS_PX, 0), mode="grid-wrap")


def unit(texture: Array) -> Array:
    """Zero mean per channel, and unit deviation over all of them."""
    texture = texture - texture.mean((0, 1))
    return texture / max(float(np.sqrt(np.mean(np.square(texture)))), 1e-6)


def crop(pixels: Array, side: int, rng: np.random.Generator) -> Array:
    """A random window of side x side."""
    if min(pixels.shape[:2]) < side:
        raise ValueError(f"found a structure of {pixels.shape[1]} x {pixels.shape[0]}, wanted {side} or more")
    top, left = (int(rng.integers(length - side + 1)) for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def shuffled(pixels: Array, rng: np.random.Generator) -> Array:
    """One of eight turns and flips, and of six orders of the channels."""
    turned = np.rot90(pixels, int(rng.integers(4)))
    return turned[:, :: -1 if rng.random() < 0.5 else 1, rng.permutation(3)]


def drawn_structure(side: int, rng: np.random.Generator) -> Array:
    """Flat and graded shapes over a gradient between two colours, slightly blurred."""
    top, bottom = rng.uniform(0.2, 0.8, (2, 3))
    ramp = np.linspace(0, 1, side)[:, None, None]
    pixels = np.broadcast_to(top + (bottom - top) * ramp, (side, side, 3)).copy()
    for _ in range(int(rng.integers(6, 15))):
        image = Image.new("L", (2 * side, 2 * side))
        draw, middle = ImageDraw.Draw(image), rng.uniform(0, 2 * side, 2)
        size = rng.uniform(0.05, 0.4) * 2 * side
        shape = rng.random()
        if shape < 0.4:
            angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 8))))
            corners = middle + size * rng.uniform(0.4, 1, (len(angles), 1)) * np.stack(
                [np.cos(angles), np.sin(angles)], axis=1
            )
            draw.polygon([tuple(corner) for corner in corners.tolist()], fill=255)
        elif shape < 0.75:
            half = size * rng.uniform(0.3, 1, 2)
            draw.ellipse([*(middle - half), *(middle + half)], fill=255)
        else:
            bends = (middle + np.cumsum(rng.uniform(-size, size, (4, 2)), axis=0)).tolist()
            draw.line([tuple(bend) for bend in bends], fill=255, width=int(rng.integers(3, 24)), joint="curve")
        mask = np.asarray(image.reduce(2), dtype=np.float64)[..., None] / 255
        colours = rng.uniform(0.1, 0.9, 3) + ramp * rng.uniform(-0.15, 0.15, 3) * (rng.random() < 0.4)
        pixels = pixels + mask * (colours - pixels)
    return np.clip(ndimage.gaussian_filter(pixels, (0.6, 0.6, 0)), 0, 1)


def drawn_texture(side: int, rng: np.random.Generator) -> Array:
    """Band-limited noise, the same along a direction, or a product of sines; grey."""
    if rng.random() < 0.6:
        along = rng.uniform(0.4, 1.5) * (rng.uniform(1, 5) if rng.random() < 0.5 else 1)
        noise = ndimage.gaussian_filter(rng.standard_normal((2 * side, 2 * side)), (rng.uniform(0.4, 1.5), along))
        plane = ndimage.rotate(noise, rng.uniform(0, 180), reshape=False, order=1, mode="wrap")
        plane = plane[side // 2 : side // 2 + side, side // 2 : side // 2 + side]
    else:
        y, x = np.mgrid[:side, :side].astype(np.float64)
        angle, periods = rng.uniform(0, np.pi), rng.uniform(2, 7, 2)
        u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
        plane = np.sin(2 * np.pi * u / periods[0]) * np.sin(2 * np.pi * v / periods[1])
    return plane[..., None]


def blend(one: Parts, amplitude: float) -> tuple[Array, Array]:
    """Truth and input, uint8 [S, S, 3]."""
    truth = np.rint(255 * one.structure)
    blended = truth + 255 * amplitude * one.strength * one.texture
    return truth.astype(np.uint8), np.rint(np.clip(blended, 0, 255)).astype(np.uint8)


def psnr_db(truth: Array, blended: Array) -> float:
    """Of the input, over RGB; for the calibration only."""
    error = float(np.mean(np.square(truth.astype(np.float64) - blended)))
    return 10 * float(np.log10(255**2 / max(error, 1e-9)))


def calibrate(parts: Callable[[int], Parts], count: int, aim_db: float) -> float:
    """The amplitude, of 0..1, at which the first `count` inputs have on average the PSNR aimed at."""
    sample = [parts(k) for k in range(count)]
    low, high = 0.0, 1.0
    for _ in range(14):
        middle = (low + high) / 2
        found = mean(psnr_db(*blend(one, middle)) for one in sample)
        low, high = (middle, high) if found > aim_db else (low, middle)
    return (low + high) / 2


def mean(values: Iterable[float]) -> float:
    """Arithmetic mean."""
    return float(np.mean(list(values)))


if __name__ == "__main__":
    sys.exit(main())
