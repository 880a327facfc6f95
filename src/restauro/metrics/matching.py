"""Which file of one folder belongs to which file of another: by name, never by position.

A name is the path inside the folder without its suffix: ``a/b.png`` matches ``a/b.jpg``, never the file that happens
to stand at the same place of a sorted list.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from restauro.codecs.formats import FORMATS
from restauro.errors import DataError

SUFFIXES = frozenset(suffix for known in FORMATS.values() for suffix in known.suffixes)


@dataclass(frozen=True)
class Match:
    """The files of one picture: what was restored, what is true, and what it was restored from, if given."""

    restored: Path
    truth: Path
    given: Path | None = None

    def files(self) -> dict[str, Path]:
        """The files by role: restored, truth and, if given, input."""
        found = {"restored": self.restored, "truth": self.truth}
        return {**found, "input": self.given} if self.given else found


def match_by_name(restored: Path, truth: Path, given: Path | None = None) -> tuple[dict[str, Match], dict[str, str]]:
    """Pair the pictures of two or three folders by name.

    Parameters
    ----------
    restored, truth, given
        Folders, searched to any depth; hidden files and files without a picture's suffix are passed over.

    Returns
    -------
    matches
        Files by name, sorted.
    unmatched
        For each name that is not in all folders, where it is missing.

    Raises
    ------
    DataError
        No such folder, no common name, or two files of one name in a folder (``a.png`` and ``a.jpg``).
    """
    folders = {"restored": restored, "truth": truth, **({"input": given} if given else {})}
    found = {role: pictures_in(folder) for role, folder in folders.items()}
    names = sorted(set().union(*found.values()))
    missing = {name: [role for role in found if name not in found[role]] for name in names}
    unmatched = {name: f"not among the {' and '.join(roles)} pictures" for name, roles in missing.items() if roles}
    matches = {
        name: Match(found["restored"][name], found["truth"][name], found["input"][name] if given else None)
        for name in names
        if name not in unmatched
    }
    if not matches:
        counts = ", ".join(f"{len(files)} in {folders[role]}" for role, files in found.items())
        raise DataError(
            f"evaluate: found no name that all folders share ({counts}), wanted pictures of equal names; "
            "rename them, or name the right folders"
        )
    return matches, unmatched


def digest(files: Mapping[str, Path]) -> str:
    """SHA-256 over the names and bytes of some files, in the order of their names."""
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{name}\0{hashlib.sha256(files[name].read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def pictures_in(folder: Path) -> dict[str, Path]:
    """Pictures of a folder by name, searched to any depth, in the order of their paths.

    Raises
    ------
    DataError
        No such folder, or two files of one name.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: found no such folder, wanted one with pictures; check the path")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        if hidden or path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        name = inside.with_suffix("").as_posix()
        if name in found:
            both = f"both {found[name].name} and {path.name}"
            raise DataError(f"{folder}: found {both}, wanted one picture of that name; move one away")
        found[name] = path
    return found
