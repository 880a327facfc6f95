"""The published layout, and the published function written again in plain torch.nn.functional as the reference."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from restauro.errors import ModelError, SettingError
from restauro.nets.hifacegan import HiFaceGAN, HiFaceGANSettings, build_hifacegan, fast, settings_of
from restauro.nets.hifacegan_blocks import FastBlock, FreeNorm, SpadeBlock
from restauro.nets.hifacegan_critic import HiFaceGANCritic
from restauro.nets.layers.spectral import SpectralConv2d


def meta(*args, **options) -> HiFaceGAN:
    with torch.device("meta"):
        return build_hifacegan(*args, **options)


def count(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def randomised(net: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Weights of a trained network's size: with the initial ones every error would hide below 1e-4."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in net.named_parameters():
        scale = (2 / p[0].numel()) ** 0.5 if p.dim() == 4 else 0.3
        p.data = torch.randn(p.shape, generator=generator, dtype=p.dtype) * scale
        if "to_rgbs" in name:
            p.data *= 0.1  # keeps tanh from hiding everything at +-1
    find_spectra(net)
    return net


def find_spectra(net: torch.nn.Module) -> None:
    for layer in net.modules():
        if isinstance(layer, SpectralConv2d):
            for _ in range(5):
                layer._follow()


# --- the sheet's numbers


@pytest.mark.parametrize(
    ("variant", "suppression", "width", "parameters", "buffers", "entries"),
    [
        ("nested", "lip", 64, 130_568_012, 114_066, 230),
        ("nested", "lip", 48, 79_873_084, 85_554, 230),
        ("nested", "lip", 32, 41_213_740, 57_042, 230),
        ("lipspade", "lip", 64, 120_269_708, 114_066, 230),
        ("lipspade", "lip", 48, 72_223_660, 85_554, 230),
        ("lipspade", "lip", 32, 36_171_724, 57_042, 230),
        ("spade", "lip", 64, 91_986_380, 114_066, 204),
        ("spade", "lip", 48, 56_312_668, 85_554, 204),
        ("nested", "fixconv-a", 64, 130_568_012, 114_066, 230),
        ("nested", "fixconv-a", 48, 79_873_084, 85_554, 230),
        ("nested", "fixconv-b", 64, 117_993_420, 114_066, 215),
        ("nested", "fixconv-b", 48, 72_799_132, 85_554, 215),
    ],
)
def test_sizes_of_the_sheet(variant, suppression, width, parameters, buffers, entries):
    net = meta(variant, suppression, width)
    assert count(net) == parameters
    assert sum(b.numel() for b in net.buffers()) == buffers
    assert len(net.state_dict()) == entries


def test_a_generator_that_sees_nothing_but_a_parsing_map():
    assert count(meta("spade", width=64, guide_channels=19, start="guide")) == 92_456_396


def test_parts_of_nested_48():
    net = meta(width=48)
    assert [count(block) for block in net.blocks()] == [15_927_040] * 3 + [10_028_160, 3_945_216, 1_622_560, 544_080]
    assert [count(conv) for conv in net.to_rgbs] == [10_371, 5_187, 2_595, 1_299]
    assert [count(stage) for stage in net.encoder.children()] == [
        1_296,
        62_400,
        249_216,
        996_096,
        3_982_848,
        10_619_136,
    ]
    assert count(net.fc) == 21_504


@pytest.mark.parametrize(
    ("variant", "suppression", "width", "gmac"),
    [
        ("nested", "lip", 64, 697.44),
        ("nested", "lip", 48, 431.32),
        ("lipspade", "lip", 48, 366.37),
        ("spade", "lip", 48, 326.63),
        ("nested", "fixconv-a", 48, 410.94),
        ("nested", "fixconv-b", 48, 404.14),
    ],
)
@torch.no_grad()
def test_operations_of_the_sheet_at_512(variant: str, suppression: str, width: int, gmac: float):
    net = meta(variant, suppression, width).eval()
    x = torch.empty(1, 3, 512, 512, device="meta")
    assert gmac_of(net, x) == pytest.approx(gmac, abs=0.006)


@torch.no_grad()
def test_fast_saves_operations():
    """24 thousand million at the up-sampling blocks: half of the outputs of their third beta convolution."""
    net, x = meta().eval(), torch.empty(1, 3, 512, 512, device="meta")
    assert gmac_of(net, x) - gmac_of(fast(net), x) == pytest.approx(24, abs=0.5)


def gmac_of(net: torch.nn.Module, x: Tensor) -> float:
    with FlopCounterMode(display=False) as counter:
        net(x)
    return counter.get_total_flops() / 2e9


def layout(variant: str, n: int, guide: int = 3) -> dict[str, list[int]]:
    """Appendix A of the sheet: every name with its shape."""
    shapes: dict[str, list[int]] = {"fc.weight": [16 * n, 3, 3, 3], "fc.bias": [16 * n]}
    blocks = {"head_0": (16, 16), "G_middle_0": (16, 16), "G_middle_1": (16, 16)}
    blocks |= {f"ups.{k}": (16 >> k, 8 >> k) for k in range(4)}
    for name, (a, b) in blocks.items():
        fin, fout = a * n, b * n
        levels = fin if name[0] != "u" else fout
        seen = levels if variant == "nested" else guide
        convs = {"conv_0": (fout, fin, 3), "conv_1": (fout, fout, 3), "conv_s": (fout, fin, 1)}
        norms = {"norm_0": fin, "norm_1": fout, "norm_s": fin}
        for conv, (o, i, k) in convs.items():
            if conv == "conv_s" and fin == fout:
                continue
            if conv != "conv_s":
                shapes[f"{name}.{conv}.bias"] = [o]
            shapes[f"{name}.{conv}.weight_orig"] = [o, i, k, k]
            shapes[f"{name}.{conv}.weight_u"], shapes[f"{name}.{conv}.weight_v"] = [o], [i * k * k]
        for norm, c in norms.items():
            if norm == "norm_s" and fin == fout:
                continue
            at, hidden = f"{name}.{norm}", min(128, c)
            shapes |= {f"{at}.param_free_norm.running_{what}": [c] for what in ("mean", "var")}
            shapes[f"{at}.param_free_norm.num_batches_tracked"] = []
            shapes[f"{at}.mlp_shared.0.weight"] = [hidden, seen, 3, 3]
            shapes[f"{at}.mlp_shared.0.bias"] = [hidden]
            shapes |= {f"{at}.mlp_{what}.weight": [c, hidden, 3, 3] for what in ("gamma", "beta")}
    for k in range(4):
        shapes |= {f"to_rgbs.{k}.weight": [3, (8 >> k) * n, 3, 3], f"to_rgbs.{k}.bias": [3]}
    if variant == "spade":
        return shapes
    shapes["encoder.head.0.weight" if variant == "nested" else "lip_encoder.model.0.weight"] = [n, 3, 3, 3]
    for i, (c, d) in enumerate(((1, 2), (2, 4), (4, 8), (8, 16), (16, 16))):
        pool = f"encoder.encoder_{i}.0" if variant == "nested" else f"lip_encoder.model.{3 + 4 * i}"
        conv = f"encoder.encoder_{i}.1" if variant == "nested" else f"lip_encoder.model.{4 + 4 * i}"
        shapes[f"{pool}.logit.0.weight"] = [c * n, c * n, 3, 3]
        shapes |= {f"{pool}.logit.1.{what}": [c * n] for what in ("weight", "bias")}
        shapes |= {f"{conv}.weight": [d * n, c * n, 3, 3], f"{conv}.bias": [d * n]}
    return shapes


@pytest.mark.parametrize("variant", ["nested", "lipspade", "spade"])
@pytest.mark.parametrize("width", [64, 48, 20])
def test_every_name_and_shape_of_the_published_state(variant: str, width: int):
    found = {name: list(tensor.shape) for name, tensor in meta(variant, width=width).state_dict().items()}
    assert found == layout(variant, width)


def test_the_critic_is_as_the_sheet_sizes_it():
    with torch.device("meta"):
        critic = HiFaceGANCritic()
        features = critic(torch.empty(2, 3, 512, 512), torch.empty(2, 3, 512, 512))
    assert count(critic) == 5_533_826
    assert sum(b.numel() for b in critic.buffers()) == 16_128
    wanted = {}
    for s in range(2):
        at = f"discriminator_{s}.model"
        wanted |= {f"{at}0.0.weight": [64, 6, 4, 4], f"{at}0.0.bias": [64]}
        for k, (o, i) in enumerate(((128, 64), (256, 128), (512, 256)), 1):
            wanted |= {f"{at}{k}.0.0.weight_orig": [o, i, 4, 4]}
            wanted |= {f"{at}{k}.0.0.weight_u": [o], f"{at}{k}.0.0.weight_v": [i * 16]}
        wanted |= {f"{at}4.0.weight": [1, 512, 4, 4], f"{at}4.0.bias": [1]}
    assert len(wanted) == 26
    assert {name: list(tensor.shape) for name, tensor in critic.state_dict().items()} == wanted
    assert [[tuple(f.shape[1:3]) for f in scale] for scale in features] == [
        [(64, 257), (128, 129), (256, 65), (512, 66), (1, 67)],
        [(64, 129), (128, 65), (256, 33), (512, 34), (1, 35)],
    ]


def test_the_critic_takes_the_condition_first_and_pictures_as_they_are():
    critic = randomised(HiFaceGANCritic(width=2).double()).eval()
    picture, degraded = torch.rand(2, 1, 3, 64, 64, dtype=torch.float64)
    state = critic.state_dict()
    x = torch.cat([degraded, picture], 1)
    first = F.conv2d(x, state["discriminator_0.model0.0.weight"], state["discriminator_0.model0.0.bias"], 2, 2)
    features = critic(picture, degraded)
    torch.testing.assert_close(features[0][0], F.leaky_relu(first, 0.2))
    small = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    first = F.conv2d(small, state["discriminator_1.model0.0.weight"], state["discriminator_1.model0.0.bias"], 2, 2)
    torch.testing.assert_close(features[1][0], F.leaky_relu(first, 0.2))
    with pytest.raises(SettingError, match="semantic: found 'nothing', wanted 3 channels"):
        critic(picture)


# --- the published function


def published(state: dict[str, Tensor], x: Tensor, guide: Tensor | None = None) -> Tensor:
    """The network as the sheet describes it, from a published state alone: batch norm of the batch, no rewrites."""

    def spectral(name: str) -> Tensor:
        w = state[f"{name}.weight_orig"]
        return w / torch.dot(state[f"{name}.weight_u"], w.flatten(1) @ state[f"{name}.weight_v"])

    def spade(name: str, y: Tensor, g: Tensor) -> Tensor:
        g = F.interpolate(g, size=y.shape[2:], mode="nearest")
        h = F.relu(F.conv2d(g, state[f"{name}.mlp_shared.0.weight"], state[f"{name}.mlp_shared.0.bias"], padding=1))
        gamma, beta = (F.conv2d(h, state[f"{name}.mlp_{what}.weight"], padding=1) for what in ("gamma", "beta"))
        return F.batch_norm(y, None, None, training=True) * gamma + beta

    def block(name: str, y: Tensor, g: Tensor) -> Tensor:
        main = y
        for k in (0, 1):
            main = F.leaky_relu(spade(f"{name}.norm_{k}", main, g), 0.2)
            main = F.conv2d(main, spectral(f"{name}.conv_{k}"), state[f"{name}.conv_{k}.bias"], padding=1)
        if f"{name}.conv_s.weight_orig" in state:
            y = F.conv2d(spade(f"{name}.norm_s", y, g), spectral(f"{name}.conv_s"))
        return y + main

    def encode(head: str, pool: str, conv: str, step: int) -> list[Tensor]:
        y = F.relu(F.instance_norm(F.conv2d(x, state[f"{head}.weight"], padding=1)))
        features = [y]
        for i in range(5):
            logit = F.conv2d(y, state[f"{pool.format(step * i)}.logit.0.weight"], padding=1)
            scale, shift = (state[f"{pool.format(step * i)}.logit.1.{what}"] for what in ("weight", "bias"))
            w = torch.exp(12 * torch.sigmoid(F.instance_norm(logit, weight=scale, bias=shift)))
            y = F.avg_pool2d(y * w, 3, 2, 1) / F.avg_pool2d(w, 3, 2, 1)
            y = F.conv2d(y, state[f"{conv.format(step * i)}.weight"], state[f"{conv.format(step * i)}.bias"], padding=1)
            y = F.instance_norm(y)
            y = F.relu(y) if i < 4 else y
            features.insert(0, y)
        return features

    y = F.interpolate(x, scale_factor=1 / 32, mode="nearest")
    y = F.conv2d(y, state["fc.weight"], state["fc.bias"], padding=1)
    guides = [x if guide is None else guide] * 6
    if "encoder.head.0.weight" in state:
        guides = encode("encoder.head.0", "encoder.encoder_{}.0", "encoder.encoder_{}.1", 1)
    elif "lip_encoder.model.0.weight" in state:
        shifted = {k.replace("lip_encoder.model.", "m"): v for k, v in state.items()}
        state |= {f"pool{4 * i}.{k}": shifted[f"m{3 + 4 * i}.{k}"] for i in range(5) for k in LOGIT}
        state |= {f"conv{4 * i}.{k}": shifted[f"m{4 + 4 * i}.{k}"] for i in range(5) for k in ("weight", "bias")}
        y = encode("lip_encoder.model.0", "pool{}", "conv{}", 4)[0]
    y = block("head_0", y, guides[0])
    y = F.interpolate(y, scale_factor=2, mode="nearest")
    y = block("G_middle_1", block("G_middle_0", y, guides[1]), guides[1])
    for k in range(4):
        y = block(f"ups.{k}", F.interpolate(y, scale_factor=2, mode="nearest"), guides[2 + k])
    y = F.conv2d(F.leaky_relu(y, 0.2), state["to_rgbs.3.weight"], state["to_rgbs.3.bias"], padding=1)
    return torch.tanh(y)


LOGIT = ("logit.0.weight", "logit.1.weight", "logit.1.bias")
X = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


@pytest.mark.parametrize("variant", ["nested", "lipspade", "spade"])
def test_it_is_the_published_function(variant: str):
    net = randomised(build_hifacegan(variant, width=3).double()).eval().requires_grad_(False)
    y = net(X)
    assert float(y.std()) > 0.05
    torch.testing.assert_close(y[:1], published(dict(net.state_dict()), X[:1]), atol=1e-11, rtol=0)
    torch.testing.assert_close(y[1:], published(dict(net.state_dict()), X[1:]), atol=1e-11, rtol=0)


@torch.no_grad()
def test_training_takes_statistics_over_the_batch_and_one_step_of_the_power_iteration():
    net = randomised(build_hifacegan("lipspade", width=2).double()).train()
    before = net.head_0.conv_0.weight_u.clone()
    y = net(X)
    assert not torch.equal(net.head_0.conv_0.weight_u, before)
    torch.testing.assert_close(y, published(dict(net.state_dict()), X), atol=1e-11, rtol=0)
    assert (y - net.eval()(X)).abs().max() > 1e-3  # per picture in evaluation


@torch.no_grad()
def test_with_instance_norm_training_and_use_are_one_function():
    net = randomised(build_hifacegan("nested", width=2, norm="instance").double()).train()
    torch.testing.assert_close(net(X), net.eval()(X), atol=1e-11, rtol=0)


@torch.no_grad()
def test_another_guide_and_another_start():
    net = randomised(build_hifacegan("spade", width=2, guide_channels=5).double()).eval()
    parsing = F.one_hot(torch.randint(5, (1, 64, 96), generator=torch.Generator().manual_seed(1)), 5)
    parsing = parsing.permute(0, 3, 1, 2).double()
    torch.testing.assert_close(net(X[:1], parsing), published(dict(net.state_dict()), X[:1], parsing))
    blind = randomised(build_hifacegan("spade", width=2, guide_channels=5, start="guide").double()).eval()
    torch.testing.assert_close(blind(X[:1], parsing), blind(X[1:], parsing))
    inner = randomised(build_hifacegan("nested", width=2, start="guide").double()).eval()
    start, guides = inner.encode(X)
    assert start is guides[0]


def test_the_untrained_network_gives_black_and_learns():
    torch.manual_seed(0)
    x = torch.rand(1, 3, 64, 64)
    for variant in ("nested", "lipspade", "spade"):
        net = build_hifacegan(variant, width=4)
        assert float(net.eval()(x).detach().abs().max()) < 1e-4
        net.train()(x).square().mean().backward()
        unused = {"fc"} if variant == "lipspade" else set()
        for name, p in net.named_parameters():
            part = name.split(".")[0]
            if part not in unused and not name.startswith(("to_rgbs.0", "to_rgbs.1", "to_rgbs.2")):
                assert p.grad is not None, name
    residual = build_hifacegan(width=2, residual=True)
    assert torch.equal(residual(x), x)


# --- fast


@pytest.mark.parametrize("variant", ["nested", "lipspade", "spade"])
def test_fast_is_the_same_function(variant: str):
    net = randomised(build_hifacegan(variant, width=3).double()).eval().requires_grad_(False)
    y, before = net(X), {name: value.clone() for name, value in net.state_dict().items()}
    torch.testing.assert_close(fast(net)(X), y, atol=1e-11, rtol=0)
    torch.testing.assert_close(fast(net.float())(X.float()), y.float(), atol=1e-4, rtol=0)
    for name, value in net.double().state_dict().items():
        torch.testing.assert_close(value, before[name], atol=1e-6, rtol=1e-6)


BLOCKS = [(6, 6, False), (6, 6, True), (6, 3, False), (6, 3, True)]


@pytest.mark.parametrize(("c_in", "c_out", "up"), BLOCKS)
@torch.no_grad()
def test_each_rewrite_of_a_fast_block(c_in: int, c_out: int, up: bool):
    block = randomised(SpadeBlock(c_in, c_out, 4, "batch").double()).eval()
    quick = FastBlock(block)
    x, guide = X.new_tensor(range(2 * c_in * 24)).sin().view(2, c_in, 4, 6), torch.rand(2, 4, 4, 6).double()
    if up:
        guide = F.interpolate(guide, scale_factor=2)
    torch.testing.assert_close(quick(x, guide, up), block(x, guide, up))

    norms = [block.norm_0, block.norm_1] + ([block.norm_s] if c_in != c_out else [])
    hidden = [norm.mlp_shared(guide) for norm in norms]
    torch.testing.assert_close(quick.shared(guide).relu(), torch.cat(hidden, 1))  # shared convolutions are one
    for index in (0, 1):  # gamma and beta are one
        both = torch.cat([norms[index].mlp_gamma(hidden[index]), norms[index].mlp_beta(hidden[index])], 1)
        torch.testing.assert_close(quick.modulations[index](hidden[index]), both)
    for name in ("conv_0", "conv_1") + (("conv_s",) if c_in != c_out else ()):  # spectral norm is folded
        plain, conv = getattr(block, name), getattr(quick, name)
        y = torch.rand(1, conv.in_channels, 5, 5).double()
        torch.testing.assert_close(conv(y), plain(y))
    if c_in != c_out:  # conv_s is folded into beta
        folded = quick.modulations[2](hidden[2])[:, c_in:]
        torch.testing.assert_close(folded, block.conv_s(block.norm_s.mlp_beta(hidden[2])))


def test_norms_commute_with_nearest_upsampling_and_batch_norm_of_one_is_instance_norm():
    norm, x = FreeNorm(5, "batch").double(), torch.rand(1, 5, 6, 7, dtype=torch.float64)
    large = F.interpolate(x, scale_factor=2)
    torch.testing.assert_close(norm(large), F.interpolate(norm(x), scale_factor=2), atol=1e-12, rtol=0)
    torch.testing.assert_close(F.batch_norm(x, None, None, training=True), norm(x), atol=1e-12, rtol=0)


def test_fast_is_not_fooled_by_training_mode_and_can_be_asked_twice():
    net = randomised(build_hifacegan("spade", width=2).double()).train()
    quick = fast(net)
    torch.testing.assert_close(quick(X), net.eval()(X), atol=1e-11, rtol=0)
    assert fast(quick) is quick
    assert not quick(X).requires_grad


@pytest.mark.parametrize("suppression", ["cac", "pac", "fixconv-a", "fixconv-b"])
@pytest.mark.parametrize("variant", ["nested", "lipspade"])
def test_suppressions_run_train_and_are_fast_too(variant: str, suppression: str):
    net = randomised(build_hifacegan(variant, suppression, width=2).double()).eval()
    y = net(X)
    torch.testing.assert_close(fast(net)(X), y, atol=1e-11, rtol=0)
    y.square().mean().backward()
    encoder = net.encoder if variant == "nested" else net.lip_encoder
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())


@torch.no_grad()
def test_bfloat16_is_near():
    net = randomised(build_hifacegan(width=8)).eval()
    x = X[:1].float()
    y = net(x)
    for each in (net, fast(net)):
        with torch.autocast("cpu", torch.bfloat16):
            found = each(x)
        psnr = -10 * torch.log10((found - y).square().mean())
        assert psnr > 30, "the norms or the spectra went to half precision"


# --- facts, settings


@pytest.mark.parametrize(
    ("variant", "suppression", "halo"),
    [("nested", "lip", 379), ("lipspade", "lip", 315), ("spade", "lip", 254), ("nested", "fixconv-b", 348)],
)
def test_halo_is_the_exact_receptive_field(variant: str, suppression: str, halo: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "group_norm", lambda x, *_, **__: x)
    net = build_hifacegan(variant, suppression, width=1).double().eval()
    assert net.facts.halo_px == halo
    for name, p in net.named_parameters():  # positive weights: nothing cancels, nothing is cut off
        if p.dim() == 4:
            p.data = torch.rand_like(p) * 2 / p[0].numel() * (1e-6 if "to_rgbs" in name else 1)
    find_spectra(net)
    x = torch.rand(1, 3, 32, 960, dtype=torch.float64, requires_grad=True)
    y = net(x)
    reach = 0
    for at in (480, 495, 510, 511):
        (gradient,) = torch.autograd.grad(y[0, :, 5, at].sum(), x, retain_graph=True)
        reach = max([reach, *(gradient[0].abs().sum((0, 1)).nonzero() - at).abs().flatten().tolist()])
    assert reach == halo


def test_smallest_picture_and_sides_that_do_not_fit():
    for variant in ("nested", "lipspade", "spade"):
        net = build_hifacegan(variant, width=1)
        assert net(torch.rand(1, 3, 32, 32)).isfinite().all()
    with pytest.raises(SettingError, match=r"x: found \[1, 3, 33, 32\], wanted .* multiples of 32"):
        net(torch.rand(1, 3, 33, 32))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"variant": "hifacegan"}, "variant: found 'hifacegan', wanted nested, lipspade, spade"),
        ({"suppression": "max"}, "suppression: found 'max', wanted lip, cac, pac, fixconv-a, fixconv-b"),
        ({"width": 0}, "width: found 0"),
        ({"variant": "spade", "suppression": "cac"}, "which has no encoder"),
        ({"guide_channels": 19}, "guide_channels: found 19, wanted 3 for the variant nested"),
        ({"variant": "lipspade", "start": "guide"}, "start"),
        ({"norm": "none"}, "norm: found 'none'"),
    ],
)
def test_wrong_settings_are_named(options: dict, complaint: str):
    with pytest.raises(SettingError, match=complaint):
        HiFaceGANSettings(**options)


def test_wrong_guides_are_named():
    x = torch.rand(1, 3, 32, 32)
    with pytest.raises(SettingError, match="guide"):
        build_hifacegan("nested", width=1)(x, x)
    with pytest.raises(SettingError, match=r"guide: found \[1, 3, 32, 32\], wanted \[5, 32, 32\]"):
        build_hifacegan("spade", width=1, guide_channels=5)(x, x)
    with pytest.raises(SettingError, match="a guide of 5 channels"):
        build_hifacegan("spade", width=1, guide_channels=5)(x)


@pytest.mark.parametrize(
    "settings",
    [
        HiFaceGANSettings("nested", width=5),
        HiFaceGANSettings("lipspade", width=4),
        HiFaceGANSettings("spade", width=3, guide_channels=19),
        HiFaceGANSettings("spade", width=3, guide_channels=19, start="guide"),
    ],
)
def test_settings_are_read_from_published_weights(settings: HiFaceGANSettings):
    with torch.device("meta"):
        assert settings_of(HiFaceGAN(settings).state_dict()) == settings


def test_weights_of_another_network_are_refused():
    with pytest.raises(ModelError, match=r"found no fc\.weight, wanted those of a HiFaceGAN"):
        settings_of({"conv.weight": torch.zeros(1)})
