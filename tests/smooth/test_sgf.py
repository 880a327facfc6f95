"""The segment graph filter against its equation spelled out pixel by pixel, and its invariants."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label
from scipy.sparse.csgraph import shortest_path
from torch import Tensor

from restauro.errors import SettingError, UsageError
from restauro.smooth.sgf import SGFSettings, filter_segments, sgf, superpixels


def noise(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def spelled_out(picture: np.ndarray, guide: np.ndarray, segments: np.ndarray, s: SGFSettings) -> np.ndarray:
    """The equation of the paper: Kruskal's trees, all paths, all windows."""
    h, w, _ = picture.shape
    pixels = list(product(range(h), range(w)))
    links = []
    for (y, x), (j, i) in product(pixels, [(0, 1), (1, 0), (1, 1), (1, -1)]):
        if y + j < h and 0 <= x + i < w:
            links.append((np.abs(guide[y, x] - guide[y + j, x + i]).mean(), (y, x), (y + j, x + i)))
    links.sort(key=lambda link: link[0])
    group = {p: {p} for p in pixels}
    graph = np.full((h * w, h * w), np.inf)
    joints: dict[frozenset[int], tuple[float, int, int]] = {}
    for cost, p, q in links:
        a, b = p[0] * w + p[1], q[0] * w + q[1]
        if segments[p] != segments[q]:
            joints.setdefault(frozenset((segments[p], segments[q])), (cost, a, b))
        elif group[p] is not group[q]:
            graph[a, b] = graph[b, a] = cost
            merged = group[p] | group[q]
            for r in merged:
                group[r] = merged
    path = shortest_path(np.where(np.isinf(graph), 0, graph), directed=False)
    flat, numbers = picture.reshape(h * w, -1), segments.ravel()
    result = np.zeros_like(picture)
    for y, x in pixels:
        p, total, norm = y * w + x, 0, 0
        window = segments[max(y - s.radius_px, 0) : y + s.radius_px + 1, max(x - s.radius_px, 0) : x + s.radius_px + 1]
        for i in np.unique(segments):
            members = np.flatnonzero(numbers == i)
            if i == segments[y, x]:
                distance = path[p, members]
            else:
                cost, a, b = joints.get(frozenset((i, segments[y, x])), (np.inf, 0, 0))
                if 3 * cost > s.tau:
                    continue
                u, v = (a, b) if numbers[a] == segments[y, x] else (b, a)
                distance = path[p, u] + cost + path[v, members]
            weight = (window == i).sum() / len(members) * np.exp(-distance / s.sigma)
            total, norm = total + weight @ flat[members], norm + weight.sum()
        result[y, x] = total / norm
    return result


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("s", [SGFSettings(3, 0.3, 0.5), SGFSettings(20, 0.05, 0.1), SGFSettings(2, 1.0, 9.0)])
def test_one_pass_equals_the_equation(s: SGFSettings, channels: int) -> None:
    rng = np.random.default_rng(3)
    picture, guide = rng.random((12, 15, channels)), rng.random((12, 15, 3))
    guide[:, 8:] *= 0.2
    segments = label(guide[..., 0] > 0.3, structure=np.ones((3, 3)))[0] + 100 * label(guide[..., 0] <= 0.3)[0]
    segments = np.unique(segments, return_inverse=True)[1].reshape(12, 15)
    found = filter_segments(picture, guide, segments, s)
    np.testing.assert_allclose(found, spelled_out(picture, guide, segments, s), rtol=0, atol=1e-12)


def test_superpixels_are_connected_numbered_and_of_the_size_asked_for() -> None:
    guide = noise(2, 90, 120, 3).double().numpy() * 0.1
    guide[:, 60:] += 0.7
    segments = superpixels(guide, 8, np.random.default_rng(0))
    counts = np.bincount(segments.ravel())
    assert counts.min() > 0
    assert 0.5 * 17**2 / 3 < counts.mean() < 2 * 17**2 / 2
    assert all(label(segments == k, structure=np.ones((3, 3)))[1] == 1 for k in range(len(counts)))


def test_the_seed_decides() -> None:
    x = noise(4, 1, 3, 60, 70)
    first = sgf(x, SGFSettings(radius_px=5, seed=1))
    assert torch.equal(first, sgf(x, SGFSettings(radius_px=5, seed=1)))
    assert not torch.equal(first, sgf(x, SGFSettings(radius_px=5, seed=2)))


def test_flattens_noise_and_keeps_an_edge() -> None:
    x = noise(6, 1, 3, 60, 80) * 0.1 + 0.2
    x[..., 40:] += 0.5
    y = sgf(x, SGFSettings(radius_px=8))
    assert float(y[..., :39].std()) < 0.3 * float(x[..., :39].std())
    assert float((y[..., 42] - y[..., 37]).min()) > 0.4


@settings(deadline=None, max_examples=6)
@given(seed=st.integers(0, 99), height=st.integers(1, 30), width=st.integers(1, 50), channels=st.integers(1, 4))
def test_invariants(seed: int, height: int, width: int, channels: int) -> None:
    x, s = noise(seed, 2, channels, height, width), SGFSettings(radius_px=4, sigma=0.2, seed=seed)
    kept = x.clone()
    y = sgf(x, s)
    assert torch.equal(x, kept)
    assert y.shape == x.shape
    assert float(y.min()) >= float(x.min()) - 1e-6
    assert float(y.max()) <= float(x.max()) + 1e-6
    assert torch.equal(sgf(x[1:], s), y[1:])
    torch.testing.assert_close(sgf(torch.full_like(x, 0.3), s), torch.full_like(x, 0.3))


@pytest.mark.parametrize(("name", "value"), [("radius_px", 0), ("sigma", 0), ("tau", -1), ("steps", 0), ("seed", -1)])
def test_settings_check_themselves(name: str, value: float) -> None:
    with pytest.raises(SettingError, match=name):
        SGFSettings(**{name: value})


def test_refuses_what_is_no_batch_of_pictures() -> None:
    with pytest.raises(UsageError, match="x: found"):
        sgf(torch.zeros(3, 4, 5))
