"""The deblurrer on deconvolutions: the identity where it must be, one kernel for all tiles, a gate that closes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data

from restauro.deconvolution.planes import PLANES, Deconvolution
from restauro.degrade.motion import TrajectoryBlur
from restauro.errors import SettingError
from restauro.models import build
from restauro.nets.blind_deblur import BlindDeblur
from restauro.restore.engine import EngineSettings, run


@pytest.fixture(scope="module")
def shaken() -> torch.Tensor:
    sharp = torch.from_numpy(data.astronaut()[:256, :320].copy()).permute(2, 0, 1)[None] / 255
    return TrajectoryBlur(4, exposure=0.3, anxiety=0.005)(sharp)


@pytest.fixture(scope="module")
def net() -> BlindDeblur:
    torch.manual_seed(0)
    net = BlindDeblur(8)
    torch.nn.init.normal_(net.body.head.weight, std=0.05)
    return net.eval()


@torch.no_grad()
def test_a_crop_with_its_planes_is_what_the_picture_gives(net: BlindDeblur, shaken: torch.Tensor) -> None:
    planes, blurred = net.looked(shaken)
    assert blurred.item() == 1
    assert planes.shape == (1, PLANES, *shaken.shape[2:])
    assert torch.equal(net(torch.cat([shaken, planes], 1)), net(shaken))
    assert not torch.equal(net(shaken), shaken)


def test_planes_are_sharper_and_say_how_credible_the_kernel_is(shaken: torch.Tensor) -> None:
    pixels = shaken[0].permute(1, 2, 0).contiguous().numpy()
    known = Deconvolution(pixels)
    planes = known.planes(pixels)
    sharp = data.astronaut()[:256, :320] / 255
    errors = [float(np.square(one - sharp).mean()) for one in (pixels, planes[..., :3], planes[..., 3:6])]
    assert min(errors[1:]) < errors[0] / 1.5
    assert known.correlation > 0.6
    assert np.allclose(planes[..., 6], known.correlation, atol=1e-6)
    assert np.allclose(planes[..., 7], known.slope / 2, atol=1e-6)


@torch.no_grad()
def test_tiles_share_one_kernel(net: BlindDeblur, shaken: torch.Tensor) -> None:
    pixels = np.pad(shaken[0].permute(1, 2, 0).numpy(), ((0, 256), (0, 640), (0, 0)), mode="symmetric")
    whole = run(net, net.facts, pixels, EngineSettings(device="cpu", precision="float32"))
    tiled = run(net, net.facts, pixels, EngineSettings(device="cpu", precision="float32", tile_px=256))
    assert tiled.tiles > 1
    assert np.abs(whole.pixels - tiled.pixels).max() < 2e-5
    assert net.known is None
    assert "one blur of up to" in whole.notes[0]
    assert whole.notes[0] == tiled.notes[0]


@torch.no_grad()
@pytest.mark.parametrize("side", [1, 14, 40])
def test_a_small_picture_has_a_small_kernel_or_none(net: BlindDeblur, side: int) -> None:
    pixels = np.random.default_rng(0).random((side, side, 3), np.float32)
    made = run(net, net.facts, pixels, EngineSettings(device="cpu", precision="float32"))
    assert made.pixels.shape == pixels.shape


@torch.no_grad()
def test_the_form_for_use_is_equal(net: BlindDeblur, shaken: torch.Tensor) -> None:
    x = torch.cat([shaken, net.looked(shaken)[0]], 1)
    assert torch.allclose(net.for_use()(x), net(x), atol=1e-5)


def test_the_gate_halves_what_is_as_faint_as_it_says() -> None:
    net = BlindDeblur(8, quiet_levels=2)
    for levels, kept in ((0, 0.01), (2, 1.01 / 2), (20, 100.01 / 101)):
        correction = torch.full((1, 3, 64, 64), levels / 255)
        assert torch.allclose(net._gated(correction), kept * correction, rtol=1e-4)
    assert torch.equal(BlindDeblur(8, quiet_levels=0)._gated(correction), correction)
    with pytest.raises(SettingError, match="quiet_levels: found -1"):
        build("blind-deblur", quiet_levels=-1)


@torch.no_grad()
def test_a_sharp_picture_stays_bit_for_bit(net: BlindDeblur) -> None:
    sharp = torch.from_numpy(data.chelsea()[:192, :256].copy()).permute(2, 0, 1)[None] / 255
    coarse = torch.nn.functional.avg_pool2d(sharp, 2)
    assert torch.equal(net(coarse), coarse)
    assert "no blur found" in str(Deconvolution(coarse[0].permute(1, 2, 0).contiguous().numpy()))
