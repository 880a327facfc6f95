"""The verbs, as functions from a picture to a picture: what Python users and the command call alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from restauro.degrade.laws import Record, degrade_tensor
from restauro.errors import EngineError, UsageError
from restauro.models import MODELS, Weights, facts_of, find, load
from restauro.picture import Picture
from restauro.restore.engine import EngineSettings, run
from restauro.restore.outcome import Evidence, Failed, Outcome, Restored
from restauro.restore.strength import blend
from restauro.smooth.catalogue import smooth_tensor

Progress = Callable[[int, int], None]


def smooth(
    picture: Picture,
    method: str = "l0",
    *,
    strength: float = 1.0,
    mask: Picture | None = None,
    **settings: float | int | str,
) -> Picture:
    """Remove texture and keep structure.

    Parameters
    ----------
    picture
        What :func:`restauro.read` gave.
    method
        A filter of :data:`restauro.smooth.catalogue.METHODS`, for example ``"l0"`` or ``"guided"``.
    strength
        0 = the input bit for bit, 1 = the filter's result.
    mask
        A grey picture of the same size: white is smoothed, black stays bit for bit.
    **settings
        The filter's own settings, checked by name and range, for example ``lam=0.02``.

    Raises
    ------
    SettingError, UsageError
        An unknown method or setting, or a value outside its range.

    Examples
    --------
    >>> from restauro.picture import from_array
    >>> p = from_array(np.random.default_rng(0).random((16, 16, 3), np.float32))
    >>> bool(smooth(p, "l0", lam=0.5).pixels.std() < p.pixels.std())
    True
    """
    proposal = _on_tensor(picture, lambda x: smooth_tensor(x, method, settings))
    return picture.with_pixels(blend(picture.pixels, proposal, strength, _weights(mask)))


def degrade(
    picture: Picture, law: str, settings: Mapping[str, float | int | str] | None = None, *, seed: int = 0
) -> tuple[Picture, Record]:
    """Make a picture worse by a law of :data:`restauro.degrade.laws.LAWS`, and say what was done."""
    x, record = degrade_tensor(_tensor(picture), law, settings, seed=seed)
    return picture.with_pixels(_array(x)), record


def desmooth(
    picture: Picture,
    model: str | Path | Weights = "desmooth-general",
    *,
    strength: float = 1.0,
    mask: Picture | None = None,
    engine: EngineSettings | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Give a smoothed picture its detail back.

    Parameters
    ----------
    picture
        What :func:`restauro.read` gave.
    model
        A name of :data:`restauro.models.MODELS`, a local ``.safetensors`` path, or what
        :func:`restauro.models.find` gave.
    strength, mask
        See :func:`smooth`.
    engine
        Device, precision, memory limit, tiles.
    progress
        Called with (tiles done, tiles in all).

    Returns
    -------
    Restored or Failed
        A picture that could not be computed is ``Failed`` with the reason; it is never the input passed off as a
        result.

    Raises
    ------
    ModelError, UsageError
        The model is not there, or is for another verb.
    """
    return by_model("desmooth", picture, model, strength, mask, engine, progress)


def by_model(
    verb: str,
    picture: Picture,
    model: str | Path | Weights,
    strength: float = 1.0,
    mask: Picture | None = None,
    engine: EngineSettings | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Run a model that maps a picture to a picture: what the verbs with a model have in common.

    Parameters and errors as :func:`desmooth`; ``verb`` is what a model of :data:`restauro.models.MODELS` must be for
    (a local file is taken at its word).
    """
    weights = model if isinstance(model, Weights) else find(model)
    spec = MODELS.get(weights.name)
    if spec is not None and spec.verb != verb:
        raise UsageError(f"{verb}: found model {spec.name!r}, which is for {spec.verb!r}, wanted one for {verb!r}")
    began = time.perf_counter()
    net = _network(weights.path, weights.sha256)
    try:
        made = run(
            net, facts_of(net), picture.pixels, engine or EngineSettings(), progress=progress, name=picture.source.name
        )
    except EngineError as error:
        return Failed(picture.source.name, str(error))
    evidence = Evidence(
        model=weights.name,
        weights_sha256=weights.sha256,
        device=made.device,
        precision=made.precision,
        tiles=made.tiles,
        seconds=time.perf_counter() - began,
        notes=made.notes,
    )
    pixels = blend(picture.pixels, made.pixels, strength, _weights(mask))
    return Restored(picture.with_pixels(pixels), evidence)


Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@lru_cache(maxsize=2)
def _network(path: Path, sha256: str) -> torch.nn.Module:
    """Load once, not once per picture; the hash in the key notices a file that was replaced meanwhile."""
    return load(path)


def _weights(mask: Picture | None) -> Array | None:
    return None if mask is None else mask.rgb().mean(axis=2, dtype=np.float32)


def _on_tensor(picture: Picture, change: Callable[[torch.Tensor], torch.Tensor]) -> Array:
    return _array(change(_tensor(picture)))


def _tensor(picture: Picture) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.pixels)).permute(2, 0, 1)[None].contiguous()


def _array(x: torch.Tensor) -> Array:
    return np.ascontiguousarray(x[0].permute(1, 2, 0).numpy())
