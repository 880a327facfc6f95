"""A recipe: everything that decides what a trained network will be, as typed data read from one TOML file.

Unknown keys are errors that name the nearest known key. The resolved recipe, with every default spelled out,
travels in the metadata of the weights it makes. What may stand in it: :mod:`restauro.train.sections`.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from restauro.errors import DataError
from restauro.train.sections import (
    AdaptSection,
    AdversarialSection,
    CriticSection,
    DataSection,
    DegradationSection,
    LabelSection,
    LossSection,
    ModelSection,
    OptimiserSection,
    PositiveFloat,
    PositiveInt,
    Section,
)

SEES_DECONVOLUTIONS = ("blind-deblur",)


class Recipe(Section):
    """One trained network: from nothing, or from the weights that ``start`` names (a model, or a path).

    An iteration sees ``batch`` crops in each of ``accumulate`` rounds in each process, and makes one step of them.
    ``minutes`` is a budget instead of ``iterations``: how many fit into it is measured before the first one, and the
    finished recipe names that number. ``revive`` wakes the dead units of the network that training starts from
    (:mod:`restauro.train.revive`). ``precision`` of convolutions: "auto" is bfloat16 where the processor computes
    with it, and float32 elsewhere; losses, norm statistics and the master weights are float32 always.
    """

    later = frozenset(
        {"accumulate", "sample_minutes", "start", "critic", "adversarial", "minutes", "labels", "adapt", "revive"}
    )

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    verb: Literal["smooth", "desmooth", "deblur", "renovate", "translate"]
    summary: str
    terms: str  # what may be done with the weights, given the data
    seed: int = 0
    iterations: PositiveInt = 1000
    batch: PositiveInt = 16
    patch_px: PositiveInt = 128
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    checkpoint_minutes: PositiveFloat = 5.0
    model: ModelSection
    data: DataSection
    degradation: DegradationSection = DegradationSection()
    loss: LossSection = LossSection()
    optimiser: OptimiserSection = OptimiserSection()
    accumulate: PositiveInt = 1
    sample_minutes: PositiveFloat = 10.0
    start: str | None = None
    revive: bool = False
    critic: CriticSection | None = None
    adversarial: AdversarialSection | None = None
    minutes: PositiveFloat | None = None
    labels: LabelSection | None = None
    adapt: AdaptSection | None = None

    @model_validator(mode="after")
    def _sections_fit(self) -> Recipe:
        plain = self.model.architecture == "desmoothgan" and self.model.options.get("norm") == "none"
        if self.revive and (self.start is None or self.adapt is not None or not plain):
            raise ValueError("'revive' for a start, without [adapt], of desmoothgan without norm; remove the key")
        if self.adapt is not None and self.start is None:
            raise ValueError("start, the network that [adapt] changes; add the key start")
        if self.degradation.deconvolve != (self.model.architecture in SEES_DECONVOLUTIONS):
            raise ValueError(
                f"degradation.deconvolve with {' or '.join(SEES_DECONVOLUTIONS)}, and with no other architecture; "
                "set or remove the key"
            )
        if self.loss.grid and self.patch_px < self.loss.grid_px:
            raise ValueError(f"crops of at least loss.grid_px = {self.loss.grid_px} pixels; set patch_px")
        if self.patch_px <= self.loss.jitter_px:
            raise ValueError(f"crops larger than loss.jitter_px = {self.loss.jitter_px} pixels; set patch_px")
        if self.minutes is not None and self.iterations != type(self).model_fields["iterations"].default:
            raise ValueError("a budget in iterations or in minutes; remove one of the two keys")
        if (self.critic is None) != (self.adversarial is None):
            raise ValueError("the sections critic and adversarial together, or neither")
        if self.critic and self.adversarial:
            penalised = self.adversarial.objective == "wgan-gp"
            if penalised and self.critic.architecture == "patchgan":
                raise ValueError(
                    "a critic without batch norm for wgan-gp, whose penalty is of single pictures: "
                    "critic.architecture = 'deblurgan', 'pix2pixhd' or 'spade'"
                )
        if any(
            one.vary and not (self.degradation.fresh and not one.inputs and not one.labels) for one in self.data.train
        ):
            raise ValueError("'vary' for pictures alone and degradation.fresh = true; remove the key")
        if any(one.vary for one in self.data.validation):
            raise ValueError("'vary' in training sets only; remove the key")
        self._labels_fit()
        return self

    def _labels_fit(self) -> None:
        sets = (*self.data.train, *self.data.validation)
        if any((one.labels is None) != (self.labels is None) for one in sets):
            raise ValueError("the section labels and the key labels in every picture set, or neither")
        blind = self.critic is not None and self.critic.architecture in ("patchgan", "deblurgan")
        if self.labels and self.critic and blind and self.critic.conditional:
            raise ValueError("a critic that reads labels (spade, pix2pixhd), or critic.conditional = false")
        if self.labels and self.labels.beside and self.degradation.deconvolve:
            raise ValueError("labels.beside or degradation.deconvolve, not both; remove one of the two keys")

    def to_json(self) -> str:
        """The resolved recipe, with the defaults (but for keys of later versions that are not used)."""
        return self.model_dump_json()


def read_recipe(path: str | Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read and check a recipe.

    Parameters
    ----------
    path
        A TOML file.
    overrides
        ``"a.b=value"`` each, applied in order; the value is read as TOML, or as text where it is none. ``minutes``
        takes the place of ``iterations``, and the other way round.

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
    return checked(tree, str(path))


_OTHER_BUDGET = {"minutes": "iterations", "iterations": "minutes"}


def changed(recipe: Recipe, overrides: tuple[str, ...]) -> Recipe:
    """A recipe with values changed as :func:`read_recipe` changes them."""
    tree = recipe.model_dump()
    for override in overrides:
        _apply(tree, override)
    return checked(tree, recipe.name)


def checked(tree: Mapping[str, Any], where: str) -> Recipe:
    """The recipe of a tree of sections; ``where`` begins the line of complaint.

    Raises
    ------
    DataError
        As :func:`read_recipe`.
    """
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise DataError(f"{where}: {_first_complaint(error)}") from None


def _apply(tree: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise DataError(f"--set {override!r}: wanted key=value, for example optimiser.lr=0.0003")
    try:
        parsed: object = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    tree.pop(_OTHER_BUDGET.get(key, ""), None)
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
    found = "" if isinstance(first.get("input"), dict) else f"found {first.get('input')!r}, "
    return f"{where}: {found}wanted: {first['msg'].removeprefix('Value error, ')}"


def _known_keys(model: type[BaseModel]) -> list[str]:
    keys: list[str] = []
    for name, field in model.model_fields.items():
        keys.append(name)
        for candidate in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                keys += _known_keys(candidate)
    return keys
