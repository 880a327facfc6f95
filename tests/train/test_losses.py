"""Perceptual losses: VGG-19 against a functional form of its published layout, LPIPS against the metric."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from restauro.errors import DataError, ModelError, SettingError
from restauro.metrics.grid import BLOCK_CELLS
from restauro.metrics.lpips import LAYERS, LpipsSqueeze, unit, weighted_distance
from restauro.metrics.psnr import psnr
from restauro.models import find
from restauro.nets.features import VGG19_FILE, SqueezeNet11
from restauro.train import losses
from restauro.train.loop import train
from restauro.train.recipe import read_recipe
from restauro.train.sections import LossSection, VggSection
from restauro.train.step import Training
from tests.train.small import tiny

CPU = torch.device("cpu")
PAIR = torch.rand(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(3))
#: torchvision's list of VGG-19: widths of convolutions, each followed by a ReLU, and "M" for a pooling.
PUBLISHED = [64, 64, "M", 128, 128, "M", *[256] * 4, "M", *[512] * 4, "M", *[512] * 4, "M"]


@pytest.fixture(scope="session")
def vgg_state() -> dict[str, Tensor]:
    """Random weights in the published layout, of a size that keeps activations alive."""
    state: dict[str, Tensor] = {}
    generator, channels, index = torch.Generator().manual_seed(0), 3, 0
    for width in PUBLISHED:
        if width != "M":
            spread = (2 / (9 * channels)) ** 0.5
            state[f"features.{index}.weight"] = spread * torch.randn(width, channels, 3, 3, generator=generator)
            state[f"features.{index}.bias"] = 0.1 * torch.randn(width, generator=generator)
            channels, index = width, index + 1
        index += 1
    return state


@pytest.fixture(scope="session")
def vgg_file(vgg_state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vgg") / VGG19_FILE
    torch.save({**vgg_state, "classifier.0.bias": torch.zeros(4)}, path)
    return path


def activations(state: dict[str, Tensor], x: Tensor, wanted: dict[int, str]) -> dict[str, Tensor]:
    """What stands after each wanted index of the published list."""
    found, index = {}, 0
    for width in PUBLISHED:
        if width == "M":
            x = F.max_pool2d(x, 2)
        else:
            x = F.conv2d(x, state[f"features.{index}.weight"], state[f"features.{index}.bias"], padding=1)
            if index in wanted:
                found[wanted[index]] = x
            index += 1
            x = x.relu()
            if index in wanted:
                found[wanted[index]] = x
        index += 1
    return found


@pytest.mark.parametrize(
    ("activation", "reduction", "distance", "seen"),
    [
        ("pre", "mean", "l1", "imagenet"),  # DeSmoothGAN
        ("post", "mean", "l1", "0..1"),  # HiFaceGAN
        ("pre", "mean", "squared", "-1..1"),  # DeblurGAN
        ("post", "sum", "l1", "-1..1"),
    ],
)
def test_vgg_is_the_sum_over_the_published_indices(
    vgg_file: Path, vgg_state: dict[str, Tensor], activation: str, reduction: str, distance: str, seen: str
):
    layers = {"conv3_3": 0.25, "conv1_2": 2.0, "conv5_4": 1.0}
    index_of = {"conv1_2": 2, "conv3_3": 14, "conv5_4": 34}
    section = VggSection(
        layers=layers, activation=activation, reduction=reduction, distance=distance, input=seen, path=str(vgg_file)
    )
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    show = {
        "imagenet": lambda x: (x - mean.view(3, 1, 1)) / deviation.view(3, 1, 1),
        "0..1": lambda x: x,
        "-1..1": lambda x: 2 * x - 1,
    }[seen]
    places = {index_of[name] + (activation == "post"): name for name in layers}
    a, b = (activations(vgg_state, show(x), places) for x in PAIR)
    wanted = 0.0
    for name, weight in layers.items():
        apart = (a[name] - b[name]).abs() if distance == "l1" else (a[name] - b[name]) ** 2
        wanted += weight * float(apart.mean() if reduction == "mean" else apart.flatten(1).sum(1).mean())
    terms = losses.Losses(LossSection(l1=0, vgg=section), CPU)
    total, named = terms(*PAIR)
    assert named["vgg"] == pytest.approx(wanted, rel=1e-4)
    assert float(total) == pytest.approx(wanted * section.weight, rel=1e-4)


def test_the_output_gets_a_gradient_and_the_truth_and_the_weights_none(vgg_file: Path):
    section = VggSection(weight=3.0, layers={"conv1_2": 1.0}, path=str(vgg_file))
    terms = losses.Losses(LossSection(l1=0, vgg=section), CPU, bfloat16=True)
    output, truth = (x.clone().requires_grad_() for x in PAIR)
    total, _ = terms(output, truth)
    total.backward()
    assert output.grad.abs().sum() > 0
    assert truth.grad is None
    assert not any(parameter.requires_grad for parameter in terms.vgg.net.parameters())
    single = losses.Losses(LossSection(l1=0, vgg=section), CPU)(*PAIR)[0]
    assert total.dtype == torch.float32
    assert float(total.detach()) == pytest.approx(float(single), rel=0.02), "bfloat16 is close, not equal"


def test_a_folder_must_hold_the_published_bytes_and_a_path_is_taken_as_given(
    vgg_file: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asks = {"l1": 1.0, "vgg": {"layers": {"conv1_1": 1.0}}}
    monkeypatch.delenv("RESTAURO_FEATURES", raising=False)
    with pytest.raises(ModelError, match="set RESTAURO_FEATURES"):
        train(tiny(loss=asks), root=root, run=tmp_path / "run")
    monkeypatch.setenv("RESTAURO_FEATURES", str(tmp_path))
    with pytest.raises(ModelError, match=rf"{VGG19_FILE}: found no such file"):
        Training(tiny(loss=asks))
    monkeypatch.setenv("RESTAURO_FEATURES", str(vgg_file.parent))
    with pytest.raises(ModelError, match="take the published file"):
        Training(tiny(loss=asks))
    asks["vgg"]["path"] = str(vgg_file)
    made = train(tiny(loss=asks, iterations=1), root=root, run=tmp_path / "run")
    state = Training(tiny(loss=asks))
    assert find(made).metadata["vgg19_sha256"] == state.losses.vgg.sha256
    assert "given by path" in (tmp_path / "run" / "log.jsonl").read_text().splitlines()[0]
    other = tmp_path / "text.pth"
    other.write_text("no weights")
    with pytest.raises(ModelError, match=r"text\.pth: found no weights file"):
        Training(tiny(loss={"vgg": {"path": str(other)}}))


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("loss.vgg.layers={conv6_1 = 1.0}", "conv6_1"),
        ("loss.vgg.layers={}", "at least 1"),
        ("loss.vgg.activation=both", "'pre' or 'post'"),
        ("loss.vgg.wieght=1.0", "nearest known key: 'weight'"),
    ],
)
def test_mistakes_in_the_section_are_named(override: str, says: str):
    recipe = next((Path(__file__).parents[2] / "recipes").glob("*.toml"))
    with pytest.raises(DataError, match=says):
        read_recipe(recipe, (override,))


def test_too_small_crops_are_said(vgg_file: Path):
    terms = losses.Losses(LossSection(vgg=VggSection(path=str(vgg_file))), CPU)
    with pytest.raises(SettingError, match="at least 16 px"):
        terms(*PAIR[..., :15])


def test_recipes_without_the_later_terms_keep_their_json():
    assert LossSection().model_dump_json() == '{"l1":1.0,"ssim":0.0,"features":0.0}'
    whole = LossSection(lpips=0.1, vgg=VggSection())
    assert LossSection.model_validate_json(whole.model_dump_json()) == whole


def _random_metric() -> LpipsSqueeze:
    torch.manual_seed(0)
    network = SqueezeNet11().requires_grad_(False)
    weights = [torch.rand(y.shape[1]) for y in network(torch.zeros(1, 3, 32, 32), LAYERS)]
    return LpipsSqueeze(network, weights)


def test_lpips_is_the_metric_and_has_a_gradient(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    metric = _random_metric()
    monkeypatch.setenv("RESTAURO_FEATURES", str(tmp_path))
    monkeypatch.setattr(losses, "load_lpips_squeeze", lambda folder, device: metric)
    terms = losses.Losses(LossSection(l1=0, lpips=0.1), CPU)
    output = PAIR[0].clone().requires_grad_()
    total, named = terms(output, PAIR[1])
    wanted = float(metric(*PAIR).mean())
    assert named["lpips"] == pytest.approx(wanted, abs=1e-6)
    assert float(total.detach()) == pytest.approx(0.1 * wanted, abs=1e-6)
    total.backward()
    step = output.detach() - 0.1 * output.grad / output.grad.norm()
    assert float(metric(step.clamp(0, 1), PAIR[1]).mean()) < wanted, "down the gradient it gets smaller"


def test_the_distance_of_a_layer_and_its_gradient_are_those_of_the_formula():
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(2, 2, 5, 3, 4, dtype=torch.float64, generator=generator)
    weights = torch.rand(5, dtype=torch.float64, generator=generator)
    x.requires_grad_()
    found = losses.WeightedDistance.apply(x, unit(y), weights)
    torch.testing.assert_close(found, weighted_distance([x], [y], [weights]))
    assert torch.autograd.gradcheck(lambda x: losses.WeightedDistance.apply(x, unit(y), weights), x)


def test_without_its_weights_lpips_stops(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for folder, says in ((None, "set RESTAURO_FEATURES"), (str(tmp_path), "lpips_v0.1_linear.npz: found no such file")):
        monkeypatch.delenv("RESTAURO_FEATURES", raising=False)
        if folder:
            monkeypatch.setenv("RESTAURO_FEATURES", folder)
        with pytest.raises(ModelError, match=says):
            losses.Losses(LossSection(lpips=0.1), CPU)


def test_terms_add_up(vgg_file: Path):
    section = LossSection(l1=2.0, ssim=0.5, vgg=VggSection(weight=0.1, layers={"conv2_1": 1.0}, path=str(vgg_file)))
    total, named = losses.Losses(section, CPU)(*PAIR)
    assert float(total) == pytest.approx(2 * named["l1"] + 0.5 * named["ssim"] + 0.1 * named["vgg"], rel=1e-5)
    assert named["l1"] == pytest.approx(float((PAIR[0] - PAIR[1]).abs().mean()), rel=1e-6)


@pytest.mark.data
@pytest.mark.parametrize("bfloat16", [False, True])
def test_lpips_of_the_published_weights_is_the_metric(bfloat16: bool):
    from restauro.metrics.lpips import load_lpips_squeeze
    from restauro.nets.features import features_folder

    try:
        metric = load_lpips_squeeze(features_folder())
    except ModelError as error:
        pytest.skip(str(error))
    pair = torch.rand(2, 2, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    _, named = losses.Losses(LossSection(l1=0, lpips=1.0), CPU, bfloat16=bfloat16)(*pair)
    assert named["lpips"] == pytest.approx(float(metric(*pair).mean()), abs=1e-6)


def test_psnr_is_the_metric_in_tens_of_decibels() -> None:
    total, terms = losses.Losses(LossSection(l1=0, psnr=2.0), CPU)(*PAIR)
    wanted = -float(psnr(*PAIR).mean()) / 10
    assert terms["psnr"] == pytest.approx(wanted, abs=1e-4)
    assert float(total) == pytest.approx(2 * wanted, abs=2e-4)


def test_jitter_draws_one_mirrored_border_for_both_pictures_and_no_pixel_is_left_out():
    output = torch.arange(2 * 3 * 12 * 16.0).reshape(2, 3, 12, 16)
    seen = set()
    for seed in range(60):
        torch.manual_seed(seed)
        a, b = losses.jittered(output, -output, 2)
        assert a.shape == (2, 3, 14, 18)
        assert torch.equal(a, -b)
        assert set(a.flatten().tolist()) == set(output.flatten().tolist())
        corner = int(a[0, 0, 0, 0])
        top, left = divmod(corner, 16)  # mirrored: what lies at the corner of the border lies as far inside
        assert torch.equal(a[..., top : top + 12, left : left + 16], output)
        seen.add((top, left))
    assert seen == {(top, left) for top in range(3) for left in range(3)}
    assert losses.jittered(output, output, 0)[0] is output


def test_grid_finds_what_repeats_with_the_cells_and_nothing_else():
    cell = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    output = cell.tile(2, 1, 25, 13)  # 100 x 52 pixels: two blocks and one, and a cell left over on each side
    variance = float(cell.var(dim=(2, 3), correction=0).mean())
    assert float(losses.grid_error(output, torch.zeros_like(output), 4)) == pytest.approx(variance, rel=1e-5)
    shade = torch.linspace(0, 1, 2)[:, None, None].expand(2, 48, 52).reshape(1, 1, 96, 52)  # a level per block
    assert float(losses.grid_error(shade, torch.zeros_like(shade), 4)) == 0
    noise = torch.randn(4, 3, 192, 192, generator=torch.Generator().manual_seed(2))
    left = BLOCK_CELLS**-2 * 15 / 16  # of white noise: less the mean over the cells, and over the places
    assert float(losses.grid_error(noise, torch.zeros_like(noise), 4)) == pytest.approx(left, rel=0.1)
    one = noise[:1, :1, :12, :8]  # smaller than a block: all cells are one
    means = [[one[0, 0, i::4, j::4].mean() for j in range(4)] for i in range(4)]
    wanted = torch.tensor(means).var(correction=0)
    assert float(losses.grid_error(one, torch.zeros_like(one), 4)) == pytest.approx(float(wanted), rel=1e-5)
    _, terms = losses.Losses(LossSection(l1=0, grid=2.0), CPU)(*PAIR)
    assert terms == {"grid": pytest.approx(float(losses.grid_error(*PAIR, 4)))}
    with pytest.raises(ValueError, match="crops of at least"):
        tiny(loss={"grid": 1.0, "grid_px": 16}, patch_px=8)


def test_crops_that_a_mirrored_border_does_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"crops larger than loss\.jitter_px = 8 pixels"):
        tiny(loss={"lpips": 1.0, "jitter_px": 8}, patch_px=8)
