"""The verb renovate: give worn faces their detail back, wherever they stand in a picture.

A face is cut out upright at its own resolution (within :data:`CROP_PX`, the sizes that models are trained for), goes
through the model, and what changed is pasted back: softly, in linear light. Other ways of work:

=============  =====================================================================================================
``aligned``    the picture is a face already; no detector is asked; a model that can tell how far an uneven motion
               blur has moved it moves it back (:mod:`restauro.restore.recentre`), which it never does elsewhere
``whole``      the model runs over the whole picture too, and the faces are pasted over that ("dual-blind", section
               4.4 of HiFaceGAN)
``historic``   the paper's protocol for group photographs (its section 4.5): patches of 64 x 64 px, enlarged to 512
               by bicubic interpolation, renovated; the result is a sheet of them
=============  =====================================================================================================
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from restauro.codecs.icc import srgb_decode, srgb_encode
from restauro.errors import EngineError, SettingError, UsageError
from restauro.labels import nearest
from restauro.metrics.niqe import niqe
from restauro.models import Weights, find
from restauro.picture import Picture, from_array
from restauro.restore import recentre
from restauro.restore.faces import align
from restauro.restore.faces.choose import choose
from restauro.restore.faces.face import Box, Face
from restauro.restore.faces.find import detector_named, find_faces
from restauro.restore.faces.paste import Change, paste_all
from restauro.restore.faces.sample import Similarity
from restauro.restore.faces.settings import FaceSettings
from restauro.restore.guided import read_guide
from restauro.restore.outcome import Evidence, Failed, Outcome, Progress, Restored, Skipped
from restauro.restore.request import EngineSettings
from restauro.restore.strength import blend, check_mask
from restauro.restore.verbs import by_model, shift_by_model
from restauro.sheet import grid

Array = NDArray[np.float32]

#: Smallest and largest side of what a model is given: at 256 px the training faces are, at 512 px the paper's.
CROP_PX = (256, 512)
#: Crops are a multiple of this, which suits the networks.
STEP_PX = 32
PATCH_PX, ENLARGED_PX = 64, 512


@dataclass(frozen=True)
class FaceRecord:
    """One face of the picture.

    Attributes
    ----------
    box, score, detector
        See :class:`restauro.restore.faces.face.Face`.
    crop_px
        Side of the crop that was renovated; None for a face that was left alone.
    niqe
        NIQE of the patch and of the result (``historic`` only; lower is more natural).
    """

    box: Box
    score: float
    detector: str
    crop_px: int | None = None
    niqe: tuple[float, float] | None = None


@dataclass(frozen=True)
class Renovation(Evidence):
    """Evidence that lists every face that was found, largest first."""

    faces: tuple[FaceRecord, ...] = ()


def renovate(
    picture: Picture,
    model: str | Path | Weights = "renovate-faces",
    *,
    faces: FaceSettings | None = None,
    strength: float = 1.0,
    mask: Picture | None = None,
    guide: str | Path | bytes | None = None,
    engine: EngineSettings | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Renovate the faces of a picture.

    Parameters
    ----------
    picture
        What :func:`restauro.read` gave.
    model
        A name of :data:`restauro.models.MODELS`, a local ``.safetensors`` path, or what
        :func:`restauro.models.find` gave.
    faces
        Which faces, and how.
    strength
        0 = the input bit for bit, 1 = all that the model proposes.
    mask
        A grey picture of the same size: white is renovated, black stays bit for bit. Not with ``historic``.
    guide
        A label map of the picture's size, for a model that was trained with maps beside pictures; ``aligned`` only.
    engine
        Device, precision, memory limit, tiles.
    progress
        Called with (runs of the model done, runs in all).

    Returns
    -------
    Restored, Skipped or Failed
        ``Restored`` with a :class:`Renovation` as evidence; ``Skipped`` where there is no face to renovate.

    Raises
    ------
    ModelError, UsageError
        The model is not there, or is for another verb; no such detector; a strength outside 0..1.
    PictureError
        A mask of another size.

    Notes
    -----
    Cost: the detector, a run of the model per face, and one over the whole picture with ``whole``, or where no face is
    found at first: then the detector looks again in what the model made of it.
    """
    faces = faces or FaceSettings()
    weights = model if isinstance(model, Weights) else find(model)
    if faces.historic and mask is not None:
        raise UsageError("mask: found one with historic, wanted none; the result is a sheet, not the picture")
    if guide is not None and (faces.historic or not faces.aligned):
        raise UsageError("guide: found one for a picture with faces in it, wanted one for an aligned face; add aligned")
    if not 0 <= strength <= 1:
        raise SettingError("strength", strength, "a number in 0..1")
    area = None if mask is None else mask.rgb().mean(axis=2, dtype=np.float32)
    if area is not None:
        check_mask(area, picture.pixels)
    began = time.perf_counter()
    places = None if guide is None else read_guide(guide, weights, picture.height, picture.width)
    work = _Work(picture, weights, engine, progress, places)
    try:
        if faces.historic:
            made = _historic(picture, faces, strength, work)
        else:
            made = _aligned(picture, work) if faces.aligned else _in_place(picture, faces, work)
    except EngineError as error:
        return Failed(picture.source.name, str(error))
    if isinstance(made, Skipped):
        return made
    pixels, found = made
    if faces.historic:
        made_of = from_array(pixels, name=picture.source.name)
    else:
        pixels = blend(picture.pixels, pixels, strength, area)
        if faces.aligned and area is None:
            shift = recentre.taken(_shift(picture.pixels, weights), strength)
            work.notes.extend(recentre.told(shift))
            pixels = recentre.moved(pixels, shift)
        made_of = picture.with_pixels(pixels)
    return Restored(made_of, work.evidence(time.perf_counter() - began, found))


Made = tuple[Array, tuple[FaceRecord, ...]]


class _Work:
    """Runs the model on parts of one picture, and remembers how each run went."""

    def __init__(
        self,
        picture: Picture,
        weights: Weights,
        engine: EngineSettings | None,
        progress: Progress | None,
        guide: NDArray[np.uint8] | None = None,
    ) -> None:
        self.picture, self.weights, self.engine, self.progress = picture, weights, engine, progress
        self.guide = guide
        self.runs: list[Evidence] = []
        self.notes: list[str] = []
        self.expected = 1
        self._whole: Array | None = None

    def __call__(self, pixels: Array) -> Array:
        """Renovate pixels [H, W, C]; what the model gives is clipped to 0..1, or to the range of what it was given."""
        height, width, _ = pixels.shape
        outcome = by_model(
            "renovate",
            replace(self.picture, pixels=pixels, alpha=None),
            self.weights,
            engine=self.engine,
            guide=None if self.guide is None else nearest(self.guide, (height, width)),
            moves=False,
        )
        if not isinstance(outcome, Restored):
            raise EngineError(outcome.reason)
        self.runs.append(outcome.evidence)
        if self.progress is not None:
            self.progress(len(self.runs), max(self.expected, len(self.runs)))
        return np.clip(outcome.picture.pixels, min(0.0, float(pixels.min())), max(1.0, float(pixels.max())))

    def whole(self) -> Array:
        """The whole picture renovated, once."""
        if self._whole is None:
            self._whole = self(self.picture.pixels)
        return self._whole

    def evidence(self, seconds: float, faces: tuple[FaceRecord, ...]) -> Renovation:
        """One evidence of all runs."""
        last = self.runs[-1]
        notes = dict.fromkeys([*self.notes, *(note for run in self.runs for note in run.notes)])
        tiles = sum(run.tiles for run in self.runs)
        return Renovation(
            last.model, last.weights_sha256, last.device, last.precision, tiles, seconds, tuple(notes), faces
        )


def _aligned(picture: Picture, work: _Work) -> Made:
    return _at_own_size(picture.pixels, work), ()


def _in_place(picture: Picture, settings: FaceSettings, work: _Work) -> Made | Skipped:
    """Faces in their picture, or over the renovated picture."""
    found, chosen = _look(picture, settings, work)
    if isinstance(chosen, Skipped):
        if not settings.whole:
            return chosen
        work.notes.append(f"{chosen.reason}: only the picture as a whole was renovated")
        chosen = ()
    work.expected = len(chosen) + max(settings.whole, len(work.runs))
    base = work.whole() if settings.whole else picture.pixels
    changes = []
    for face in chosen:
        transform = align.crop_of(face, _crop_px(face))
        changed = work(align.cut(picture.pixels, transform))
        changes.append(Change(changed, align.cut(base, transform), transform))
    records = [_record(face, _crop_px(face) if face in chosen else None) for face in found]
    return paste_all(base, changes), tuple(records)


def _historic(picture: Picture, settings: FaceSettings, strength: float, work: _Work) -> Made | Skipped:
    """Patches of 64 px, enlarged, renovated: a sheet of both, and their NIQE."""
    patches = _patches(picture, settings, work)
    if isinstance(patches, Skipped):
        return patches
    work.expected, channels = len(patches) + len(work.runs), picture.channels
    rows, records = [], []
    for face, transform in patches:
        patch = _resized(align.cut(picture.pixels, transform), (ENLARGED_PX, ENLARGED_PX)).clip(0, 1)
        made = blend(patch, work(patch), strength).clip(0, 1)
        rows.append([_bytes(pixels, channels) for pixels in (patch, made)])
        scores = tuple(float(niqe(_tensor(pixels).expand(-1, 3, -1, -1))[0]) for pixels in (patch, made))
        records.append(replace(_record(face, ENLARGED_PX), niqe=(scores[0], scores[1])))
    sheet = grid(rows, (f"{PATCH_PX} px, bicubic to {ENLARGED_PX}", f"renovated by {work.weights.name}"))
    return np.asarray(sheet), tuple(records)


def _patches(picture: Picture, settings: FaceSettings, work: _Work) -> list[tuple[Face, Similarity]] | Skipped:
    """The faces, and how to cut a patch of each."""
    if settings.aligned:
        whole = Face((0.0, 0.0, picture.width, picture.height))
        return [(whole, align.whole(picture.height, picture.width, PATCH_PX))]
    _, chosen = _look(picture, settings, work)
    return chosen if isinstance(chosen, Skipped) else [(face, align.crop_of(face, PATCH_PX)) for face in chosen]


def _look(picture: Picture, settings: FaceSettings, work: _Work) -> tuple[tuple[Face, ...], tuple[Face, ...] | Skipped]:
    """All faces, and those to renovate; a box without a face in it is one itself.

    Detectors know clean faces: where they find none, they look again in a renovated copy.
    """
    name = picture.source.name
    found = find_faces(picture, settings.detector, settings.smallest_px)
    if not found:
        found = find_faces(picture.with_pixels(work.whole()), settings.detector, settings.smallest_px)
        if found:
            work.notes.append("no face was found in the picture as it is, but in a renovated copy of it")
    try:
        chosen = choose(found, settings.which, near=settings.near)
    except SettingError as error:
        return found, Skipped(name, f"found {len(found)} faces; {error}")
    if chosen:
        return found, chosen
    if settings.near is not None:
        work.notes.append("no face was found near the box: the box itself was taken for one")
        drawn = Face(settings.near)
        return (*found, drawn), (drawn,)
    detector = detector_named(settings.detector).name
    where = "in the picture or in a renovated copy"
    return found, Skipped(name, f"no face of {settings.smallest_px} px or more was found {where} ({detector})")


def _crop_px(face: Face) -> int:
    """Side of a face's crop: as many pixels as the picture has there, within the bounds."""
    native = align.crop_of(face, STEP_PX)
    side = STEP_PX / native.scale
    return int(np.clip(round(side / STEP_PX) * STEP_PX, *CROP_PX))


def _record(face: Face, crop_px: int | None) -> FaceRecord:
    left, top, right, bottom = (float(value) for value in face.box)
    return FaceRecord((left, top, right, bottom), float(face.score), face.detector, crop_px)


def _at_own_size(pixels: Array, restore: Callable[[Array], Array]) -> Array:
    """Restore a face as it is where its longer side is within the bounds; else at the nearest bound.

    Then only what changed is brought back to the face's own size, and added in linear light.
    """
    given = _within_bounds(pixels)
    if given is pixels:
        return restore(pixels)
    added = _resized(srgb_decode(restore(given)) - srgb_decode(given), pixels.shape[:2])
    changed = (added != 0).any(axis=2)  # decoding and encoding rounds: the rest stays bit for bit
    result = pixels.copy()
    result[changed] = srgb_encode(srgb_decode(pixels[changed]) + added[changed])
    return result


def _shift(pixels: Array, weights: Weights) -> recentre.Shift:
    """How far a face is moved, measured at the size at which it is restored."""
    given = _within_bounds(pixels)
    scale = pixels.shape[1] / given.shape[1]
    down, across = shift_by_model(given, weights)
    return scale * down, scale * across


def _within_bounds(pixels: Array) -> Array:
    """A face, its longer side brought to the nearest of the bounds; itself where it is within them."""
    height, width, _ = pixels.shape
    longer = max(height, width)
    side = int(np.clip(longer, *CROP_PX))
    if side == longer:
        return pixels
    return _resized(pixels, (max(1, round(height * side / longer)), max(1, round(width * side / longer))))


def _resized(pixels: Array, size: tuple[int, int]) -> Array:
    made = interpolate(_tensor(pixels), size=size, mode="bicubic", antialias=True, align_corners=False)
    return np.ascontiguousarray(made[0].permute(1, 2, 0).numpy())


def _tensor(pixels: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]


def _bytes(pixels: Array, channels: int) -> NDArray[np.uint8]:
    made: NDArray[np.uint8] = np.rint(pixels * 255).astype(np.uint8)
    return made.repeat(3, axis=2) if channels == 1 else made
