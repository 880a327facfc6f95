"""The table of classical filters: what ``rs.smooth(picture, method=...)`` and the command know.

A new filter is one file, and one line here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from restauro.errors import SettingError, UsageError, nearest
from restauro.smooth.bilateral import BilateralSettings, JointBilateralSettings, bilateral, joint_bilateral
from restauro.smooth.domain_transform import DomainTransformSettings, domain_transform
from restauro.smooth.fgs import FGSSettings, fgs
from restauro.smooth.guided import GuidedSettings, guided
from restauro.smooth.ils import ILSSettings, ils
from restauro.smooth.iso import ISOSettings, iso_approx
from restauro.smooth.l0 import L0Settings, l0
from restauro.smooth.pnls import PNLSSettings, pnls_approx
from restauro.smooth.rolling_guidance import RollingGuidanceSettings, rolling_guidance
from restauro.smooth.rtv import RTVSettings, rtv
from restauro.smooth.sdf import SDFSettings, sdf
from restauro.smooth.sgf import SGFSettings, sgf
from restauro.smooth.wls import WLSSettings, wls

Setting = float | int | str


@dataclass(frozen=True)
class Method:
    """One filter: its settings' class, its function of ([N, C, H, W], settings), and its source."""

    settings: type[Any]
    function: Callable[[Tensor, Any], Tensor]
    paper: str


METHODS: dict[str, Method] = {
    "l0": Method(L0Settings, l0, "Xu et al. 2011: few edges, flat regions between them"),
    "rtv": Method(RTVSettings, rtv, "Xu et al. 2012, relative total variation: removes texture, keeps structure"),
    "guided": Method(GuidedSettings, guided, "He et al. 2013: locally a linear function of the guide"),
    "rolling-guidance": Method(RollingGuidanceSettings, rolling_guidance, "Zhang et al. 2014: removes what is small"),
    "bilateral": Method(
        BilateralSettings, bilateral, "Tomasi, Manduchi 1998: mean over what is near in place and colour"
    ),
    "joint-bilateral": Method(
        JointBilateralSettings, joint_bilateral, "Petschnig et al. 2004: near in a guide's colour"
    ),
    "fgs": Method(FGSSettings, fgs, "Min et al. 2014, fast global smoother: strong, in linear time"),
    "wls": Method(WLSSettings, wls, "Farbman et al. 2008, weighted least squares: flat except over edges"),
    "ils": Method(ILSSettings, ils, "Liu et al. 2020, iterative least squares: a few FFTs"),
    "sdf": Method(SDFSettings, sdf, "Ham et al. 2018: edges of a static guide and of the result itself"),
    "sgf": Method(SGFSettings, sgf, "Zhang et al. 2015, segment graph filter: mean along trees over superpixels"),
    "domain-transform": Method(DomainTransformSettings, domain_transform, "Gastal, Oliveira 2011: the fastest here"),
    "pnls-approx": Method(
        PNLSSettings, pnls_approx, "after Xu et al. 2020, pixel-level non-local smoothing; approximate"
    ),
    "iso-approx": Method(ISOSettings, iso_approx, "after Xu et al. 2021, isotropic patch recurrence; approximate"),
}


def smooth_tensor(x: Tensor, method: str, settings: Mapping[str, Setting]) -> Tensor:
    """Smooth x by a method of :data:`METHODS`.

    Parameters
    ----------
    x
        [N, C, H, W] float32 or float64, 0..1. It is not changed.
    method
        A key of :data:`METHODS`.
    settings
        Fields of the method's settings class; what is missing keeps its default.

    Returns
    -------
    Tensor
        [N, C, H, W], same type and device. Cost: that of the method.

    Raises
    ------
    UsageError
        Unknown method or setting: names the nearest known one.
    SettingError
        A value of the wrong kind or outside its range.

    Examples
    --------
    >>> import torch
    >>> smooth_tensor(torch.rand(1, 3, 8, 8), "l0", {"lam": 0.05}).shape
    torch.Size([1, 3, 8, 8])
    >>> smooth_tensor(torch.rand(1, 3, 8, 8), "guided", {"radius": 4})
    Traceback (most recent call last):
    ...
    restauro.errors.UsageError: guided: found setting 'radius', wanted 'radius_px' perhaps (of radius_px, eps)
    """
    if method not in METHODS:
        raise UsageError(f"method: found {method!r}, wanted {nearest(method, METHODS)}")
    entry = METHODS[method]
    kinds = {field.name: field.type for field in fields(entry.settings)}
    for name, value in settings.items():
        if name not in kinds:
            raise UsageError(f"{method}: found setting {name!r}, wanted {nearest(name, kinds)}")
        accepted, wanted = _ACCEPTED[kinds[name]]
        if isinstance(value, bool) or not isinstance(value, accepted):
            raise SettingError(name, value, wanted)
    return entry.function(x, entry.settings(**settings))


_ACCEPTED: dict[Any, tuple[tuple[type, ...], str]] = {
    "float": ((int, float), "a number"),
    "int": ((int,), "a whole number"),
    "str": ((str,), "a word"),
}
