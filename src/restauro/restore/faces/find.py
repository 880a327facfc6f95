"""Find faces in a picture: one interface, two detectors.

========  ==========  ========================================================================================
name      needs       what
========  ==========  ========================================================================================
``lbp``   the core    scikit-image's bundled cascade of multi-block local binary patterns (Viola, Jones 2004; Liao
                      et al. 2007), and a check of what it finds: frontal faces from 24 px, boxes only
``dlib``  ``faces``   HOG + SVM (King 2015), frontal and half-turned faces, with 68 landmarks (Kazemi, Sullivan 2014);
                      where it is in doubt, the cascade of ``lbp`` has a say
========  ==========  ========================================================================================

``results/face-detection.md`` has the rates of both. Neither finds profiles or faces that are upside down. Each
:class:`~restauro.restore.faces.face.Face` says which detector found it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from restauro.errors import SettingError
from restauro.metrics import dlib_models
from restauro.picture import Picture
from restauro.restore.faces.face import Box, Face, overlaps
from restauro.restore.faces.verify import log_odds

Bytes = NDArray[np.uint8]

LBP_WINDOW_PX = 24
DLIB_WINDOW_PX = 80
# Chosen on training faces, and on photographs and facades without; tools/measure_detectors.py measures them on others.
LBP_PROPOSES = 3  # windows of the cascade that agree, before they are looked at again
LBP_LEAST = 0.0
LBP_CERTAIN = 25  # windows of the cascade that agree, whatever the check says
LBP_ALONE = 3.0  # where dlib sees nothing; from 2.0, a jellyfish and an ape of the training photographs are faces
DLIB_LEAST = 0.5
AGREEING_WORTH = 0.07  # of a window of the cascade that agrees with dlib, in margins of its SVM
AGREEING_MOST = 12
SAME_FACE = 0.4  # least overlap of two boxes that mean one
AGREEING_PX = 48  # side of dlib's box in what the cascade is shown, of twice this side
LBP_SOFT_SIGMA_PX = 1.0  # of a window of 24 px
DLIB_SOFT_SIGMA_PX = 2.0  # of a window of 80 px


class Detector(Protocol):
    """What finds faces."""

    name: str

    def find(self, pixels: Bytes, smallest_px: int) -> list[Face]:
        """Faces of uint8 [H, W, 3] sRGB whose side is `smallest_px` or more, in any order."""


def find_faces(picture: Picture, detector: str = "auto", smallest_px: int = 40) -> tuple[Face, ...]:
    """Faces of a picture, largest first.

    Parameters
    ----------
    picture
        Upright, as :func:`restauro.picture.read` gives it.
    detector
        "lbp", "dlib", or "auto": dlib where the extra ``faces`` is installed, and lbp where it is not, or dlib sees no
        face at all. :attr:`Face.detector` of what was found says which of them found it.
    smallest_px
        Side of the smallest face to look for, 24 or more. Half of it takes four times as long.

    Returns
    -------
    tuple of Face
        Of faces of one size, the surest first. Empty if there is none. Boxes are those of the detector: about
        eyebrows to chin.

    Raises
    ------
    SettingError
        Another detector, or too small a size.
    ModelError
        "dlib" without the extra.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> from restauro.picture import from_array
    >>> [face.detector for face in find_faces(from_array(astronaut()), "lbp", smallest_px=64)]
    ['lbp']
    """
    if smallest_px < LBP_WINDOW_PX:
        raise SettingError("smallest_px", smallest_px, f"{LBP_WINDOW_PX} or more")
    faces = detector_named(detector).find(bytes_of(picture), smallest_px)
    return tuple(sorted(faces, key=lambda face: (-round(face.size_px), -face.score, face.box)))


def bytes_of(picture: Picture) -> Bytes:
    """What detectors see of a picture: uint8 [H, W, 3], sRGB."""
    return (np.clip(picture.rgb(), 0, 1) * 255 + 0.5).astype(np.uint8)


def detector_named(name: str = "auto") -> Detector:
    """The detector behind a name.

    Raises
    ------
    SettingError
        Another name than "auto", "lbp", "dlib".
    ModelError
        "dlib" without the extra ``faces``.
    """
    if name == "auto":
        return Lbp() if dlib_models.missing() else DlibElseLbp()
    if name == "lbp":
        return Lbp()
    if name == "dlib":
        return Dlib()
    raise SettingError("detector", name, "'auto', 'lbp' or 'dlib'")


class Lbp:
    """scikit-image's cascade, and :mod:`.verify`, whose log odds are the score.

    The cascade looks at the picture as it is, at half the size, and at that softened: a face that few windows see in
    one is seen by some in the others.

    Parameters
    ----------
    least
        Smallest score of a face; with a smaller one it finds more faces, and more that are none. What
        :data:`LBP_CERTAIN` windows agree on has :data:`LBP_LEAST` or more.
    """

    name = "lbp"

    def __init__(self, least: float = LBP_LEAST) -> None:
        self.least = least

    def find(self, pixels: Bytes, smallest_px: int) -> list[Face]:
        """See :class:`Detector`."""
        grey = Image.fromarray(pixels).convert("L")
        faces = []
        for box, windows in self.propose(pixels, smallest_px):
            score = log_odds(grey, box, windows)
            if windows >= LBP_CERTAIN:
                score = max(score, LBP_LEAST)
            if score >= self.least:
                faces.append(Face(box, score, None, self.name))
        return faces

    def propose(self, pixels: Bytes, smallest_px: int, fewest: int = LBP_PROPOSES) -> list[tuple[Box, int]]:
        """What so many windows of the cascade agree on, and how many do."""
        views = _views(pixels, LBP_WINDOW_PX / smallest_px)
        windows = np.concatenate([_windows(scaled) / factor for scaled, factor in views])
        return [(box, count) for box, count in _grouped(windows) if count >= fewest]


class Dlib:
    """dlib's HOG detector and its 68 landmarks; the score is the margin of its SVM.

    It looks at the picture as it is and at softened halves of it, which show more of the faces that are degraded. What
    its own margin leaves in doubt is shown to the cascade of :class:`Lbp`, whose mistakes are others: what both see is
    a face, and what one of them hardly sees, alone, is none.

    Parameters
    ----------
    least
        Smallest sum of the margin and :data:`AGREEING_WORTH` for each window of the cascade that agrees,
        :data:`AGREEING_MOST` at most; a smaller one finds more faces, and more that are none.

    Raises
    ------
    ModelError
        The extra ``faces`` is not installed.
    """

    name = "dlib"

    def __init__(self, least: float = DLIB_LEAST) -> None:
        self._detector, self._landmarks = dlib_models.frontal_detector(), dlib_models.landmarks(68)
        self.least = least

    def find(self, pixels: Bytes, smallest_px: int) -> list[Face]:
        """See :class:`Detector`."""
        sides, margins = [np.empty((0, 4))], [np.empty(0)]
        for scaled, factor in _octaves(pixels, DLIB_WINDOW_PX / smallest_px):
            boxes, scores, _ = self._detector.run(scaled, 0, self.least - AGREEING_WORTH * AGREEING_MOST)
            # dlib's rectangles hold their right and bottom pixel.
            corners = [(box.left(), box.top(), box.right() + 1, box.bottom() + 1) for box in boxes]
            sides.append(np.array(corners, float).reshape(-1, 4) / factor)
            margins.append(np.array(scores, float))
        found, scores = np.concatenate(sides), np.concatenate(margins)
        return [
            self._face(pixels, found[k], float(scores[k]))
            for k in _best(found, scores)
            if scores[k] >= self.least
            or scores[k] + AGREEING_WORTH * min(_agreeing(pixels, found[k]), AGREEING_MOST) >= self.least
        ]

    def _face(self, pixels: Bytes, corners: NDArray[np.float64], score: float) -> Face:
        import dlib

        left, top, right, bottom = (round(float(v)) for v in corners)
        shape = self._landmarks(pixels, dlib.rectangle(left, top, right - 1, bottom - 1))
        points = np.array([(p.x + 0.5, p.y + 0.5) for p in shape.parts()], np.float64)  # dlib's are centres of pixels
        return Face(_box(corners), score, points, self.name)


class DlibElseLbp:
    """dlib; and lbp, if it is sure of what it sees (:data:`LBP_ALONE`), in pictures where dlib sees no face at all.

    Of badly degraded faces dlib misses more; where there is none it makes fewer mistakes.

    Raises
    ------
    ModelError
        The extra ``faces`` is not installed.
    """

    name = "dlib, then lbp"

    def __init__(self) -> None:
        self._first, self._second = Dlib(), Lbp(LBP_ALONE)

    def find(self, pixels: Bytes, smallest_px: int) -> list[Face]:
        """See :class:`Detector`."""
        return self._first.find(pixels, smallest_px) or self._second.find(pixels, smallest_px)


@lru_cache(maxsize=1)
def _cascade() -> Any:
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    return Cascade(lbp_frontal_face_cascade_filename())


def _reduced(pixels: Bytes, factor: float, *, enlarge: bool = False) -> tuple[Bytes, float]:
    """Scale the picture so that the smallest face fills the detector's window; the factor that was applied."""
    if factor == 1 or (factor > 1 and not enlarge):
        return pixels, 1.0
    height, width = pixels.shape[:2]
    size = max(1, round(width * factor)), max(1, round(height * factor))
    how = Image.Resampling.BILINEAR  # widened when shrinking: Pillow's filters antialias
    return np.asarray(Image.fromarray(pixels).resize(size, how)), size[0] / width


def _views(pixels: Bytes, factor: float) -> Iterator[tuple[Bytes, float]]:
    """The picture for the smallest faces, then half of it as it is and softened, which show those of twice the size."""
    yield _reduced(pixels, factor)
    half, applied = _reduced(pixels, factor / 2)
    yield half, applied
    yield gaussian_filter(half, (LBP_SOFT_SIGMA_PX, LBP_SOFT_SIGMA_PX, 0)), applied


def _windows(pixels: Bytes) -> NDArray[np.float64]:
    """Corners [windows, 4] of every window that the cascade takes for a face."""
    grey = np.asarray(Image.fromarray(pixels).convert("L"))
    side = min(grey.shape)
    if side < LBP_WINDOW_PX:
        return np.empty((0, 4))
    # A threshold above 1 keeps every window apart: how many agree is the only score this cascade has.
    windows = _cascade().detect_multi_scale(
        grey,
        scale_factor=1.1,
        step_ratio=1,
        min_size=(LBP_WINDOW_PX, LBP_WINDOW_PX),
        max_size=(side, side),
        intersection_score_threshold=2.0,
        min_neighbor_number=1,
    )
    corners = np.array([[w["c"], w["r"], w["c"] + w["width"], w["r"] + w["height"]] for w in windows], float)
    return corners.reshape(-1, 4)


def _agreeing(pixels: Bytes, corners: NDArray[np.float64]) -> int:
    """How many windows of the cascade mean the same face as a box, in the picture about it and in two softened ones."""
    centre, half = (corners[:2] + corners[2:]) / 2, (corners[2:] - corners[:2]).max()
    left, top, right, bottom = (round(float(v)) for v in (*(centre - half), *(centre + half)))
    size = 2 * AGREEING_PX, 2 * AGREEING_PX
    about = Image.fromarray(pixels).crop((left, top, right, bottom)).resize(size, Image.Resampling.BILINEAR)
    sharp = np.asarray(about)
    box = np.array([[0.5, 0.5, 1.5, 1.5]]) * AGREEING_PX
    shown = (gaussian_filter(sharp, (sigma, sigma, 0)) if sigma else sharp for sigma in (0, 1, 2))
    return sum(int((overlaps(_windows(view), box) >= SAME_FACE).sum()) for view in shown)


def _octaves(pixels: Bytes, factor: float) -> Iterator[tuple[Bytes, float]]:
    """The picture as it is for the smallest faces, then by halves and softened, down to one window.

    HOG sees gradients: noise and blocks hide a face from it, and a softened picture shows it again.
    """
    yield _reduced(pixels, factor, enlarge=True)
    while min(pixels.shape[:2]) * (factor := factor / 2) >= DLIB_WINDOW_PX:
        scaled, applied = _reduced(pixels, factor, enlarge=True)
        yield gaussian_filter(scaled, (DLIB_SOFT_SIGMA_PX, DLIB_SOFT_SIGMA_PX, 0)), applied


def _best(boxes: NDArray[np.float64], scores: NDArray[np.float64]) -> list[int]:
    """Of boxes that overlap, the one with the highest score."""
    kept: list[int] = []
    for k in np.argsort(-scores, kind="stable"):
        if not kept or overlaps(boxes[[k]], boxes[kept]).max() < 0.3:
            kept.append(int(k))
    return kept


def _grouped(windows: NDArray[np.float64]) -> list[tuple[Box, int]]:
    """Windows that mean the same face, as their mean and their number: the densest group first."""
    groups: list[tuple[Box, int]] = []
    while len(windows):
        alike = overlaps(windows, windows) >= SAME_FACE
        members = alike[alike.sum(axis=1).argmax()]
        mean = windows[members].mean(axis=0)
        groups.append((_box(mean), int(members.sum())))
        windows = windows[~members & (overlaps(windows, mean[None])[:, 0] < 0.2)]
    return groups


def _box(corners: NDArray[np.float64]) -> Box:
    left, top, right, bottom = (float(v) for v in corners)
    return left, top, right, bottom
