"""Pictures that an uneven motion blur has moved: how far, in which direction, and back."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import skimage.data
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from restauro.degrade.blur import MotionBlur
from restauro.nets.layers.recentre import LEAST_PX, MOST_PX, Recentre, moments, translated
from restauro.nets.residual_unet import ResidualUNet
from restauro.restore.engine import EngineSettings, run


def _face() -> Tensor:
    return torch.from_numpy(skimage.data.astronaut()[:200, 120:320].copy()).permute(2, 0, 1)[None].float() / 255


def _with_weights(net: Recentre) -> Recentre:
    torch.manual_seed(0)
    nn.init.normal_(net.last.weight, std=5.0)
    return net


def _loud(net: nn.Module) -> None:
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.1)


@pytest.mark.parametrize(
    ("turn", "wanted"),
    [
        (lambda x: x.flip(2), lambda shift: shift * torch.tensor([-1.0, 1.0])),
        (lambda x: x.flip(3), lambda shift: shift * torch.tensor([1.0, -1.0])),
        (lambda x: x.transpose(2, 3), lambda shift: shift.flip(1)),
        (lambda x: x.rot90(2, (2, 3)), lambda shift: -shift),
    ],
    ids=["down", "across", "transposed", "half a turn"],
)
def test_a_turned_picture_has_a_turned_shift(turn, wanted):
    torch.manual_seed(0)
    net, x = _with_weights(Recentre(8)), MotionBlur(15, 25, ramp=0.9)(_face())
    found = net(x)
    assert float(found.detach().norm()) > 0.1
    torch.testing.assert_close(net(turn(x)), wanted(found), atol=0.01, rtol=0)  # differences of sums that are alike


@pytest.mark.parametrize("down", [True, False])
def test_odd_moments_tell_the_heavy_end(down: bool):
    def along(ramp: float) -> Tensor:
        _, odd = moments(MotionBlur(15, 0 if down else 90, ramp)(_face()))
        return odd[0, 0 if down else 6].view(3, 4, 2)[:, :3]  # of distances below the line's length

    upper, even, lower = along(0.9), along(0.5), along(0.1)
    assert (upper * lower < 0).all()
    assert (upper.sign() == upper[0, 0, 0].sign()).all()
    assert (even.abs() < torch.minimum(upper.abs(), lower.abs())).all()


def test_moments_are_those_of_all_pairs_of_places():
    # size 1 px; the Gaussian filters are scipy's
    x = torch.rand(1, 3, 50, 41, dtype=torch.float64)
    grey = np.tensordot(np.array([0.299, 0.587, 0.114]), x[0].numpy(), 1)
    down, across = (-gaussian_filter(grey, 1, order, mode="mirror", radius=3) for order in ((1, 0), (0, 1)))
    around = np.sqrt(gaussian_filter(down**2 + across**2, 10, mode="mirror", radius=30)) + 1e-3
    even, odd = moments(x.float())
    for direction, lag, to in ((0, 2, (8, 0)), (3, 1, (3, 3)), (6, 3, (0, 14)), (8, 3, (-7, 12)), (11, 0, (-2, 1))):
        angle = math.pi * direction / 12
        slope = math.cos(angle) * down + math.sin(angle) * across
        pairs = [(p, p[0] + to[0], p[1] + to[1]) for p in np.ndindex(grey.shape)]
        pairs = [(p, (y, x)) for p, y, x in pairs if 0 <= y < grey.shape[0] and 0 <= x < grey.shape[1]]
        first, second = (tuple(np.array([pair[end] for pair in pairs]).T) for end in (0, 1))
        wanted = []
        for v, softness in ((np.abs(slope) / np.sqrt(np.mean(slope**2)), 1.5), (np.abs(slope) / around, 0.4)):
            f, g = v, v / (v + softness)
            wanted.append(np.sum(f[first] * g[second] - g[first] * f[second]) / grey.size)
        np.testing.assert_allclose(odd[0, direction, 2 * lag : 2 * lag + 2], wanted, rtol=1e-3, atol=2e-7)
        alike = np.sum(slope[first] * slope[second]) / np.sum(slope**2)
        assert float(even[0, direction, 2 + lag]) == pytest.approx(alike, abs=1e-5)


@pytest.mark.parametrize("length", [0.9 * LEAST_PX, 1.5, 100.0])
def test_shifts_that_are_small_are_not_made_and_large_ones_are_limited(length: float):
    net = _with_weights(Recentre(8))
    even, odd = moments(torch.rand(1, 3, 48, 48))
    net.last.weight.data *= length / net.shift(even, odd).detach().norm()
    asked = net.shift(even, odd).detach()
    assert float(asked.norm()) == pytest.approx(length, rel=1e-4)
    made = net.eval().shift(even, odd).detach()
    wanted = 0 if length < LEAST_PX else min(MOST_PX, length * (1 - (LEAST_PX / length) ** 2))
    torch.testing.assert_close(made, asked / length * wanted, rtol=1e-4, atol=1e-6)


def test_it_learns_from_nothing():
    net = Recentre(8).train()
    x = torch.rand(2, 3, 40, 40)
    y = torch.rand(2, 3, 40, 40, requires_grad=True)
    moved = translated(y, net(x))
    assert torch.equal(moved, y)
    moved.square().sum().backward()
    assert net.last.weight.grad is not None
    assert float(net.last.weight.grad.abs().max()) > 0
    assert torch.equal(y.grad, 2 * y.detach())


def test_whole_pixels_are_moved_exactly_and_curves_between_them():
    x = torch.rand(2, 3, 12, 14, dtype=torch.float64)
    y = translated(x, torch.tensor([[2.0, -3.0], [0.0, 0.0]], dtype=torch.float64))
    assert torch.equal(y[0, :, 2:, :-3], x[0, :, :-2, 3:])
    assert torch.equal(y[1], x[1])
    t = torch.arange(20.0, dtype=torch.float64)
    curve = (t**2 / 100).expand(1, 1, 20, 20)
    moved = translated(curve, torch.tensor([[0.0, 0.3]], dtype=torch.float64))
    torch.testing.assert_close(moved[..., 3:-3], ((t - 0.3) ** 2 / 100).expand(1, 1, 20, 20)[..., 3:-3])


def test_it_is_differentiable():
    y = torch.rand(1, 1, 6, 7, dtype=torch.float64, requires_grad=True)
    shift = torch.tensor([[0.3, -1.4]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(translated, (y, shift))


def test_a_network_with_it_goes_on_where_one_without_it_was():
    plain, net = ResidualUNet(4, 1), ResidualUNet(4, 1, recentre=8).eval()
    _loud(plain)
    kept = net.load_state_dict(plain.state_dict(), strict=False)
    assert {name.split(".")[0] for name in kept.missing_keys} == {"recentre"}
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(net(x), plain(x))


def test_tiles_of_a_picture_are_moved_alike():
    torch.manual_seed(1)
    net = ResidualUNet(2, 1, growth="1 1", recentre=8).eval()
    _loud(net.head)
    net.head.weight.data *= 0.1
    _with_weights(net.recentre)
    net.recentre.last.weight.data *= 3
    x = np.ascontiguousarray(MotionBlur(15, 25, ramp=0.9)(_face())[0].permute(1, 2, 0).numpy())
    with torch.no_grad():
        shift = net.recentre(torch.from_numpy(x).permute(2, 0, 1)[None])
    assert 1 < float(shift.norm()) < MOST_PX + 1e-3
    whole = run(net, net.facts, x, EngineSettings(device="cpu"))
    tiled = run(net, net.facts, x, EngineSettings(device="cpu", tile_px=96))
    assert whole.tiles == 1 < tiled.tiles
    np.testing.assert_allclose(tiled.pixels, whole.pixels, atol=1e-5)
    assert float(np.abs(whole.pixels - x).max()) > 0.05
    assert replace(net.facts, global_statistics=False) == net.seeing(torch.rand(1, 3, 32, 32), 32).facts
