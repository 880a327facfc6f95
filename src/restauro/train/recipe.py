"""A recipe: everything that decides what a trained network will be, as typed data read from one TOML file.

Unknown keys are errors that name the nearest known key. The resolved recipe, with every default spelled out,
travels in the metadata of the weights it makes.
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from restauro.errors import DataError

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSection(_Section):
    """Which network: a name that :func:`restauro.build` takes, and its options."""

    architecture: str
    options: dict[str, str | int | float | bool] = {}


class PictureSet(_Section):
    """Some of the pictures under one folder.

    ``folder`` and ``list`` are relative to the data root that the user names. ``list`` holds one path per line,
    relative to ``folder``; without it every file of the folder (recursively) counts. ``only`` keeps names that
    match any of its globs. ``shrink`` says by which whole factors pictures are reduced (1 = as they are; several
    factors give several versions). ``weight`` is this set's share of the training batches.
    """

    name: str
    folder: str
    list: str | None = None
    only: tuple[str, ...] = ()
    shrink: tuple[PositiveInt, ...] = (1,)
    weight: PositiveFloat = 1.0


class DataSection(_Section):
    """Training and validation sets; the two never share a picture (checked by content)."""

    train: Annotated[tuple[PictureSet, ...], Field(min_length=1)]
    validation: tuple[PictureSet, ...] = ()


class DegradationSection(_Section):
    """How an input is made from a picture: a law of :mod:`restauro.degrade.laws` and its settings."""

    law: str = "l0"
    settings: dict[str, float] = {}


class LossSection(_Section):
    """Weights of the loss terms; a weight of 0 leaves the term out.

    ``l1``: mean absolute difference. ``ssim``: 1 - SSIM (Gaussian 11 / 1.5). ``features``: L1 between SqueezeNet
    activations, which needs their weights (RESTAURO_FEATURES) and stops without them.
    """

    l1: Annotated[float, Field(ge=0)] = 1.0
    ssim: Annotated[float, Field(ge=0)] = 0.0
    features: Annotated[float, Field(ge=0)] = 0.0


class OptimiserSection(_Section):
    """AdamW with linear warm-up and a cosine to zero; gradients are clipped to ``clip`` by norm."""

    lr: PositiveFloat = 5e-4
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup: Annotated[int, Field(ge=0)] = 100
    clip: PositiveFloat = 1.0


class Recipe(_Section):
    """One trained network, from nothing."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    verb: Literal["smooth", "desmooth", "deblur", "renovate", "translate"]
    summary: str
    terms: str  # what may be done with the weights, given the data
    seed: int = 0
    iterations: PositiveInt = 1000
    batch: PositiveInt = 16
    patch_px: PositiveInt = 128
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    checkpoint_minutes: PositiveFloat = 5.0
    model: ModelSection
    data: DataSection
    degradation: DegradationSection = DegradationSection()
    loss: LossSection = LossSection()
    optimiser: OptimiserSection = OptimiserSection()

    def to_json(self) -> str:
        """The resolved recipe, every default included."""
        return self.model_dump_json()


def read_recipe(path: str | Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read and check a recipe.

    Parameters
    ----------
    path
        A TOML file.
    overrides
        ``"a.b=value"`` each, applied in order; the value is read as TOML, or as text where it is none.

    Raises
    ------
    DataError
        Unreadable file, unknown key (with the nearest known one), or a value outside its range.
    """
    path = Path(path)
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: found {error.strerror}, wanted a recipe; name a .toml file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: found {error}, wanted TOML; correct that place") from None
    for override in overrides:
        _apply(tree, override)
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise DataError(f"{path}: {_first_complaint(error)}") from None


def _apply(tree: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise DataError(f"--set {override!r}: wanted key=value, for example optimiser.lr=0.0003")
    try:
        parsed: object = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    *parents, leaf = key.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise DataError(f"--set {override!r}: {parent!r} is not a section")
    tree[leaf] = parsed


def _first_complaint(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "recipe"
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(str(first["loc"][-1]), _known_keys(Recipe), n=1, cutoff=0.4)
        hint = f"; nearest known key: {close[0]!r}" if close else ""
        return f"{where}: found a key that no recipe has{hint}; correct or remove it"
    return f"{where}: found {first.get('input')!r}, wanted: {first['msg']}"


def _known_keys(model: type[BaseModel]) -> list[str]:
    keys: list[str] = []
    for name, field in model.model_fields.items():
        keys.append(name)
        for candidate in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                keys += _known_keys(candidate)
    return keys
