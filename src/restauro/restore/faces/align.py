"""Cut a face out upright, framed as the faces that the models were trained on.

With landmarks: the square of FFHQ (Karras, Laine, Aila 2019, appendix A). With e the vector from eye to eye, m the
one from between the eyes to between the corners of the mouth, and m' = (m_y, -m_x), which points along e,

    x = (e + m') / |e + m'| * max(2 |e|, 1.8 |m|),    centre = eyes + 0.1 m,    sides 2 |x|.

Without: a square about the detector's box that holds the same part of the head, not turned.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from restauro.errors import SettingError
from restauro.restore.faces.face import Face
from restauro.restore.faces.sample import Floats, Similarity, between, resample

Points = NDArray[np.float64]

# Side of the FFHQ square over side of the box, and its centre below the box's, in sides of the box. "lbp": medians over
# training faces, printed by tools/measure_detectors.py. "given": a box drawn from hair line to chin and ear to ear.
FRAMES = {"lbp": (1.54, -0.07), "given": (1.4, -0.04)}


def crop_of(face: Face, size_px: int, margin: float = 0.0) -> Similarity:
    """From the picture to an upright square crop of one face.

    Parameters
    ----------
    face
        With or without landmarks.
    size_px
        Side of the crop.
    margin
        What to add on each side, in sides of the usual frame: 0 frames the face as FFHQ does; 0.25 shows half as
        much again.

    Returns
    -------
    Similarity
        Picture to crop; the crop may reach over the picture's border.

    Raises
    ------
    SettingError
        A margin of -0.5 or less, an empty crop, or eyes and mouth in one point.

    Examples
    --------
    >>> crop_of(Face((30, 30, 80, 80)), 140).corners[0].tolist()
    [20.0, 18.0]
    """
    if not margin > -0.5:
        raise SettingError("margin", margin, "a number above -0.5")
    if face.landmarks is None:
        share, down = FRAMES.get(face.detector, FRAMES["given"])
        centre = np.array(face.centre) + face.size_px * np.array([0.0, down])
        half = np.array([share * face.size_px / 2, 0.0])
    else:
        centre, half = _ffhq(face.landmarks)
    return between(centre, half * (1 + 2 * margin), size_px)


def whole(height: int, width: int, size_px: int) -> Similarity:
    """For a picture that is an aligned face already: its central square.

    >>> whole(256, 256, 128).apply(np.array([256.0, 256.0])).tolist()
    [128.0, 128.0]
    """
    return between(np.array([width, height]) / 2, np.array([min(height, width) / 2, 0.0]), size_px)


def cut(pixels: Floats, transform: Similarity) -> Floats:
    """The crop, antialiased where it is smaller than its part of the picture.

    Parameters
    ----------
    pixels
        float32 [H, W, C], sRGB; resampled in sRGB values, as the training pictures were.
    transform
        What :func:`crop_of` gave. What lies outside of the picture is its mirror image.

    Returns
    -------
    ndarray
        float32 [size_px, size_px, C], in 0..1 if `pixels` are (the cubic's overshoots are cut off).

    Examples
    --------
    >>> picture = np.random.default_rng(0).random((8, 8, 3), np.float32)
    >>> bool(np.abs(cut(picture, whole(8, 8, 8)) - picture).max() < 1e-6)
    True
    """
    size = transform.size_px
    made = resample(pixels, transform.inverse(), (0, 0, size, size))
    return np.clip(made, min(0.0, float(pixels.min())), max(1.0, float(pixels.max())))


def _ffhq(landmarks: Points) -> tuple[Points, Points]:
    if len(landmarks) == 68:
        left_eye, right_eye = landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)
        mouth = (landmarks[48] + landmarks[54]) / 2
    else:
        left_eye, right_eye, mouth = landmarks[0], landmarks[1], landmarks[3:].mean(axis=0)
    eyes, across = (left_eye + right_eye) / 2, right_eye - left_eye
    down = mouth - eyes
    along = across + np.array([down[1], -down[0]])
    length = float(np.hypot(*along))
    if length == 0:
        raise SettingError("landmarks", "eyes and mouth in one point", "those of a face")
    half = along / length * max(2.0 * float(np.hypot(*across)), 1.8 * float(np.hypot(*down)))
    return eyes + 0.1 * down, half
