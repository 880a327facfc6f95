"""``restauro smooth``."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Annotated

from cyclopts import Parameter

from restauro.cli.files import classical, each_picture
from restauro.cli.options import EngineOptions, FileOptions, Inputs, parse_settings
from restauro.errors import UsageError
from restauro.models import find
from restauro.picture import Picture, read
from restauro.restore.outcome import Outcome, Progress
from restauro.restore.request import is_filter


def smooth(
    *inputs: Inputs,
    method: Annotated[str | None, Parameter(name=["--method", "-m"])] = None,
    model: str | None = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", consume_multiple=False)] = (),
    samples: int | None = None,
    strength: float = 1.0,
    mask: str | None = None,
    files: FileOptions = FileOptions(),
    engine: EngineOptions = EngineOptions(),
) -> int:
    """Remove texture from pictures and keep their structure.

    Examples:

    restauro smooth cat.jpg

    restauro smooth cat.jpg --method l0 --set lam=0.05 -o flat.jpg

    restauro smooth portrait.jpg --model mine.safetensors --mask skin.png --strength 0.7

    Parameters
    ----------
    inputs
        Files, folders, globs, or - for stdin.
    method
        The filter: l0 (without --method), rtv, guided, rolling-guidance, bilateral, joint-bilateral, fgs, wls, ils,
        sdf, sgf, domain-transform, pnls-approx, iso-approx. Or a network, as --model.
    model
        A network: its name (see: restauro models list) or the path of a .safetensors file.
    set_
        A setting as name=value; may be given several times. Of the filter, for example lam=0.05; of a network
        views=8 (mean over flips and turns), samples, seed.
    samples
        SASNet only, what fills the place of the detail: 0 = nothing, 1 = noise, K = the mean of K with noise.
    strength
        0 = the input bit for bit, 1 = the method's result. SASNet only: above 1, to 2, detail is boosted instead.
    mask
        A grey picture of the same size: white is smoothed, black stays as it is.
    """
    if method is not None and model is not None:
        raise UsageError(f"smooth: found --method {method} and --model {model}, wanted one of them")
    name = model or method or "l0"
    area = read(mask) if mask else None
    settings = parse_settings(set_)
    if samples is not None:
        settings["samples"] = samples
    if model is None and is_filter(name):
        if engine != EngineOptions() or samples is not None:
            raise UsageError(f"smooth: found options of networks, wanted none: {name} is a filter; name a --model")

        def change(picture: Picture, progress: Progress) -> Outcome:
            from restauro.restore.verbs import smooth as smooth_picture

            began = time.perf_counter()
            smoothed = smooth_picture(picture, name, strength=strength, mask=area, engine=None, **settings)
            return classical(name, smoothed, began)

        return each_picture(inputs, files, made="smoothed", change=change)
    return _by_network(name, inputs, settings, strength, area, files, engine)


def _by_network(
    name: str,
    inputs: Sequence[str],
    settings: Mapping[str, float | int | str],
    strength: float,
    area: Picture | None,
    files: FileOptions,
    engine: EngineOptions,
) -> int:
    from restauro.restore.verbs import by_model, network_settings

    weights, how, options = find(name), network_settings(settings), engine.settings()

    def change(picture: Picture, progress: Progress) -> Outcome:
        return by_model("smooth", picture, weights, strength, area, options, progress, settings=how)

    return each_picture(inputs, files, made="smoothed", change=change)
