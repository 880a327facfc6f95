"""``restauro smooth``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from restauro.cli.files import classical, each_picture
from restauro.cli.options import FileOptions, Inputs, parse_settings
from restauro.picture import Picture, read
from restauro.restore.outcome import Restored
from restauro.restore.verbs import Progress
from restauro.restore.verbs import smooth as smooth_picture


def smooth(
    *inputs: Inputs,
    method: Annotated[str, Parameter(name=["--method", "-m"])] = "l0",
    set_: Annotated[tuple[str, ...], Parameter(name="--set", consume_multiple=False)] = (),
    strength: float = 1.0,
    mask: str | None = None,
    files: FileOptions = FileOptions(),
) -> int:
    """Remove texture from pictures and keep their structure.

    Examples:

    restauro smooth cat.jpg

    restauro smooth cat.jpg --method l0 --set lam=0.05 -o flat.jpg

    Parameters
    ----------
    inputs
        Files, folders, globs, or - for stdin.
    method
        The filter: l0, rtv, guided, rolling-guidance, bilateral, joint-bilateral, fgs, wls, ils, sdf, sgf,
        domain-transform, pnls-approx, iso-approx.
    set_
        A setting of the filter as name=value, for example lam=0.05; may be given several times.
    strength
        0 = the input bit for bit, 1 = the filter's result.
    mask
        A grey picture of the same size: white is smoothed, black stays as it is.
    """
    area = read(mask) if mask else None
    settings = parse_settings(set_)

    def change(picture: Picture, progress: Progress) -> Restored:
        return classical(method, lambda: smooth_picture(picture, method, strength=strength, mask=area, **settings))

    return each_picture(inputs, files, made="smoothed", change=change)
