"""``restauro degrade``."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from itertools import count
from typing import Annotated

from cyclopts import Parameter

from restauro import __version__
from restauro.cli.files import classical, each_picture
from restauro.cli.options import FileOptions, Inputs, parse_settings
from restauro.picture import Picture
from restauro.restore.outcome import Progress, Restored


def degrade(
    law: Annotated[str, Parameter(name=["--law", "--recipe"])],
    *inputs: Inputs,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", consume_multiple=False)] = (),
    seed: int = 0,
    files: FileOptions = FileOptions(),
) -> int:
    """Make pictures worse by a known law, and write down what was done.

    What was done (law, settings, seed) stands in the notes of each result; with --json, as data.

    Examples:

    restauro degrade l0 portrait.jpg -o flat.png

    restauro degrade l0 album/ -o flat/ --set lam=0.05 --json

    restauro degrade face-renovation faces/ -o worn/ --seed 7

    Parameters
    ----------
    law
        The degradation: l0, smoother, smoothers-mixed, beautify, sr4, resize, mosaic16, noise, blur, jpeg,
        face-renovation, motion-trajectory, blur-general, linear-blur, linear-blur-test or kernel-file.
    inputs
        Files, folders, globs, or - for stdin.
    set_
        A setting of the law as name=value, for example lam=0.05; may be given several times.
    seed
        Decides whatever is random in the law. The first picture gets this seed, the next one seed + 1, and so on;
        the record of each names its own.
    """
    settings = parse_settings(set_)
    number = count(seed)

    def change(picture: Picture, progress: Progress) -> Restored:
        from restauro.restore.verbs import degrade as degrade_picture

        began = time.perf_counter()
        worse, record = degrade_picture(picture, law, settings, seed=next(number))
        note = json.dumps({**asdict(record), "restauro": __version__}, sort_keys=True)
        return classical(f"degrade:{law}", worse, began, note)

    return each_picture(inputs, files, made="degraded", change=change)
