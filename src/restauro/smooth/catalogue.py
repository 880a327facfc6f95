"""The table of classical filters: what ``rs.smooth(picture, method=...)`` and the command know.

A new filter is one file, and one line here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from restauro.errors import SettingError, UsageError, nearest

if TYPE_CHECKING:
    from torch import Tensor

Setting = float | int | str


@dataclass(frozen=True)
class Method:
    """One filter: where it is as module:function, the name of its settings' class there, and its source.

    The module is imported when the filter is asked for, so that one filter does not wait for what the others need.
    """

    where: str
    settings_name: str
    paper: str

    @property
    def function(self) -> Callable[[Tensor, Any], Tensor]:
        """From [N, C, H, W] and settings to the same."""
        function: Callable[[Tensor, Any], Tensor] = getattr(self._module, self.where.partition(":")[2])
        return function

    @property
    def settings(self) -> type[Any]:
        """The class of its settings, which checks them."""
        settings: type[Any] = getattr(self._module, self.settings_name)
        return settings

    @property
    def _module(self) -> ModuleType:
        return import_module(f"restauro.smooth.{self.where.partition(':')[0]}")


METHODS: dict[str, Method] = {
    "l0": Method("l0:l0", "L0Settings", "Xu et al. 2011: few edges, flat regions between them"),
    "rtv": Method(
        "rtv:rtv", "RTVSettings", "Xu et al. 2012, relative total variation: removes texture, keeps structure"
    ),
    "guided": Method("guided:guided", "GuidedSettings", "He et al. 2013: locally a linear function of the guide"),
    "rolling-guidance": Method(
        "rolling_guidance:rolling_guidance", "RollingGuidanceSettings", "Zhang et al. 2014: removes what is small"
    ),
    "bilateral": Method(
        "bilateral:bilateral", "BilateralSettings", "Tomasi, Manduchi 1998: mean over what is near in place and colour"
    ),
    "joint-bilateral": Method(
        "bilateral:joint_bilateral", "JointBilateralSettings", "Petschnig et al. 2004: near in a guide's colour"
    ),
    "fgs": Method("fgs:fgs", "FGSSettings", "Min et al. 2014, fast global smoother: strong, in linear time"),
    "wls": Method("wls:wls", "WLSSettings", "Farbman et al. 2008, weighted least squares: flat except over edges"),
    "ils": Method("ils:ils", "ILSSettings", "Liu et al. 2020, iterative least squares: a few FFTs"),
    "sdf": Method("sdf:sdf", "SDFSettings", "Ham et al. 2018: edges of a static guide and of the result itself"),
    "sgf": Method(
        "sgf:sgf", "SGFSettings", "Zhang et al. 2015, segment graph filter: mean along trees over superpixels"
    ),
    "domain-transform": Method(
        "domain_transform:domain_transform", "DomainTransformSettings", "Gastal, Oliveira 2011: the fastest here"
    ),
    "pnls-approx": Method(
        "pnls:pnls_approx", "PNLSSettings", "after Xu et al. 2020, pixel-level non-local smoothing; approximate"
    ),
    "iso-approx": Method(
        "iso:iso_approx", "ISOSettings", "after Xu et al. 2021, isotropic patch recurrence; approximate"
    ),
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
