"""Segment graph filter (Zhang, Dai, Yang, Lu, Yang 2015, "Segment graph based image filtering").

The picture is cut into superpixels; each is spanned by a minimum spanning tree of its pixels, and neighbouring trees
are joined by the cheapest link between them. With D(p, q) the length of the path from p to q, the filter is

    J_p = 1/K_p  sum_i  [E_i <= tau]  |window_p & S_i| / |S_i|  sum_{q in S_i} exp(-D(p, q) / sigma) I_q

over the superpixels S_i that hold p or touch the one that does; E_i is the cost of the joining link and K_p makes the
weights sum to 1. The inner sum is exact and linear in the pixels: leaves to root, then root to leaves; a neighbour is
reached through its joining link.

As in the authors' program: superpixels are SLIC of two rounds with a random size of 1/3 to 1/2 of the window and a
random compactness of 10 to 30; they and the costs come from the guide after a small median filter; each step is
guided by the result of the last one, and every third is followed by one guided by the picture with sigma 0.025.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import median_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree
from torch import Tensor

from restauro.errors import SettingError
from restauro.smooth.inputs import require_pictures
from restauro.smooth.kernels import kernel

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

_COLOURS = 3  # tau is said for the sum over three colours
_FINE_SIGMA = 0.025
_LARGE_SIDE_PX = 600  # from here on the median window is 5x5
_OFFSETS = ((0, 1), (1, 0), (1, 1), (1, -1))


@dataclass(frozen=True)
class SGFSettings:
    """Settings of :func:`sgf`.

    Parameters
    ----------
    radius_px
        Of the window; the scale of what is removed. Usual range 8 to 32.
    sigma
        Length of path, in mean colour difference, over which the weight falls by e; more smooths more. Usual range
        0.05 to 0.3.
    tau
        Cost, summed over three colours, above which two superpixels do not share. Usual range 0.04 to 0.24.
    steps
        Steps, each guided by the last. Usual range 1 to 8.
    seed
        Of the random sizes and compactnesses of the superpixels.

    >>> SGFSettings(radius_px=0)
    Traceback (most recent call last):
    ...
    restauro.errors.SettingError: radius_px: found 0, wanted a whole number above 0 (usual range 8 to 32)
    """

    radius_px: int = 12
    sigma: float = 0.05
    tau: float = 0.1
    steps: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.radius_px < 1:
            raise SettingError("radius_px", self.radius_px, "a whole number above 0 (usual range 8 to 32)")
        if not 0 < self.sigma < math.inf:
            raise SettingError("sigma", self.sigma, "a number above 0 (usual range 0.05 to 0.3)")
        if not 0 <= self.tau < math.inf:
            raise SettingError("tau", self.tau, "a number not below 0 (usual range 0.04 to 0.24)")
        if self.steps < 1:
            raise SettingError("steps", self.steps, "a whole number above 0 (usual range 1 to 8)")
        if self.seed < 0:
            raise SettingError("seed", self.seed, "a whole number not below 0")


@torch.no_grad()
def sgf(x: Tensor, settings: SGFSettings | None = None) -> Tensor:
    """Average along the paths inside superpixels and their neighbours.

    Parameters
    ----------
    x
        [N, C, H, W] float32 or float64, 0..1, on the CPU. It is not changed.
    settings
        See :class:`SGFSettings`. The same seed gives the same bytes; every picture of a batch starts from it.

    Returns
    -------
    Tensor
        [N, C, H, W], same type; within the range of x.

    Raises
    ------
    UsageError
        If x is on another device: trees have no form there.

    Notes
    -----
    Cost: linear in the pixels and independent of the radius; one step takes about 3 s per megapixel on one core, half
    of it the spanning trees. About 50 float64 values of memory per pixel.

    Examples
    --------
    >>> x = torch.full((1, 3, 8, 8), 0.25)
    >>> torch.allclose(sgf(x), x)
    True
    """
    require_pictures(x, cpu=True)
    settings = settings or SGFSettings()
    pictures = x.detach().double().permute(0, 2, 3, 1).contiguous().numpy()
    results = [_filter_picture(picture, settings) for picture in pictures]
    return torch.from_numpy(np.stack(results)).to(x.dtype).permute(0, 3, 1, 2).contiguous()


def _filter_picture(picture: Floats, settings: SGFSettings) -> Floats:
    rng = np.random.default_rng(settings.seed)
    result = picture
    for step in range(1, settings.steps + 1):
        result = _filter_once(result, result, settings, rng)
        if step % 3 == 0:
            result = _filter_once(result, picture, replace(settings, sigma=_FINE_SIGMA), rng)
    return result


def _filter_once(picture: Floats, guide: Floats, settings: SGFSettings, rng: np.random.Generator) -> Floats:
    h, w, _ = picture.shape
    side = 5 if min(h, w) >= _LARGE_SIDE_PX else 3
    guide = median_filter(guide, size=(side, side, 1), mode="nearest")
    segments = superpixels(guide, settings.radius_px, rng)
    return filter_segments(picture, guide, segments, settings)


def superpixels(guide: Floats, radius_px: int, rng: np.random.Generator) -> Ints:
    """Connected superpixels [H, W], numbered from 0, of 1/3 to 1/2 of the window of that radius."""
    from skimage.measure import label  # here: training machines have no scikit-image, and import this through degrade
    from skimage.segmentation import slic

    h, w, channels = guide.shape
    size = rng.uniform(1 / 3, 1 / 2) * (2 * radius_px + 1) ** 2
    compactness = rng.uniform(10, 30)
    count = round(h * w / size)
    if count < 2:
        return np.zeros((h, w), np.intp)
    colours = guide if channels == _COLOURS else np.repeat(guide.mean(axis=2, keepdims=True), _COLOURS, axis=2)
    rough = slic(colours, n_segments=count, compactness=compactness, max_num_iter=2, start_label=1)
    parts: Ints = label(rough, connectivity=2).astype(np.intp) - 1
    return parts


def filter_segments(picture: Floats, guide: Floats, segments: Ints, settings: SGFSettings) -> Floats:
    """One pass for given superpixels: [H, W, C] from [H, W, C], [H, W, any] and connected segments [H, W]."""
    h, w, channels = picture.shape
    ends, costs = _links(guide)
    parent, order = _spanning_trees(ends, costs, segments.ravel())
    weight = np.exp(-np.abs(_flat(guide) - _flat(guide)[parent]).mean(axis=1) / settings.sigma)
    values = np.concatenate((_flat(picture), np.ones((h * w, 1))), axis=1)
    sums = values.copy()
    _sum_over_trees(order, parent, weight, sums)
    joints, costs = _joints(ends, costs, segments.ravel())
    close = _COLOURS * costs <= settings.tau
    joined = _by_source(joints[close], np.exp(-costs[close] / settings.sigma), segments)
    total = np.zeros_like(sums)
    _gather(segments, order, parent, weight, sums, *joined, settings.radius_px, total)
    result: Floats = total[:, :channels] / total[:, channels:]
    return result.reshape(h, w, channels)


def _flat(picture: Floats) -> Floats:
    return picture.reshape(-1, picture.shape[2])


def _links(guide: Floats) -> tuple[Ints, Floats]:
    """All links between 8-neighbours: pixel numbers [L, 2] and mean colour differences [L]."""
    h, w, _ = guide.shape
    number = np.arange(h * w).reshape(h, w)
    ends = [
        np.stack((number[: h - j, max(-i, 0) : w - max(i, 0)], number[j:, max(i, 0) : w + min(i, 0)])).reshape(2, -1)
        for j, i in _OFFSETS
    ]
    pairs = np.concatenate(ends, axis=1).T
    flat = _flat(guide)
    return pairs, np.abs(flat[pairs[:, 0]] - flat[pairs[:, 1]]).mean(axis=1)


def _spanning_trees(ends: Ints, costs: Floats, segment: Ints) -> tuple[Ints, Ints]:
    """Parent of every pixel (a root is its own), and the pixels by segment, parents before children."""
    pixels = len(segment)
    inside = segment[ends[:, 0]] == segment[ends[:, 1]]
    first, second = ends[inside].T
    size = (pixels + 1, pixels + 1)
    graph = coo_array((1 + costs[inside], (first, second)), shape=size).tocsr()  # 1: a stored 0 would be no link
    forest = minimum_spanning_tree(graph).tocoo()
    roots = np.unique(segment, return_index=True)[1]
    above = np.full(len(roots), pixels)  # one node more, over all roots, so that one search visits every tree
    rows, columns = np.concatenate((forest.row, above)), np.concatenate((forest.col, roots))
    tree = coo_array((np.ones(len(rows)), (rows, columns)), shape=size).tocsr()
    order, parent = breadth_first_order(tree, pixels, directed=False)
    order, parent = order[1:].astype(np.intp), parent[:pixels].astype(np.intp)
    parent[roots] = roots
    return parent, order[np.argsort(segment[order], kind="stable")]


def _joints(ends: Ints, costs: Floats, segment: Ints) -> tuple[Ints, Floats]:
    """Cheapest link of every two segments that touch: pixel numbers [J, 2] and costs [J]."""
    sides = segment[ends]
    across = sides[:, 0] != sides[:, 1]
    ends, costs, sides = ends[across], costs[across], sides[across]
    pair = sides.min(axis=1) * (segment.max() + 1) + sides.max(axis=1)
    best = np.lexsort((costs, pair))
    best = best[np.unique(pair[best], return_index=True)[1]]
    return ends[best], costs[best]


def _by_source(joints: Ints, weights: Floats, segments: Ints) -> tuple[Ints, Floats, Ints]:
    """Both directions of every joint as [2J, 2] (from, to), sorted by the segment they come from, and its starts."""
    both, twice = np.concatenate((joints, joints[:, ::-1])), np.concatenate((weights, weights))
    source = segments.ravel()[both[:, 0]]
    by_source = np.argsort(source, kind="stable")
    starts = np.searchsorted(source[by_source], np.arange(segments.max() + 2))
    return both[by_source], twice[by_source], starts


@kernel
def _sum_over_trees(order: Ints, parent: Ints, weight: Floats, sums: Floats) -> None:
    """Replace the values in sums [P, K] by their weighted sums over the tree, seen from every pixel."""
    channels = sums.shape[1]
    for k in range(len(order) - 1, -1, -1):
        p = order[k]
        if parent[p] != p:
            for c in range(channels):
                sums[parent[p], c] += weight[p] * sums[p, c]
    for p in order:
        if parent[p] != p:
            for c in range(channels):  # what the parent sees less what it saw through p
                sums[p, c] = weight[p] * sums[parent[p], c] + (1 - weight[p] ** 2) * sums[p, c]


@kernel
def _gather(
    segments: Ints, order: Ints, parent: Ints, weight: Floats, sums: Floats,
    joints: Ints, joint_weights: Floats, joint_starts: Ints, radius: int, total: Floats,
) -> None:  # fmt: skip
    """Add to total [P, K], for every pixel, what its own segment and the joined ones give it."""
    w, channels = segments.shape[1], sums.shape[1]
    flat = segments.ravel()
    starts = np.searchsorted(flat[order], np.arange(len(joint_starts)))
    reach = np.zeros(len(order))
    for source in range(len(starts) - 1):
        pixels = order[starts[source] : starts[source + 1]]
        area, top, left = _area_table(pixels, w)
        for p in pixels:
            share = _overlap(area, p // w - top, p % w - left, radius) / len(pixels)
            for c in range(channels):
                total[p, c] += share * sums[p, c]
        for k in range(joint_starts[source], joint_starts[source + 1]):
            v, u = joints[k]
            target = flat[u]
            receivers = order[starts[target] : starts[target + 1]]
            _reach(u, receivers, parent, weight, reach)
            for p in receivers:
                share = _overlap(area, p // w - top, p % w - left, radius) / len(pixels)
                share *= joint_weights[k] * reach[p]
                for c in range(channels):
                    total[p, c] += share * sums[v, c]


@kernel
def _area_table(pixels: Ints, w: int) -> tuple[Ints, int, int]:
    """Summed area table of a segment inside its bounding box, and the corner of the box."""
    ys, xs = pixels // w, pixels % w
    top, left = ys.min(), xs.min()
    table = np.zeros((ys.max() - top + 2, xs.max() - left + 2), np.intp)
    for k in range(len(pixels)):
        table[ys[k] - top + 1, xs[k] - left + 1] = 1
    for y in range(1, table.shape[0]):
        row = 0
        for x in range(1, table.shape[1]):
            row += table[y, x]
            table[y, x] = table[y - 1, x] + row
    return table, top, left


@kernel
def _overlap(table: Ints, y: int, x: int, radius: int) -> int:
    """Pixels of a segment in the window around (y, x), counted from the corner of its box."""
    h, w = table.shape[0] - 1, table.shape[1] - 1
    y0, y1 = min(max(y - radius, 0), h), min(max(y + radius + 1, 0), h)
    x0, x1 = min(max(x - radius, 0), w), min(max(x + radius + 1, 0), w)
    count: int = table[y1, x1] - table[y0, x1] - table[y1, x0] + table[y0, x0]
    return count


@kernel
def _reach(u: int, pixels: Ints, parent: Ints, weight: Floats, reach: Floats) -> None:
    """Write exp(-D(u, p) / sigma) of all pixels p of the tree of u; parents come before children in pixels."""
    for p in pixels:
        reach[p] = -1
    reach[u] = 1
    p = u
    while parent[p] != p:
        reach[parent[p]] = reach[p] * weight[p]
        p = parent[p]
    for p in pixels:
        if reach[p] < 0:
            reach[p] = reach[parent[p]] * weight[p]
