"""Moves a picture back by as much as an uneven motion blur has moved it.

No paper's. A camera that slows down while it is shaken weighs one end of the line more than the other. Such a kernel
has its centre of mass beside its middle, so the blurred picture lies beside the sharp one, by up to a sixth of the
line: too little for an eye, and much for every score that compares pixels.

The direction can be read from the blurred picture. Across a step edge the gradient of the blurred picture is the
kernel itself: a slow rise and a sudden end. So along the line, in the sense in which the gradient g keeps its sign, the
second derivative is small for long and large for short, and its odd moments are not zero:

    u(t) = sign(g_t) * (second derivative along t),    E[u^3] / E[u^2]^1.5, E[u |u|] / E[u^2], ...

:class:`Recentre` takes these for several directions and sizes, and a small network makes one shift of them.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DIRECTIONS = 12  # of a half turn; the other half is the same with the odd moments' signs changed
SIZES_PX = (1.7, 2.8, 4.5, 7.0)  # sigma of the Gaussian under the derivatives; one of 1 px told hardly more
FAINT = 0.2  # of the root mean square slope: the sign of one so small counts half, and of none not at all
LUMA = (0.299, 0.587, 0.114)
MOST_PX = 4.0  # a line of 21 px of which one end weighs nothing has its centre 3.3 px from its middle
LEAST_PX = 0.3  # shifts that are less are not made, so that a picture that is well stays as it is

# What the moments are like on degraded faces, so that the network gets numbers about 1: of the even ones their mean
# over directions, how much that differs from picture to picture, and from direction to direction; of the odd ones
# their root mean square. In the order in which they are computed.
_EVEN_MEAN, _EVEN_SPREAD, _EVEN_TURN = (-3.5, -4.0, 0.7, 0.74), (0.3, 0.4, 0.05, 0.04), (0.1, 0.16, 0.018, 0.02)
_ODD_SIZE = (0.14, 0.035, 0.012, 0.06, 0.008)
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
    """Even and odd moments of derivatives of x [N, 3, H, W]: [N, directions, sizes * (4 or 5)] each.

    >>> even, odd = moments(torch.rand(1, 3, 32, 32))
    >>> even.shape, odd.shape
    (torch.Size([1, 12, 16]), torch.Size([1, 12, 20]))
    """
    grey = (x.float() * x.new_tensor(LUMA, dtype=torch.float32)[:, None, None]).sum(1, keepdim=True)
    even, odd = zip(*(_of_one_picture(one) for one in grey.split(1)), strict=True)
    return torch.cat(even), torch.cat(odd)


def _of_one_picture(grey: Tensor) -> tuple[Tensor, Tensor]:
    even, odd = zip(*(_of_one_size(grey, size) for size in SIZES_PX), strict=True)
    return torch.cat(even, 1)[None], torch.cat(odd, 1)[None]


def _of_one_size(grey: Tensor, size: float) -> tuple[Tensor, Tensor]:
    """Moments [directions, 4 or 5] of one picture [1, 1, H, W]; one direction after the other stays in the cache."""
    step = max(1, round(size / 1.4))
    down, across, down2, mixed, across2 = (
        _filtered(grey, _taps(size, a), _taps(size, b), step) for a, b in ((1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
    )
    even, odd = [], []
    for c, s in _directions(grey).tolist():
        slope = torch.add(c * down, across, alpha=s)
        bend = (c * c * down2).add_(mixed, alpha=2 * c * s).add_(across2, alpha=s * s)
        steep, bent = slope.square().mean().sqrt() + 1e-8, bend.square().mean().sqrt() + 1e-8
        slope, bend = slope.div_(steep), bend.div_(bent)
        weight = slope.abs()
        u = bend.mul_(slope.div_(weight + FAINT))
        size_of_u = u.abs()
        square = u * size_of_u
        soft = u.div_(size_of_u + 1)
        even.append(torch.stack((steep.log(), bent.log(), weight.mean(), size_of_u.mean())))
        cubes = size_of_u.mul_(square)
        found = (cubes, square, soft, weight * square, weight * soft)
        odd.append(torch.stack([one.mean() for one in found]))
    return torch.stack(even), torch.stack(odd)


def _filtered(x: Tensor, down: Tensor, across: Tensor, step: int) -> Tensor:
    """Separable correlation, at every so many pixels, mirrored at the borders."""
    x = _mirrored(x, len(down) // 2)
    x = F.conv2d(x, down.to(x)[None, None, :, None], stride=(step, 1))
    return F.conv2d(x, across.to(x)[None, None, None, :], stride=(1, step))


def _mirrored(x: Tensor, margin: int) -> Tensor:
    return F.pad(x, (margin,) * 4, mode="reflect" if margin < min(x.shape[-2:]) else "replicate")


def _taps(size: float, order: int) -> Tensor:
    """A derivative of the Gaussian, times size^order."""
    radius = math.ceil(3 * size)
    t = torch.arange(-radius, radius + 1, dtype=torch.float64) / size
    gauss = torch.exp(-t.square() / 2)
    return gauss / gauss.sum() * (torch.ones_like(t), t, t.square() - 1)[order]


def _directions(like: Tensor) -> Tensor:
    """Unit vectors (down, across), [DIRECTIONS, 2]."""
    angles = torch.arange(DIRECTIONS, dtype=torch.float64) * (math.pi / DIRECTIONS)
    return torch.stack([angles.cos(), angles.sin()], 1).to(like)
