"""The one small tree of exceptions.

Every message a person can meet has the same four parts: what it is about (a file, a setting, a model), what was
found, what was wanted, and what to do. The command prints ``str(error)`` as one line and exits with
:attr:`RestauroError.exit_code`; nothing else of an error reaches a user.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable


def surprise(error: Exception) -> str:
    """One line for an exception that nobody foresaw; with RESTAURO_DEBUG set, the exception itself.

    >>> surprise(ZeroDivisionError("by zero"))
    'found a fault of this program (ZeroDivisionError: by zero); set RESTAURO_DEBUG=1 and report what it prints'
    """
    if os.environ.get("RESTAURO_DEBUG"):
        raise error
    text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return f"found a fault of this program ({text}); set RESTAURO_DEBUG=1 and report what it prints"


def nearest(found: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Name the nearest known word (where one is as like as `cutoff`, 0..1) and all of them, or all of them.

    >>> nearest("rtw", ["l0", "rtv"])
    "'rtv' perhaps (of l0, rtv)"
    """
    names = list(known)
    close = difflib.get_close_matches(found, names, n=1, cutoff=cutoff)
    return f"{close[0]!r} perhaps (of {', '.join(names)})" if close else f"one of {', '.join(names)}"


class RestauroError(Exception):
    """Anything this library refuses to do, said in one line.

    >>> raise RestauroError("a.png: found text, wanted a picture; check the name")
    Traceback (most recent call last):
    ...
    restauro.errors.RestauroError: a.png: found text, wanted a picture; check the name
    """

    exit_code = 1


class UsageError(RestauroError):
    """The request itself is wrong: nothing was tried. Exit code 2."""

    exit_code = 2


class SettingError(UsageError, ValueError):
    """A setting is outside its range.

    Parameters
    ----------
    name, value
        The setting and what was given.
    wanted
        The rule, for example ``"a number in 0..1"``.
    """

    def __init__(self, name: str, value: object, wanted: str) -> None:
        super().__init__(f"{name}: found {value!r}, wanted {wanted}")
        self.name, self.value, self.wanted = name, value, wanted


class PictureError(RestauroError):
    """A picture could not be read or written.

    >>> str(PictureError("a.jpg", "an empty file", "a picture", "copy it again from its source"))
    'a.jpg: found an empty file, wanted a picture; copy it again from its source'
    """

    def __init__(self, name: str, found: str, wanted: str, do: str) -> None:
        super().__init__(f"{name}: found {found}, wanted {wanted}; {do}")
        self.name, self.found, self.wanted, self.do = name, found, wanted, do


class ModelError(RestauroError):
    """A model is unknown, its weights are missing, or they are not what the manifest says."""


class EngineError(RestauroError):
    """A picture could not be computed: out of memory at the smallest tile, or a non-finite result."""


class DataError(RestauroError):
    """A data set or a recipe is not what it should be."""
