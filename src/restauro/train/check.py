"""Looking at the pictures of a recipe before anything is trained on them.

Every picture is decoded once. What is wrong becomes a finding: one sentence that ends with what to change. Errors
stop ``restauro train``; warnings do not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from restauro.degrade.laws import degrade_tensor
from restauro.errors import DataError, RestauroError
from restauro.picture import read
from restauro.train.check_labels import LabelCheck, LabelSummary, check_classes, check_list
from restauro.train.data import listed_names, partners
from restauro.train.findings import Finding
from restauro.train.labels import LabelReader
from restauro.train.recipe import Recipe
from restauro.train.sections import PictureSet

Told = Callable[[str, int, int], None]
Size = tuple[int, int]  # width, height


@dataclass(frozen=True)
class SetSummary:
    """What one picture set holds; sizes are (width, height) of the readable pictures, by area."""

    role: str
    name: str
    pictures: int
    mib: float
    smallest: Size
    median: Size
    largest: Size


@dataclass(frozen=True)
class Report:
    """All sets and findings of a recipe; ``labels`` are the label histograms of sets that have label maps."""

    sets: tuple[SetSummary, ...]
    findings: tuple[Finding, ...]
    labels: tuple[LabelSummary, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that keep the recipe from training."""
        return tuple(finding for finding in self.findings if finding.error)

    def refuse(self) -> None:
        """Raise DataError with the first error, where there is one."""
        if self.errors:
            more = f" ({len(self.errors) - 1} more: restauro check-data)" if len(self.errors) > 1 else ""
            raise DataError(self.errors[0].text + more)


@dataclass(frozen=True)
class _Seen:
    """One picture that could be read."""

    name: str
    size: Size
    bytes: int
    pixels_sha256: str


def check_data(recipe: Recipe, root: Path, progress: Told | None = None) -> Report:
    """Look at every picture of a recipe.

    Parameters
    ----------
    recipe, root
        As for training.
    progress
        Called with (set, pictures done, pictures in all).

    Returns
    -------
    Report
        Counts and sizes of each set; findings about missing and unreadable files, unmatched pairs, pictures that are
        too small, duplicates within and across the splits (by decoded pixels), and a law that cannot run. Of label
        maps: missing ones, other sizes than their pictures, ids that no class has, classes that never occur, a network
        for other classes. Costs one decoding of every picture.
    """
    findings = _check_law(recipe)
    findings += check_list(recipe, root)
    if recipe.labels and findings:
        return Report((), tuple(findings))  # without a class list there is nothing to read maps by
    sets: list[SetSummary] = []
    labels: list[LabelSummary] = []
    trained: dict[str, str] = {}
    for spec in recipe.data.train:
        seen = _check_set(spec, root, "train", sets, findings, progress)
        if recipe.labels:
            labels.append(_check_labels(spec, recipe, root, "train", seen, findings))
        else:
            _check_sizes(spec, seen, recipe.patch_px, findings)  # those with labels are padded
        _check_twins(spec, seen, trained, findings)
    for spec in recipe.data.validation:
        seen = _check_set(spec, root, "validation", sets, findings, progress)
        if recipe.labels:
            labels.append(_check_labels(spec, recipe, root, "validation", seen, findings))
        for picture in seen:
            twin = trained.get(picture.pixels_sha256)
            if twin is not None:
                text = f"validation picture {picture.name!r} is training picture {twin!r}; remove it from one list"
                findings.append(Finding(True, text))
    if not recipe.data.validation:
        text = f"{recipe.name}: no validation set, so nothing is scored or shown; add [[data.validation]]"
        findings.append(Finding(False, text))
    if recipe.labels:
        findings += check_classes(recipe, root, labels)
    return Report(tuple(sets), tuple(findings), tuple(labels))


def _check_law(recipe: Recipe) -> list[Finding]:
    maps_alone = recipe.labels is not None and not recipe.labels.beside
    if maps_alone or all(spec.inputs for spec in (*recipe.data.train, *recipe.data.validation)):
        return []
    try:
        degrade_tensor(torch.full((1, 3, 64, 64), 0.5), recipe.degradation.law, recipe.degradation.settings)
    except RestauroError as error:
        return [Finding(True, f"[degradation] of the recipe cannot run: {error}; correct the section")]
    return []


def _check_set(
    spec: PictureSet, root: Path, role: str, sets: list[SetSummary], findings: list[Finding], progress: Told | None
) -> list[_Seen]:
    folder = root / spec.folder
    try:
        names = listed_names(spec, root)
    except DataError as error:
        findings.append(Finding(True, str(error)))
        return []
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        found = f"{len(missing)} of {len(names)} listed pictures are missing, first {missing[0]}"
        findings.append(Finding(True, f"{folder}: {found}; copy them there, or take them off the list"))
    twice = len(names) - len(set(names))
    if twice:
        text = f"{spec.list}: {twice} names stand there more than once; remove the repetitions"
        findings.append(Finding(False, text))
    if spec.expected is not None and len(names) != spec.expected:
        text = f"set {spec.name!r}: found {len(names)} pictures, expected {spec.expected}; complete {folder}, or go on"
        findings.append(Finding(False, text))
    inputs = partners(spec, root) if spec.inputs else None
    seen = []
    for index, name in enumerate(names):
        if (folder / name).is_file():
            picture = _look(folder / name, name, findings)
            if picture:
                seen.append(picture)
                if inputs is not None:
                    _check_partner(spec, root, picture, inputs.get(Path(name).with_suffix("").as_posix()), findings)
        if progress:
            progress(spec.name, index + 1, len(names))
    if inputs is not None:
        _check_lonely_inputs(spec, root, names, inputs, findings)
    if seen:
        sets.append(_summary(role, spec.name, seen))
    return seen


def _check_labels(
    spec: PictureSet, recipe: Recipe, root: Path, role: str, seen: list[_Seen], findings: list[Finding]
) -> LabelSummary:
    assert recipe.labels is not None
    check = LabelCheck(spec, LabelReader(spec, recipe.labels, root), role)
    for picture in seen:
        check.look(picture.name, picture.size)
    findings += check.findings([picture.name for picture in seen])
    return check.summary()


def _look(path: Path, name: str, findings: list[Finding]) -> _Seen | None:
    data = path.read_bytes()
    try:
        pixels = np.rint(read(data).rgb() * 255).astype(np.uint8)
    except RestauroError as error:
        reason = str(error).partition("; ")[0]
        findings.append(Finding(True, f"{path}: cannot be read ({reason}); replace it, or take it off the list"))
        return None
    height, width = pixels.shape[:2]
    digest = hashlib.sha256(f"{width}x{height}".encode() + pixels.tobytes()).hexdigest()
    return _Seen(name, (width, height), len(data), digest)


def _check_partner(spec: PictureSet, root: Path, truth: _Seen, path: Path | None, findings: list[Finding]) -> None:
    if path is None:
        text = (
            f"{root / spec.folder}: {truth.name!r} has no input of that name in {spec.inputs!r}; add it, or unlist it"
        )
        findings.append(Finding(True, text))
        return
    given = _look(path, path.name, findings)
    if given and given.size != truth.size:
        sizes = f"{given.size[0]}x{given.size[1]}, its picture {truth.name!r} {truth.size[0]}x{truth.size[1]}"
        findings.append(Finding(True, f"{path}: found {sizes}; a pair needs one size: cut or replace one of them"))


def _check_lonely_inputs(
    spec: PictureSet, root: Path, names: list[str], inputs: dict[str, Path], findings: list[Finding]
) -> None:
    lonely = sorted(set(inputs) - {Path(name).with_suffix("").as_posix() for name in names})
    if lonely and spec.list is None and not spec.only:  # a list leaves inputs over on purpose
        found = f"{len(lonely)} inputs have no picture of their name in {spec.folder!r}, first {lonely[0]!r}"
        findings.append(
            Finding(False, f"{root / (spec.inputs or '')}: {found}; add the pictures, or remove the inputs")
        )


def _check_sizes(spec: PictureSet, seen: list[_Seen], patch_px: int, findings: list[Finding]) -> None:
    """Pictures that are smaller than a crop after the weakest reduction."""
    needed = patch_px * min(spec.shrink)
    small = [picture for picture in seen if min(picture.size) < needed]
    if small and len(small) == len(seen):
        text = (
            f"every picture of set {spec.name!r} is smaller than {needed} px; lower patch_px, or name larger pictures"
        )
        findings.append(Finding(True, text))
    elif small:
        found = f"{len(small)} of {len(seen)} pictures are smaller than {needed} px and will not train"
        findings.append(
            Finding(False, f"set {spec.name!r}: {found}, first {small[0].name}; unlist them, or lower patch_px")
        )


def _check_twins(spec: PictureSet, seen: list[_Seen], trained: dict[str, str], findings: list[Finding]) -> None:
    twins = [(picture.name, trained[picture.pixels_sha256]) for picture in seen if picture.pixels_sha256 in trained]
    own: dict[str, str] = {}
    for picture in seen:
        if picture.pixels_sha256 in own and own[picture.pixels_sha256] != picture.name:
            twins.append((picture.name, own[picture.pixels_sha256]))
        own.setdefault(picture.pixels_sha256, picture.name)
    for digest, name in own.items():
        trained.setdefault(digest, name)
    if twins:
        first = f"first {twins[0][0]!r} and {twins[0][1]!r}"
        text = f"set {spec.name!r}: {len(twins)} pictures train twice, {first}; unlist one of each two"
        findings.append(Finding(False, text))


def _summary(role: str, name: str, seen: list[_Seen]) -> SetSummary:
    sizes = sorted((picture.size for picture in seen), key=lambda size: size[0] * size[1])
    mib = sum(picture.bytes for picture in seen) / 2**20
    return SetSummary(role, name, len(seen), mib, sizes[0], sizes[len(sizes) // 2], sizes[-1])
