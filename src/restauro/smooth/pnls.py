"""Pixel-level non-local smoothing, approximately: method name ``pnls-approx``.

After Xu, Liu, Wang, Zhang, Li, Ren, Shen 2020, "Pixel-level non-local image smoothing with objective evaluation". The
main routine of the authors is a compiled binary, so this is not their program: it is the scheme of the family (Hou,
Xu, Liu, Chen, Zhu, Shao 2020, "NLH: a blind pixel-level non-local method") with the parameters their driver shows.
Expect results about 0.5 dB away from theirs.

A step works in CIELAB / 255 (other than three channels: as they are). For every reference patch of 4x4 pixels

1. the 16 nearest patches of a 19x19 window are the columns of a matrix with one row per pixel of the patch. Nearness
   counts a fourth plane, the larger of the opponent chromas (R - B) / 2 and (R - 2G + B) / 4, about 0.5;
2. every row, with its 3 nearest rows, makes a 4x16 matrix, which a 2-D Haar transform takes to its mean and details;
3. details below the threshold become 0, the transform is inverted, and every pixel is the mean of all its copies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from restauro.errors import SettingError
from restauro.smooth.inputs import require_pictures
from restauro.smooth.sdf import lab_to_rgb, rgb_to_lab

_SIDE = 4  # of a patch, and between references
_COLUMNS, _ROWS = 16, 4  # of the matrices that are transformed
_REFERENCES_AT_ONCE = 2048


@dataclass(frozen=True)
class PNLSSettings:
    """Settings of :func:`pnls_approx`.

    Parameters
    ----------
    threshold
        Below it details vanish, in units of an orthonormal transform of the picture; more smooths more. The driver of
        the authors says 0.4.
    radius_px
        Of the window that is searched.
    steps
        Passes, each over the result of the last.

    >>> PNLSSettings(threshold=-1)
    Traceback (most recent call last):
    ...
    restauro.errors.SettingError: threshold: found -1, wanted a number not below 0 (0.4 is usual)
    """

    threshold: float = 0.4
    radius_px: int = 9
    steps: int = 9

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < math.inf:
            raise SettingError("threshold", self.threshold, "a number not below 0 (0.4 is usual)")
        if self.radius_px < 2:
            raise SettingError("radius_px", self.radius_px, "a whole number above 1 (9 is usual)")
        if self.steps < 1:
            raise SettingError("steps", self.steps, "a whole number above 0 (9 is usual)")


@torch.no_grad()
def pnls_approx(x: Tensor, settings: PNLSSettings | None = None) -> Tensor:
    """Smooth by what recurs nearby, pixel row by pixel row.

    Parameters
    ----------
    x
        [N, C, H, W] float32 or float64, 0..1. It is not changed.
    settings
        See :class:`PNLSSettings`.

    Returns
    -------
    Tensor
        [N, C, H, W], same type and device; values may leave 0..1 by a little.

    Notes
    -----
    An approximation of the paper: see the head of this file. Cost: per step (2 radius + 1)^2 differences of the
    picture; about 6 s per megapixel and step on one core, 54 s with the defaults. About 80 values of memory per
    pixel, and 250 MB. On a GPU sums of copies come in any order, so the last digits may change.

    Examples
    --------
    >>> x = torch.full((1, 1, 9, 8), 0.25)
    >>> torch.allclose(pnls_approx(x), x)
    True
    """
    require_pictures(x)
    settings = settings or PNLSSettings()
    return torch.cat([_smooth(picture, settings) for picture in x.split(1)])


def _smooth(x: Tensor, settings: PNLSSettings) -> Tensor:
    colour = x.shape[1] == 3
    planes = rgb_to_lab(x) / 255 if colour else x
    for _ in range(settings.steps):
        rgb = lab_to_rgb(planes * 255) if colour else planes
        planes = _pass(planes, torch.cat((planes, _chroma(rgb)), dim=1) if colour else planes, settings)
    return lab_to_rgb(planes * 255) if colour else planes


def _chroma(rgb: Tensor) -> Tensor:
    red, green, blue = rgb.split(1, dim=1)
    return torch.maximum((red - blue) / 2, (red - 2 * green + blue) / 4) + 0.5


def _pass(planes: Tensor, guide: Tensor, settings: PNLSSettings) -> Tensor:
    """One step on [1, C, H, W]."""
    h, w = planes.shape[-2:]
    missing = (0, max(_SIDE - w, 0), 0, max(_SIDE - h, 0))
    planes, guide = (F.pad(t, missing, mode="replicate") for t in (planes, guide))
    width = planes.shape[-1]
    flat = planes[0].flatten(1)
    total, count = torch.zeros_like(flat), torch.zeros_like(flat[0])
    inside = torch.arange(_SIDE, device=flat.device)
    pixels_of_patch = (inside[:, None] * width + inside).flatten()
    for corners in _similar_patches(guide, settings.radius_px):
        pixels = corners[:, None, :] + pixels_of_patch[None, :, None]  # [references, pixel of the patch, patch]
        values = flat[:, pixels]  # [C, references, 16, 16]
        rows = _nearest_rows(values)  # [references, 16, 4]
        members = torch.arange(len(rows), device=flat.device)[:, None, None]
        smooth = _threshold_details(values[:, members, rows], settings.threshold)  # [C, references, 16, 4, 16]
        where = pixels[members, rows].flatten()
        total.index_add_(1, where, smooth.flatten(1))
        count.index_add_(0, where, torch.ones_like(count[:1]).expand(len(where)))
    return (total / count).view(planes.shape)[..., :h, :w]


def _similar_patches(guide: Tensor, radius: int) -> Iterator[Tensor]:
    """Upper left pixel of the nearest patches of every reference, itself among them, [references, 16] at a time."""
    height, width = guide.shape[-2:]
    ys, xs = (_positions(size, guide.device) for size in (height, width))
    offsets = torch.arange(-radius, radius + 1, device=guide.device)
    dy, dx = (t.flatten() for t in torch.meshgrid(offsets, offsets, indexing="ij"))
    patches = F.unfold(guide, _SIDE)[0].T  # [corners, C * 16]
    across = width - _SIDE + 1
    references = torch.cartesian_prod(ys, xs)
    for part in references.split(_REFERENCES_AT_ONCE):
        y, x = part[:, :1] + dy, part[:, 1:] + dx
        outside = (y < 0) | (y > height - _SIDE) | (x < 0) | (x > width - _SIDE)
        corner = y.clamp(0, height - _SIDE) * across + x.clamp(0, width - _SIDE)
        own = patches[part[:, 0] * across + part[:, 1]]
        distance = torch.stack([(patches[c] - own).square().sum(dim=1) for c in corner.T], dim=1)
        distance.masked_fill_(outside, math.inf)[:, len(dy) // 2] = -1  # itself first, also among equals
        best = distance.topk(_COLUMNS, largest=False).indices
        # in a small picture there are fewer: the nearest one again
        found = torch.where(outside.gather(1, best), best[:, :1], best)
        corner = corner.gather(1, found)
        yield corner // across * width + corner % across


def _positions(size: int, device: torch.device) -> Tensor:
    """Every fourth position of a patch, and the last."""
    last = size - _SIDE
    return torch.tensor(sorted({*range(0, last, _SIDE), last}), device=device)


def _nearest_rows(values: Tensor) -> Tensor:
    """Numbers of the rows nearest to each row, itself among them, [references, 16, 4]."""
    rows = values.permute(1, 2, 0, 3).flatten(2)  # [references, row, C * 16]
    distance = torch.cdist(rows, rows)
    distance.diagonal(dim1=1, dim2=2).fill_(-1)  # itself first, also among equals
    return distance.topk(_ROWS, largest=False).indices


def _threshold_details(groups: Tensor, threshold: float) -> Tensor:
    """2-D Haar transform of the last two dimensions, all but the mean thresholded, and back."""
    left, right = (_haar(size, groups) for size in groups.shape[-2:])
    c = left @ groups @ right.mT
    mean = c[..., :1, :1].clone()
    c = torch.where(c.abs() < threshold, 0, c)
    c[..., :1, :1] = mean
    return left.mT @ c @ right


def _haar(size: int, like: Tensor) -> Tensor:
    """Orthonormal Haar transform of a power of two.

    >>> (_haar(2, torch.zeros(1)) * 2**0.5).round().tolist()
    [[1.0, 1.0], [1.0, -1.0]]
    """
    matrix = like.new_ones(1, 1)
    while len(matrix) < size:
        mean = torch.kron(matrix, like.new_tensor([[1.0, 1.0]]))
        detail = torch.kron(
            torch.eye(len(matrix), dtype=like.dtype, device=like.device), like.new_tensor([[1.0, -1.0]])
        )
        matrix = torch.cat((mean, detail)) / math.sqrt(2)
    return matrix
