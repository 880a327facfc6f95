"""Dead units of networks, woken."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from restauro.models import find, load, save_weights
from restauro.nets.desmoothgan import DeSmoothGAN, DeSmoothGANSettings
from restauro.train import checkpoint
from restauro.train.loop import train
from restauro.train.revive import count_dead, revive
from restauro.train.step import Training
from tests.train.small import make_pictures, tiny
from tools import count_dead_units

OPTIONS = {"width": 4, "norm": "none", "residual": True}
PICTURES = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(2))


def _net(refine: int = 0, dead: dict[str, list[int]] | None = None) -> DeSmoothGAN:
    """A network that does something, with some dead units that weigh in what follows."""
    torch.manual_seed(1)
    net = DeSmoothGAN(DeSmoothGANSettings(4, 3, "none", residual=True, refine=refine))
    for layer in (net.head, *([net.refine.last] if net.refine else [])):
        nn.init.normal_(layer.weight, std=0.2)
    layers = {"bottom": net.down[-1], "up.0": net.up[0], "up.1": net.up[1]}
    for name, layer in layers.items():
        with torch.no_grad():
            layer.bias += 3  # all others are awake
            layer.bias[(dead or {}).get(name, [])] = -99
    return net


DEAD = {"bottom": [0, 3, 7], "up.0": [1], "up.1": [0, 2]}


@pytest.mark.parametrize("refine", [0, 3])
def test_the_network_does_what_it_did_and_its_dead_units_learn(refine: int):
    net = _net(refine, DEAD)
    before = net(PICTURES)
    dead = count_dead(net, PICTURES)
    found = revive(net, PICTURES, torch.Generator().manual_seed(0))
    assert dead == found == {"bottom": (3, 16), "up.0": (1, 8), "up.1": (2, 4)}
    torch.testing.assert_close(net(PICTURES), before, atol=1e-5, rtol=0)
    assert not any(dead for dead, _ in count_dead(net, PICTURES).values()), "they are awake"
    net(PICTURES).square().sum().backward()
    bottom = net.up[0].weight.grad
    assert bottom is not None
    assert bottom[DEAD["bottom"]].abs().amax(dim=(1, 2, 3)).min() > 0, "weights out learn at once"
    ends = [net.head] if net.refine is None else [net.head, net.refine.spread]
    for end in ends:
        assert end.weight.grad is not None
        assert end.weight.grad[[4, 6]].abs().amax(dim=(1, 2, 3)).min() > 0


@pytest.mark.parametrize("gain", [0.01, 100.0])
def test_woken_units_have_mean_0_and_the_deviation_of_the_layers_input(gain: float):
    net = _net(dead=DEAD)
    with torch.no_grad():
        net.down[-2].weight *= gain
        net.down[-2].bias *= gain
    revive(net, PICTURES, torch.Generator())
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    net.down[-1].register_forward_hook(lambda _, given, made: seen.append((given[0], made[:, DEAD["bottom"]])))
    with torch.no_grad():
        net(PICTURES)
    given, woken = seen[0]
    wanted = min(1.0, float(given.square().mean((0, 2, 3)).sqrt().median()))
    torch.testing.assert_close(woken.mean((0, 2, 3)), torch.zeros(3), atol=1e-3 * wanted, rtol=0)
    torch.testing.assert_close(woken.std((0, 2, 3)), torch.full((3,), wanted), atol=0, rtol=1e-3)


def test_living_units_are_left_alone():
    net = _net()
    state = {name: value.clone() for name, value in net.state_dict().items()}
    assert not any(dead for dead, _ in revive(net, PICTURES, torch.Generator()).values())
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("settings", [{"norm": "batch"}, {"norm": "none", "modulation": "spatial"}])
def test_layers_with_more_than_a_relu_behind_them_are_left_alone(settings: dict[str, str]):
    net = DeSmoothGAN(DeSmoothGANSettings(4, 3, **settings))  # type: ignore[arg-type]
    assert revive(net, PICTURES, torch.Generator()) == {}


def test_a_run_revives_once_and_the_weights_say_so(tmp_path: Path):
    root = make_pictures(tmp_path)
    torch.manual_seed(0)
    start = tmp_path / "start.safetensors"
    net = DeSmoothGAN(DeSmoothGANSettings(4, 5, "none", residual=True))
    nn.init.normal_(net.head.weight, std=0.1)
    with torch.no_grad():
        net.down[-1].bias.fill_(-99)
    save_weights(net, start, "desmoothgan", OPTIONS, {})
    recipe = tiny(start=str(start), revive=True, ema=0.0)
    assert train(recipe, root=root, run=tmp_path / "run", minutes=0) is None, "stopped before the first step"
    kept = checkpoint.load(tmp_path / "run" / "checkpoint.pt")
    woken = kept["net"]["down.4.bias"]
    assert woken.abs().max() < 99
    assert torch.equal(kept["average"]["module.down.4.bias"], woken), "the average starts there too"
    made = train(recipe, root=root, run=tmp_path / "run", resume=True)
    assert made is not None
    assert find(str(made)).metadata["revived"].startswith("32 of 32 in bottom, ")
    later = checkpoint.load(tmp_path / "run" / "checkpoint.pt")["net"]["down.4.bias"]
    assert (later - woken).abs().max() < 0.1, "and are not woken again"


def test_revive_wants_a_start_that_it_is_for():
    for changes in ({}, {"start": "a", "model": {"architecture": "desmoothgan", "options": {"norm": "batch"}}}):
        with pytest.raises(ValueError, match="'revive' for a start"):
            tiny(revive=True, **changes)
    assert Training(tiny()).notes == {}


def test_the_tool_counts_on_the_crops_that_a_run_looks_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    root = make_pictures(tmp_path)
    net = DeSmoothGAN(DeSmoothGANSettings(4, 5, "none", residual=True))
    with torch.no_grad():
        net.down[-1].bias.fill_(99)
        net.down[-1].bias[:5] = -99
    save_weights(net, tmp_path / "five.safetensors", "desmoothgan", OPTIONS, {})
    monkeypatch.setattr(count_dead_units, "read_recipe", lambda path: tiny())
    monkeypatch.setattr(count_dead_units, "load", lambda name: load(tmp_path / f"{name}.safetensors"))
    monkeypatch.setattr("sys.argv", ["count_dead_units.py", "five", "--root", str(root)])
    count_dead_units.main()
    head, _, row = capsys.readouterr().out.splitlines()
    assert head == "| | bottom | up.0 | up.1 | up.2 | up.3 |"
    assert row.startswith("| `five` | 5 of 32 | ")
