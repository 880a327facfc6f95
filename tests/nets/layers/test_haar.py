from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from restauro.errors import UsageError
from restauro.nets.layers.haar import haar_merge, haar_split


def test_equals_a_strided_convolution_with_the_four_kernels():
    x = torch.rand(2, 5, 6, 8, dtype=torch.float64)
    signs = torch.tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], dtype=torch.float64)
    kernels = signs.reshape(4, 1, 2, 2) / 4
    bands = [F.conv2d(x, kernel.expand(5, 1, 2, 2), stride=2, groups=5) for kernel in kernels]
    torch.testing.assert_close(haar_split(x), torch.cat(bands, dim=1))


def test_first_channels_are_the_picture_averaged_twice(astronaut: torch.Tensor):
    low = haar_split(haar_split(astronaut))[:, :3]
    torch.testing.assert_close(low, F.avg_pool2d(astronaut, 4))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))
def test_merge_undoes_split(n: int, channels: int, height: int, width: int):
    x = torch.rand(n, channels, 2 * height, 2 * width, dtype=torch.float64)
    torch.testing.assert_close(haar_merge(haar_split(x)), x, atol=1e-15, rtol=0)


def test_eight_bit_values_come_back_bit_for_bit(astronaut: torch.Tensor):
    """Sums of four such values over four are exact in float32."""
    x = (astronaut * 255).round()
    assert torch.equal(haar_merge(haar_split(x)), x)


def test_odd_sides_are_refused():
    with pytest.raises(UsageError, match="found a picture of 4 x 3, wanted even sides"):
        haar_split(torch.zeros(1, 3, 3, 4))
