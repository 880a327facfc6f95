"""Looking at the label maps of a recipe: missing, of another size, unknown ids, classes that never occur."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from restauro.errors import RestauroError
from restauro.labels import UnknownLabelError, shown
from restauro.train.findings import Finding
from restauro.train.labels import LabelReader, class_list, misfit
from restauro.train.recipe import Recipe
from restauro.train.sections import PictureSet


@dataclass(frozen=True)
class LabelSummary:
    """The label histogram of one picture set: pixels of each class, in the order of the class list."""

    role: str
    name: str
    maps: int
    pixels: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        total = max(1, sum(count for _, count in self.pixels))
        shares = sorted(self.pixels, key=lambda item: -item[1])
        described = ", ".join(f"{name} {100 * count / total:.2f} %" for name, count in shares if count)
        return f"{self.role} {self.name}: {self.maps} label maps: {described or 'nothing'}"


class LabelCheck:
    """Looks at the maps of one set, picture by picture.

    Parameters
    ----------
    spec, reader, role
        The set, its maps, and what it is for.
    """

    def __init__(self, spec: PictureSet, reader: LabelReader, role: str) -> None:
        self.spec, self.reader, self.role = spec, reader, role
        self.pixels = np.zeros(len(reader.planes.classes), np.int64)
        self.maps = 0
        self.unknown: Counter[str] = Counter()
        self.strange: list[str] = []
        self.faults: list[Finding] = []

    def look(self, name: str, size: tuple[int, int]) -> None:
        """Look at the map of the picture ``name`` of (width, height)."""
        try:
            classes, _, _ = self.reader.map_of(name, (size[1], size[0]))
        except UnknownLabelError as error:
            self.unknown.update(error.counts)
            self.strange.append(error.name)
        except RestauroError as error:
            self.faults.append(Finding(True, str(error)))
        else:
            self.pixels += np.bincount(classes.ravel(), minlength=len(self.pixels))
            self.maps += 1

    def findings(self, names: list[str]) -> list[Finding]:
        """What is wrong, after all pictures of the set were looked at."""
        found = list(self.faults)
        if self.unknown:
            counts = shown([f"{label} ({count} px)" for label, count in self.unknown.most_common()])
            text = (
                f"set {self.spec.name!r}: {len(self.strange)} maps have labels that no class has: {counts}; first "
                f"{self.strange[0]}; add them to the class list, or correct the maps"
            )
            found.append(Finding(True, text))
        for beside, what in ((self.reader.labels, "label maps"), (self.reader.instances, "instance maps")):
            if beside is None:
                continue
            lonely = beside.lonely(names)
            if lonely and self.spec.list is None and not self.spec.only:  # a list leaves maps over on purpose
                text = f"{beside.where}: {len(lonely)} {what} have no picture, first {lonely[0]!r}"
                found.append(Finding(False, f"{text}; add the pictures to {self.spec.folder!r}, or remove the maps"))
        return found

    def summary(self) -> LabelSummary:
        """The histogram."""
        names = [one.name for one in self.reader.planes.classes.classes]
        return LabelSummary(self.role, self.spec.name, self.maps, tuple(zip(names, map(int, self.pixels), strict=True)))


def check_list(recipe: Recipe, root: Path) -> list[Finding]:
    """Errors of the class list itself, and of a network that does not fit it."""
    if recipe.labels is None:
        return []
    try:
        problem = misfit(recipe, class_list(recipe.labels, root))
    except RestauroError as error:
        return [Finding(True, str(error))]
    return [Finding(True, problem)] if problem else []


def check_classes(recipe: Recipe, root: Path, summaries: list[LabelSummary]) -> list[Finding]:
    """Declared classes that no training map has, apart from ignored ones."""
    assert recipe.labels is not None
    classes = class_list(recipe.labels, root)
    seen: dict[str, Counter[str]] = {"train": Counter(), "validation": Counter()}
    for summary in summaries:
        seen[summary.role].update(dict(summary.pixels))
    missing = [one.name for one in classes.classes if not one.ignored and not seen["train"][one.name]]
    if not missing or not any(seen["train"].values()):
        return []
    held = [f"{name} ({seen['validation'][name]} px)" for name in missing if seen["validation"][name]]
    also = f", and validation has {shown(held)}" if held else ""
    text = (
        f"{len(missing)} declared classes are in no training map: {shown(missing)}{also}; a network cannot learn them: "
        "add maps, or take them off the list"
    )
    return [Finding(False, text)]
