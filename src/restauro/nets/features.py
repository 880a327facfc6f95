"""Feature stacks of pretrained classifiers, for perceptual losses and metrics: SqueezeNet 1.1 and VGG-19.

Both take [N,3,H,W], sRGB in 0..1, convert to what their weights were trained on, are frozen, and return the
activations of named layers. The weights are files of other people: they are read from a folder that the user names
(argument, or the variable RESTAURO_FEATURES) and belong to no default; without them nothing runs on random numbers.

SqueezeNet 1.1 (Iandola et al. 2016), ``squeezenet11_imagenet_features.npz``: trained in Caffe, wants BGR in 0..255
minus (104, 117, 123). Not the network of torchvision, hence "caffe" in the names of what is computed with it. VGG-19
(Simonyan, Zisserman 2014), ``vgg19-dcbb9e9d.pth`` as published for torchvision: RGB, ImageNet mean and deviation.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restauro.errors import ModelError, SettingError

M = TypeVar("M", bound=nn.Module)

VARIABLE = "RESTAURO_FEATURES"
SQUEEZENET11_FILE = "squeezenet11_imagenet_features.npz"
SQUEEZENET11_SHA256 = "b7578aa53b0b31c2666bfece35483a3a898a40fd6438eaef0b317165c457b8af"
VGG19_FILE = "vgg19-dcbb9e9d.pth"
VGG19_SHA256 = "dcbb9e9d"  # torchvision's convention: the file's name carries the first eight digits

# Name, squeezed channels, expanded channels (half of them 1x1, half 3x3).
FIRES = (
    ("fire2", 16, 128),
    ("fire3", 16, 128),
    ("fire4", 32, 256),
    ("fire5", 32, 256),
    ("fire6", 48, 384),
    ("fire7", 48, 384),
    ("fire8", 64, 512),
    ("fire9", 64, 512),
)
SQUEEZENET11_LAYERS = ("conv1", *(name for name, _, _ in FIRES))
POOLED_AFTER = ("conv1", "fire3", "fire5")
SMALLEST_PX = 17  # below, the third pooling has nothing left

VGG19_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
VGG19_LAYERS = tuple(f"conv{b}_{c}" for b, (_, n) in enumerate(VGG19_BLOCKS, 1) for c in range(1, n + 1))


class Fire(nn.Module):
    """relu(squeeze 1x1), then relu(expand 1x1) and relu(expand 3x3) side by side."""

    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded // 2, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded // 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels, H, W] -> [N, expanded, H, W]."""
        x = F.relu(self.squeeze1x1(x))
        return torch.cat([F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))], dim=1)


class SqueezeNet11(nn.Module):
    """The convolutional part of SqueezeNet 1.1: 722,496 weights, 0.27 GMAC at 224x224.

    ``conv1`` is 3x3, stride 2, without padding; 3x3 max pooling of stride 2, rounding up, follows conv1, fire3 and
    fire5.
    """

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, stride=2)
        channels = 64
        for name, squeezed, expanded in FIRES:
            self.add_module(name, Fire(channels, squeezed, expanded))
            channels = expanded
        self.register_buffer("mean", torch.tensor([104.0, 117.0, 123.0]).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor, layers: Sequence[str] = SQUEEZENET11_LAYERS) -> list[Tensor]:
        """Activations after the ReLU of each of `layers`, in the order of the network.

        Parameters
        ----------
        x
            Float [N,3,H,W], sRGB in 0..1, sides of at least 17 px.
        layers
            Of ``conv1``, ``fire2`` ... ``fire9``. Nothing after the last of them is computed.

        Returns
        -------
        list of Tensor
            conv1 [N,64,(H-1)//2,(W-1)//2] and so on; 128, 256, 384 or 512 channels.

        Raises
        ------
        SettingError
            An unknown layer, or a side below 17 px.

        Examples
        --------
        >>> [tuple(y.shape) for y in SqueezeNet11()(torch.rand(1, 3, 64, 48), ["conv1", "fire9"])]
        [(1, 64, 31, 23), (1, 512, 3, 2)]
        """
        _check_layers(layers, SQUEEZENET11_LAYERS)
        if min(x.shape[2:]) < SMALLEST_PX:
            size = f"{x.shape[3]}x{x.shape[2]} px"
            raise SettingError("picture", size, f"sides of at least {SMALLEST_PX} px")
        x = x.flip(1) * 255 - self.mean
        found = []
        for name in SQUEEZENET11_LAYERS:
            x = F.relu(self.conv1(x)) if name == "conv1" else self.get_submodule(name)(x)
            if name in layers:
                found.append(x)
            if len(found) == len(layers):
                break
            if name in POOLED_AFTER:
                x = F.max_pool2d(x, 3, stride=2, ceil_mode=True)
        return found


class Vgg19(nn.Module):
    """The convolutional part of VGG-19, 20.0 M weights, keys as in torchvision (``features.0.weight`` ...).

    Parameters
    ----------
    activation
        "pre": the convolutions' own outputs (ESRGAN-type losses; what "conv5_4" means in the DeSmoothGAN paper).
        "post": after their ReLU (pix2pixHD, SPADE, HiFaceGAN).
    normalise
        Subtract ImageNet's mean and divide by its deviation, as the weights expect. HiFaceGAN feeds raw 0..1: False.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, activation: Literal["pre", "post"] = "pre", *, normalise: bool = True) -> None:
        super().__init__()
        if activation not in ("pre", "post"):
            raise SettingError("activation", activation, "pre or post")
        self.activation, self.normalise = activation, normalise
        modules: list[nn.Module] = []
        self.index_of: dict[str, int] = {}
        channels = 3
        for block, (width, count) in enumerate(VGG19_BLOCKS, 1):
            for conv in range(1, count + 1):
                self.index_of[f"conv{block}_{conv}"] = len(modules)
                # Not in place: that would overwrite the "pre" activations that were handed out.
                modules += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            modules.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*modules)
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        self.register_buffer("mean", mean.view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", deviation.view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor, layers: Sequence[str]) -> list[Tensor]:
        """Activations of `layers`, in the order of the network.

        Parameters
        ----------
        x
            Float [N,3,H,W], sRGB in 0..1.
        layers
            Of ``conv1_1`` ... ``conv5_4``. Nothing after the last of them is computed.

        Returns
        -------
        list of Tensor
            [N,C,H/2^k,W/2^k], where k is the number of the block less one; sides round down.

        Raises
        ------
        SettingError
            An unknown layer, or sides that the poolings before the last layer reduce to nothing.

        Examples
        --------
        >>> [tuple(y.shape) for y in Vgg19()(torch.rand(1, 3, 16, 17), ["conv1_2", "conv2_2"])]
        [(1, 64, 16, 17), (1, 128, 8, 8)]
        """
        _check_layers(layers, VGG19_LAYERS)
        smallest = 2 ** (max(int(name[4]) for name in layers) - 1)
        if min(x.shape[2:]) < smallest:
            raise SettingError("picture", f"{x.shape[3]}x{x.shape[2]} px", f"sides of at least {smallest} px")
        wanted = {self.index_of[name] + (self.activation == "post") for name in layers}
        if self.normalise:
            x = (x - self.mean) / self.deviation
        found = []
        for index, module in enumerate(self.features):
            x = module(x)
            if index in wanted:
                found.append(x)
            if len(found) == len(wanted):
                break
        return found


def features_folder(folder: Path | None = None) -> Path:
    """Return the folder with feature weights: `folder`, else what RESTAURO_FEATURES names.

    Raises
    ------
    ModelError
        Neither is given, or it is no folder.
    """
    named = folder or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if named is None:
        raise ModelError(
            f"features: found no folder with pretrained weights, wanted one with {SQUEEZENET11_FILE} "
            f"or {VGG19_FILE}; set {VARIABLE}"
        )
    if not named.is_dir():
        raise ModelError(f"features: found no folder {named}, wanted pretrained weights there; correct {VARIABLE}")
    return named


def load_squeezenet11(path: Path, *, sha256: str = SQUEEZENET11_SHA256) -> SqueezeNet11:
    """Read SqueezeNet 1.1 from its ``.npz``, frozen and in evaluation mode.

    Parameters
    ----------
    path
        The file; keys ``conv1.weight`` (out, in, kh, kw), ``fire2.squeeze1x1.bias`` and so on.
    sha256
        Digest, or its beginning, that the file must have: names like ``fsd`` promise these very weights.

    Raises
    ------
    ModelError
        No such file, other bytes than promised, or other keys or shapes.
    """
    checked_file(path, sha256)
    with np.load(path, allow_pickle=False) as arrays:
        state = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    return _filled(SqueezeNet11(), state, path)


def load_vgg19(
    path: Path,
    *,
    activation: Literal["pre", "post"] = "pre",
    normalise: bool = True,
    sha256: str = VGG19_SHA256,
) -> Vgg19:
    """Read VGG-19 from torchvision's ``.pth`` (``weights_only``; its classifier is not used), frozen.

    Parameters
    ----------
    path
        The file; keys ``features.0.weight`` and so on.
    activation, normalise
        See :class:`Vgg19`.
    sha256
        Digest, or its beginning, that the file must have; "" for any file of that layout.

    Raises
    ------
    ModelError
        No such file, other bytes than promised, or other keys or shapes.
    """
    checked_file(path, sha256)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).partition("\n")[0][:100]
        raise ModelError(f"{path.name}: found no weights file ({reason}); take the published file") from None
    kept = {key: value for key, value in state.items() if not key.startswith("classifier.")}
    return _filled(Vgg19(activation, normalise=normalise), kept, path)


def checked_file(path: Path, sha256: str) -> Path:
    """Return `path` if its SHA-256 begins with `sha256`.

    Raises
    ------
    ModelError
        No such file, or other bytes.
    """
    if not path.is_file():
        raise ModelError(f"{path.name}: found no such file in {path.parent}, wanted the weights; put it there")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if not found.startswith(sha256):
        raise ModelError(
            f"{path.name}: found SHA-256 {found[:12]}..., wanted {sha256[:12]}...; metrics and losses "
            "promise those very weights, so take the published file"
        )
    return path


def _filled(module: M, state: Mapping[str, Tensor], path: Path) -> M:
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        what = " ".join(str(error).split())
        raise ModelError(f"{path.name}: {what[:200]}; take the published file") from error
    return module.requires_grad_(False).eval()


def _check_layers(layers: Sequence[str], known: Sequence[str]) -> None:
    if not layers or len(set(layers)) < len(layers) or not set(layers) <= set(known):
        raise SettingError("layers", list(layers), f"some of {', '.join(known)}, each once")
