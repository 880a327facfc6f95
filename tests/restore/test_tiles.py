"""Every pixel is written, by weights that sum to one, in phase with the network, never from a cut border."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restauro.facts import Facts
from restauro.restore.tiles import cut, largest_tile_px, spans, window_px

sides = st.integers(1, 300)
tiles = st.integers(1, 320)
halos = st.integers(0, 40)
multiples = st.sampled_from([1, 2, 3, 4, 8, 16, 30, 32, 64])


@settings(deadline=None, max_examples=300)
@given(sides, tiles, halos, multiples)
def test_the_weights_of_a_side_are_a_partition_of_unity(side, tile, halo, multiple):
    total = np.zeros(side)
    for span in spans(side, tile, halo, multiple):
        assert len(span.weight) == span.write.stop - span.write.start > 0
        assert span.weight.dtype == np.float32
        assert span.weight.min() > 0
        assert span.weight.max() <= 1
        total[span.write] += span.weight
    np.testing.assert_allclose(total, 1, atol=1e-6)


@settings(deadline=None, max_examples=300)
@given(sides, tiles, halos, multiples)
def test_tiles_are_in_phase_of_one_size_and_keep_off_their_cut_borders(side, tile, halo, multiple):
    cut_ = spans(side, tile, halo, multiple)
    padded = -(-side // multiple) * multiple
    assert cut_[0].read.start == 0
    assert cut_[-1].read.stop == padded
    assert len({span.size_px for span in cut_}) == 1
    for span in cut_:
        assert span.read.start % multiple == span.size_px % multiple == 0
        assert span.inside.start == (halo if span.read.start else 0)
        assert span.inside.stop <= span.size_px - (halo if span.read.stop < padded else 0)
    for one, two in pairwise(cut_):
        assert two.read.start > one.read.start
        assert one.write.stop > two.write.start, "neighbours overlap"


@settings(deadline=None, max_examples=200)
@given(sides, sides, st.integers(1, 100_000), halos, multiples)
def test_the_largest_tile_reads_no_more_than_its_area(height, width, area, halo, multiple):
    facts = Facts(multiple=multiple, halo_px=halo)
    tile = largest_tile_px(height, width, area, facts)
    if tile < max(4, 2 * multiple):
        return  # narrower than a grid is made: the engine refuses by the area of the grid it got
    grid = cut(height, width, tile, facts)
    assert grid.area_px <= area
    padded = [-(-side // multiple) * multiple for side in (height, width)]
    assert (grid.count == 1) == (padded[0] * padded[1] <= area)


@settings(deadline=None, max_examples=200)
@given(sides, tiles, halos, multiples)
def test_the_tiles_are_no_larger_than_that_many_must_be(side, tile, halo, multiple):
    cut_ = spans(side, tile, halo, multiple)
    assert cut_[0].size_px <= window_px(tile, halo, multiple)
    overlaps = [one.write.stop - two.write.start for one, two in pairwise(cut_)]
    if overlaps:
        # A multiple less for each of n tiles would leave the side uncovered, or the fade too short.
        assert sum(overlaps) < len(overlaps) * (32 + multiple) + len(cut_) * multiple


def test_a_fade_is_a_raised_cosine_over_the_overlap():
    one, two = spans(112, 64)  # 64 + 64 - 16
    fade = np.sin(np.pi / 2 * (np.arange(16) + 0.5) / 16) ** 2
    np.testing.assert_allclose(two.weight[:16], fade, atol=1e-6)
    np.testing.assert_allclose(one.weight[-16:], 1 - fade, atol=1e-6)
    assert np.all(one.weight[:-16] == 1)
    assert np.all(two.weight[16:] == 1)


def test_a_picture_within_one_window_is_one_tile_with_weight_one():
    (span,) = spans(61, 64, halo_px=32, multiple=8)
    assert (span.read, span.write) == (slice(0, 64), slice(0, 61))
    assert np.all(span.weight == 1)


@pytest.mark.parametrize("multiple", [1, 8, 64, 256])
def test_the_smallest_tile_still_moves_on(multiple):
    assert window_px(1, 0, multiple) == max(4, 2 * multiple)
    assert len(spans(5 * multiple, 1, 0, multiple)) > 1


def test_a_strip_may_be_longer_than_a_square_of_its_area():
    grid = cut(3, 5000, largest_tile_px(3, 5000, 3000, Facts()), Facts())
    assert (len(grid.rows), len(grid.cols)) == (1, 6)
    assert 3 * 5000 / 6 < grid.area_px <= 3000
