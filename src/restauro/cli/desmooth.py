"""``restauro desmooth``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from restauro.cli.files import each_picture
from restauro.cli.options import EngineOptions, FileOptions, Inputs
from restauro.models import find
from restauro.picture import Picture, read
from restauro.restore.outcome import Outcome, Progress


def desmooth(
    *inputs: Inputs,
    model: Annotated[str, Parameter(name=["--model", "-m"])] = "desmooth-general",
    strength: float = 1.0,
    mask: str | None = None,
    files: FileOptions = FileOptions(),
    engine: EngineOptions = EngineOptions(),
) -> int:
    """Give smoothed pictures their detail back.

    Examples:

    restauro desmooth portrait.jpg

    restauro desmooth album/ -o restored/ --strength 0.7

    cat in.png | restauro desmooth - > out.png

    Parameters
    ----------
    inputs
        Files, folders, globs, or - for stdin.
    model
        A model's name (see: restauro models list) or the path of a .safetensors file.
    strength
        0 = the input bit for bit, 1 = all the model proposes.
    mask
        A grey picture of the same size: white is restored, black stays as it is.
    """
    weights = find(model)
    area = read(mask) if mask else None
    settings = engine.settings()

    def change(picture: Picture, progress: Progress) -> Outcome:
        from restauro.restore.verbs import desmooth as desmooth_picture

        return desmooth_picture(picture, weights, strength=strength, mask=area, engine=settings, progress=progress)

    return each_picture(inputs, files, made="desmoothed", change=change)
