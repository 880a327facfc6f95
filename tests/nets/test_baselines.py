"""The networks SASNet is compared with: their sizes and costs are what ties them to their papers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from torch import Tensor, nn

from restauro.errors import SettingError
from restauro.nets.deaf import DEAF, build_deaf, solve
from restauro.nets.drf import DRF, build_drf, grey_gradients, scan, scan_twice
from restauro.nets.jessnet import JESSNet, build_jessnet
from restauro.nets.resnet import ResNet, build_resnet
from restauro.nets.unet import UNet, build_autoencoder, build_unet
from tests.nets.costs import gflop, gmac, on_meta, parameters, reach_px, shake

SMALL: dict[str, Callable[[], nn.Module]] = {
    "unet": lambda: build_unet(width=4, downs=3),
    "autoencoder": lambda: build_autoencoder(width=4, downs=3),
    "deaf": lambda: build_deaf(width=8),
    "drf": lambda: build_drf(width=4),
    "resnet": lambda: build_resnet(width=8, depth=2),
    "jessnet": lambda: build_jessnet(width=4),
}


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (build_unet, 4_365_915),
        (build_autoencoder, 3_925_275),
        (build_deaf, 311_811),
        (lambda: build_deaf(width=512), 754_691),
        (build_drf, 147_677),
        (build_resnet, 1_961_091),
        (build_jessnet, 3_417_863),
    ],
)
def test_parameters(build: Callable[[], nn.Module], count: int):
    net, _ = on_meta(build)
    assert parameters(net) == count


def test_jessnet_costs_what_table_2_says():
    """672.04 G to the last digit: so the table counts multiply-accumulates as ptflops does."""
    net, x = on_meta(build_jessnet)
    assert sum(isinstance(module, nn.ReLU) for module in net.modules()) == 5  # the counter does not see functions
    assert gmac(net, lambda: net(x)) == pytest.approx(672.04, abs=0.005)


@pytest.mark.parametrize(
    ("build", "mac", "flop"),
    [(build_drf, 7.65, 15.2), (build_resnet, 385.9, 769.2), (build_unet, 23.2, 40.8), (build_deaf, 125.9, 251.6)],
)
def test_cost_at_512_by_384(build: Callable[[], nn.Module], mac: float, flop: float):
    """Table 2 says 14.42 for DRF and 719.04 for ResNet: 5 and 7 % below the second kind of number here."""
    net, x = on_meta(build)
    assert gmac(net, lambda: net(x)) == pytest.approx(mac, rel=0.005)
    assert gflop(lambda: net(x)) == pytest.approx(flop, rel=0.005)


@pytest.mark.parametrize("name", SMALL)
def test_answers_a_picture_of_the_same_shape_and_learns(name: str):
    torch.manual_seed(0)
    net = SMALL[name]()
    multiple = net.facts.multiple
    x = torch.rand(2, 3, 2 * multiple, 3 * multiple)
    y = net(x)
    assert y.shape == x.shape
    (y - 0.5).square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())
    net.eval()
    assert torch.equal(net(x), net(x))
    torch.testing.assert_close(net(x)[1:], net(x[1:]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", SMALL)
def test_learns_to_smooth(name: str):
    """Fifteen steps on one textured picture bring it nearer to what is wanted: the wiring works from end to end."""
    torch.manual_seed(0)
    truth = torch.linspace(0.2, 0.8, 48).expand(1, 3, 16, 48)
    x = truth + 0.1 * torch.randn(1, 3, 16, 48)
    net = SMALL[name]()
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    losses = []
    for _ in range(15):
        loss = (net(x) - truth).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize(
    ("build", "halo"),
    [
        (lambda: UNet(2, 2), 23),
        (lambda: UNet(2, 2, skips=False), 23),
        (lambda: UNet(2, 3), 51),
        (lambda: ResNet(2, 2), 8),
        (lambda: JESSNet(1), 183),
    ],
)
def test_halo_is_the_exact_receptive_field(build: Callable[[], nn.Module], halo: int):
    """Positive weights let nothing cancel: the farthest input that matters is exactly halo_px away."""
    torch.manual_seed(0)
    net = build().double().eval()
    assert net.facts.halo_px == halo
    for p in net.parameters():
        p.data = (torch.rand_like(p) + 0.5) / p[0].numel()
    multiple = net.facts.multiple
    side = 2 * (halo // multiple + 2) * multiple
    assert reach_px(net, side, range(side // 2, side // 2 + multiple)) == halo


class TestDeaf:
    def test_solve_equals_a_dense_solve(self):
        """The normal equations of the paper's quadratic, with periodic differences, on 5 x 7 pixels."""
        rng = np.random.default_rng(0)
        height, width, beta = 5, 7, 13.0
        x, h, v = rng.random((3, height, width))
        eye = np.eye(height * width).reshape(height, width, -1)
        dx = (np.roll(eye, -1, 1) - eye).reshape(height * width, -1)
        dy = (np.roll(eye, -1, 0) - eye).reshape(height * width, -1)
        system = np.eye(height * width) + beta * (dx.T @ dx + dy.T @ dy)
        expected = np.linalg.solve(system, x.ravel() + beta * (dx.T @ h.ravel() + dy.T @ v.ravel()))
        found = solve(*(torch.from_numpy(t)[None, None] for t in (x, h, v)), beta)
        np.testing.assert_allclose(found.numpy().ravel(), expected, atol=1e-12)

    def test_transposing_the_picture_transposes_the_result(self):
        net = shake(DEAF(8)).eval().requires_grad_(False)
        x = torch.rand(1, 3, 13, 10)
        torch.testing.assert_close(net(x.mT), net(x).mT, atol=1e-5, rtol=0)

    def test_inside_equals_the_published_layers_without_padding(self):
        """16x16 valid, 1x1, 8x8 over everything: 64 become 56, of which the outer 7 see the cut."""
        net = shake(DEAF(8)).eval().requires_grad_(False)
        x = torch.rand(1, 3, 64, 64)
        d = 2 * (x.roll(-1, dims=-2) - x)
        hidden = F.conv2d(F.conv2d(d, net.conv1.weight, net.conv1.bias).relu(), net.conv2.weight, net.conv2.bias).relu()
        published = F.conv2d(hidden, net.conv3.weight, net.conv3.bias, padding=7) / 2
        assert published.shape[2:] == (56, 56)
        ours = net.vertical(x)[:, :, 4:60, 4:60]
        torch.testing.assert_close(ours[..., 7:-7, 7:-7], published[..., 7:-7, 7:-7], atol=1e-5, rtol=0)

    def test_any_size_and_the_mean_stays(self):
        net = shake(DEAF(4), 0.1).eval().requires_grad_(False)
        for height, width in ((1, 1), (1, 9), (5, 2), (31, 17)):
            x = torch.rand(1, 3, height, width)
            y = net(x)
            assert y.shape == x.shape
            torch.testing.assert_close(y.mean((2, 3)), x.mean((2, 3)), atol=1e-6, rtol=0)

    def test_bfloat16_around_it_leaves_the_solve_in_float32(self):
        net = shake(DEAF(4), 0.1).eval().requires_grad_(False)
        x = torch.rand(1, 3, 16, 16)
        with torch.autocast("cpu", torch.bfloat16):
            assert net(x).dtype == torch.float32


class TestDrf:
    @settings(max_examples=15, deadline=None)
    @given(st.integers(1, 40), st.floats(-0.99, 0.99), st.integers(0, 2**31))
    def test_scan_equals_a_recursive_filter_where_the_gate_is_constant(self, length: int, gate: float, seed: int):
        x = np.random.default_rng(seed).standard_normal(length)
        expected = lfilter([1 - gate], [1, -gate], x)
        found = scan(torch.from_numpy(x), torch.full((length,), gate, dtype=torch.float64), dim=0)
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-10)

    def test_scan_follows_its_equation_along_any_axis(self):
        x, gate = torch.rand(2, 1, 2, 3, 4, 5).unbind()
        for dim in range(x.dim()):
            h = scan(x, gate, dim)
            before = torch.cat([torch.zeros_like(h.narrow(dim, 0, 1)), h.narrow(dim, 0, h.shape[dim] - 1)], dim)
            torch.testing.assert_close(h, (1 - gate) * x + gate * before)

    def test_gates_of_zero_keep_and_negative_direction_mirrors(self):
        x, zero = torch.rand(1, 2, 4, 6), torch.zeros(1, 2, 4, 6)
        assert torch.equal(scan(x, zero, 3), x)
        first, second = torch.rand(2, 1, 2, 4, 6).unbind()
        ahead, back = scan_twice(x, first, second, 3)
        mirrored, _ = scan_twice(*(t.flip(3) for t in (x, first, second)), 3)
        torch.testing.assert_close(back, mirrored.flip(3))
        torch.testing.assert_close(ahead, scan(scan(x, first, 3), second, 3))

    def test_gradients_are_forward_differences_of_the_grey_picture(self, astronaut: Tensor):
        grey = (astronaut[:, 0] * 0.299 + astronaut[:, 1] * 0.587 + astronaut[:, 2] * 0.114)[0]
        dx, dy = grey_gradients(astronaut)[0]
        torch.testing.assert_close(dx[:, :-1], grey[:, 1:] - grey[:, :-1], atol=1e-6, rtol=0)
        torch.testing.assert_close(dy[:-1], grey[1:] - grey[:-1], atol=1e-6, rtol=0)
        assert not dx[:, -1].any()
        assert not dy[-1].any()

    def test_result_is_in_range(self):
        y = shake(DRF(4), 3.0).eval()(torch.rand(1, 3, 16, 32))
        assert 0 <= float(y.detach().min()) <= float(y.detach().max()) <= 1


def test_past_the_bottleneck_only_skips_know_the_picture():
    x = torch.rand(2, 3, 16, 16)
    for skips in (True, False):
        net = shake(UNet(4, 4, skips=skips)).requires_grad_(False)
        net.encode[4].register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
        one, other = net(x)
        assert torch.equal(one, other) != skips


def test_resnet_changes_a_pixel_by_at_most_half():
    net = shake(ResNet(4, 1), 5.0).eval()
    x = torch.rand(1, 3, 8, 8)
    change = (net(x) - x).detach().abs().max()
    assert 0.3 < float(change) <= 0.5 + 1e-6


def test_jessnet_adds_its_correction_to_the_first_picture():
    net = shake(JESSNet(4)).eval().requires_grad_(False)
    x = torch.rand(1, 3, 8, 8)
    edges, first, final = net.stages(x)
    features = net.trunk(x)
    assert torch.equal(final, net(x))
    torch.testing.assert_close(final - first, net.refine(torch.cat([features, edges, first], dim=1)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: build_unet(width=0), "width: found 0"),
        (lambda: build_autoencoder(downs=9), "downs: found 9"),
        (lambda: build_deaf(beta=0.0), "beta: found 0.0"),
        (lambda: build_deaf(width=0), "width: found 0"),
        (lambda: build_drf(width=0), "width: found 0"),
        (lambda: build_resnet(depth=0), "depth: found 0"),
        (lambda: build_jessnet(width=0), "width: found 0"),
    ],
)
def test_wrong_settings_are_named(build: Callable[[], nn.Module], message: str):
    with pytest.raises(SettingError, match=message):
        build()
