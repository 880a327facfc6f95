"""The counts are the fact that ties the networks to the paper's Table 1 (16M and 41M, truncated)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from restauro.errors import SettingError
from restauro.nets.desmoothgan import ROWS, DeSmoothGAN, DeSmoothGANSettings, Pix2Pix, build_desmoothgan, with_steps
from restauro.nets.layers.fold import fold
from restauro.nets.layers.sft import SFT
from restauro.nets.whole_picture import WholePicture

VARIANTS = (*ROWS, "spade")


@pytest.fixture(autouse=True)
def _one_thread():
    """Small networks: on a busy machine threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def size(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def lived_in(variant: str, seed: int = 0, **options) -> nn.Module:
    """A small network with running statistics and a last layer that are not those of a new one."""
    torch.manual_seed(seed)
    net = build_desmoothgan(variant, width=8, **options)
    with torch.no_grad():
        net(torch.rand(2, 3, net.facts.multiple * 2, net.facts.multiple * 2))
        if options.get("residual"):
            nn.init.normal_((net.conv_img if variant == "spade" else net.head).weight, std=0.2)
        if options.get("refine"):
            nn.init.normal_(net.refine.last.weight, std=0.2)
    return net.eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("variant", "millions", "count"),
    [
        ("pix2pix", 16, 16_659_075),
        ("pix2pix-ex", 41, 41_828_995),
        ("adain", 32, 32_552_655),
        ("spade", 56, 56_550_867),
        ("ours", 32, 32_552_655),
        ("no-sft", 19, 19_453_967),
        ("no-fa", 29, 29_757_763),
        ("no-sft-fa", 16, 16_659_075),
        # Not in the table: f, g, h are C + 1 each, the gate's MLP 2 C (C + 1), for C = 1024, 512, 256, 128.
        ("no-sr", 32, 32_552_655 - 3 * (1920 + 4)),
        ("no-cr", 29, 29_757_763 + 3 * (1920 + 4)),
    ],
)
def test_parameter_counts_of_table_1(variant: str, millions: int, count: int):
    with torch.device("meta"):
        net = build_desmoothgan(variant, spectral=None if variant == "spade" else False)
    assert size(net) == count
    assert count // 10**6 == millions


@pytest.mark.parametrize("variant", VARIANTS)
def test_spectral_norm_is_where_the_paper_has_it_and_adds_nothing(variant: str):
    net = build_desmoothgan(variant, width=4)
    normed = [m for m in net.modules() if hasattr(m, "parametrizations")]
    assert bool(normed) == (not variant.startswith("pix2pix"))
    if variant != "spade":
        kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
        assert len(normed) in (0, sum(isinstance(m, kinds) for m in net.modules()))
        assert size(net) == size(build_desmoothgan(variant, width=4, spectral=False))
        assert not any(
            hasattr(m, "parametrizations") for m in build_desmoothgan(variant, width=4, norm="none").modules()
        )


def test_a_trained_pix2pix_still_fits():
    names = {f"{part}.{level}.{what}" for part in ("down", "up") for level in range(5) for what in ("weight", "bias")}
    names = {name for name in names if not name.startswith("up.4")} | {"head.weight", "head.bias"}
    assert set(Pix2Pix(4, norm="none").state_dict()) == names
    assert set(build_desmoothgan("pix2pix", 4, norm="none").state_dict()) == names


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_row_answers_a_picture_in_range_and_learns(variant: str):
    torch.manual_seed(0)
    net = build_desmoothgan(variant, width=4)
    side = net.facts.multiple * 2
    y = net(torch.rand(2, 3, side, side))
    assert y.shape == (2, 3, side, side)
    assert bool(((y >= 0) & (y <= 1)).all())
    y.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_residual_row_starts_as_the_identity(variant: str):
    net = build_desmoothgan(variant, width=4, norm="batch" if variant == "spade" else "none", residual=True).eval()
    side = net.facts.multiple
    x = torch.rand(1, 3, side, 2 * side)
    assert torch.equal(net(x), x)


@pytest.mark.parametrize("variant", VARIANTS)
def test_folding_changes_nothing_but_the_parts(variant: str):
    net = lived_in(variant)
    x = torch.rand(1, 3, 2 * net.facts.multiple, net.facts.multiple)
    folded = fold(net)
    torch.testing.assert_close(folded(x), net(x), atol=1e-5, rtol=0)
    assert not any(hasattr(m, "parametrizations") for m in folded.modules())
    assert any(isinstance(m, nn.BatchNorm2d) for m in folded.modules()) == (variant == "spade")
    assert hasattr(net, "conv_img") or any(isinstance(m, nn.BatchNorm2d) for m in net.modules())


@pytest.mark.parametrize(
    "options",
    [{}, {"norm": "none", "residual": True}, {"norm": "none", "residual": True, "detail": 32, "refine": 4}],
    ids=["published", "small", "refined"],
)
@pytest.mark.parametrize("variant", ["adain", "ours", "no-sft", "no-sr", "no-cr"])
def test_tiles_of_a_picture_seen_whole_are_exact(variant: str, options: dict):
    net = lived_in(variant, **options)
    assert net.facts.global_statistics
    x = torch.rand(1, 3, 64, 352)
    x[..., 176:] *= 0.3  # the two ends must need each other
    whole = net(x)
    seen = WholePicture(net, x, tile_px=96)
    assert not seen.facts.global_statistics
    left, right = x[..., :256], x[..., 64:]  # each good to 96 pixels before its cut
    tiled = torch.cat([seen(left)[..., :160], seen(right)[..., 96:]], dim=3)
    torch.testing.assert_close(tiled, whole, atol=1e-5, rtol=0)
    assert float((net(left)[..., :160] - whole[..., :160]).abs().max()) > 1e-4  # unseen, tiles differ


def test_the_engine_cuts_a_picture_seen_whole():
    from restauro.restore.engine import EngineSettings, run

    net = lived_in("ours", norm="none", residual=True)
    pixels = np.random.default_rng(0).random((70, 300, 3), dtype=np.float32)
    whole = run(net, net.facts, pixels, EngineSettings(device="cpu"))
    padded = np.pad(pixels, ((0, 26), (0, 20), (0, 0)), mode="reflect")  # as the engine does
    seen = WholePicture(net, torch.from_numpy(padded).permute(2, 0, 1)[None], tile_px=128).eval()
    tiled = run(seen, seen.facts, pixels, EngineSettings(device="cpu", tile_px=64))
    assert tiled.tiles > 1
    assert tiled.notes == ()
    np.testing.assert_allclose(tiled.pixels, whole.pixels, atol=1e-5)


def test_looking_wants_a_picture_that_fits():
    net = lived_in("ours")
    with pytest.raises(SettingError, match=r"x: found \[1, 3, 32, 40\], wanted sides that are multiples of 32"):
        WholePicture(net, torch.rand(1, 3, 32, 40))
    with pytest.raises(SettingError, match="wanted evaluation mode"):
        WholePicture(net.train(), torch.rand(1, 3, 32, 32))


@pytest.mark.parametrize("variant", ["pix2pix", "pix2pix-ex", "no-fa", "no-sft-fa", "spade"])
def test_rows_without_attention_are_local(variant: str):
    assert not build_desmoothgan(variant, width=4).facts.global_statistics


@pytest.mark.parametrize("variant", ["ours", "adain"])
def test_without_norm_every_row_treats_pictures_apart(variant: str):
    net = lived_in(variant, norm="none", residual=True)
    x = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(net(x)[1:], net(x[1:]), atol=1e-5, rtol=0)


def test_steps_of_one_level_are_seen_and_large_ones_do_not_drown_them():
    guide = torch.zeros(1, 3, 3, 3)
    guide[..., 1, 2], guide[..., 2, :] = 2 / 255, 1.5
    seen = with_steps(guide, 32)
    assert torch.equal(seen[:, :3], guide)
    assert seen[0, 3, 1].tolist() == pytest.approx([0, math.tanh(64 / 255), 0])
    assert seen[0, 6].tolist()[0] == pytest.approx([0, 0, math.tanh(64 / 255)])
    assert seen[0, 6, 1].tolist() == pytest.approx([1, 1, 1])
    assert not seen[0, 6, 2].any(), "nothing lies below the last row"
    net = build_desmoothgan("pix2pix", width=4, norm="none", residual=True, detail=32)
    assert net.down[0].in_channels == 9
    assert net.for_use()(torch.rand(1, 3, 32, 64)).shape == (1, 3, 32, 64)


def test_settings_reach_the_layers():
    net = build_desmoothgan("ours", width=4, attention_levels=3, softmax_axis="query", attention_nodes=48)
    assert isinstance(net, DeSmoothGAN)
    assert [layer.f.in_channels for layer in net.attention] == [64, 32, 16]
    assert {(layer.axis, layer.nodes) for layer in net.attention} == {("query", 48)}
    assert len(net.sft) == 4
    assert not build_desmoothgan("no-sft", width=4, attention_levels=0).facts.global_statistics
    lighter = build_desmoothgan("no-fa", width=8, sft_reduction=4)
    assert [sft.gamma.in_channels for sft in lighter.sft] == [32, 16, 8, 4]


def test_published_weights_are_small_and_normal():
    torch.manual_seed(0)
    net = build_desmoothgan("no-sft-fa", width=16, spectral=False, init="published").requires_grad_(False)
    weights = torch.cat([m.weight.flatten() for m in net.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))])
    assert float(weights.std()) == pytest.approx(0.02, rel=0.01)
    gains = torch.cat([m.weight for m in net.modules() if isinstance(m, nn.BatchNorm2d)])
    assert float(gains.mean()) == pytest.approx(1, abs=0.01)
    assert float(net.head.bias.abs().max()) == 0


def test_sft_is_the_paper_and_adain_forgets_the_place():
    torch.manual_seed(0)
    guide, y = torch.rand(2, 3, 8, 12), torch.randn(2, 8, 8, 12)
    sft = SFT(8, hidden=6)

    def head(conv: nn.Conv2d) -> Tensor:
        hidden = nn.functional.conv2d(guide, sft.trunk[0].weight, sft.trunk[0].bias, padding=1).clamp_min(0)
        hidden = nn.functional.conv2d(hidden, sft.trunk[2].weight, sft.trunk[2].bias, padding=1).clamp_min(0)
        return nn.functional.conv2d(hidden, conv.weight, conv.bias, padding=1)

    gamma, beta = head(sft.gamma), head(sft.beta)
    torch.testing.assert_close(sft(y, guide), (1 + gamma) * y + beta)
    sft.pooled = True
    wanted = (1 + nn.functional.adaptive_max_pool2d(gamma, 1)) * y + nn.functional.adaptive_max_pool2d(beta, 1)
    torch.testing.assert_close(sft(y, guide), wanted)
    with torch.device("meta"):
        assert [size(SFT(c)) for c in (1024, 512, 256, 128)] == [9_736_448, 2_509_824, 665_984, 186_432]


def test_one_family_covers_the_table():
    assert {**ROWS["ours"], "modulation": "none"} == {**ROWS["no-sft"], "modulation": "none"}
    assert ROWS["pix2pix"] == ROWS["no-sft-fa"] == {}
    for row in ROWS.values():
        DeSmoothGANSettings(**row)


def test_published_form_answers_a_picture_in_range():
    net = Pix2Pix(8).eval().requires_grad_(False)
    y = net(torch.rand(2, 3, 64, 96))
    assert y.shape == (2, 3, 64, 96)
    assert float(y.min()) >= 0
    assert float(y.max()) <= 1


def test_residual_form_starts_as_the_identity_and_learns():
    net = Pix2Pix(8, norm="none", residual=True)
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(net(x), x)
    (net(x) - 1).square().mean().backward()
    assert float(net.head.weight.grad.abs().max()) > 0


def test_without_norm_a_picture_comes_out_the_same_alone_and_in_a_batch():
    torch.manual_seed(0)
    net = Pix2Pix(8, norm="none").eval()
    x = torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(net(x)[1:2], net(x[1:2]), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("modulation", "detail", "refine", "halo"),
    [("none", 0, 0, 21), ("spatial", 0, 0, 21), ("none", 32, 0, 22), ("none", 0, 2, 22), ("none", 32, 2, 23)],
)
def test_halo_is_the_exact_receptive_field(modulation: str, detail: float, refine: int, halo: int):
    """Positive weights let nothing cancel: the farthest input that matters is exactly halo_px away."""
    settings = DeSmoothGANSettings(2, 3, "none", residual=True, modulation=modulation, detail=detail, refine=refine)
    net = DeSmoothGAN(settings)
    for p in net.parameters():
        p.data = p.data.abs() + 0.01
    x = torch.full((1, 3, 96, 96), 0.5, requires_grad=True)
    y = net(x)
    reach = 0
    for at in range(40, 56):
        (gradient,) = torch.autograd.grad(y[0, 0, at, at], x, retain_graph=True)
        touched = gradient[0].abs().sum(0).nonzero()
        reach = max(reach, int((touched - at).abs().max()))
    assert reach == net.facts.halo_px == halo


@pytest.mark.parametrize(("variant", "norm"), [("pix2pix", "none"), ("ours", "none"), ("ours", "batch")])
def test_refining_changes_nothing_at_first_and_then_draws_single_pixels(variant: str, norm: str):
    options = {"width": 4, "norm": norm, "residual": True, "detail": 32}
    plain = build_desmoothgan(variant, **options).eval()
    torch.nn.init.normal_(plain.head.weight, std=0.1)
    refined = build_desmoothgan(variant, **options, refine=5).eval()
    kept = refined.load_state_dict(plain.state_dict(), strict=False)
    assert {name.split(".")[0] for name in kept.missing_keys} == {"refine"}
    x = torch.rand(1, 3, 64, 32)
    assert torch.equal(plain(x), refined(x))
    torch.nn.init.normal_(refined.refine.last.weight)
    assert not torch.allclose(plain(x), refined(x), atol=1e-3)
    torch.testing.assert_close(refined.for_use()(x), refined(x), atol=1e-5, rtol=1e-5)


def test_wrong_settings_are_named():
    with pytest.raises(SettingError, match="downs: found 1"):
        Pix2Pix(8, downs=1)
    with pytest.raises(SettingError, match="variant: found 'x'"):
        build_desmoothgan("x")
    for name, wrong in {
        "width": 0,
        "norm": "layer",
        "attention_levels": 5,
        "softmax_axis": "both",
        "attention_nodes": 1,
        "sft_reduction": 0,
        "refine": -1,
        "init": "xavier",
    }.items():
        with pytest.raises(SettingError, match=f"{name}: found"):
            build_desmoothgan("ours", **{"width": 4, name: wrong})
    with pytest.raises(SettingError, match="norm: found 'none'"):
        build_desmoothgan("spade", width=4, norm="none")
    with pytest.raises(SettingError, match="spectral: found False"):
        build_desmoothgan("spade", width=4, spectral=False)
