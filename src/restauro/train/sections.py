"""The sections of a recipe: what may stand in each, with defaults and ranges."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
VggLayer = Annotated[str, Field(pattern=r"^conv([12]_[12]|[345]_[1-4])$")]
VGG_LADDER = {"conv1_2": 1 / 32, "conv2_2": 1 / 16, "conv3_4": 1 / 8, "conv4_4": 1 / 4, "conv5_4": 1.0}


class Section(BaseModel):
    """What all sections have in common: no unknown keys, no changes, and JSON that does not change with new keys."""

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


class ModelSection(Section):
    """Which network: a name that :func:`restauro.build` takes, and its options."""

    architecture: str
    options: dict[str, str | int | float | bool] = {}


class PictureSet(Section):
    """Some of the pictures under one folder.

    ``folder`` and ``list`` are relative to the data root that the user names. ``list`` holds one path per line,
    relative to ``folder``; without it every file of the folder (recursively) counts. ``only`` keeps names that
    match any of its globs. ``shrink`` says by which whole factors pictures are reduced (1 = as they are; several
    factors give several versions). ``weight`` is this set's share of the training batches. ``turns``: crops are
    turned by quarters too, for what has no up and down. ``vary``: the share of crops that are cut out of a picture
    turned, resized and recoloured at random (:mod:`restauro.train.vary`), under a law that degrades anew. ``bend``:
    by up to what share of a crop's side the points of a varied crop are moved, smoothly. ``mix``: the share of the
    varied crops that have parts of another picture of the set, which must all have one size, as aligned faces have.

    ``inputs`` makes it a paired set: the folder that holds the input of each picture under the same name, whatever
    the suffix; the degradation of the recipe is then not used.

    ``labels`` makes it a set of label maps (ids or palette, PNG) and pictures: a folder like ``inputs``, or a pattern,
    ``"gtFine/train/{}_gtFine_labelIds.png"``, where ``{}`` stands for what the names have in common; ``names`` says
    what the pictures' names have beside it, without suffix: ``"{}_leftImg8bit"``. ``instances``: maps of objects,
    likewise. ``expected``: how many pictures the whole set has; check-data says if the count is off. Lists may leave
    the suffix out.
    """

    later = frozenset({"inputs", "labels", "instances", "names", "expected", "turns", "vary", "bend", "mix"})

    name: str
    folder: str
    list: str | None = None
    only: tuple[str, ...] = ()
    shrink: tuple[PositiveInt, ...] = (1,)
    weight: PositiveFloat = 1.0
    turns: bool = False
    vary: Annotated[float, Field(ge=0, le=1)] = 0.0
    bend: Annotated[float, Field(ge=0, le=0.1)] = 0.0
    mix: Annotated[float, Field(ge=0, le=1)] = 0.0
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
        if (self.bend or self.mix) and not self.vary:
            raise ValueError("'vary' above 0 with 'bend' or 'mix', which are of varied crops; set it, or remove these")
        return self


class DataSection(Section):
    """Training and validation sets; the two never share a picture (checked by content)."""

    train: Annotated[tuple[PictureSet, ...], Field(min_length=1)]
    validation: tuple[PictureSet, ...] = ()


class LabelSection(Section):
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


class DegradationSection(Section):
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


class VggSection(Section):
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


class LossSection(Section):
    """Weights of the loss terms; a weight of 0 leaves the term out.

    ``l1``: mean absolute difference. ``ssim``: 1 - SSIM (Gaussian 11 / 1.5). ``psnr``: less the PSNR of each crop, in
    tens of dB: where much is unknown the best guess is the mean, not the median that ``l1`` asks for. ``features``:
    squared distance of SqueezeNet activations of unit length. ``lpips``: the same with learned channel weights on seven
    layers, the number of the metric ``lpips-squeeze-caffe``. ``vgg``: see :class:`VggSection`. The last three need the
    weights of others (RESTAURO_FEATURES) and stop without them.

    ``jitter_px``: ``features`` and ``lpips`` look at both pictures in a mirrored border, so wide on each axis, its
    share at the top and the left drawn in each iteration. Their network works in strides: where it always begins at the
    same pixel, a generator learns patterns that repeat with the strides, which it does not see and people do.

    ``grid``: what the error has in common at the same place of all cells of ``grid_px`` pixels of a block of 12 x 12
    cells, squared. A network that folds the picture knows where in a cell a pixel lies, and where texture is wanted and
    nothing says of what kind, it repeats one of its cells.
    """

    later = frozenset({"lpips", "vgg", "psnr", "jitter_px", "grid", "grid_px"})

    l1: Annotated[float, Field(ge=0)] = 1.0
    ssim: Annotated[float, Field(ge=0)] = 0.0
    psnr: Annotated[float, Field(ge=0)] = 0.0
    features: Annotated[float, Field(ge=0)] = 0.0
    lpips: Annotated[float, Field(ge=0)] = 0.0
    jitter_px: Annotated[int, Field(ge=0, le=32)] = 0
    grid: Annotated[float, Field(ge=0)] = 0.0
    grid_px: Annotated[int, Field(ge=2, le=16)] = 4
    vgg: VggSection | None = None


class OptimiserSection(Section):
    """Linear warm-up and a cosine to zero; gradients are clipped to ``clip`` by norm.

    ``name``: "adamw", or "muon" (:mod:`restauro.train.muon`), which gets further in few iterations; its ``lr`` is
    larger, 0.005 to 0.02. ``fan_in``: the weights of a layer whose outputs sum more inputs than this learn slower by
    as much. A step of AdamW moves every weight alike, so that the sums of a wide layer move by far more than those of
    a narrow one; without norm, whole layers of ReLUs can be switched off so. ``momentum``: how much of a step of "muon"
    is of the steps before. All its steps are of one length, so what is left of past ones carries a network beyond where
    it was going.
    """

    later = frozenset({"name", "fan_in", "momentum"})

    name: Literal["adamw", "muon"] = "adamw"
    lr: PositiveFloat = 5e-4
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup: Annotated[int, Field(ge=0)] = 100
    clip: PositiveFloat = 1.0
    fan_in: PositiveInt | None = None
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _one_by_one(self) -> OptimiserSection:
        if self.momentum is not None and self.name != "muon":
            raise ValueError("momentum with muon (adamw's is the first of betas); remove one of the two keys")
        if self.fan_in is not None and self.name == "muon":
            raise ValueError("fan_in with adamw (muon's steps are of whole matrices); remove one of the two keys")
        return self


class CriticSection(Section):
    """The critic of adversarial training, and its optimiser: its own rate is the second time scale of TTUR.

    ``architecture`` is one of :mod:`restauro.train.adversarial`; ``conditional`` shows it the input beside the
    picture; ``layers`` sets the size of a patch of ``patchgan``, the others have theirs.
    """

    architecture: Literal["patchgan", "spade", "pix2pixhd", "deblurgan"] = "patchgan"
    conditional: bool = True
    width: PositiveInt = 64
    layers: Annotated[int, Field(ge=1, le=6)] = 3
    optimiser: OptimiserSection = OptimiserSection(lr=4e-4, betas=(0.5, 0.999), weight_decay=0.0, warmup=0, clip=10.0)


class AdversarialSection(Section):
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


class AdaptSection(Section):
    """Fit the network of ``start`` with low-rank changes of its weights; see :mod:`restauro.train.low_rank`."""

    rank: PositiveInt = 8
