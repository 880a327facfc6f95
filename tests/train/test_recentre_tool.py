"""tools/train_recentre.py: what it calls a shift is one, and what it writes is the old network and a part more."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import skimage.data
import torch

from restauro.degrade.laws import repeat_steps
from restauro.models import find, load, save_weights
from restauro.nets.layers.recentre import translated
from restauro.nets.residual_unet import ResidualUNet
from tests.scripts import script
from tests.train.small import make_pictures

RECIPE = """
name = "tiny"
verb = "renovate"
summary = "a test"
terms = "none"
patch_px = 64
model.architecture = "residual-unet"
loss.l1 = 1.0
[degradation]
law = "face-renovation"
fresh = true
[degradation.settings]
"blur.size_min_px" = 17
"noise.severity" = 0.02
"jpeg.severity" = 0.1
"resize.scale_min" = 0.9
"resize.scale_max" = 1.0
[[data.train]]
name = "t"
folder = "pictures"
list = "train.txt"
[[data.validation]]
name = "v"
folder = "pictures"
list = "val.txt"
"""


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    with script("train_recentre") as module:
        yield module


@pytest.mark.parametrize("angle", [0, 40, 90, 200])
def test_a_shift_moves_the_blurred_picture_back(tool: ModuleType, angle: float):
    x = torch.from_numpy(skimage.data.astronaut()[:200, 120:320].copy()).permute(2, 0, 1)[None].float() / 255
    steps = ({"step": "motion-blur", "size_px": 21, "angle_deg": angle, "ramp": 0.95}, {"step": "jpeg", "quality": 90})
    blurred = repeat_steps(x, [steps])
    shift = tool.shift_px(steps)[None]
    assert 2 < float(shift.norm()) < 3.5
    inside = (..., slice(12, -12), slice(12, -12))
    errors = [float((translated(blurred, sign * shift) - x)[inside].square().mean()) for sign in (0, 1, -1)]
    assert errors[1] < 0.9 * errors[0] < 0.9 * errors[2]


def test_it_learns_a_part_and_leaves_the_rest(tool: ModuleType, tmp_path: Path, monkeypatch, capsys):
    make_pictures(tmp_path)
    (tmp_path / "tiny.toml").write_text(RECIPE)
    plain = ResidualUNet(4, 1)
    torch.nn.init.normal_(plain.head.weight)
    given, made = tmp_path / "plain.safetensors", tmp_path / "made.safetensors"
    save_weights(plain, given, "residual-unet", {"width": 4, "blocks": 1}, {"verb": "renovate", "scores": "[]"})
    arguments = [str(tmp_path / "tiny.toml"), "--weights", str(given), "--root", str(tmp_path), "-o", str(made)]
    monkeypatch.setattr(sys, "argv", ["train_recentre", *arguments, "--pictures", "500", "--held", "100"])
    monkeypatch.setattr(tool, "cache_folder", lambda: tmp_path / "cache")
    tool.main()
    said = capsys.readouterr().out
    assert float(said.split()[3]) > 0.1, said
    before, after = load(str(given)).state_dict(), load(str(made)).state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert {name.split(".")[0] for name in set(after) - set(before)} == {"recentre"}
    assert "scores" not in find(str(made)).metadata
    monkeypatch.setattr(sys, "argv", ["train_recentre", *(str(made) if a == str(given) else a for a in arguments)])
    with pytest.raises(SystemExit, match="without 'recentre'"):
        tool.main()
    monkeypatch.setattr(sys, "argv", ["train_recentre", *arguments[:-1], str(tmp_path / "none" / "made.safetensors")])
    with pytest.raises(SystemExit, match="no such folder"):
        tool.main()
