"""Which faces to renovate, and how; checked before torch is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from restauro.errors import UsageError
from restauro.restore.faces.choose import choose
from restauro.restore.faces.face import Box, Face


@dataclass(frozen=True)
class FaceSettings:
    """Which faces to renovate, and how.

    Parameters
    ----------
    which
        ``"all"``, ``"largest"``, or numbers with commas between, 0 for the largest face.
    near
        (left, top, right, bottom) in px: only faces that this box meets. Where none is found there, the box itself
        is taken for a face, and a note says so.
    aligned, whole, historic
        See the head of :mod:`restauro.restore.renovate`.
    detector
        ``"auto"``, ``"lbp"`` or ``"dlib"``: see :func:`restauro.restore.faces.find.find_faces`.
    smallest_px
        Side of the smallest face to look for.

    Raises
    ------
    UsageError
        Ways of work that exclude each other; words for ``which`` that mean nothing.

    Examples
    --------
    >>> FaceSettings(aligned=True, whole=True)
    Traceback (most recent call last):
    ...
    restauro.errors.UsageError: aligned: found it with whole, wanted one of them; an aligned face is the whole picture
    """

    which: str = "all"
    near: Box | None = None
    aligned: bool = False
    whole: bool = False
    historic: bool = False
    detector: str = "auto"
    smallest_px: int = 40

    def __post_init__(self) -> None:
        choose((), self.which)  # complains of words that mean nothing
        if self.near is not None:
            Face(self.near)
        if self.aligned and self.whole:
            raise UsageError("aligned: found it with whole, wanted one of them; an aligned face is the whole picture")
        if self.historic and self.whole:
            raise UsageError("historic: found it with whole, wanted one of them; its result is a sheet of faces")
