"""Full attention is held against dense softmax tables (float64, and torch's own attention), its gradients against
finite differences and dense autograd, its memory against every tensor that it makes.
"""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from restauro.errors import SettingError
from restauro.nets.layers import attend as algorithm
from restauro.nets.layers.attend import attend, attention_curve, attention_row
from restauro.nets.layers.chebyshev import Curve, Interval, evaluate, moments
from restauro.nets.layers.full_attention import FullAttention

AXES = ("key", "query")


@pytest.fixture(autouse=True)
def _one_thread():
    """Thousands of small operations: on a busy machine threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def maps(kind: str, std: float, n: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """f, g, h [1, n] in float64: independent, correlated, uniform, two clusters of f, or two far values of f."""
    r = np.random.default_rng(seed)
    f, g, h, shared = r.standard_normal((4, 1, n))
    if kind == "correlated":
        f, g, h = (0.6 * shared + 0.8 * part for part in (f, g, h))
        g = g + 1
    elif kind == "uniform":
        f, g, h = r.uniform(-1, 1, (3, 1, n))
    elif kind == "bimodal":
        f = np.sign(shared) + 0.1 * f
    elif kind == "outlier":
        f[0, :2] = 8, -8
    return torch.from_numpy(f * std), torch.from_numpy(g * std), torch.from_numpy(h)


def dense(f: Tensor, g: Tensor, h: Tensor, axis: str) -> Tensor:
    """h softmax(f^T g), a strip of the table at a time."""
    if axis == "key":
        strips = [(h[..., None] * torch.softmax(f[..., None] * part[:, None], 1)).sum(1) for part in g.split(512, 1)]
        return torch.cat(strips, 1)
    strips = [
        (b[..., None] * torch.softmax(a[..., None] * g[:, None], 2)).sum(1)
        for a, b in zip(f.split(512, 1), h.split(512, 1), strict=True)
    ]
    return torch.stack(strips).sum(0)


def span(x: Tensor) -> float:
    return float(x.max() - x.min())


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("std", [0.3, 1, 3, 10])
@pytest.mark.parametrize("kind", ["normal", "correlated", "uniform", "bimodal", "outlier"])
def test_equals_the_dense_table_at_32x32(kind: str, std: float, axis: str) -> None:
    f, g, h = maps(kind, std, 32 * 32)
    wanted = dense(f, g, h, axis)
    scale = span(wanted if axis == "query" else h)
    found64 = attend(f, g, h, axis)
    assert float((found64 - wanted).abs().max()) <= (1e-6 if kind == "outlier" else 1e-9) * scale
    found32 = attend(f.float(), g.float(), h.float(), axis)
    assert found32.dtype == torch.float32
    assert float((found32 - wanted).abs().max()) <= 1e-5 * scale


@pytest.mark.parametrize("kind", ["normal", "correlated", "bimodal", "outlier"])
def test_equals_torch_attention_at_64x64(kind: str) -> None:
    f, g, h = maps(kind, 3, 64 * 64)
    q, k, v = (x[:, None, :, None] for x in (g, f, h))
    wanted = torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=1)[:, 0, :, 0]
    assert float((attend(f, g, h) - wanted).abs().max()) <= 1e-6 * span(h)
    found32 = attend(f.float(), g.float(), h.float())
    assert float((found32 - wanted).abs().max()) <= 1e-5 * span(h)


@pytest.mark.parametrize("kind", ["normal", "correlated"])
def test_query_axis_equals_the_dense_table_at_64x64(kind: str) -> None:
    f, g, h = maps(kind, 3, 64 * 64)
    wanted = dense(f, g, h, "query")
    found32 = attend(f.float(), g.float(), h.float(), "query")
    assert float((found32 - wanted).abs().max()) <= 1e-5 * span(wanted)


@pytest.mark.parametrize("axis", AXES)
def test_pictures_of_a_batch_do_not_mix(axis: str) -> None:
    pairs = [maps("normal", std, 1500, seed) for seed, std in enumerate((0.5, 2))]
    together = attend(*(torch.cat(x) for x in zip(*pairs, strict=True)), axis)
    for row, pair in zip(together, pairs, strict=True):
        wanted = dense(*pair, axis)
        assert float((row - wanted[0]).abs().max()) <= 1e-9 * span(wanted)


@pytest.mark.parametrize("axis", AXES)
def test_gradients_pass_finite_differences(axis: str) -> None:
    torch.manual_seed(0)
    inputs = [(2 * torch.randn(2, 30, dtype=torch.float64)).requires_grad_() for _ in range(3)]
    assert torch.autograd.gradcheck(lambda f, g, h: attend(f, g, h, axis), inputs)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize(("kind", "std"), [("normal", 1), ("normal", 3), ("correlated", 3), ("bimodal", 3)])
def test_gradients_equal_dense_autograd(kind: str, std: float, axis: str) -> None:
    upstream = torch.from_numpy(np.random.default_rng(1).standard_normal((1, 32 * 32)))

    def gradients(function, dtype: torch.dtype) -> list[Tensor]:
        inputs = [x.to(dtype).requires_grad_() for x in maps(kind, std, 32 * 32)]
        return list(torch.autograd.grad(function(*inputs, axis), inputs, upstream.to(dtype)))

    wanted = gradients(dense, torch.float64)
    for dtype, allowed in ((torch.float64, 1e-6), (torch.float32, 5e-5)):
        for found, true in zip(gradients(attend, dtype), wanted, strict=True):
            assert float((found - true).abs().max()) <= allowed * float(true.abs().max())


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("constant f", lambda f, g, h: (f * 0 + 2, g, h)),
        ("constant g", lambda f, g, h: (f, g * 0 - 3, h)),
        ("all zero", lambda f, g, h: (f * 0, g * 0, h * 0)),
        ("one pixel", lambda f, g, h: (f[:, :1], g[:, :1], h[:, :1])),
        ("two pixels", lambda f, g, h: (f[:, :2], g[:, :2], h[:, :2])),
        ("f far from 0", lambda f, g, h: (f + 500, g, h)),
        ("g far from 0", lambda f, g, h: (f, g + 500, h)),
        ("h far from 0", lambda f, g, h: (f, g, h + 500)),
        ("tiny", lambda f, g, h: (f * 1e-12, g * 1e-12, h)),
    ],
)
def test_degenerate_inputs_are_finite_and_right(name: str, change, axis: str) -> None:
    exact = change(*(x.float().double() for x in maps("normal", 1, 300)))
    inputs = [x.float().requires_grad_() for x in exact]
    y = attend(*inputs, axis)
    wanted = dense(*(x.detach().double() for x in inputs), axis)
    assert float((y - wanted).detach().abs().max()) <= 2e-5 * max(1, float(wanted.abs().max())), name
    for gradient in torch.autograd.grad(y.sum(), inputs):
        assert gradient.isfinite().all(), name


@pytest.mark.parametrize("axis", AXES)
def test_extreme_logits_are_finite(axis: str) -> None:
    inputs = [x.float().requires_grad_() for x in maps("normal", 100, 300)]
    y = attend(*inputs, axis)
    for x in (y, *torch.autograd.grad(y.sum(), inputs)):
        assert x.isfinite().all()


def test_not_a_number_comes_out_as_one() -> None:
    f, g, h = maps("normal", 1, 64)
    f[0, 0] = math.nan
    assert attend(f, g, h).isnan().any()


class _Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation made."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for x in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(x, Tensor):
                self.elements = max(self.elements, x.numel())
        return result


@pytest.mark.parametrize("axis", AXES)
def test_no_table_of_n_by_n_at_128x128(axis: str) -> None:
    n = 128 * 128
    y = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 8, 128, 128)).astype(np.float32))
    layer = FullAttention(8, axis=axis)
    with _Largest() as largest:
        layer(y).square().sum().backward()
    assert largest.elements <= max(algorithm.HELD, y.numel())
    assert largest.elements < n * n / 1000


LIMITED = """
import resource
import torch
from restauro.nets.layers.attend import attend

torch.set_num_threads(1)


def both_ways(side):
    f, g, h = torch.randn(3, 1, side * side, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for axis in ("key", "query"):
        attend(f, g, h, axis).sum().backward()


both_ways(16)
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 128 * 2**20,) * 2)
both_ways(128)
try:
    torch.empty(128**4 // 4)
except RuntimeError:
    print("within the limit, where a quarter of the table is not")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit and its place in /proc are Linux's")
def test_128x128_fits_128_mebibytes_both_ways() -> None:
    """Inside torch's own operations too, which the test above cannot see; the table would be 1 GiB."""
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=False)
    assert done.stdout == "within the limit, where a quarter of the table is not\n", done.stderr[-2000:]


def test_long_float32_sums_keep_their_digits() -> None:
    f, g, h = maps("normal", 1, 256 * 256)
    wanted = attend(f, g, h)
    assert float((attend(f.float(), g.float(), h.float()) - wanted).abs().max()) <= 2e-6 * span(h)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    std=st.floats(0, 5),
    n=st.integers(1, 200),
    shift=st.floats(-20, 20),
)
def test_key_axis_is_a_mean_that_ignores_shifts_of_f(seed: int, std: float, n: int, shift: float) -> None:
    f, g, h = maps("normal", std, n, seed)
    y = attend(f, g, h)
    assert float(y.max()) <= float(h.max()) + 1e-6
    assert float(y.min()) >= float(h.min()) - 1e-6
    torch.testing.assert_close(attend(f + shift, g, h), y, atol=1e-6, rtol=0)
    torch.testing.assert_close(attend(f, g, h + shift), y + shift, atol=1e-6, rtol=0)


def test_a_fixed_number_of_nodes_is_the_same_function() -> None:
    f, g, h = maps("normal", 1, 500)
    for axis in AXES:
        torch.testing.assert_close(attend(f, g, h, axis, nodes=160), attend(f, g, h, axis), atol=1e-9, rtol=0)


def test_the_tail_of_the_series_estimates_its_error() -> None:
    f, g, h = maps("normal", 3, 1000)
    wanted = dense(f, g, h, "key")
    for nodes in (32, 48, 64):
        curve = attention_curve(f, g, h, nodes=nodes)
        error = float((curve(g) - wanted).abs().max())
        assert 1e-12 < error <= 6 * float(curve.tail)


def test_an_attention_row_is_the_softmax_that_was_summed() -> None:
    f, g, h = maps("normal", 1, 400)
    row = attention_row(f, g[:, 7])
    assert float(row.sum()) == pytest.approx(1)
    assert float((row * h).sum()) == pytest.approx(float(attend(f, g, h)[0, 7]), abs=1e-9)


def test_wrong_settings_are_named() -> None:
    f, g, h = maps("normal", 1, 16)
    with pytest.raises(SettingError, match="axis: found 'both'"):
        attend(f, g, h, "both")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="nodes: found 1"):
        attend(f, g, h, nodes=1)
    with pytest.raises(SettingError, match=r"g: found 'torch.bfloat16 \[1, 16\]', wanted float32 or float64"):
        attend(f, g.bfloat16(), h)
    with pytest.raises(SettingError, match=r"h: found 'torch.float64 \[1, 15\]', wanted .* of \[1, 16\]"):
        attend(f, g.requires_grad_(), h[:, 1:])


# ---- the series


def test_series_agree_with_numpy() -> None:
    r = np.random.default_rng(0)
    c, x = r.standard_normal((2, 20)), r.uniform(-1, 1, (2, 50))
    wanted = [np.polynomial.chebyshev.chebval(a, b) for a, b in zip(x, c, strict=True)]
    np.testing.assert_allclose(evaluate(torch.from_numpy(c), torch.from_numpy(x)).numpy(), wanted, atol=1e-12)


def test_moments_are_the_transpose_of_evaluation() -> None:
    torch.manual_seed(0)
    c, v = torch.randn(2, 12, dtype=torch.float64), torch.randn(2, 30, dtype=torch.float64)
    x = torch.rand(2, 30, dtype=torch.float64) * 2 - 1
    torch.testing.assert_close((evaluate(c, x) * v).sum(), (moments(v, x, 12) * c).sum())


@pytest.mark.parametrize("scale", [None, torch.full((1, 1), 0.1, dtype=torch.float64)])
def test_a_curve_passes_through_its_nodes(scale: Tensor | None) -> None:
    interval = Interval.of(torch.tensor([[-3.0, 5.0]], dtype=torch.float64), scale)
    t = interval.points(10)
    assert float(t.min()) > -3
    assert float(t.max()) < 5
    torch.testing.assert_close(Curve.through(t.cos(), interval)(t), t.cos())


# ---- the layer


def reference(layer: FullAttention, y: Tensor) -> Tensor:
    """Eqs. 2-7, written with the table."""
    n, c, height, width = y.shape
    if layer.spatial:
        f, g, h = (conv(y).reshape(n, 1, -1) for conv in (layer.f, layer.g, layer.h))
        y_sr = (h @ torch.softmax(f.transpose(1, 2) @ g, dim=1)).reshape(n, 1, height, width)
    else:
        y_sr = torch.zeros_like(y[:, :1])
    attended = y + y_sr
    if layer.mlp is None:
        return attended
    largest = torch.sigmoid(layer.mlp(torch.nn.functional.adaptive_max_pool2d(attended, 1).flatten(1)))
    mean = torch.sigmoid(layer.mlp(torch.nn.functional.adaptive_avg_pool2d(attended, 1).flatten(1)))
    return largest.reshape(n, c, 1, 1) * attended + mean.reshape(n, c, 1, 1) * attended + y


@pytest.mark.parametrize(("spatial", "channel"), [(True, True), (True, False), (False, True)])
def test_the_layer_is_the_paper(spatial: bool, channel: bool) -> None:
    torch.manual_seed(0)
    layer = FullAttention(6, spatial, channel).double()
    y = torch.randn(2, 6, 12, 20, dtype=torch.float64, requires_grad=True)
    found, wanted = layer(y), reference(layer, y)
    torch.testing.assert_close(found, wanted, atol=1e-9, rtol=0)
    parameters = [y, *layer.parameters()]
    weights = torch.randn_like(found)
    for a, b in zip(
        torch.autograd.grad((found * weights).sum(), parameters),
        torch.autograd.grad((wanted * weights).sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(a, b, atol=1e-8, rtol=1e-8)


def test_parameters_of_the_widest_level() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in FullAttention(1024).parameters()) == 2_102_275


def test_bfloat16_autocast_leaves_the_softmax_alone() -> None:
    torch.manual_seed(0)
    layer = FullAttention(16)
    y = torch.randn(1, 16, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        z = layer(y.bfloat16())
        assert layer.maps(y.bfloat16()).dtype == torch.float32
    assert z.dtype == torch.bfloat16
    torch.testing.assert_close(z.float(), layer(y), atol=0.05, rtol=0.02)


def test_fixed_nodes_export() -> None:
    """No branch on data is left: the exported graph answers another picture."""
    torch.manual_seed(0)
    layer = FullAttention(4, nodes=16).requires_grad_(False)
    with torch.no_grad():
        exported = torch.export.export(layer, (torch.randn(1, 4, 8, 8),)).module()
        y = torch.randn(1, 4, 8, 8)
        torch.testing.assert_close(exported(y), layer(y))
