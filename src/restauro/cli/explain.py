"""``restauro explain``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from restauro.cli.files import each_picture
from restauro.cli.options import FileOptions, Inputs
from restauro.errors import UsageError
from restauro.models import find
from restauro.picture import Picture
from restauro.restore.outcome import Outcome, Progress


def explain(
    *inputs: Inputs,
    model: Annotated[str, Parameter(name=["--model", "-m"])],
    layer: Annotated[tuple[str, ...], Parameter(consume_multiple=False)] = (),
    pixel: str | None = None,
    side: int = 256,
    files: FileOptions = FileOptions(),
) -> int:
    """Draw what a network does to a picture, and what its layers do to get there, as one figure.

    Input, output, residual and CIEDE2000 map; gamma and beta of its modulating layers; the curve of its attention and
    the attention row of a pixel; for a HiFaceGAN, what each injection point contributes. --json has the numbers, and
    the names of the layers.

    Examples:

    restauro explain face.png --model desmooth-general -o figure.png

    restauro explain face.png --model mine.safetensors --layer sft.0 --layer attention.3 --pixel 120,80 -o figure.png

    Parameters
    ----------
    inputs
        Files, folders, globs, or - for stdin.
    model
        A model's name (see: restauro models list) or the path of a .safetensors file.
    layer
        A layer to look into, or all; may be given several times. Without it the last one of each kind.
    pixel
        x,y in pixels of the input: whose attention row is shown. Without it the middle.
    side
        Larger pictures are reduced to this longer side first.
    """
    weights = find(model)
    at = None if pixel is None else _parse_pixel(pixel)

    def change(picture: Picture, progress: Progress) -> Outcome:
        from restauro.restore.explain.figure import explain as explain_picture

        return explain_picture(picture, weights, layers=layer or None, pixel=at, side_px=side)

    return each_picture(inputs, files, made="explained", change=change)


def _parse_pixel(text: str) -> tuple[int, int]:
    try:
        x, y = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--pixel: found {text!r}, wanted x,y, for example 120,80") from None
    return x, y
