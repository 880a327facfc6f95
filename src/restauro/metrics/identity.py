"""Is it still the same person, and are eyes and mouth where they were; through dlib's face models, lower is better.

``fed:dlib,8bit``           face embedding distance (HiFaceGAN, table 1): |f(restored) - f(truth)|, f = 128 numbers of
                            dlib's recognition network. Each picture's own first face: HOG detector on the picture at
                            twice its size, 5 landmarks, no jitter
``lle:dlib72,px512``        landmark localisation error: mean distance of the 68 landmarks of the first faces, the
                            corners of the mouth (48, 54, 60, 64) counted twice as in the published script (72 points),
                            in px of a picture whose longer side is 512
``identity:dlib,at-truth``  as ``fed``, but the restored picture is cropped by the landmarks *of the truth*: a result in
                            which no face is found cannot hide

dlib takes two photographs for one person below a distance of about 0.6. Values are rounded to 8 bits first. Where no
face is found, in either picture (``at-truth``: in the truth), the value is infinite: tables leave such pictures out of
the mean and out of the paired gain, and list them by name. The published script dropped them and printed a count.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restauro.metrics import dlib_models
from restauro.metrics.inputs import picture_pair

NAME_FED = "fed:dlib,8bit"
NAME_LLE = "lle:dlib72,px512"
NAME_IDENTITY = "identity:dlib,at-truth"
NOTE = "through the extra 'faces'; L2 distance of 128 numbers, one person below about 0.6"
NOTE_LLE = "through the extra 'faces'; px of a picture of 512 px"
NO_FACE = "no face found in the picture or in its truth"
NO_FACE_IN_TRUTH = "no face found in the truth"

COUNTED_TWICE = (48, 54, 60, 64)
UPSAMPLE = 1

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class _Pixels:
    """uint8 [height, width, 3] that can be looked up by its bytes."""

    data: bytes
    height: int
    width: int

    @property
    def array(self) -> NDArray[np.uint8]:
        return np.frombuffer(self.data, np.uint8).reshape(self.height, self.width, 3)


class FaceMetrics:
    """The three distances, with dlib's models in hand.

    Raises
    ------
    ModelError
        The extra ``faces`` is not installed.

    Notes
    -----
    All methods take two float [N,3,H,W], sRGB in 0..1, of one shape, and return float64 [N]; symmetric, but for
    :meth:`identity`; 0 for equal pictures with a face, infinite without one. They raise SettingError for other
    tensors. Cost: detection, about 0.1 s per picture of 256 x 256 px, and 0.03 s for the network, on one core.
    """

    def __init__(self) -> None:
        self._detector = dlib_models.frontal_detector()
        self._five = dlib_models.landmarks(5)
        self._network = dlib_models.embedder()
        # The truth meets every row, and each picture three metrics.
        self._first, self._own_embedding = (lru_cache(maxsize=4)(f) for f in (self._detect, self._find_and_embed))

    def fed(self, restored: Tensor, truth: Tensor) -> Tensor:
        """Face embedding distance, convention ``fed:dlib,8bit``; 0 to about 1.2."""
        return self._each(self._fed, restored, truth)

    def lle(self, restored: Tensor, truth: Tensor) -> Tensor:
        """Landmark localisation error, convention ``lle:dlib72,px512``."""
        return self._each(self._lle, restored, truth)

    def identity(self, restored: Tensor, truth: Tensor) -> Tensor:
        """Embedding distance at the truth's landmarks, convention ``identity:dlib,at-truth``; 0 to about 1.2."""
        return self._each(self._at_truth, restored, truth)

    def _each(self, distance: Callable[[_Pixels, _Pixels], float], a: Tensor, b: Tensor) -> Tensor:
        first, second = (_stored(x) for x in picture_pair(a, b))
        values = [distance(one, other) for one, other in zip(first, second, strict=True)]
        return torch.tensor(values, dtype=torch.float64, device=a.device)

    def _fed(self, a: _Pixels, b: _Pixels) -> float:
        first, second = self._own_embedding(a), self._own_embedding(b)
        return math.inf if first is None or second is None else _distance(first, second)

    def _at_truth(self, a: _Pixels, b: _Pixels) -> float:
        face, own = self._first(b), self._own_embedding(b)
        return math.inf if face is None or own is None else _distance(self._embed(a, self._five(b.array, face)), own)

    def _lle(self, a: _Pixels, b: _Pixels) -> float:
        faces = self._first(a), self._first(b)
        if faces[0] is None or faces[1] is None:
            return math.inf
        mark = dlib_models.landmarks(68)  # only here: its terms are narrower than those of the others
        first, second = (_points(mark(one.array, face)) for one, face in zip((a, b), faces, strict=True))
        weights = np.ones(len(first))
        weights[list(COUNTED_TWICE)] = 2
        error = np.average(np.linalg.norm(first - second, axis=1), weights=weights)
        return float(error) * 512 / max(a.height, a.width)

    def _detect(self, pixels: _Pixels) -> Any | None:
        """The face that dlib is surest of; None if there is none."""
        return next(iter(self._detector(pixels.array, UPSAMPLE)), None)

    def _find_and_embed(self, pixels: _Pixels) -> Vector | None:
        face = self._first(pixels)
        return None if face is None else self._embed(pixels, self._five(pixels.array, face))

    def _embed(self, pixels: _Pixels, shape: Any) -> Vector:
        return np.array(self._network.compute_face_descriptor(pixels.array, shape), np.float64)


@lru_cache(maxsize=1)
def face_metrics() -> FaceMetrics:
    """The one instance that all columns of a table share.

    Raises
    ------
    ModelError
        The extra ``faces`` is not installed.
    """
    return FaceMetrics()


def _stored(x: Tensor) -> list[_Pixels]:
    levels = (x.detach().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return [_Pixels(one.tobytes(), *one.shape[:2]) for one in levels]


def _points(shape: Any) -> Vector:
    return np.array([(p.x, p.y) for p in shape.parts()], np.float64)


def _distance(a: Vector, b: Vector) -> float:
    return float(np.linalg.norm(a - b))
