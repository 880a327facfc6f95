"""The verb ``translate``: a label map to a picture.

The class list decides which channel a pixel's class is; it travels in the metadata of the weights. A map is padded on
the right and at the bottom to what the network needs (``facts.multiple``) by the list's first ignored class, or by its
own last pixels where the list has none, and the result is cropped again. There are no tiles: these networks look at the
whole map.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from restauro.errors import EngineError, ModelError, PictureError, UsageError
from restauro.labels import ClassList, read_class_list, read_ids, read_labels
from restauro.models import MODELS, Weights, facts_of, find, for_use, load
from restauro.nets.layers.labels import instance_edges, semantic
from restauro.picture import from_array
from restauro.restore.engine import choose_device, choose_precision
from restauro.restore.memory import free_bytes
from restauro.restore.outcome import Evidence, Failed, Outcome, Restored
from restauro.restore.request import DEFAULTS, EngineSettings

Bytes = NDArray[np.uint8]
Source = str | Path | bytes | NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Translator:
    """Weights that take labels, ready to run, and the class list that they speak.

    Parameters
    ----------
    weights
        What :func:`restauro.models.find` gave.
    net
        The network, in evaluation mode.
    classes
        As many as the network has channels for.
    edges
        Whether the network also takes the borders between objects.
    """

    weights: Weights
    net: nn.Module
    classes: ClassList
    edges: bool


def translator(model: str | Path | Weights, classes: str | Path | ClassList | None = None) -> Translator:
    """Load weights that take labels.

    Parameters
    ----------
    model
        A name of :data:`restauro.models.MODELS`, a local ``.safetensors`` path, or what :func:`restauro.models.find`
        gave.
    classes
        A class list, its .csv file, or ``"cityscapes"``; without it the list in the weights' metadata. Another list
        than the one in the metadata says by its order which of your classes is drawn as which of the network's.

    Raises
    ------
    ModelError
        The weights are not there, or take no labels.
    UsageError
        The model is for another verb; there is no class list; the list has another number of classes.
    """
    weights = model if isinstance(model, Weights) else find(model)
    spec = MODELS.get(weights.name)
    if spec is not None and spec.verb != "translate":
        raise UsageError(f"translate: found model {spec.name!r}, which is for {spec.verb!r}, wanted one for labels")
    net = load(weights)
    channels = next(layer.in_channels for layer in net.modules() if isinstance(layer, nn.Conv2d))
    listed = _listed(weights, classes)
    edges = bool(getattr(net, "edges", channels == len(listed) + 1))
    if getattr(net, "classes", channels) == 0 or getattr(net, "picture", False):
        raise ModelError(f"{weights.name}: found a network that takes pictures, wanted one that takes labels")
    if len(listed) + edges != channels:
        raise UsageError(
            f"classes: found {len(listed)} ({listed}), wanted {channels - edges} for {weights.name}; "
            "name the list it was trained with, or another of that length"
        )
    return Translator(weights, for_use(net), listed, edges)


def translate(
    labels: Source,
    model: str | Path | Weights | Translator = "translate-facades",
    *,
    classes: str | Path | ClassList | None = None,
    instances: Source | None = None,
    engine: EngineSettings = DEFAULTS,
    max_pixels: int = 200_000_000,
) -> Outcome:
    """Turn a label map into a picture.

    Parameters
    ----------
    labels
        A label PNG (ids, or a palette, or colours of the class list) by path or bytes; or an array: ids [H, W], or
        colours uint8 [H, W, 3]. Any size from 1 x 1.
    model
        As of :func:`translator`, or what that gave (which loads nothing again).
    classes
        As of :func:`translator`.
    instances
        Ids of objects, likewise, for a network that takes borders. Without them the borders between classes are taken,
        and the evidence says so.
    engine
        Device, precision and memory limit; there are no tiles, and the threads are torch's.
    max_pixels
        Refuse larger files, before decoding them.

    Returns
    -------
    Restored or Failed
        The picture, 8 bits; or why it could not be computed.

    Raises
    ------
    PictureError
        No label map; ids or colours that the class list does not have, by name and count.
    ModelError, UsageError
        As of :func:`translator`; or ``instances`` for a network without borders.
    """
    ready = model if isinstance(model, Translator) else translator(model, classes)
    name = str(labels) if isinstance(labels, str | Path) else "labels"
    positions = _positions(labels, ready.classes, name, max_pixels)
    began = time.perf_counter()
    notes: list[str] = []
    edges = _edges(positions, instances, ready, notes, name)
    try:
        pixels, device, precision = _run(positions, edges, ready, engine, notes, name)
    except EngineError as error:
        return Failed(name, str(error))
    seconds = time.perf_counter() - began
    weights = ready.weights
    evidence = Evidence(weights.name, weights.sha256, device, precision, 1, seconds, tuple(notes))
    return Restored(from_array(pixels, name=name), evidence)


def _listed(weights: Weights, classes: str | Path | ClassList | None) -> ClassList:
    if isinstance(classes, ClassList):
        return classes
    if classes is not None:
        return read_class_list(classes)
    text = weights.metadata.get("classes")
    if text is None:
        raise UsageError(f"{weights.name}: found no class list in the weights, wanted one; name it with --classes FILE")
    return ClassList.from_json(text, weights.name)


def _positions(labels: Source, classes: ClassList, name: str, max_pixels: int) -> Bytes:
    if isinstance(labels, str | Path | bytes):
        return read_labels(labels, classes, max_pixels=max_pixels)
    array = np.asarray(labels)
    if array.size and array.ndim == 2 and array.dtype.kind in "iu":
        return classes.positions(array, name)
    if array.size and array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8:
        return classes.from_colours(array.astype(np.uint8, copy=False), name)
    raise PictureError(
        name, f"{array.dtype} of shape {list(array.shape)}", "ids [H, W] or uint8 colours [H, W, 3]", "convert it"
    )


def _edges(positions: Bytes, instances: Source | None, ready: Translator, notes: list[str], name: str) -> Tensor | None:
    """Borders [1, 1, H, W] where the network takes them."""
    if not ready.edges:
        if instances is not None:
            raise UsageError(f"instances: found some, wanted none: {ready.weights.name} takes no borders")
        return None
    if instances is None:
        notes.append("no instance map: took the borders between classes for those between objects")
        objects: NDArray[np.integer] = positions
    else:
        objects = read_ids(instances) if isinstance(instances, str | Path | bytes) else np.asarray(instances)
    if objects.shape != positions.shape:
        raise PictureError(
            name,
            f"an instance map of shape {list(objects.shape)}",
            f"that of the label map, {list(positions.shape)}",
            "name the instance map of this picture",
        )
    return instance_edges(torch.from_numpy(objects.astype(np.int64))[None])


def _run(
    positions: Bytes, edges: Tensor | None, ready: Translator, engine: EngineSettings, notes: list[str], name: str
) -> tuple[Bytes, str, str]:
    """The picture uint8 [H, W, 3], the device and the precision."""
    facts = facts_of(ready.net)
    device = choose_device(engine.device)
    precision, more = choose_precision(engine.precision, facts, device)
    notes += more
    height, width = positions.shape
    missing = [(0, -side % facts.multiple) for side in (height, width)]
    _check_memory((height + missing[0][1]) * (width + missing[1][1]), ready, engine, device, name)
    outside = ready.classes.padding
    filled = (
        np.pad(positions, missing, "edge") if outside is None else np.pad(positions, missing, constant_values=outside)
    )
    ids = torch.from_numpy(filled.astype(np.int64))[None].to(device)
    if edges is not None:
        edges = nn.functional.pad(edges, (0, missing[1][1], 0, missing[0][1])).to(device)
    net = ready.net.to(device)
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        y = _forward(net, ids, len(ready.classes), edges)
    made = y.float()[0, :, :height, :width].permute(1, 2, 0).cpu().numpy()
    if not np.isfinite(made).all():
        raise EngineError(f"{name}: found values that are not finite in {precision}, wanted a picture; try float32")
    pixels: Bytes = np.rint(np.clip(made, 0, 1) * 255).astype(np.uint8)
    return pixels, str(device), precision


def _forward(net: nn.Module, ids: Tensor, classes: int, edges: Tensor | None) -> Tensor:
    by_ids = getattr(net, "from_labels", None)
    y: Tensor = by_ids(ids, edges) if by_ids is not None else net(semantic(ids, classes, edges))
    return y


def _check_memory(pixels: int, ready: Translator, engine: EngineSettings, device: torch.device, name: str) -> None:
    limit = free_bytes(device) // 2 if engine.memory_limit is None else engine.memory_limit
    needed = pixels * (facts_of(ready.net).bytes_per_px + 4 * (len(ready.classes) + 6))
    if needed > limit:
        raise EngineError(
            f"{name}: found a memory limit of {limit / 2**20:.0f} MiB, wanted about {needed / 2**20:.0f} MiB for this "
            "map in one piece; raise --memory, or translate parts of it"
        )
