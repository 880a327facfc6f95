"""``restauro renovate``."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from cyclopts import Parameter

from restauro.cli.files import each_picture
from restauro.cli.options import EngineOptions, FileOptions, Inputs
from restauro.models import find
from restauro.picture import Picture, read
from restauro.restore.faces.face import Box
from restauro.restore.faces.settings import FaceSettings
from restauro.restore.outcome import Outcome, Progress, Restored


def renovate(
    *inputs: Inputs,
    model: Annotated[str, Parameter(name=["--model", "-m"])] = "renovate-faces",
    faces: str = "all",
    aligned: bool = False,
    whole: bool = False,
    historic: bool = False,
    detector: Literal["auto", "lbp", "dlib"] = "auto",
    smallest: int = 40,
    strength: float = 1.0,
    mask: str | None = None,
    guide: str | None = None,
    files: FileOptions = FileOptions(),
    engine: EngineOptions = EngineOptions(),
) -> int:
    """Renovate worn faces: find them, restore each one, and paste back what changed.

    A picture without a face is skipped, and said to be. Every face that was found is told, with --json as data.

    Examples:

    restauro renovate aunt.jpg

    restauro renovate group.jpg --faces 0,2 --whole -o group.new.jpg

    restauro renovate passport.png --aligned --strength 0.7

    restauro renovate solvay.jpg --historic -o faces.png

    Parameters
    ----------
    inputs
        Files, folders, globs, or - for stdin.
    model
        A model's name (see: restauro models list) or the path of a .safetensors file.
    faces
        all, largest, numbers such as 0,2 (0 is the largest), or a box LEFT,TOP,RIGHT,BOTTOM in pixels: four numbers.
    aligned
        The picture is a face already: upright, filling it. No detector is asked.
    whole
        Renovate the whole picture too, and paste the faces over that.
    historic
        For group photographs, as in the paper: each face as a patch of 64 pixels, enlarged to 512, renovated. The
        result is a sheet of patches and renovated faces.
    detector
        lbp needs nothing; dlib needs pip install 'restauro[faces]', and is less often wrong; auto asks dlib if it is
        there, and lbp if that sees no face.
    smallest
        Smallest face to look for, in pixels.
    strength
        0 = the input bit for bit, 1 = all the model proposes.
    mask
        A grey picture of the same size: white is renovated, black stays as it is.
    guide
        With --aligned: a label PNG of the picture's size, for a model of your own that was trained with maps.
    """
    box = _box(faces)
    settings = FaceSettings("all" if box else faces, box, aligned, whole, historic, detector, smallest)
    weights = find(model)
    area = read(mask) if mask else None
    how = engine.settings()

    def change(picture: Picture, progress: Progress) -> Outcome:
        from restauro.restore.renovate import renovate as renovate_picture

        outcome = renovate_picture(
            picture,
            weights,
            faces=settings,
            strength=strength,
            mask=area,
            guide=guide,
            engine=how,
            progress=progress,
        )
        return _told(outcome)

    return each_picture(inputs, files, made="renovated", change=change)


def _box(text: str) -> Box | None:
    """Four numbers are a box."""
    words = text.split(",")
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return None
    return (numbers[0], numbers[1], numbers[2], numbers[3]) if len(numbers) == 4 else None


def _told(outcome: Outcome) -> Outcome:
    """The faces in words, for those who do not read JSON."""
    from restauro.restore.renovate import Renovation

    if not (isinstance(outcome, Restored) and isinstance(outcome.evidence, Renovation)):
        return outcome
    lines = []
    for number, face in enumerate(outcome.evidence.faces):
        box = ",".join(f"{value:.0f}" for value in face.box)
        what = "left alone" if face.crop_px is None else f"renovated at {face.crop_px} px"
        score = "" if face.niqe is None else f", NIQE {face.niqe[0]:.2f} -> {face.niqe[1]:.2f}"
        lines.append(f"face {number}: box {box} ({face.detector}, score {face.score:.2f}), {what}{score}")
    return replace(outcome, evidence=replace(outcome.evidence, notes=(*lines, *outcome.evidence.notes)))
