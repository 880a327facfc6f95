"""Winograd's convolutions in training: values and gradients of torch's own, wherever they are run."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from restauro.nets.residual_unet import ResidualUNet
from restauro.train import winograd
from restauro.train.step import Training
from restauro.train.winograd import QuickConv2d, quicken
from tests.train.small import tiny


def _run(net: nn.Module, x: Tensor) -> list[Tensor]:
    """The output, and the gradients of a sum of it with unequal weights: of x, then of the parameters."""
    x = x.detach().clone().requires_grad_()
    net.zero_grad()
    y = net(x)
    (y * torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y)).sum().backward()
    assert x.grad is not None
    return [y.detach(), x.grad] + [one.grad.clone() for one in net.parameters() if one.grad is not None]


def _both(conv: nn.Conv2d) -> tuple[nn.Conv2d, nn.Conv2d]:
    net = nn.Sequential(deepcopy(conv))
    quicken(net)
    quick = net[0]
    assert type(quick) is QuickConv2d
    return conv, quick


def _calls(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """The shapes that go through the transforms from here on."""
    seen: list[torch.Size] = []
    plain = winograd._Filtered.apply
    monkeypatch.setattr(winograd._Filtered, "apply", lambda x, weight: (seen.append(x.shape), plain(x, weight))[1])
    return seen


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 64, 4, 4), (3, 64, 8, 12), (2, 72, 64, 68), (5, 64, 36, 32)])
def test_values_and_gradients_are_those_of_torch(shape: tuple[int, ...], bias: bool, monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    conv, quick = _both(nn.Conv2d(shape[1], 65, 3, padding=1, bias=bias, dtype=torch.float64))
    x, seen = torch.randn(shape, dtype=torch.float64), _calls(monkeypatch)
    for made, wanted in zip(_run(quick, x), _run(conv, x), strict=True):
        torch.testing.assert_close(made, wanted, rtol=1e-10, atol=1e-10 * float(wanted.abs().max()))
    assert seen == [torch.Size(shape)]


def test_float32_loses_a_digit_and_no_more():
    torch.manual_seed(0)
    conv, quick = _both(nn.Conv2d(128, 128, 3, padding=1))
    x = torch.randn(2, 128, 32, 32)
    for made, wanted in zip(_run(quick, x), _run(conv, x), strict=True):
        assert float((made - wanted).abs().max()) < 3e-5 * float(wanted.abs().max())


def test_elsewhere_the_convolution_itself_is_run(monkeypatch: pytest.MonkeyPatch):
    conv, quick = _both(nn.Conv2d(64, 64, 3, padding=1))
    seen = _calls(monkeypatch)
    for shape in ((1, 64, 6, 8), (1, 64, 8, 9), (1, 64, 64, 132)):
        x = torch.randn(shape)
        assert torch.equal(quick(x), conv(x))
    x = torch.randn(1, 64, 8, 8)
    with torch.no_grad():
        assert torch.equal(quick(x), conv(x))
    with torch.autocast("cpu", torch.bfloat16):
        assert quick(x).dtype == torch.bfloat16
    assert not seen
    quick(x)
    assert len(seen) == 1


def test_what_is_frozen_gets_no_gradient():
    conv, quick = _both(nn.Conv2d(64, 64, 3, padding=1).requires_grad_(False))
    x = torch.randn(1, 64, 8, 8)
    made, wanted = _run(quick, x), _run(conv, x)
    assert len(made) == len(wanted) == 2
    torch.testing.assert_close(made[1], wanted[1], rtol=1e-4, atol=1e-3)
    quick.requires_grad_(True)
    quick(x).sum().backward()
    assert quick.weight.grad is not None


def test_a_second_derivative_is_refused_and_not_wrong():
    _, quick = _both(nn.Conv2d(64, 64, 3, padding=1))
    x = torch.randn(1, 64, 8, 8, requires_grad=True)
    (slope,) = torch.autograd.grad(quick(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


def test_only_what_pays_is_replaced_and_a_copy_stays_quick():
    net = nn.Sequential(
        nn.Conv2d(64, 64, 1),
        nn.Conv2d(64, 64, 3),
        nn.Conv2d(64, 64, 3, padding=1, stride=2),
        nn.Conv2d(63, 64, 3, padding=1),
        nn.Conv2d(64, 64, 3, padding=1, padding_mode="reflect"),
        nn.utils.parametrizations.spectral_norm(nn.Conv2d(64, 64, 3, padding=1)),
        nn.Conv2d(64, 64, 3, padding=1),
    )
    names = list(net.state_dict())
    quicken(net)
    assert [type(one) is QuickConv2d for one in net] == [False] * 6 + [True]
    assert list(net.state_dict()) == names
    assert type(deepcopy(net)[-1]) is QuickConv2d


def test_a_network_learns_the_same(monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    net = ResidualUNet(64, 1, growth="1 1.5")
    with torch.no_grad():
        net.head.weight.normal_(std=0.01)
    other = deepcopy(net)
    quicken(other)
    x, seen = torch.rand(2, 3, 32, 48), _calls(monkeypatch)
    for made, wanted in zip(_run(other, x), _run(net, x), strict=True):
        assert float((made - wanted).abs().max()) < 1e-4 * float(wanted.abs().max())
    assert len(seen) == 6


@pytest.mark.parametrize(("has", "wanted"), [("AVX2", True), ("AVX512", False), ("DEFAULT", False)])
def test_training_asks_the_processor(has: str, wanted: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: has)
    options = {"width": 64, "blocks": 1, "growth": "1 1"}
    recipe = tiny()
    recipe = recipe.model_copy(
        update={"model": recipe.model.model_copy(update={"architecture": "residual-unet", "options": options})}
    )
    state = Training(recipe)
    assert any(type(one) is QuickConv2d for one in state.net.modules()) is wanted
    assert not winograd.pays(torch.device("cuda"))
