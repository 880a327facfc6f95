"""A recipe: everything that decides what a trained network will be, as typed data read from one TOML file.

Unknown keys are errors that name the nearest known key. The resolved recipe, with every default spelled out,
travels in the metadata of the weights it makes.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
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
VggLayer = Annotated[str, Field(pattern=r"^conv([12]_[12]|[345]_[1-4])$")]
SEES_DECONVOLUTIONS = ("blind-deblur",)
VGG_LADDER = {"conv1_2": 1 / 32, "conv2_2": 1 / 16, "conv3_4": 1 / 8, "conv4_4": 1 / 4, "conv5_4": 1.0}


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
    factors give several versions). ``weight`` is this set's share of the training batches. ``turns``: crops are
    turned by quarters too, for what has no up and down. ``inputs`` makes it a paired set: the folder that holds the
    input of each picture under the same name, whatever the suffix; the degradation of the recipe is then not used.

    ``labels`` makes it a set of label maps (ids or palette, PNG) and pictures: a folder like ``inputs``, or a pattern,
    ``"gtFine/train/{}_gtFine_labelIds.png"``, where ``{}`` stands for what the names have in common; ``names`` says
    what the pictures' names have beside it, without suffix: ``"{}_leftImg8bit"``. ``instances``: maps of objects,
    likewise. ``expected``: how many pictures the whole set has; check-data says if the count is off. Lists may leave
    the suffix out.
    """

    later = frozenset({"inputs", "labels", "instances", "names", "expected", "turns"})

    name: str
    folder: str
    list: str | None = None
    only: tuple[str, ...] = ()
    shrink: tuple[PositiveInt, ...] = (1,)
    weight: PositiveFloat = 1.0
    turns: bool = False
    inputs: str | None = None
    labels: str | None = None
    instances: str | None = None
    names: Annotated[str, Field(pattern=r"^[^{}]*\{\}[^{}]*$")] = "{}"
    expected: PositiveInt | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> PictureSet:
        if self.labels is not None and self.inputs is not None:
            raise ValueError("inputs or labels, not both; remove one of the two keys")
        if self.instances is not None and self.labels is None:
            raise ValueError("labels where there are instances; add the key labels")
        return self


class DataSection(_Section):
    """Training and validation sets; the two never share a picture (checked by content)."""

    train: Annotated[tuple[PictureSet, ...], Field(min_length=1)]
    validation: tuple[PictureSet, ...] = ()


class LabelSection(_Section):
    """What the label maps of all sets hold, and how they are shown to the network: one channel per class.

    ``classes``: a .csv of the data root with the columns id, name and perhaps r, g, b and ignored; or "cityscapes".
    ``ignored``: ids of classes that are not judged ("unlabelled"); they are classes like the others to the network.
    ``edges``: one more channel, the borders between objects; without instance maps those between classes.
    ``load_px``: pictures and maps are first resized to this shorter side, so that crops of ``patch_px`` jitter.
    Those that are smaller than a crop are padded by reflection.

    ``beside``: maps guide a network that restores, such as ``hifacegan`` with the variant ``spade``. It sees the
    picture, degraded by the recipe's law, and then the channels of the map.
    """

    later = frozenset({"beside"})

    classes: str
    ignored: tuple[Annotated[int, Field(ge=0)], ...] = ()
    edges: bool = False
    load_px: PositiveInt | None = None
    beside: bool = False


class DegradationSection(_Section):
    """How an input is made from a picture: a law of :mod:`restauro.degrade.laws` and its settings.

    ``fresh = false``: once for each picture, kept on disk. ``fresh = true``: anew for each training crop, with
    ``margin_px`` around it where the picture has them, so that the crop's border is not the law's border. The draw is
    a function of (seed, iteration, place in the batch); validation pictures stay the same throughout.

    ``versions``: how often each training picture is degraded where that is not done anew. ``deconvolve``: training
    crops come with the planes that ``blind-deblur`` wants (see :mod:`restauro.deconvolution.planes`), made of whole
    pictures and kept on disk; some seconds for each picture of 0.3 MP at the start.
    """

    later = frozenset({"fresh", "margin_px", "versions", "deconvolve"})

    law: str = "l0"
    settings: dict[str, int | float | str] = {}
    fresh: bool = False
    margin_px: Annotated[int, Field(ge=0)] = 16
    versions: PositiveInt = 1
    deconvolve: bool = False

    @model_validator(mode="after")
    def _whole_pictures(self) -> DegradationSection:
        if self.fresh and (self.deconvolve or self.versions > 1):
            raise ValueError("fresh, or versions and deconvolve, which are of whole pictures; remove one of the keys")
        return self


class VggSection(_Section):
    """The perceptual loss on VGG-19; formula in :mod:`restauro.train.losses`.

    ``layers``: convolutions ``conv1_1`` ... ``conv5_4`` and the weight of each. ``activation``: their output before
    ("pre") or after ("post") the ReLU. ``distance``: "l1" or "squared" differences; ``reduction``: their "mean", or the
    "sum" over a picture. ``input``: what VGG sees of a picture in 0..1: normalised by "imagenet"'s mean and deviation,
    as it is ("0..1"), or stretched ("-1..1"). The defaults are DeSmoothGAN's. ``path``: the weights, in the layout
    published for torchvision; without it they are the published file in the folder RESTAURO_FEATURES.
    """

    weight: PositiveFloat = 1.0
    layers: Annotated[dict[VggLayer, PositiveFloat], Field(min_length=1)] = VGG_LADDER
    activation: Literal["pre", "post"] = "pre"
    distance: Literal["l1", "squared"] = "l1"
    reduction: Literal["mean", "sum"] = "mean"
    input: Literal["imagenet", "0..1", "-1..1"] = "imagenet"
    path: str | None = None


class LossSection(_Section):
    """Weights of the loss terms; a weight of 0 leaves the term out.

    ``l1``: mean absolute difference. ``ssim``: 1 - SSIM (Gaussian 11 / 1.5). ``psnr``: less the PSNR of each crop, in
    tens of dB: where much is unknown the best guess is the mean, not the median that ``l1`` asks for. ``features``:
    squared distance of SqueezeNet activations of unit length. ``lpips``: the same with learned channel weights on seven
    layers, the number of the metric ``lpips-squeeze-caffe``. ``vgg``: see :class:`VggSection`. The last three need the
    weights of others (RESTAURO_FEATURES) and stop without them.
    """

    later = frozenset({"lpips", "vgg", "psnr"})

    l1: Annotated[float, Field(ge=0)] = 1.0
    ssim: Annotated[float, Field(ge=0)] = 0.0
    psnr: Annotated[float, Field(ge=0)] = 0.0
    features: Annotated[float, Field(ge=0)] = 0.0
    lpips: Annotated[float, Field(ge=0)] = 0.0
    vgg: VggSection | None = None


class OptimiserSection(_Section):
    """Linear warm-up and a cosine to zero; gradients are clipped to ``clip`` by norm.

    ``name``: "adamw", or "muon" (:mod:`restauro.train.muon`), which gets further in few iterations; its ``lr`` is
    larger, 0.005 to 0.02.
    """

    later = frozenset({"name"})

    name: Literal["adamw", "muon"] = "adamw"
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


class AdaptSection(_Section):
    """Fit the network of ``start`` with low-rank changes of its weights; see :mod:`restauro.train.low_rank`."""

    rank: PositiveInt = 8


class Recipe(_Section):
    """One trained network: from nothing, or from the weights that ``start`` names (a model, or a path).

    An iteration sees ``batch`` crops in each of ``accumulate`` rounds in each process, and makes one step of them.
    ``minutes`` is a budget instead of ``iterations``: how many fit into it is measured before the first one, and the
    finished recipe names that number. ``precision`` of convolutions: "auto" is bfloat16 where the processor computes
    with it, and float32 elsewhere; losses, norm statistics and the master weights are float32 always.
    """

    later = frozenset({"accumulate", "sample_minutes", "start", "critic", "adversarial", "minutes", "labels", "adapt"})

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
    critic: CriticSection | None = None
    adversarial: AdversarialSection | None = None
    minutes: PositiveFloat | None = None
    labels: LabelSection | None = None
    adapt: AdaptSection | None = None

    @model_validator(mode="after")
    def _sections_fit(self) -> Recipe:
        if self.adapt is not None and self.start is None:
            raise ValueError("start, the network that [adapt] changes; add the key start")
        if self.degradation.deconvolve != (self.model.architecture in SEES_DECONVOLUTIONS):
            raise ValueError(
                f"degradation.deconvolve with {' or '.join(SEES_DECONVOLUTIONS)}, and with no other architecture; "
                "set or remove the key"
            )
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
