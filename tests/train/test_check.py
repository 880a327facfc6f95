"""check-data: what is wrong with a folder of pictures becomes a sentence, and stops training or does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restauro.cli.check_data import check_data as command
from restauro.errors import DataError
from restauro.train.check import check_data
from restauro.train.loop import train
from tests.train.small import TINY, tiny

PAIRED = {
    "train": [{"name": "t", "folder": "pictures", "inputs": "inputs"}],
    "validation": [{"name": "v", "folder": "held"}],
}


@pytest.fixture
def paired(root: Path) -> Path:
    for name in ("inputs", "held"):
        (root / name).mkdir()
    (root / "pictures" / "3.png").rename(root / "held" / "3.png")
    for path in (root / "pictures").iterdir():
        Image.open(path).save(root / "inputs" / f"{path.stem}.bmp")
    return root


def test_good_data_has_counts_and_sizes_and_no_findings(root: Path):
    report = check_data(tiny(), root)
    assert report.findings == ()
    assert [(one.role, one.name, one.pictures) for one in report.sets] == [("train", "t", 3), ("validation", "v", 1)]
    assert report.sets[0].smallest == report.sets[0].largest == (64, 64)
    assert report.sets[0].mib == pytest.approx(
        sum((root / "pictures" / f"{k}.png").stat().st_size for k in range(3)) / 2**20
    )


def test_every_fault_is_found_in_one_go(root: Path):
    pictures = root / "pictures"
    whole = (pictures / "1.png").read_bytes()
    (pictures / "1.png").write_bytes(whole[: len(whole) // 2])
    shutil.copy(pictures / "0.png", pictures / "again.png")
    Image.open(pictures / "3.png").save(pictures / "twin.bmp")  # other bytes, the same pixels
    Image.new("RGB", (40, 20)).save(pictures / "small.png")
    (root / "train.txt").write_text("0.png\n1.png\n2.png\n2.png\nagain.png\ntwin.bmp\nsmall.png\nnone.png\n")
    report = check_data(tiny(), root)
    errors = "\n".join(finding.text for finding in report.findings if finding.error)
    warnings = "\n".join(finding.text for finding in report.findings if not finding.error)
    assert "1.png: cannot be read" in errors
    assert "1 of 8 listed pictures are missing, first none.png; copy them there" in errors
    assert "validation picture '3.png' is training picture 'twin.bmp'; remove it" in errors
    assert "1 pictures train twice, first 'again.png' and '0.png'; unlist" in warnings
    assert "1 of 6 pictures are smaller than 32 px and will not train, first small.png" in warnings
    assert "train.txt: 1 names stand there more than once" in warnings
    with pytest.raises(DataError, match=r"\(2 more: restauro check-data\)"):
        train(tiny(), root=root, run=root / "run")


def test_pairs_are_matched_by_name(paired: Path):
    report = check_data(tiny(data=PAIRED), paired)
    assert report.findings == ()
    Image.new("RGB", (8, 8)).save(paired / "inputs" / "1.bmp")
    (paired / "inputs" / "2.bmp").rename(paired / "inputs" / "other.bmp")
    texts = [str(finding) for finding in check_data(tiny(data=PAIRED), paired).findings]
    assert len(texts) == 3
    assert "found 8x8, its picture '1.png' 64x64; a pair needs one size" in texts[0]
    assert texts[1].startswith("error: ")
    assert "'2.png' has no input of that name in 'inputs'; add it" in texts[1]
    assert texts[2].startswith("warning: ")
    assert "1 inputs have no picture of their name in 'pictures', first 'other'" in texts[2]


def test_paired_sets_train_on_their_inputs(paired: Path):
    from restauro.train.data import load_pairs

    recipe = tiny(data=PAIRED)
    Image.new("RGB", (64, 64), (255, 0, 0)).save(paired / "inputs" / "0.bmp")
    pair = load_pairs(recipe.data.train[0], paired, recipe.degradation, paired / "cache").pairs[0]
    assert (pair.source == np.array([255, 0, 0])).all()
    assert not (pair.truth == pair.source).all()


@pytest.mark.parametrize(
    ("degradation", "says"),
    [({"law": "l9"}, "found 'l9'"), ({"settings": {"lambda": 1}}, "found setting 'lambda'")],
)
def test_a_law_that_cannot_run_is_an_error(root: Path, degradation: dict[str, object], says: str):
    (finding,) = check_data(tiny(degradation=degradation), root).errors
    assert says in finding.text
    assert finding.text.endswith("correct the section")


def test_command_says_everything_and_its_exit_code_counts_errors_only(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    recipe = tmp_path / "tiny.toml"
    plain = "\n".join(f"{key} = {value!r}" for key, value in TINY.items() if not isinstance(value, dict))
    recipe.write_text(
        plain.replace("'", '"') + '\n[model]\narchitecture = "desmoothgan"\n'
        '[[data.train]]\nname = "t"\nfolder = "pictures"\nlist = "train.txt"\n'
    )
    assert command(str(recipe), root=str(root)) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("train t: 3 pictures, 0.0 MiB, 64x64 to 64x64")
    assert said[1].startswith("warning: tiny: no validation set")
    assert command(str(recipe), root=str(root), set_=("patch_px=96",)) == 1
    assert "error: every picture of set 't' is smaller than 96 px" in capsys.readouterr().out
