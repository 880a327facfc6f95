"""``restauro translate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from restauro.cli.files import each_picture
from restauro.cli.options import EngineOptions, FileOptions, Inputs
from restauro.errors import PictureError
from restauro.restore.outcome import Outcome, Progress


def translate(
    *inputs: Inputs,
    model: Annotated[str, Parameter(name=["--model", "-m"])] = "translate-facades",
    classes: str | None = None,
    instances: str | None = None,
    files: FileOptions = FileOptions(),
    engine: EngineOptions = EngineOptions(),
) -> int:
    """Turn label maps into pictures.

    A label map is a PNG of class ids, of a palette, or of the colours of the class list. Ids that no class has are
    refused, with their counts.

    Examples:

    restauro translate labels/front.png -o front.png

    restauro translate labels/ -o fronts/ --model runs/translate-facades/translate-facades.safetensors

    restauro translate frame.png -o street.png --model street.safetensors --classes classes.csv

    Parameters
    ----------
    inputs
        Label maps: files, folders, globs, or - for stdin.
    model
        A model's name (see: restauro models list) or the path of a .safetensors file.
    classes
        A .csv with the columns id,name and perhaps r,g,b,ignored, or cityscapes; without it the list that the model
        was trained with.
    instances
        The map of object ids, or a folder with one under the name of each label map, for models that take borders.
    """
    from restauro.restore.translate import translate as translate_labels
    from restauro.restore.translate import translator

    ready = translator(model, classes)
    settings = engine.settings()

    def change(given: tuple[str | bytes, int], progress: Progress) -> Outcome:
        source, max_pixels = given
        beside = _beside(instances, source)
        return translate_labels(source, ready, instances=beside, engine=settings, max_pixels=max_pixels)

    return each_picture(inputs, files, made="translated", change=change, opened=_opened)


def _opened(source: str | bytes, max_pixels: int) -> tuple[str | bytes, int]:
    """A map is decoded by its class list, later."""
    return source, max_pixels


def _beside(instances: str | None, name: str | bytes) -> Path | None:
    """The instance map of a label map."""
    if instances is None:
        return None
    path = Path(instances)
    if path.is_dir():
        path = path / ("stdin.png" if isinstance(name, bytes) else Path(name).name)
    if not path.is_file():
        raise PictureError(
            str(path), "no such file", "the instance map of that name", "add it, or leave --instances out"
        )
    return path
