"""smooth by a network: SASNet's own dial, its mask and noise, the views, and plain mixing for all other networks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch

import restauro as rs
from restauro import models
from restauro.cli.main import main
from restauro.errors import EngineError, PictureError, SettingError, UsageError
from restauro.nets.layers.symmetry import self_ensemble
from restauro.picture import from_array, read, write
from restauro.restore.engine import EngineSettings
from restauro.restore.verbs import by_model
from tests.nets.costs import shake

FACE = skimage.data.astronaut()[0:65, 160:231]  # odd sides: padded for the network
NETS = {"sasnet": {"width": 8, "depth": 2}, "unet": {"width": 4}}
CPU = EngineSettings(device="cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, paths = tmp_path_factory.mktemp("weights"), {}
    for name, options in NETS.items():
        paths[name] = folder / f"{name}.safetensors"
        models.save_weights(shake(models.build(name, **options), 0.5), paths[name], name, options, {})
    return paths


def plain(path: Path, **how: object) -> np.ndarray:
    """The network itself on the whole picture, padded by hand."""
    net, pixels = models.load(path), from_array(FACE).pixels
    padded = np.pad(pixels, [(0, -len(pixels) % 32), (0, -pixels.shape[1] % 32), (0, 0)], "reflect")
    if models.facts_of(net).multiple == 2:
        padded = padded[:66, :72]
    x = torch.from_numpy(padded).permute(2, 0, 1)[None]
    return net(x, **how)[0].permute(1, 2, 0).numpy()[: len(pixels), : pixels.shape[1]]


def grey(values: np.ndarray):
    return from_array((values * 255).astype(np.uint8))


@pytest.mark.parametrize("name", list(NETS))
def test_a_network_smooths_as_it_would_by_hand(weights, name):
    made = rs.smooth(from_array(FACE), weights[name], engine=CPU)
    assert made.pixels.shape == FACE.shape
    np.testing.assert_allclose(made.pixels, plain(weights[name]), rtol=0, atol=2e-5)
    again = rs.smooth(from_array(FACE), str(weights[name]), engine=CPU)
    assert again.pixels.tobytes() == made.pixels.tobytes()


@pytest.mark.parametrize("name", list(NETS))
@pytest.mark.parametrize("shape", ["colour", "grey", "alpha"])
def test_strength_zero_and_black_masks_are_the_input_bit_for_bit(weights, name, shape):
    array = {"colour": FACE, "grey": FACE[..., 0], "alpha": np.dstack([FACE, FACE[..., :1]])}[shape]
    picture = from_array(array)
    assert np.array_equal(rs.smooth(picture, weights[name], strength=0, engine=CPU).pixels, picture.pixels)
    area = np.zeros(FACE.shape[:2])
    area[20:40, 10:50] = 1
    tiles = EngineSettings(device="cpu", tile_px=32)
    made = rs.smooth(picture, weights[name], mask=grey(area), engine=tiles)
    assert np.array_equal(made.pixels[area == 0], picture.pixels[area == 0])
    assert np.abs(made.pixels[area == 1] - picture.pixels[area == 1]).max() > 1e-2


@pytest.mark.parametrize(("strength", "alpha"), [(0.25, 0.75), (1, 0), (1.5, 1.5), (2, 2)])
def test_sasnet_turns_its_own_dial(weights, strength, alpha):
    made = rs.smooth(from_array(FACE), weights["sasnet"], strength=strength, engine=CPU)
    np.testing.assert_allclose(made.pixels, plain(weights["sasnet"], alpha=alpha), rtol=0, atol=2e-5)


def test_beyond_one_detail_is_boosted(weights):
    picture = from_array(FACE)
    soft, boosted = (rs.smooth(picture, weights["sasnet"], strength=s, engine=CPU).pixels for s in (0.5, 1.5))
    change = picture.pixels - soft
    assert float(((boosted - picture.pixels) * change).mean()) > 0.5 * float(np.square(change).mean())


def test_the_mask_is_inside_the_network(weights):
    area = np.zeros(FACE.shape[:2])
    area[:, 30:] = 1
    made = rs.smooth(from_array(FACE), weights["sasnet"], strength=0.6, mask=grey(area), engine=CPU)
    alpha = np.pad(1 - 0.6 * area, [(0, 1), (0, 1)], "reflect").astype(np.float32)
    wanted = plain(weights["sasnet"], alpha=torch.from_numpy(alpha)[None, None])
    np.testing.assert_allclose(made.pixels[:, 30:], wanted[:, 30:], rtol=0, atol=2e-5)


def test_other_networks_are_mixed_as_pictures(weights):
    picture = from_array(FACE)
    half = rs.smooth(picture, weights["unet"], strength=0.5, engine=CPU).pixels
    np.testing.assert_allclose(half, (picture.pixels + plain(weights["unet"])) / 2, rtol=0, atol=2e-5)


def test_noise_follows_its_seed_and_is_averaged(weights):
    def draw(**settings: int) -> np.ndarray:
        return rs.smooth(from_array(FACE), weights["sasnet"], engine=CPU, **settings).pixels

    assert np.array_equal(draw(samples=1, seed=3), draw(samples=1, seed=3))
    assert not np.array_equal(draw(samples=1, seed=3), draw(samples=1, seed=4))
    noise = torch.Generator().manual_seed(3)
    np.testing.assert_allclose(
        draw(samples=3, seed=3), plain(weights["sasnet"], samples=3, generator=noise), rtol=0, atol=5e-5
    )
    assert np.array_equal(draw(samples=2, strength=0), from_array(FACE).pixels)


@pytest.mark.parametrize("name", list(NETS))
def test_eight_views_are_the_self_ensemble(weights, name):
    crop = np.ascontiguousarray(FACE[:64, :64])
    made = rs.smooth(from_array(crop), weights[name], views=8, engine=CPU)
    x = torch.from_numpy(from_array(crop).pixels).permute(2, 0, 1)[None]
    wanted = self_ensemble(models.load(weights[name]), x)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(made.pixels, wanted, rtol=0, atol=2e-5)


def test_wrong_requests_are_named(weights, tmp_path):
    picture, sasnet, unet = from_array(FACE), weights["sasnet"], weights["unet"]
    with pytest.raises(SettingError, match=r"strength: found 2.5, wanted a number in 0..1, or to 2"):
        rs.smooth(picture, sasnet, strength=2.5)
    with pytest.raises(SettingError, match=r"strength: found 1.5, wanted a number in 0..1$"):
        rs.smooth(picture, unet, strength=1.5)
    with pytest.raises(SettingError, match="samples: found 2, wanted 0: this network draws nothing"):
        rs.smooth(picture, unet, samples=2)
    with pytest.raises(SettingError, match="views: found 4"):
        rs.smooth(picture, unet, views=4)
    with pytest.raises(UsageError, match="found setting 'sample', wanted 'samples' perhaps"):
        rs.smooth(picture, sasnet, sample=2)
    with pytest.raises(UsageError, match="l0 is a filter and runs without it"):
        rs.smooth(picture, "l0", engine=CPU)
    with pytest.raises(UsageError, match="which is for 'desmooth'"):
        rs.smooth(picture, "desmooth-general")
    with pytest.raises(PictureError, match="the mask: found 8x4 px"):
        rs.smooth(picture, sasnet, mask=from_array(FACE[:4, :8]))
    with pytest.raises(EngineError, match="memory limit"):
        rs.smooth(picture, sasnet, engine=EngineSettings(device="cpu", memory_limit=1000))
    assert isinstance(by_model("smooth", picture, sasnet, engine=EngineSettings("cpu", memory_limit=9)), rs.Failed)


def test_the_command(weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(from_array(FACE), "a.png")
    model = str(weights["sasnet"])
    assert main(["smooth", "a.png", "--model", model, "--device", "cpu", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["model"], row["precision"], row["tiles"]) == ("sasnet", "float32", 1)
    assert row["weights_sha256"] == models.find(model).sha256
    assert main(["smooth", "a.png", "--method", model, "--strength", "0", "-o", "b.png"]) == 0
    assert np.array_equal(read("b.png").pixels, read("a.png").pixels)
    assert main(["smooth", "a.png", "--model", model, "--samples", "2", "--set", "seed=5", "-o", "c.png"]) == 0
    assert main(["smooth", "a.png", "--model", model, "--precision", "bfloat16", "-o", "d.png", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["precision"] == "bfloat16"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--model", "x.safetensors", "--method", "l0"], "wanted one of them"),
        (["--memory", "1G"], "l0 is a filter; name a --model"),
        (["--samples", "2"], "l0 is a filter; name a --model"),
        (["--method", "rtw"], "'rtv' perhaps"),
        (["--model", "none.safetensors"], "none.safetensors"),
    ],
)
def test_the_command_refuses_in_one_line(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(from_array(FACE), "a.png")
    assert main(["smooth", "a.png", *words]) in (1, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.count("\n") == 1
