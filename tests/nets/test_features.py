"""Feature stacks: layout, conversions, refusals; the real weights where they are at hand."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from restauro.errors import ModelError, SettingError
from restauro.nets.features import (
    SMALLEST_PX,
    SQUEEZENET11_FILE,
    SQUEEZENET11_LAYERS,
    VGG19_LAYERS,
    SqueezeNet11,
    Vgg19,
    features_folder,
    load_squeezenet11,
    load_vgg19,
)

DESMOOTHGAN_LAYERS = ("conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def squeezenet_file(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "squeeze.npz"
    np.savez(path, **{key: value.numpy() for key, value in SqueezeNet11().state_dict().items()})
    return path


class TestSqueezeNet11:
    def test_size_and_keys_are_the_published_ones(self):
        state = SqueezeNet11().state_dict()
        assert sum(value.numel() for value in state.values()) == 722_496
        assert state["fire9.expand3x3.weight"].shape == (256, 64, 3, 3)
        assert set(state) >= {"conv1.weight", "conv1.bias", "fire2.squeeze1x1.bias"}

    def test_layers_are_computed_only_as_far_as_asked(self):
        net = SqueezeNet11()
        x = torch.rand(1, 3, 64, 65)
        everything = net(x)
        assert [y.shape[1] for y in everything] == [64, 128, 128, 256, 256, 384, 384, 512, 512]
        torch.testing.assert_close(net(x, ["fire5", "conv1"]), [everything[0], everything[4]])
        del net.fire9
        assert len(net(x, SQUEEZENET11_LAYERS[:-1])) == 8

    def test_input_is_turned_to_bgr_of_255_minus_the_mean(self):
        net = SqueezeNet11()
        grey = torch.tensor([123.0, 117.0, 104.0]).view(1, 3, 1, 1).expand(1, 3, 20, 20) / 255
        (found,) = net(grey, ["conv1"])
        torch.testing.assert_close(found, net.conv1.bias.relu().view(1, -1, 1, 1).expand_as(found), atol=1e-4, rtol=0)

    def test_the_smallest_picture_works_and_a_smaller_one_is_refused(self):
        net = SqueezeNet11()
        assert net(torch.rand(1, 3, SMALLEST_PX, 40), ["fire9"])[0].numel() > 0
        with pytest.raises(SettingError, match="at least 17 px"):
            net(torch.rand(1, 3, SMALLEST_PX - 1, 40))

    @pytest.mark.parametrize("layers", [["fire1"], [], ["conv1", "conv1"]])
    def test_unknown_layers_are_refused(self, layers):
        with pytest.raises(SettingError, match="layers"):
            SqueezeNet11()(torch.rand(1, 3, 20, 20), layers)

    def test_file_comes_back_frozen(self, squeezenet_file):
        net = load_squeezenet11(squeezenet_file, sha256=sha256(squeezenet_file))
        assert not any(p.requires_grad for p in net.parameters())
        with np.load(squeezenet_file) as arrays:
            assert torch.equal(net.fire4.squeeze1x1.weight, torch.from_numpy(arrays["fire4.squeeze1x1.weight"]))
        x = torch.rand(1, 3, 32, 32, requires_grad=True)
        net(x, ["fire3"])[0].sum().backward()  # a loss needs the gradient of the picture
        assert x.grad.abs().sum() > 0

    def test_other_bytes_missing_files_and_missing_keys_are_refused(self, squeezenet_file, tmp_path):
        with pytest.raises(ModelError, match="SHA-256"):
            load_squeezenet11(squeezenet_file)
        with pytest.raises(ModelError, match="no such file"):
            load_squeezenet11(tmp_path / "none.npz")
        np.savez(tmp_path / "half.npz", **{"conv1.bias": np.zeros(64, np.float32)})
        with pytest.raises(ModelError, match="Missing key"):
            load_squeezenet11(tmp_path / "half.npz", sha256=sha256(tmp_path / "half.npz"))


class TestVgg19:
    def test_convolutions_stand_where_torchvision_has_them(self):
        net = Vgg19()
        assert [net.index_of[name] for name in DESMOOTHGAN_LAYERS] == [2, 7, 16, 25, 34]
        assert [net.index_of[f"conv{k}_1"] + 1 for k in range(1, 6)] == [1, 6, 11, 20, 29]
        assert len(VGG19_LAYERS) == 16
        assert sum(p.numel() for p in net.parameters()) == 20_024_384

    def test_post_is_the_relu_of_pre_and_pre_is_not_overwritten(self):
        torch.manual_seed(0)
        pre, post = Vgg19("pre"), Vgg19("post")
        post.load_state_dict(pre.state_dict())
        x = torch.rand(1, 3, 32, 32)
        before, after = pre(x, DESMOOTHGAN_LAYERS), post(x, DESMOOTHGAN_LAYERS)
        assert all((y < 0).any() for y in before)
        torch.testing.assert_close([y.relu() for y in before], after)

    def test_normalisation_is_imagenets(self):
        torch.manual_seed(0)
        plain, normal = Vgg19(normalise=False), Vgg19()
        normal.load_state_dict(plain.state_dict())
        x = torch.rand(1, 3, 8, 8)
        mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
        deviation = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
        torch.testing.assert_close(normal(x, ["conv1_1"]), plain((x - mean) / deviation, ["conv1_1"]))

    def test_published_file_layout_is_read_and_the_classifier_left_out(self, tmp_path):
        state = {f"features.{k}": v for k, v in Vgg19().features.state_dict().items()}
        state["classifier.6.bias"] = torch.zeros(3)
        path = tmp_path / "vgg.pth"
        torch.save(state, path)
        net = load_vgg19(path, activation="post", sha256=sha256(path)[:8])
        assert net.activation == "post"
        assert torch.equal(net.features[34].weight, state["features.34.weight"])
        with pytest.raises(ModelError, match="SHA-256"):
            load_vgg19(path)

    def test_settings_are_checked(self):
        with pytest.raises(SettingError, match="pre or post"):
            Vgg19("both")
        with pytest.raises(SettingError, match="conv1_1, conv1_2"):
            Vgg19()(torch.rand(1, 3, 8, 8), ["relu1_1"])


def test_without_a_folder_a_sentence_says_what_to_set(monkeypatch, tmp_path):
    monkeypatch.delenv("RESTAURO_FEATURES", raising=False)
    with pytest.raises(ModelError, match="set RESTAURO_FEATURES"):
        features_folder()
    monkeypatch.setenv("RESTAURO_FEATURES", str(tmp_path / "gone"))
    with pytest.raises(ModelError, match="no folder"):
        features_folder()
    assert features_folder(tmp_path) == tmp_path
    monkeypatch.setenv("RESTAURO_FEATURES", str(tmp_path))
    assert features_folder() == tmp_path


@pytest.mark.data
def test_published_weights_give_the_published_activations(data_root):
    """Mean activations on the centre of a picture of Set5, as the data set's own notes give them."""
    folder = os.environ.get("RESTAURO_FEATURES")
    if not folder:
        pytest.skip("needs pretrained weights: set RESTAURO_FEATURES to their folder")
    from PIL import Image

    pixels = np.asarray(Image.open(data_root / "natural/bench/set5/img_002.png").convert("RGB"), np.float32) / 255
    top, left = ((side - 227) // 2 for side in pixels.shape[:2])
    x = torch.from_numpy(pixels[top : top + 227, left : left + 227]).permute(2, 0, 1)[None]
    found = load_squeezenet11(Path(folder) / SQUEEZENET11_FILE)(x)
    published = [16.100, 35.556, 32.084, 39.409, 21.143, 27.382, 11.987, 12.477, 2.080]
    assert [y.mean().item() for y in found] == pytest.approx(published, abs=6e-4)
