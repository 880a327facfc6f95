"""Moves a picture back by as much as an uneven motion blur has moved it.

No paper's. A camera that slows down while it is shaken weighs one end of the line more than the other. Such a kernel
has its centre of mass beside its middle, so the blurred picture lies beside the sharp one, by up to a sixth of the
line: too little for an eye, and much for every score that compares pixels.

The direction can be read from the blurred picture. Across a step edge the slope of the blurred picture is the kernel
itself: a slow rise and a sudden end. So of two places on a line, t pixels apart, it is more often the second that is
the steeper one, and what compares them is not zero on the average:

    E[f(w(p)) * g(w(p + t)) - g(w(p)) * f(w(p + t))],    w = |slope along the line|,    g(w) = w / (w + softness)

(if f and g were alike, it would be nothing whatever the picture; if they were powers, the few steepest edges would
decide alone). :class:`Recentre` takes these for several directions, distances and sizes of derivatives, of slopes in
proportion to the picture's and of slopes in proportion to what is around them, with E[slope(p) * slope(p + t)], which
tells how long the line is. A small network makes one shift of them.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DIRECTIONS = 12  # of a half turn; the other half is the same with the odd moments' signs changed
SIZES_PX = (1.0, 1.7, 2.8)  # sigma of the Gaussian under the derivatives
LAGS_PX = (2, 4, 8, 14)  # even, so that the diagonals' steps are whole; lines are up to 21 px long
AROUND_PX = 10.0  # sigma of the Gaussian window that slopes are compared with
SOFTNESS = (1.5, 0.4)  # of slopes in proportion to the picture's, and to those around them
FAINT = 1e-3  # added to the slopes around (1 per sigma), so that flat areas stay flat
LUMA = (0.299, 0.587, 0.114)
MOST_PX = 4.0  # a line of 21 px of which one end weighs nothing has its centre 3.3 px from its middle
LEAST_PX = 0.3  # shifts that are less are not made, so that a picture that is well stays as it is

# What the moments are like on degraded faces, so that the network gets numbers about 1: of the even ones their mean
# over directions, how much that differs from picture to picture, and from direction to direction; of the odd ones
# their root mean square. In the order in which they are computed.
_EVEN_MEAN = (-3.8, 0.7, 0.8, 0.55, 0.12, -0.05)
_EVEN_SPREAD = (0.25, 0.05, 0.15, 0.15, 0.13, 0.06)
_EVEN_TURN = (0.11, 0.017, 0.06, 0.09, 0.105, 0.05)
_ODD_SIZE = (2.5e-4, 2e-4, 6.7e-4, 5.3e-4, 1.8e-3, 1.2e-3, 2.7e-3, 1.5e-3)
_EVEN, _ODD = len(_EVEN_MEAN) * len(SIZES_PX), len(_ODD_SIZE) * len(SIZES_PX)


class Recentre(nn.Module):
    """How far pictures lie beside what they show, told by their own asymmetry.

    Parameters
    ----------
    hidden
        Width of the network's layers.

    Notes
    -----
    In training mode all shifts are as they are found, else only those that are certain: see :data:`LEAST_PX`. Untrained
    it finds none.

    Examples
    --------
    >>> Recentre(16).eval()(torch.rand(2, 3, 32, 48)).tolist()
    [[0.0, 0.0], [0.0, 0.0]]
    """

    def __init__(self, hidden: int = 48) -> None:
        super().__init__()
        self.first = nn.Linear(2 * _EVEN + _ODD, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, 1, bias=False)
        self.which = nn.Sequential(nn.Linear(2 * _EVEN, hidden), nn.SiLU(), nn.Linear(hidden, 1))
        nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Shifts (down, across) of x [N, 3, H, W], 0..1, in pixels: what belongs at p is seen at p - shift. [N, 2]."""
        with torch.autocast(x.device.type, enabled=False):
            return self.shift(*moments(x))

    def shift(self, even: Tensor, odd: Tensor) -> Tensor:
        """The same from what :func:`moments` returns."""
        mean = even.mean(1, keepdim=True)
        turned = (even - mean) / _repeated(_EVEN_TURN, even)
        even = torch.cat(
            [turned, ((mean - _repeated(_EVEN_MEAN, even)) / _repeated(_EVEN_SPREAD, even)).expand_as(turned)], 2
        )
        odd = odd / _repeated(_ODD_SIZE, odd)
        along = self._along(even, odd) - self._along(even, -odd)  # turned by half a turn, a shift changes its sign
        weight = torch.softmax(self.which(even), dim=1)
        found = (along * weight * _directions(even)).sum(1)
        return found if self.training else _certain(found)

    def _along(self, even: Tensor, odd: Tensor) -> Tensor:
        y = F.silu(self.first(torch.cat([even, odd], dim=2)))
        found: Tensor = self.last(F.silu(self.second(y)))
        return found


def translated(y: Tensor, shift: Tensor) -> Tensor:
    """Pictures y [N, C, H, W] with what they show moved by shift (down, across), [N, 2], in pixels.

    Cubic (Catmull and Rom), the outermost pixels repeated; whole pixels are moved exactly.

    >>> y = torch.arange(5.0).expand(1, 1, 5, 5)
    >>> translated(y, torch.tensor([[0.0, 1.0]]))[0, 0, 0]
    tensor([0., 0., 1., 2., 3.])
    """
    return _along_axis(_along_axis(y, shift[:, 0], 2), shift[:, 1], 3)


def _along_axis(y: Tensor, shift: Tensor, axis: int) -> Tensor:
    length = y.shape[axis]
    first = (-shift).floor()
    t = (-shift - first).to(y.dtype)[:, None]
    taps = torch.cat(
        [((2 - t) * t - 1) * t / 2, ((3 * t - 5) * t * t + 2) / 2, ((4 - 3 * t) * t + 1) * t / 2, (t - 1) * t * t / 2],
        1,
    )
    places = torch.arange(length, device=y.device) + first.long()[:, None]
    total = torch.zeros_like(y)
    view = [len(y) if dim == 0 else length if dim == axis else 1 for dim in range(4)]
    for tap in range(4):
        at = (places + tap - 1).clamp(0, length - 1).view(view).expand_as(y)
        total = total + taps[:, tap, None, None, None] * y.gather(axis, at)
    return total


def _certain(shift: Tensor) -> Tensor:
    """Shifts under LEAST_PX to nothing, others hardly less than they were, and none above MOST_PX."""
    squared = shift.square().sum(1, keepdim=True).clamp(min=1e-12)
    return shift * (1 - LEAST_PX**2 / squared).clamp(min=0) * (MOST_PX / squared.sqrt()).clamp(max=1)


def _repeated(values: tuple[float, ...], like: Tensor) -> Tensor:
    return like.new_tensor(values * len(SIZES_PX))


@torch.no_grad()
def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Even and odd moments of slopes of x [N, 3, H, W]: [N, directions, sizes * (6 or 8)].

    >>> even, odd = moments(torch.rand(1, 3, 32, 32))
    >>> even.shape, odd.shape
    (torch.Size([1, 12, 18]), torch.Size([1, 12, 24]))
    """
    grey = (x.float() * x.new_tensor(LUMA, dtype=torch.float32)[:, None, None]).sum(1, keepdim=True)
    even, odd = zip(*(_of_one_picture(one) for one in grey.split(1)), strict=True)
    return torch.cat(even), torch.cat(odd)


def _of_one_picture(grey: Tensor) -> tuple[Tensor, Tensor]:
    even, odd = zip(*(_of_one_size(grey, size) for size in SIZES_PX), strict=True)
    return torch.cat(even, 1)[None], torch.cat(odd, 1)[None]


def _of_one_size(grey: Tensor, size: float) -> tuple[Tensor, Tensor]:
    """Moments [directions, 6 or 8] of one picture [1, 1, H, W]; one direction after the other stays in the cache."""
    none, once, window = _taps(size, 0), _taps(size, 1), _taps(AROUND_PX, 0)
    down, across = _filtered(grey, once, none), _filtered(grey, none, once)
    around = _filtered(down.square() + across.square(), window, window).sqrt() + FAINT
    # In one long row, with so many zeros after each line that none meets the next: a step in the plane is one number.
    margin, count = max(LAGS_PX), grey.numel()
    down, across, closeness = (F.pad(one, (0, margin)).flatten() for one in (down, across, 1 / around))
    line, even, odd = grey.shape[-1] + margin, [], []
    for c, s in _directions(grey).tolist():
        slope = torch.add(c * down, across, alpha=s)
        near = slope.abs().mul_(closeness)
        steep = (slope.dot(slope) / count).sqrt() + 1e-8
        slope = slope.div_(steep)
        weight = slope.abs()
        pairs = [(one, one / (one + softness)) for one, softness in zip((weight, near), SOFTNESS, strict=True)]
        alike: list[Tensor] = []
        apart: list[Tensor] = []
        for lag in LAGS_PX:
            step = round(lag * c) * line + round(lag * s)
            alike.append(_product(slope, slope, step))
            apart.extend(_product(f, g, step) - _product(g, f, step) for f, g in pairs)
        even.append(torch.stack([steep.log(), weight.sum() / count, *(one / count for one in alike)]))
        odd.append(torch.stack(apart) / count)
    return torch.stack(even), torch.stack(odd)


def _product(f: Tensor, g: Tensor, step: int) -> Tensor:
    """Sum of f(p) * g(p + step)."""
    if step < 0:
        return _product(g, f, -step)
    return f[: max(0, len(f) - step)].dot(g[step:])


def _filtered(x: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Separable correlation, mirrored at the borders."""
    x = _mirrored(x, len(down) // 2)
    x = F.conv2d(x, down.to(x)[None, None, :, None])
    return F.conv2d(x, across.to(x)[None, None, None, :])


def _mirrored(x: Tensor, margin: int) -> Tensor:
    return F.pad(x, (margin,) * 4, mode="reflect" if margin < min(x.shape[-2:]) else "replicate")


def _taps(size: float, order: int) -> Tensor:
    """A derivative of the Gaussian, times size^order."""
    radius = math.ceil(3 * size)
    t = torch.arange(-radius, radius + 1, dtype=torch.float64) / size
    gauss = torch.exp(-t.square() / 2)
    return gauss / gauss.sum() * t**order


def _directions(like: Tensor) -> Tensor:
    """Unit vectors (down, across), [DIRECTIONS, 2]."""
    angles = torch.arange(DIRECTIONS, dtype=torch.float64) * (math.pi / DIRECTIONS)
    return torch.stack([angles.cos(), angles.sin()], 1).to(like)
