"""A recipe: everything that decides what a trained network will be, as typed data read from one TOML file.

Unknown keys are errors that name the nearest known key. The resolved recipe, with every default spelled out,
travels in the metadata of the weights it makes.
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from restauro.errors import DataError

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Keys that came after the first weights were shipped. They are left out of the JSON while they have their
    #: default, so that a recipe from before them keeps its JSON, and its weights their bytes.
    later: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        tree: dict[str, Any] = write(self)
        return {
            key: value
            for key, value in tree.items()
            if key not in self.later or getattr(self, key) != fields[key].get_default()
        }


class ModelSection(_Section):
    """Which network: a name that :func:`restauro.build` takes, and its options."""

    architecture: str
    options: dict[str, str | int | float | bool] = {}


class PictureSet(_Section):
    """Some of the pictures under one folder.

    ``folder`` and ``list`` are relative to the data root that the user names. ``list`` holds one path per line,
    relative to ``folder``; without it every file of the folder (recursively) counts. ``only`` keeps names that
    match any of its globs. ``shrink`` says by which whole factors pictures are reduced (1 = as they are; several
    factors give several versions). ``weight`` is this set's share of the training batches. ``inputs`` makes it a
    paired set: the folder that holds the input of each picture under the same name, whatever the suffix; the
    degradation of the recipe is then not used.
    """

    later = frozenset({"inputs"})

    name: str
    folder: str
    list: str | None = None
    only: tuple[str, ...] = ()
    shrink: tuple[PositiveInt, ...] = (1,)
    weight: PositiveFloat = 1.0
    inputs: str | None = None


class DataSection(_Section):
    """Training and validation sets; the two never share a picture (checked by content)."""

    train: Annotated[tuple[PictureSet, ...], Field(min_length=1)]
    validation: tuple[PictureSet, ...] = ()


class DegradationSection(_Section):
    """How an input is made from a picture: a law of :mod:`restauro.degrade.laws` and its settings.

    ``fresh = false``: once for each picture, kept on disk. ``fresh = true``: anew for each training crop, with
    ``margin_px`` around it where the picture has them, so that the crop's border is not the law's border. The draw is
    a function of (seed, iteration, place in the batch); validation pictures stay the same throughout.
    """

    later = frozenset({"fresh", "margin_px"})

    law: str = "l0"
    settings: dict[str, int | float | str] = {}
    fresh: bool = False
    margin_px: Annotated[int, Field(ge=0)] = 16


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


class CriticSection(_Section):
    """The critic of adversarial training, and its optimiser: its own rate is the second time scale of TTUR.

    ``architecture`` is one of :mod:`restauro.train.adversarial`; ``conditional`` shows it the input beside the
    picture; ``layers`` sets the size of a patch of ``patchgan``, the others have theirs.
    """

    architecture: Literal["patchgan", "spade", "pix2pixhd", "deblurgan"] = "patchgan"
    conditional: bool = True
    width: PositiveInt = 64
    layers: Annotated[int, Field(ge=1, le=6)] = 3
    optimiser: OptimiserSection = OptimiserSection(lr=4e-4, betas=(0.5, 0.999), weight_decay=0.0, warmup=0, clip=10.0)


class AdversarialSection(_Section):
    """The adversarial term beside the pixel losses; formulas in :mod:`restauro.train.adversarial`.

    ``weight`` and ``feature_matching`` weigh the generator's terms. In each iteration the generator steps first, then
    the critic ``critic_steps`` times, on the batch of the iteration. It judges the pictures that the generator's step
    made (``fake = "reused"``, cheaper), or those that the generator makes after its step (``"regenerated"``, as
    SPADE). ``penalty`` weighs the gradient penalty of ``wgan-gp``.
    """

    objective: Literal["vanilla", "lsgan", "hinge", "wgan-gp"] = "lsgan"
    weight: PositiveFloat = 0.01
    feature_matching: Annotated[float, Field(ge=0)] = 0.0
    fake: Literal["reused", "regenerated"] = "reused"
    critic_steps: PositiveInt = 1
    penalty: PositiveFloat = 10.0


class Recipe(_Section):
    """One trained network: from nothing, or from the weights that ``start`` names (a model, or a path).

    An iteration sees ``batch`` crops in each of ``accumulate`` rounds in each process, and makes one step of them.
    """

    later = frozenset({"accumulate", "sample_minutes", "start", "critic", "adversarial"})

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
    accumulate: PositiveInt = 1
    sample_minutes: PositiveFloat = 10.0
    start: str | None = None
    critic: CriticSection | None = None
    adversarial: AdversarialSection | None = None

    @model_validator(mode="after")
    def _sections_fit(self) -> Recipe:
        if (self.critic is None) != (self.adversarial is None):
            raise ValueError("the sections critic and adversarial together, or neither")
        if self.critic and self.adversarial:
            penalised = self.adversarial.objective == "wgan-gp"
            if penalised and self.critic.architecture == "patchgan":
                raise ValueError(
                    "a critic without batch norm for wgan-gp, whose penalty is of single pictures: "
                    "critic.architecture = 'deblurgan', 'pix2pixhd' or 'spade'"
                )
        return self

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
