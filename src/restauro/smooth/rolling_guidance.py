"""Rolling guidance filter (Zhang, Shen, Xu, Jia 2014, "Rolling guidance filter").

    J_0 = constant,      J_{t+1} = joint bilateral filter of the input, guided by J_t

J_1 is a Gaussian blur, which removes whatever is smaller than sigma_px; the steps after it find the large
edges again, in the place and with the contrast they have in the input, but not what was removed.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from restauro.errors import SettingError
from restauro.smooth.bilateral import BilateralSettings, weighted_mean
from restauro.smooth.inputs import require_pictures


@dataclass(frozen=True)
class RollingGuidanceSettings(BilateralSettings):
    """Settings of :func:`rolling_guidance`: those of :class:`.bilateral.BilateralSettings` and one more.

    ``sigma_px`` is the size of the details that vanish (2 to 8), ``sigma_range`` the contrast that counts
    as an edge (0.03 to 0.2).

    Parameters
    ----------
    steps
        Number of filterings, the first blur included. Usual range 3 to 5.
    """

    steps: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (isinstance(self.steps, int) and self.steps >= 1):
            raise SettingError("steps", self.steps, "a whole number, 1 or more (4 is usual)")


def rolling_guidance(x: Tensor, settings: RollingGuidanceSettings | None = None) -> Tensor:
    """Remove what is small, and give large structures their edges back.

    Parameters
    ----------
    x
        [N, C, H, W] float32 or float64, 0..1. It is not changed.
    settings
        See :class:`RollingGuidanceSettings`.

    Returns
    -------
    Tensor
        [N, C, H, W], same type and device, within the range of x.

    Notes
    -----
    Cost: ``steps`` bilateral filters; one value of memory per value of x beyond the result.

    Examples
    --------
    >>> import torch
    >>> x = torch.full((1, 3, 8, 8), 0.25)
    >>> torch.allclose(rolling_guidance(x), x)
    True
    """
    settings = settings or RollingGuidanceSettings()
    require_pictures(x)
    j = weighted_mean(x, None, settings)  # guided by a constant
    for _ in range(settings.steps - 1):
        j = weighted_mean(x, j, settings)
    return j
