"""The verbs, as functions from a picture to a picture: what Python users and the command call alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from restauro.errors import EngineError, UsageError, nearest
from restauro.models import MODELS, Weights, facts_of, find, for_use, load
from restauro.picture import Picture
from restauro.restore import recentre
from restauro.restore.engine import run
from restauro.restore.guided import guided, require_no_guide
from restauro.restore.outcome import Evidence, Failed, Outcome, Progress, Restored
from restauro.restore.request import EngineSettings, is_filter
from restauro.restore.strength import NetworkSettings, ask, blend, check_mask

if TYPE_CHECKING:
    from restauro.deconvolution.deconvolve import DeconvolutionSettings
    from restauro.degrade.laws import Record

Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def smooth(
    picture: Picture,
    method: str | Path | Weights = "l0",
    *,
    strength: float = 1.0,
    mask: Picture | None = None,
    engine: EngineSettings | None = None,
    **settings: float | int | str,
) -> Picture:
    """Remove texture and keep structure, by a filter or by a network.

    Parameters
    ----------
    picture
        What :func:`restauro.read` gave.
    method
        A filter of :data:`restauro.smooth.catalogue.METHODS`, for example ``"l0"`` or ``"guided"``; a network of
        :data:`restauro.models.MODELS` that is for ``smooth``, or its weights as :func:`desmooth` takes them.
    strength
        0 = the input bit for bit, 1 = the method's result. SASNet has a dial of its own: the detail that it takes out
        is weighted by 1 - strength inside the network; above 1, to 2, by strength: 1.5 = half as much detail again.
    mask
        A grey picture of the same size: white is smoothed, black stays bit for bit.
    engine
        Device, precision, memory limit, tiles; of networks only.
    **settings
        The filter's own settings, checked by name and range, for example ``lam=0.02``; for a network ``views``,
        ``samples`` and ``seed`` of :class:`restauro.restore.strength.NetworkSettings`.

    Raises
    ------
    SettingError, UsageError
        An unknown method or setting, or a value outside its range.
    ModelError, EngineError
        Weights that cannot be loaded; a network that could not be run.

    Examples
    --------
    >>> from restauro.picture import from_array
    >>> p = from_array(np.random.default_rng(0).random((16, 16, 3), np.float32))
    >>> bool(smooth(p, "l0", lam=0.5).pixels.std() < p.pixels.std())
    True
    """
    if not is_filter(method):
        how = network_settings(settings)
        outcome = by_model("smooth", picture, method, strength, mask, engine, settings=how)
        if not isinstance(outcome, Restored):
            raise EngineError(outcome.reason)
        return outcome.picture
    if engine is not None:
        raise UsageError(f"engine: found settings of the engine, wanted none: {method} is a filter and runs without it")
    from restauro.smooth.catalogue import smooth_tensor

    proposal = _on_tensor(picture, lambda x: smooth_tensor(x, str(method), settings))
    return picture.with_pixels(blend(picture.pixels, proposal, strength, _weights(mask)))


def network_settings(settings: Mapping[str, float | int | str]) -> NetworkSettings:
    """Check the names of a network's settings."""
    names = [field.name for field in fields(NetworkSettings)]
    for name in settings:
        if name not in names:
            raise UsageError(f"a network: found setting {name!r}, wanted {nearest(name, names)}")
    return NetworkSettings(**settings)  # type: ignore[arg-type]  # it checks its values itself


def degrade(
    picture: Picture, law: str, settings: Mapping[str, float | int | str] | None = None, *, seed: int = 0
) -> tuple[Picture, Record]:
    """Make a picture worse by a law of :data:`restauro.degrade.laws.LAWS`, and say what was done."""
    from restauro.degrade.laws import degrade_tensor

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


def deblur(
    picture: Picture,
    model: str | Path | Weights | None = None,
    *,
    kernel: str | Path | np.ndarray[tuple[int, int], np.dtype[np.floating]] | None = None,
    deconvolution: DeconvolutionSettings | None = None,
    strength: float = 1.0,
    mask: Picture | None = None,
    engine: EngineSettings | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Take blur out of a picture: by a model, or by a kernel, known or estimated.

    Parameters
    ----------
    picture
        What :func:`restauro.read` gave.
    model
        See :func:`desmooth`; ``"deblur-general"`` where neither a model nor a kernel is given.
    kernel
        What a point of light became: an array [kh, kw], or a path as
        :func:`restauro.degrade.kernel_files.read_kernel` takes it; or ``"estimate"``, to have it estimated from the
        picture (:mod:`restauro.deconvolution.blind`), for one that was blurred alike all over.
    deconvolution
        How to use the kernel, see :class:`restauro.deconvolution.deconvolve.DeconvolutionSettings`.
    strength, mask
        See :func:`smooth`.
    engine
        Device, precision, memory limit, tiles of the model.
    progress
        Called with (tiles or colours done, of how many).

    Returns
    -------
    Restored or Failed
        As :func:`desmooth`; a picture smaller than the kernel is ``Failed``.

    Raises
    ------
    ModelError, UsageError
        As :func:`desmooth`; a kernel that is none; a model and a kernel, or settings without a kernel.

    Examples
    --------
    >>> from restauro.picture import from_array
    >>> p = from_array(np.full((9, 9, 3), 0.25, np.float32))
    >>> deblur(p, kernel=np.ones((1, 5))).evidence.model
    'wiener balance=0.01'
    """
    if kernel is None:
        if deconvolution is not None:
            raise UsageError("deblur: found settings of deconvolution without a kernel, wanted both; name the kernel")
        return by_model("deblur", picture, model or "deblur-general", strength, mask, engine, progress)
    if model is not None:
        raise UsageError("deblur: found a model and a kernel, wanted one of them; leave the other out")
    from restauro.restore.by_kernel import by_kernel

    return by_kernel(picture, kernel, deconvolution, strength, _weights(mask), progress)


def by_model(
    verb: str,
    picture: Picture,
    model: str | Path | Weights,
    strength: float = 1.0,
    mask: Picture | None = None,
    engine: EngineSettings | None = None,
    progress: Progress | None = None,
    *,
    settings: NetworkSettings | None = None,
    guide: NDArray[np.integer] | None = None,
    moves: bool = True,
) -> Outcome:
    """Run a model that maps a picture to a picture: what the verbs with a model have in common.

    Parameters and errors as :func:`desmooth`; ``verb`` is what a model of :data:`restauro.models.MODELS` must be for
    (a local file is taken at its word). The network runs in its quick form (:func:`restauro.models.for_use`).
    ``guide``: what :func:`restauro.restore.guided.read_guide` gave, [H, W], for a network that wants one.
    ``moves``: whether a network that moves its results may: see :mod:`restauro.restore.recentre`.
    """
    weights = model if isinstance(model, Weights) else find(model)
    spec = MODELS.get(weights.name)
    if spec is not None and spec.verb != verb:
        raise UsageError(f"{verb}: found model {spec.name!r}, which is for {spec.verb!r}, wanted one for {verb!r}")
    began = time.perf_counter()
    net = _network(weights)
    area, name = _weights(mask), picture.source.name
    if area is not None:
        check_mask(area, picture.pixels)
    shift = recentre.NOWHERE
    if moves and area is None:
        shift = recentre.taken(recentre.shift_of(net, picture.pixels), strength)
    net = recentre.held(net)
    asked = ask(net, facts_of(net), strength, area, settings or NetworkSettings())
    if guide is None:
        require_no_guide(net, weights)
    runs = asked.net if guide is None else guided(asked.net, weights)
    try:
        made = run(
            runs,
            asked.facts,
            picture.pixels,
            engine or EngineSettings(),
            alpha=asked.alpha_map if guide is None else guide.astype(np.float32),
            progress=progress,
            name=name,
        )
    except EngineError as error:
        return Failed(name, str(error))
    evidence = Evidence(
        model=weights.name,
        weights_sha256=weights.sha256,
        device=made.device,
        precision=made.precision,
        tiles=made.tiles,
        seconds=time.perf_counter() - began,
        notes=(*made.notes, *recentre.told(shift)),
    )
    pixels = recentre.moved(asked.take(picture.pixels, made.pixels), shift)
    return Restored(picture.with_pixels(pixels), evidence)


def shift_by_model(pixels: Array, weights: Weights) -> recentre.Shift:
    """How far a model moves what it makes of pixels [H, W, 1 or 3]: :func:`restauro.restore.recentre.shift_of`."""
    return recentre.shift_of(_network(weights), pixels)


def _network(weights: Weights) -> torch.nn.Module:
    return _loaded(weights.name if weights.record else str(weights.path), weights.sha256)


@lru_cache(maxsize=2)
def _loaded(name: str, sha256: str) -> torch.nn.Module:
    """Load once, not once per picture; the hash in the key notices a file that was replaced meanwhile."""
    return for_use(load(name))


def _weights(mask: Picture | None) -> Array | None:
    return None if mask is None else mask.rgb().mean(axis=2, dtype=np.float32)


def _on_tensor(picture: Picture, change: Callable[[torch.Tensor], torch.Tensor]) -> Array:
    return _array(change(_tensor(picture)))


def _tensor(picture: Picture) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.pixels)).permute(2, 0, 1)[None].contiguous()


def _array(x: torch.Tensor) -> Array:
    return np.ascontiguousarray(x[0].permute(1, 2, 0).numpy())
