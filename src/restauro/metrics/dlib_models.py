"""dlib's face models: where they lie, and each loaded once.

They come with the extra ``faces`` (``dlib-bin`` and ``face_recognition_models``) and are looked up without importing
the latter, whose own import asks for packages that newer Pythons lack.

======================  ==============================================================================================
frontal_detector        HOG + SVM on five views, windows of 80 px (King 2009, 2015); ships inside dlib
landmarks(68 | 5)       ensemble of regression trees (Kazemi, Sullivan 2014); 68: trained on iBUG 300-W, whose terms
                        exclude commercial use
embedder                ResNet of 29 layers, 128 numbers per face, 99.38 % on LFW; same person below about 0.6
======================  ==============================================================================================
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from restauro.errors import ModelError

LANDMARKS_FILES = {68: "shape_predictor_68_face_landmarks.dat", 5: "shape_predictor_5_face_landmarks.dat"}
EMBEDDER_FILE = "dlib_face_recognition_resnet_model_v1.dat"


def missing() -> str:
    """One sentence about what the extra lacks here; empty if nothing."""
    absent = [name for name in ("dlib", "face_recognition_models") if find_spec(name) is None]
    if not absent:
        return ""
    return f"faces: found no package {' and no '.join(absent)}, wanted dlib's models; pip install 'restauro[faces]'"


def models_file(name: str) -> Path:
    """Path of one of the files of ``face_recognition_models``.

    Raises
    ------
    ModelError
        The extra is not installed, or lacks this file.
    """
    if missing():
        raise ModelError(missing())
    spec = find_spec("face_recognition_models")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        path = Path(folder) / "models" / name
        if path.is_file():
            return path
    raise ModelError(f"faces: found no {name} in face_recognition_models, wanted it; install that package again")


@lru_cache(maxsize=1)
def frontal_detector() -> Any:
    """The ``fhog_object_detector`` for faces that look at the camera."""
    if missing():
        raise ModelError(missing())
    import dlib

    return dlib.get_frontal_face_detector()


@lru_cache(maxsize=2)
def landmarks(points: int) -> Any:
    """The ``shape_predictor`` of 68 or 5 points."""
    path = models_file(LANDMARKS_FILES[points])
    import dlib

    return dlib.shape_predictor(str(path))


@lru_cache(maxsize=1)
def embedder() -> Any:
    """The ``face_recognition_model_v1``."""
    path = models_file(EMBEDDER_FILE)
    import dlib

    return dlib.face_recognition_model_v1(str(path))
