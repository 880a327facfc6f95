"""Restauro takes detail out of pictures and puts it back.

>>> import restauro as rs
>>> sorted(set(rs.__all__) & {"read", "write", "smooth", "desmooth", "load"})
['desmooth', 'load', 'read', 'smooth', 'write']

Names are looked up on first use, so that ``import restauro`` loads neither torch nor a codec.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_WHERE = {
    "Picture": "picture",
    "read": "picture",
    "write": "picture",
    "encode": "picture",
    "load": "models",
    "build": "models",
    "MODELS": "models",
    "smooth": "restore.verbs",
    "desmooth": "restore.verbs",
    "deblur": "restore.verbs",
    "degrade": "restore.verbs",
    "inspect": "restore.inspect.report",
    "renovate": "restore.renovate",
    "translate": "restore.translate",
    "Restored": "restore.outcome",
    "Skipped": "restore.outcome",
    "Failed": "restore.outcome",
    "RestauroError": "errors",
}

__all__ = ["__version__", *_WHERE]  # noqa: PLE0604 - the table above is the list

if TYPE_CHECKING:
    from restauro.errors import RestauroError as RestauroError
    from restauro.models import MODELS as MODELS
    from restauro.models import build as build
    from restauro.models import load as load
    from restauro.picture import Picture as Picture
    from restauro.picture import encode as encode
    from restauro.picture import read as read
    from restauro.picture import write as write
    from restauro.restore.inspect.report import inspect as inspect
    from restauro.restore.outcome import Failed as Failed
    from restauro.restore.outcome import Restored as Restored
    from restauro.restore.outcome import Skipped as Skipped
    from restauro.restore.renovate import renovate as renovate
    from restauro.restore.translate import translate as translate
    from restauro.restore.verbs import deblur as deblur
    from restauro.restore.verbs import degrade as degrade
    from restauro.restore.verbs import desmooth as desmooth
    from restauro.restore.verbs import smooth as smooth


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'restauro' has no attribute {name!r}")
    return getattr(import_module(f"restauro.{_WHERE[name]}"), name)


class _Package(ModuleType):
    """Importing the room ``restauro.smooth`` must not hide the verb ``restauro.smooth``, which bears its name."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _WHERE and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
