"""Which of the faces to work on: all, the largest, some by number, or those that a box meets."""

from __future__ import annotations

from collections.abc import Sequence

from restauro.errors import SettingError
from restauro.restore.faces.face import Box, Face

WANTED = "'all', 'largest', or numbers with commas between, 0 for the largest face"


def choose(
    faces: Sequence[Face], which: str | Sequence[int] = "all", *, near: Box | None = None, smallest_px: float = 0
) -> tuple[Face, ...]:
    """Some of the faces, in their order.

    Parameters
    ----------
    faces
        Largest first, as :func:`restauro.restore.faces.find.find_faces` sorts them.
    which
        "all"; "largest"; numbers, as "0,2" or (0, 2).
    near
        Left, top, right, bottom in px: only faces whose centre lies in this box, or whose box holds the centre of
        this one (so that a box around a group and a click on a nose both work). Numbers count what is left.
    smallest_px
        Only faces of at least this size, see :attr:`Face.size_px`.

    Returns
    -------
    tuple of Face
        May be empty, if there are no faces or no face fits `near` and `smallest_px`.

    Raises
    ------
    SettingError
        Other words, or a number of no face.

    Examples
    --------
    >>> faces = [Face((0, 0, 80, 80)), Face((100, 0, 150, 50))]
    >>> choose(faces, "largest") == (faces[0],)
    True
    >>> choose(faces, near=(90, 0, 200, 90)) == (faces[1],)
    True
    """
    left = [f for f in faces if f.size_px >= smallest_px and (near is None or _near(f, near))]
    if isinstance(which, str):
        if which == "all":
            return tuple(left)
        if which == "largest":
            return tuple(sorted(left, key=lambda face: -face.size_px)[:1])
        which = _numbers(which)
    if not left:
        return ()
    wrong = [number for number in which if not 0 <= number < len(left)]
    if wrong:
        raise SettingError("faces", wrong[0], f"a number in 0..{len(left) - 1}, one for each face to choose from")
    return tuple(left[number] for number in sorted(set(which)))


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise SettingError("faces", text, WANTED) from None


def _near(face: Face, box: Box) -> bool:
    middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return _holds(box, face.centre) or _holds(face.box, middle)


def _holds(box: Box, point: tuple[float, float]) -> bool:
    return box[0] <= point[0] < box[2] and box[1] <= point[1] < box[3]
