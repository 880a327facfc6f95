"""Score a folder of pictures against a folder of true ones, matched by name.

Every row of the table is on the same pictures. What has no partner, cannot be read or has another size is listed with
the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from restauro.errors import DataError, PictureError
from restauro.metrics.catalogue import CLEAN, Setup
from restauro.metrics.matching import Match, digest, match_by_name
from restauro.metrics.scoreboard import Scoreboard
from restauro.metrics.table import IDENTITY, Table
from restauro.picture import read


def evaluate_folders(
    restored: Path,
    truth: Path,
    given: Path | None = None,
    *,
    metrics: Sequence[str] = CLEAN,
    method: str = "restored",
    setup: Setup | None = None,
    about: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Table:
    """Score a folder of restored pictures against a folder of true ones.

    Parameters
    ----------
    restored, truth
        Folders, see :func:`match_by_name`.
    given
        Folder of the inputs that `restored` was made from: makes the identity row. Without it that row is empty and
        says so.
    metrics
        Names, see :func:`restauro.metrics.catalogue.find`.
    method
        Name of the row.
    setup
        Device and folder of pretrained weights.
    about
        Printed under the table, the command for example; digests of the scored files are added.
    seed
        Of the bootstrap intervals.

    Returns
    -------
    Table

    Raises
    ------
    DataError
        Folders without common names, or nothing that could be scored.
    SettingError
        An unknown metric.

    Notes
    -----
    Colours outside sRGB (files with a wide profile) are clipped, alpha is not looked at. Cost: reading, plus the
    metrics; one picture in memory at a time.
    """
    setup = setup or Setup()
    board = Scoreboard(metrics, setup)
    matches, unmatched = match_by_name(restored, truth, given)
    for name, reason in unmatched.items():
        board.skip(method, name, reason)
    scored: dict[str, Match] = {}
    for name, match in matches.items():
        try:
            pictures = _load(name, match, setup.device)
        except PictureError as error:
            board.skip(method, name, str(error))
            continue
        truth_of, source = pictures["truth"], pictures.get("input")
        board.add(method, name, pictures["restored"], truth_of, source)
        if source is not None:
            board.add(IDENTITY, name, source, truth_of, source)
        scored[name] = match
    if not scored:
        reason = next(why for name, why in board.skipped(method).items() if name in matches)
        raise DataError(f"evaluate: found nothing to score among {len(matches)} names; the first: {reason}")
    digests = _digests(scored)
    shown = {f"{role} pictures": f"sha256 {found[:16]}" for role, found in digests.items()}
    return board.table(
        about={**(about or {}), **shown},
        truth_digest=digests["truth"],
        no_identity="no folder of inputs was given",
        seed=seed,
    )


def _load(name: str, match: Match, device: str) -> dict[str, Tensor]:
    pictures = {role: _read(path).to(device) for role, path in match.files().items()}
    if len({x.shape for x in pictures.values()}) > 1:
        sizes = ", ".join(f"{role} {x.shape[3]}x{x.shape[2]}" for role, x in pictures.items())
        raise PictureError(name, f"{sizes} px", "one size", "no metric here resizes: do it first, in one way for all")
    return pictures


def _read(path: Path) -> Tensor:
    return torch.from_numpy(read(path).rgb()).clamp(0, 1).permute(2, 0, 1)[None]


def _digests(scored: Mapping[str, Match]) -> dict[str, str]:
    files = {name: match.files() for name, match in scored.items()}
    roles = next(iter(files.values()))
    return {role: digest({name: by_role[role] for name, by_role in files.items()}) for role in roles}
