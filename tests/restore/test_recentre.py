"""Networks that move their results back: what is moved, how far, and what is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch

import restauro as rs
from restauro.degrade.blur import MotionBlur
from restauro.models import load, save_weights
from restauro.nets.layers.recentre import translated
from restauro.nets.residual_unet import ResidualUNet
from restauro.picture import Picture, from_array
from restauro.restore import renovate as module
from restauro.restore.faces.face import Face
from restauro.restore.faces.settings import FaceSettings

OPTIONS = {"width": 4, "blocks": 1, "growth": "1 1", "recentre": 8}
ALIGNED = FaceSettings(aligned=True)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    net = ResidualUNet(4, 1, growth="1 1", recentre=8)
    torch.nn.init.normal_(net.head.weight, std=0.02)
    torch.nn.init.normal_(net.recentre.last.weight, std=3.0)
    path = tmp_path_factory.mktemp("weights") / "moves.safetensors"
    save_weights(net, path, "residual-unet", OPTIONS, {"verb": "renovate"})
    return path


@pytest.fixture(scope="module")
def face() -> Picture:
    x = torch.from_numpy(skimage.data.astronaut()[:256, 100:356].copy()).permute(2, 0, 1)[None].float() / 255
    blurred = MotionBlur(15, 25, ramp=0.9)(x)[0].permute(1, 2, 0)
    return from_array((blurred * 255).round().byte().numpy(), name="face")


def parts(weights: Path, face: Picture) -> tuple[np.ndarray, torch.Tensor]:
    """What the network makes of a face where it is, and how far it would move that."""
    net = load(str(weights)).eval()
    x = torch.from_numpy(face.pixels).permute(2, 0, 1)[None]
    with torch.no_grad():
        shift = net.shift_of(x)
        assert float(shift.norm()) > 0.5
        np.testing.assert_allclose(net(x), translated(net.in_place(x), shift), atol=1e-6)
        return net.in_place(x).clip(0, 1)[0].permute(1, 2, 0).numpy(), shift


def moved(pixels: np.ndarray, shift: torch.Tensor) -> np.ndarray:
    made = translated(torch.from_numpy(pixels).permute(2, 0, 1)[None], shift)
    return made[0].permute(1, 2, 0).numpy().clip(pixels.min(), pixels.max())


@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_a_face_is_moved_in_proportion_to_strength(weights: Path, face: Picture, strength: float):
    in_place, shift = parts(weights, face)
    made = rs.renovate(face, weights, faces=ALIGNED, strength=strength)
    wanted = moved(face.pixels + np.float32(strength) * (in_place - face.pixels), strength * shift)
    np.testing.assert_allclose(made.picture.pixels, wanted, atol=2e-5)
    (note,) = (note for note in made.evidence.notes if "motion blur" in note)
    down, across = (float(word) for word in note.split() if word[0].isdigit())
    np.testing.assert_allclose([down, across], (strength * shift[0]).abs(), atol=0.051)


def test_strength_of_nothing_moves_nothing(weights: Path, face: Picture):
    made = rs.renovate(face, weights, faces=ALIGNED, strength=0)
    np.testing.assert_array_equal(made.picture.pixels, face.pixels)
    assert not any("moved" in note for note in made.evidence.notes)


def test_under_a_mask_nothing_is_moved(weights: Path, face: Picture):
    mask = from_array(np.full((256, 256), 255, np.uint8), name="mask")
    in_place, _ = parts(weights, face)
    made = rs.renovate(face, weights, faces=ALIGNED, mask=mask)
    np.testing.assert_allclose(made.picture.pixels, in_place, atol=2e-5)


def test_faces_stay_where_the_picture_around_them_is(weights: Path, face: Picture, tmp_path: Path, monkeypatch):
    found = (Face((60.0, 60.0, 190.0, 190.0), 3.0, None, "lbp"),)
    monkeypatch.setattr(module, "find_faces", lambda *_: found)
    net, still = load(str(weights)), ResidualUNet(4, 1, growth="1 1")
    still.load_state_dict({key: value for key, value in net.state_dict().items() if not key.startswith("recentre")})
    without = tmp_path / "still.safetensors"
    save_weights(still, without, "residual-unet", {**OPTIONS, "recentre": 0}, {"verb": "renovate"})
    for whole in (False, True):
        one, other = (rs.renovate(face, path, faces=FaceSettings(whole=whole)) for path in (weights, without))
        np.testing.assert_allclose(one.picture.pixels, other.picture.pixels, atol=2e-5)
        assert not np.array_equal(one.picture.pixels, face.pixels)


def test_a_face_that_is_larger_than_the_model_takes_is_moved_as_much_of_its_own_size(weights: Path, face: Picture):
    large = from_array(np.kron(np.rint(face.pixels * 255).astype(np.uint8), np.ones((4, 4, 1), np.uint8)), name="large")
    given = module._within_bounds(large.pixels)
    assert given.shape == (512, 512, 3)
    down, across = module._shift(large.pixels, rs.models.find(str(weights)))
    with torch.no_grad():
        wanted = load(str(weights)).eval().shift_of(torch.from_numpy(given).permute(2, 0, 1)[None])[0]
    assert float(wanted.norm()) > 0.3
    np.testing.assert_allclose([down, across], 2 * wanted, rtol=1e-3)
