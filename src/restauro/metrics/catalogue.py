"""The metrics that :mod:`restauro.metrics.evaluate` knows, in one table.

A :class:`PairMetric` compares each restored picture with its truth (or with the input it was made from); a
:class:`SetMetric` compares all of them at once; a :class:`TimeMetric` is the time that making them took. Those that
need pretrained weights say so when they are built, and their column stays empty with that sentence. Label maps,
features of other networks and other filters for ``sc`` go straight to their files: :mod:`~restauro.metrics.miou`,
:mod:`~restauro.metrics.fid`, :mod:`~restauro.metrics.kid`, :mod:`~restauro.metrics.sc`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from restauro.errors import SettingError
from restauro.metrics import (
    ciede2000,
    fid,
    grid,
    identity,
    kid,
    lpips,
    ms_ssim,
    niqe,
    paper,
    psnr,
    sc,
    ssim,
    student_report,
)
from restauro.metrics.table import Column
from restauro.nets.features import SQUEEZENET11_FILE, features_folder, load_squeezenet11
from restauro.smooth.l0 import L0Settings, l0

Compare = Callable[[Tensor, Tensor], Tensor]
Describe = Callable[[Tensor], Tensor]
Distance = Callable[[NDArray[np.floating], NDArray[np.floating]], float]


@dataclass(frozen=True)
class Setup:
    """What building a metric may need.

    Parameters
    ----------
    features
        Folder with pretrained weights; None: the variable RESTAURO_FEATURES.
    device
        Where the pictures are.
    """

    features: Path | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class PairMetric:
    """One value per picture.

    Parameters
    ----------
    column
        Its name, direction and notes.
    build
        Makes the function ([N,3,H,W], [N,3,H,W]) -> [N], or raises ModelError where weights are missing.
    against
        "truth", or "input": the picture that the restored one was made from.
    """

    column: Column
    build: Callable[[Setup], Compare]
    against: Literal["truth", "input"] = "truth"


@dataclass(frozen=True)
class SetMetric:
    """One value per set of pictures: features of each, then a distance between the two sets.

    Parameters
    ----------
    column
        Its name, direction and notes; ``per_picture`` is False.
    describe
        Builds the function [N,3,H,W] -> [N,d], or raises ModelError where weights are missing. Metrics that name the
        same builder share what it builds.
    distance
        Of two feature arrays.
    """

    column: Column
    describe: Callable[[Setup], Describe]
    distance: Distance


@dataclass(frozen=True)
class TimeMetric:
    """What the clock says of the row's pictures, given to :meth:`~restauro.metrics.scoreboard.Scoreboard.add`.

    Parameters
    ----------
    column
        Its name, direction and notes.
    """

    column: Column


Metric = PairMetric | SetMetric | TimeMetric


def _plain(function: Compare) -> Callable[[Setup], Compare]:
    return lambda setup: function


def _stored(function: Compare) -> Callable[[Setup], Compare]:
    return lambda setup: lambda a, b: function(paper.stored(a), paper.stored(b))


def _lpips(setup: Setup) -> Compare:
    return lpips.load_lpips_squeeze(features_folder(setup.features), device=setup.device)


def _lpips_corners(setup: Setup) -> Compare:
    return lpips.load_lpips_squeeze(features_folder(setup.features), device=setup.device).corners


def _faces(distance: Callable[[identity.FaceMetrics], Compare]) -> Callable[[Setup], Compare]:
    return lambda setup: distance(identity.face_metrics())


def _squeeze(setup: Setup) -> Describe:
    network = load_squeezenet11(features_folder(setup.features) / SQUEEZENET11_FILE).to(setup.device)
    return lambda x: fid.squeeze_features(x, network)


def _paired_kernel_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    return kid.kernel_distance(a, b, paired=True)


def _sc_l0(setup: Setup) -> Compare:
    settings = L0Settings(lam=0.02, kappa=2.0)
    return lambda restored, given: sc.smooth_consistency(restored, given, lambda x: l0(x, settings))


TIME = "time:ms/mpx"
_CAP80 = psnr.NAME_CAP80 + paper.SUFFIX
_SSIM = ssim.NAME + paper.SUFFIX
_MS_SSIM = ms_ssim.NAME_PAPER + paper.SUFFIX
_PAPER = "output and truth both through JPEG quality 95, as in the published HiFaceGAN scores"

_ALL: tuple[Metric, ...] = (
    PairMetric(Column(psnr.NAME, "higher", 3, "dB"), _plain(psnr.psnr)),
    PairMetric(Column(ssim.NAME, "higher"), _plain(ssim.ssim)),
    PairMetric(Column(ssim.NAME_ZEROPAD, "higher"), _plain(partial(ssim.ssim, border="zeropad"))),
    PairMetric(Column(ms_ssim.NAME, "higher"), _plain(ms_ssim.ms_ssim)),
    PairMetric(Column(ciede2000.NAME, "lower", 3), _plain(ciede2000.ciede2000)),
    PairMetric(
        Column(lpips.NAME, "lower", note="LPIPS-like, on other weights than LPIPS; compare with itself only"),
        _lpips,
    ),
    PairMetric(Column(lpips.NAME_CORNERS, "lower", note="lpips-squeeze-caffe from eight corners"), _lpips_corners),
    PairMetric(
        Column(sc.name_of("l0(0.02)"), "lower", 2, note="of the input, not the truth; 0..255 scale"),
        _sc_l0,
        "input",
    ),
    PairMetric(Column(grid.NAME, "lower"), _plain(grid.grid_share)),
    SetMetric(Column(fid.NAME_SQUEEZE, "lower", 3, per_picture=False, note=fid.NOTE), _squeeze, fid.frechet_distance),
    SetMetric(
        Column(kid.NAME_SQUEEZE, "lower", 3, per_picture=False, note=kid.NOTE), _squeeze, _paired_kernel_distance
    ),
    PairMetric(Column(niqe.NAME, "lower", 3, note=niqe.NOTE), _plain(lambda restored, truth: niqe.niqe(restored))),
    PairMetric(
        Column(identity.NAME_FED, "lower", note=identity.NOTE, infinite=identity.NO_FACE),
        _faces(lambda faces: faces.fed),
    ),
    PairMetric(
        Column(identity.NAME_LLE, "lower", 3, "px", note=identity.NOTE_LLE, infinite=identity.NO_FACE),
        _faces(lambda faces: faces.lle),
    ),
    PairMetric(
        Column(identity.NAME_IDENTITY, "lower", note=identity.NOTE, infinite=identity.NO_FACE_IN_TRUTH),
        _faces(lambda faces: faces.identity),
    ),
    TimeMetric(
        Column(TIME, "lower", 1, "ms", note="wall time per megapixel of the model alone; compare one machine only")
    ),
    PairMetric(Column(_CAP80, "higher", 3, "dB", note=_PAPER), _stored(psnr.psnr_cap80)),
    PairMetric(Column(_SSIM, "higher", note=_PAPER), _stored(ssim.ssim)),
    PairMetric(Column(_MS_SSIM, "higher", note=_PAPER), _stored(partial(ms_ssim.ms_ssim, last_power=4))),
    PairMetric(
        Column(student_report.NAME_SSIM, "higher", note=student_report.NOTE), _plain(student_report.signed_ssim)
    ),
    SetMetric(
        Column(student_report.NAME_PAIRS, "lower", 3, per_picture=False, note=student_report.NOTE),
        _squeeze,
        student_report.mean_of_pairs,
    ),
)

METRICS = {metric.column.name: metric for metric in _ALL}
CLEAN = (psnr.NAME, ssim.NAME, ciede2000.NAME, lpips.NAME)
PAPER = (_CAP80, _SSIM, _MS_SSIM)
REPORT = (psnr.NAME, student_report.NAME_SSIM, student_report.NAME_PAIRS)


def find(names: Sequence[str]) -> tuple[Metric, ...]:
    """Metrics by name, each once.

    A full name, or the word before the colon for the first of its conventions in the table, or ``clean``, ``paper`` or
    ``report`` for :data:`CLEAN`, :data:`PAPER` and :data:`REPORT`. Tables print full names only.

    Raises
    ------
    SettingError
        An unknown name; the nearest is named.

    Examples
    --------
    >>> [metric.column.name for metric in find(("ssim", "fsd"))]
    ['ssim:gauss11,rgb,valid', 'fsd']
    >>> find(("lpips",))
    Traceback (most recent call last):
    ...
    restauro.errors.SettingError: metrics: found 'lpips', wanted one of lpips-squeeze-caffe
    """
    groups = {"clean": CLEAN, "paper": PAPER, "report": REPORT}
    full = [_full_name(one) for name in names for one in groups.get(name, (name,))]
    return tuple(METRICS[name] for name in dict.fromkeys(full))


def _full_name(name: str) -> str:
    if name in METRICS:
        return name
    for known in METRICS:
        if known.split(":")[0] == name:
            return known
    near = get_close_matches(name, METRICS, n=1, cutoff=0.3) or list(METRICS)
    raise SettingError("metrics", name, f"one of {', '.join(near)}")
