"""THE table: which networks there are, how each is built, where its trained weights lie and what they are good for.

Nothing is discovered by scanning: a model exists because it stands in :data:`MODELS`, and its weights are used
because size and SHA-256 agree with ``weights/manifest.toml``. No torch is imported before a network is built.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restauro.errors import ModelError, UsageError, nearest
from restauro.facts import Facts, HasQuickForm

if TYPE_CHECKING:
    from torch import nn

Option = str | int | float | bool

#: How like a known name another must be to be taken for it, 0..1: all begin with their verb.
LIKE = 0.75

#: Architecture -> the function that builds it untrained, as "module:function".
ARCHITECTURES: dict[str, str] = {
    "sasnet": "restauro.nets.sasnet:build_sasnet",
    "autoencoder": "restauro.nets.unet:build_autoencoder",
    "unet": "restauro.nets.unet:build_unet",
    "residual-unet": "restauro.nets.residual_unet:build_residual_unet",
    "deaf": "restauro.nets.deaf:build_deaf",
    "drf": "restauro.nets.drf:build_drf",
    "resnet": "restauro.nets.resnet:build_resnet",
    "jessnet": "restauro.nets.jessnet:build_jessnet",
    "desmoothgan": "restauro.nets.desmoothgan:build_desmoothgan",
    "hifacegan": "restauro.nets.hifacegan:build_hifacegan",
    "asapnet": "restauro.nets.asapnet:build_asapnet",
    "pix2pixhd": "restauro.nets.pix2pixhd:build_pix2pixhd",
    "spade": "restauro.nets.spade:SpadeGenerator",
    "deblurgan": "restauro.nets.deblurgan:build_deblurgan",
    "asap-deblur": "restauro.nets.hybrid_deblur:build_asap_deblur",
    "hybrid-deblur": "restauro.nets.hybrid_deblur:build_hybrid_deblur",
    "blind-deblur": "restauro.nets.blind_deblur:BlindDeblur",
}


@dataclass(frozen=True)
class ModelSpec:
    """One trained model that ships.

    Size, hash and scores are in the manifest; this is what was decided. ``bfloat16_db`` decides the default precision,
    see :class:`restauro.facts.Facts`: what ``python -m benchmarks.run NAME`` says, rounded down; a test holds it to it.
    """

    name: str
    verb: str
    summary: str
    paper: str
    bfloat16_db: float | None = None


MODELS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            "desmooth-general",
            "desmooth",
            "gives faces and photographs that somebody smoothed their detail back (fidelity)",
            "DeSmoothGAN, row pix2pix",
            bfloat16_db=80.0,
        ),
        ModelSpec(
            "desmooth-portraits",
            "desmooth",
            "gives faces that a beauty or other filter smoothed their detail back (fidelity)",
            "DeSmoothGAN, row pix2pix",
            bfloat16_db=78.0,
        ),
        ModelSpec(
            "desmooth-realism",
            "desmooth",
            "gives faces and photographs that somebody smoothed detail that looks real (realism)",
            "DeSmoothGAN, row pix2pix",
            bfloat16_db=72.0,
        ),
        ModelSpec(
            "desmooth-l0",
            "desmooth",
            "gives faces and photographs that L0 smoothing flattened their detail back (fidelity)",
            "DeSmoothGAN, row pix2pix",
            bfloat16_db=74.0,
        ),
        ModelSpec(
            "renovate-faces",
            "renovate",
            "renovates worn faces: blur, noise, JPEG blocks and 4-8x reduction, some or all of them (fidelity)",
            "HiFaceGAN's task, a residual U-Net",
            bfloat16_db=61.0,
        ),
        ModelSpec(
            "renovate-realism",
            "renovate",
            "renovates worn faces: blur, noise, JPEG blocks and 4-8x reduction, with detail that looks real (realism)",
            "HiFaceGAN's task, a residual U-Net",
            bfloat16_db=60.0,
        ),
        ModelSpec(
            "renovate-sr4",
            "renovate",
            "gives faces that were reduced to a quarter of their size their detail back (fidelity)",
            "HiFaceGAN's task, DeblurGAN",
            bfloat16_db=72.0,
        ),
        ModelSpec(
            "renovate-jpeg",
            "renovate",
            "takes the blocks and ringing of JPEG out of faces (fidelity)",
            "HiFaceGAN's task, DeblurGAN",
            bfloat16_db=61.0,
        ),
        ModelSpec(
            "deblur-general",
            "deblur",
            "takes blur by camera shake, movement and slight defocus out of photographs (fidelity)",
            "DeblurGAN's task; a kernel estimated after Xu et al. 2013, DeSmoothGAN's row pix2pix",
            bfloat16_db=60.0,
        ),
        ModelSpec(
            "translate-facades",
            "translate",
            "draws house fronts from label maps of the 12 classes of the CMP facade base (research use)",
            "ASAP-Net",
        ),
        ModelSpec(
            "sasnet-small",
            "smooth",
            "removes texture and keeps structure: a small SASNet",
            "SASNet",
            bfloat16_db=57.0,
        ),
    )
}


@dataclass(frozen=True)
class Weights:
    """A weights file and everything said about it.

    ``record`` is the model's entry in the manifest (empty for a local file); ``metadata`` is what the file itself
    carries: architecture, options, the resolved recipe, the data digest.
    """

    name: str
    path: Path
    bytes: int
    sha256: str
    architecture: str
    options: Mapping[str, Option]
    metadata: Mapping[str, str]
    record: Mapping[str, Any] = field(default_factory=dict)


def build(architecture: str, **options: Option) -> nn.Module:
    """Build an untrained network.

    Parameters
    ----------
    architecture
        A key of :data:`ARCHITECTURES`.
    **options
        The builder's own settings, checked against its signature; ``width`` is the base width everywhere.

    Raises
    ------
    UsageError
        Unknown architecture or option, with the nearest known one.

    Examples
    --------
    >>> net = build("desmoothgan", variant="pix2pix", width=8)
    >>> net.facts.multiple
    32
    """
    if architecture not in ARCHITECTURES:
        raise UsageError(f"architecture: found {architecture!r}, wanted {nearest(architecture, ARCHITECTURES, LIKE)}")
    module, _, function = ARCHITECTURES[architecture].partition(":")
    builder = getattr(import_module(module), function)
    parameters = inspect.signature(builder).parameters
    for option in options:
        if option not in parameters:
            raise UsageError(f"{architecture}: found option {option!r}, wanted {nearest(option, parameters, LIKE)}")
    net: nn.Module = builder(**options)
    return net


@cache
def manifest() -> Mapping[str, Mapping[str, Any]]:
    """The measured facts of every shipped weights file, from ``weights/manifest.toml``."""
    path = Path(str(resources.files("restauro").joinpath("weights/manifest.toml")))
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: found {error}, wanted the list of shipped weights; install restauro again") from None


def find(name: str | Path) -> Weights:
    """Find the weights of a model by name, or of a local ``.safetensors`` file by path, and verify them.

    Raises
    ------
    ModelError
        Unknown name; no file; a size or a SHA-256 other than the manifest's; a file that is not ours to read.
    """
    if str(name) in MODELS:
        record = manifest().get(str(name))
        if record is None:
            raise ModelError(
                f"{name}: found no entry in weights/manifest.toml, wanted one; this build ships no weights"
            )
        path = Path(str(resources.files("restauro").joinpath("weights", record["file"])))
        return _read(str(name), path, record)
    path = Path(name)
    if path.suffix == ".safetensors" or path.exists():
        return _read(path.stem, path, {})
    raise ModelError(
        f"model: found {str(name)!r}, wanted {nearest(str(name), MODELS, LIKE)}, or the path of a .safetensors file"
    )


def load(name: str | Path | Weights) -> nn.Module:
    """Load a trained network, ready to run.

    Parameters
    ----------
    name
        A name of :data:`MODELS`, a path, or what :func:`find` gave.

    Returns
    -------
    nn.Module
        In evaluation mode, float32, on the CPU, with ``.facts`` for the engine.

    Raises
    ------
    ModelError
        As :func:`find`; or tensors that do not fit the architecture that the file names.
    """
    import safetensors.torch
    from safetensors import SafetensorError

    weights = name if isinstance(name, Weights) else find(name)
    net = build(weights.architecture, **weights.options)
    try:
        tensors = safetensors.torch.load(weights.path.read_bytes())
    except SafetensorError as error:
        raise ModelError(
            f"{weights.path}: found a damaged file ({error}), wanted whole weights; copy it again"
        ) from None
    try:
        net.load_state_dict(
            {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
        )
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{weights.path}: the tensors do not fit {weights.architecture}: {reason}") from None
    if weights.record and weights.name in MODELS:  # the shipped ones: what was measured with them holds
        facts = replace(facts_of(net), bfloat16_db=MODELS[weights.name].bfloat16_db)
        net.facts = facts  # type: ignore[assignment]  # torch's stubs know of tensors and modules only
    return net.eval().requires_grad_(False)


def for_use(net: nn.Module) -> nn.Module:
    """Make the quick form of a network: equal up to rounding, to run and not to train or save.

    What the network offers itself (:class:`restauro.facts.HasQuickForm`), else a copy with spectral and batch norms
    folded into the weights (:func:`restauro.nets.layers.fold.fold`).

    >>> net = build("resnet", width=4).eval()
    >>> quick = for_use(net)
    >>> facts_of(quick) == facts_of(net), sum(p.requires_grad for p in quick.parameters())
    (True, 0)
    """
    if isinstance(net, HasQuickForm):
        return net.for_use()
    from restauro.nets.layers.fold import fold

    return fold(net)


def facts_of(net: nn.Module) -> Facts:
    """The facts that a network of this library states about itself."""
    facts = getattr(net, "facts", None)
    if not isinstance(facts, Facts):
        raise ModelError(f"{type(net).__name__}: found no facts, wanted a network that states them; see restauro.facts")
    return facts


def save_weights(
    net: nn.Module, path: Path, architecture: str, options: Mapping[str, Option], notes: Mapping[str, str]
) -> None:
    """Write a network as half-precision safetensors, atomically; ``notes`` join its metadata."""
    import safetensors.torch
    import torch

    tensors = {
        key: (value.half() if value.dtype == torch.float32 else value).contiguous().cpu()
        for key, value in net.state_dict().items()
    }
    metadata = {
        "format": "restauro-1",
        "architecture": architecture,
        "options": json.dumps(dict(options), sort_keys=True),
        **notes,
    }
    part = path.with_suffix(".part")
    part.write_bytes(sorted_header(safetensors.torch.save(tensors, metadata=metadata)))
    part.replace(path)


def sorted_header(data: bytes) -> bytes:
    """The same safetensors file with its header in sorted order: the library writes metadata in random order."""
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def _read(name: str, path: Path, record: Mapping[str, Any]) -> Weights:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path}: found {error.strerror or error}, wanted the weights of {name}; reinstall or correct the path"
        ) from None
    sha256 = hashlib.sha256(data).hexdigest()
    if record and (len(data) != record["bytes"] or sha256 != record["sha256"]):
        raise ModelError(
            f"{path}: found {len(data)} bytes with SHA-256 {sha256[:12]}..., wanted {record['bytes']} bytes with "
            f"{record['sha256'][:12]}...; the file is damaged or replaced: reinstall, or name it by its path"
        )
    metadata = _metadata(path, data)
    if metadata.get("format") != "restauro-1":
        raise ModelError(f"{path}: found no restauro metadata, wanted weights that this library wrote")
    options = json.loads(metadata["options"])
    return Weights(name, path, len(data), sha256, metadata["architecture"], options, metadata, record)


def _metadata(path: Path, data: bytes) -> dict[str, str]:
    """The text metadata of a safetensors file: 8 bytes of header length, then JSON."""
    try:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        return dict(header.get("__metadata__", {}))
    except (ValueError, AttributeError):
        raise ModelError(f"{path}: found something else, wanted a .safetensors file") from None
