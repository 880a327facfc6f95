"""The published SPADE generator: sizes, names and the block's equation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from restauro.errors import SettingError
from restauro.nets.layers.fold import fold
from restauro.nets.spade import SpadeBlock, SpadeGenerator, resize_guide


@pytest.fixture(autouse=True)
def _one_thread():
    """Small networks: on a busy machine threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"guide_channels": 36}, 93_048_003),
        ({"guide_channels": 13, "size": "more"}, 92_359_107),  # one more doubling, no more weights
    ],
)
def test_published_sizes(options: dict, count: int):
    with torch.device("meta"):
        net = SpadeGenerator(**options)
    assert sum(p.numel() for p in net.parameters()) == count


def test_most_has_an_eighth_block():
    """The sheet of counts: 56.85 million at width 48 and 3 channels."""
    with torch.device("meta"):
        net = SpadeGenerator(3, 48, size="most")
    assert sum(p.numel() for p in net.parameters()) // 10_000 == 5685


def test_names_are_the_published_ones():
    names = set(SpadeGenerator(5, width=2).state_dict())
    assert {name.split(".")[0] for name in names} == {
        *("fc", "head_0", "G_middle_0", "G_middle_1", "up_0", "up_1", "up_2", "up_3", "conv_img")
    }
    for name in ("norm_0.mlp_shared.0.weight", "norm_1.mlp_gamma.bias", "norm_s.param_free_norm.running_var"):
        assert f"up_0.{name}" in names
    assert "up_0.conv_s.bias" not in names
    assert "head_0.norm_s.mlp_beta.weight" not in names


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_the_block_is_the_paper(norm: str):
    torch.manual_seed(0)
    block = SpadeBlock(6, 4, 3, hidden=5, norm=norm)  # type: ignore[arg-type]
    y, guide = torch.randn(2, 6, 8, 8), torch.rand(2, 3, 8, 8)
    block(y, guide)  # in training: running statistics move
    block.eval()

    def modulated(spade: nn.Module, y: Tensor) -> Tensor:
        free = spade.param_free_norm
        if norm == "batch":
            mean, variance = free.running_mean[:, None, None], free.running_var[:, None, None]
        else:
            mean, variance = y.mean((2, 3), keepdim=True), y.var((2, 3), keepdim=True, unbiased=False)
        hidden = spade.mlp_shared[0](guide).relu()
        return (y - mean) / (variance + 1e-5).sqrt() * (1 + spade.mlp_gamma(hidden)) + spade.mlp_beta(hidden)

    middle = block.conv_0(nn.functional.leaky_relu(modulated(block.norm_0, y), 0.2))
    wanted = block.conv_1(nn.functional.leaky_relu(modulated(block.norm_1, middle), 0.2))
    wanted = wanted + block.conv_s(modulated(block.norm_s, y))
    torch.testing.assert_close(block(y, guide), wanted)


def test_spectral_norm_is_one_after_settling():
    torch.manual_seed(0)
    block = SpadeBlock(6, 4, 3, hidden=5, norm="batch")
    for _ in range(30):
        weight = block.conv_0.weight
    assert float(torch.linalg.matrix_norm(weight.detach().flatten(1), 2)) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("size", ["normal", "more", "most"])
def test_every_size_answers(size: str):
    net = SpadeGenerator(4, width=2, size=size, hidden=4).eval()  # type: ignore[arg-type]
    side = net.facts.multiple
    labels = nn.functional.one_hot(torch.randint(4, (1, side, 2 * side)), 4).permute(0, 3, 1, 2).float()
    y = net(labels)
    assert y.shape == (1, 3, side, 2 * side)
    assert bool(((y >= 0) & (y <= 1)).all())


@pytest.mark.parametrize("resize", ["nearest", "area"])
def test_guides_shrink_as_torch_shrinks_them(resize: str):
    guide = torch.rand(1, 2, 16, 24)
    mode = {"nearest": "nearest", "area": "area"}[resize]
    wanted = nn.functional.interpolate(guide, scale_factor=1 / 8, mode=mode)
    torch.testing.assert_close(resize_guide(guide, 8, resize), wanted)  # type: ignore[arg-type]


def test_halo_is_the_exact_receptive_field():
    net = fold(SpadeGenerator(3, width=1, hidden=1, picture=True, residual=True)).double()
    for p in net.parameters():
        p.data = torch.full_like(p, 0.01 if p.dim() > 1 else 1)
    x = torch.full((1, 3, 32, 704), 0.6, dtype=torch.float64, requires_grad=True)
    y = net(x)
    reach = 0
    for at in range(412, 416):  # the last above a pixel of the smallest map; all 32 were tried once
        (gradient,) = torch.autograd.grad(y[0, 0, 16, at], x, retain_graph=True)
        touched = gradient[0].abs().sum((0, 1)).nonzero()
        reach = max(reach, int((touched - at).abs().max()))
    assert reach == net.facts.halo_px == 254


def test_wrong_settings_are_named():
    for options, name in (
        ({"width": 0}, "width"),
        ({"size": "large"}, "size"),
        ({"norm": "none"}, "norm"),
        ({"resize": "cubic"}, "resize"),
        ({"residual": True}, "residual"),
    ):
        with pytest.raises(SettingError, match=f"{name}: found"):
            SpadeGenerator(**{"width": 1, "hidden": 1, **options})
