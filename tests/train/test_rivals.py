"""What tools that make tables share: which pictures, which words, and that what a person wrote stays."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from restauro.train.data import Pair, PairSet, evenly
from restauro.train.rivals import READING, loss_curves, table_arguments, write_page


def test_a_page_keeps_what_a_person_wrote(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    write_page(page, "# Old\n\n1 dB\n")
    assert page.read_text() == "# Old\n\n1 dB\n"
    page.write_text(f"# Old\n\n1 dB\n\n{READING}\n\nBecause.\n")
    for _ in range(2):
        write_page(page, "# New\n\n2 dB\n\n")
        assert page.read_text() == f"# New\n\n2 dB\n\n{READING}\n\nBecause.\n"


def test_words_of_a_table() -> None:
    given = table_arguments("about", Path("out.md"), pictures=3).parse_args(["--root", "r", "--queue"])
    assert (given.root, given.out, given.pictures, given.queue) == (Path("r"), Path("out.md"), 3, True)


def test_evenly_keeps_first_and_last() -> None:
    blank = np.zeros((1, 1, 3), np.uint8)
    whole = PairSet("s", 1.0, tuple(replace(Pair("a", "", blank, blank), name=str(k)) for k in range(10)))
    assert [one.name for one in evenly(whole, 4).pairs] == ["0", "3", "6", "9"]
    assert evenly(whole, 99).pairs == whole.pairs
    assert evenly(whole, None) is whole


def test_losses_of_the_runs_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    rows = ['{"restauro": "0.1.0"}', *(f'{{"iteration": {k}, "l1": {1 / k}}}' for k in range(1, 30))]
    (tmp_path / "a" / "log.jsonl").write_text("\n".join(rows))
    page = tmp_path / "page.md"
    assert "page-losses.png" in loss_curves(["a", "missing"], tmp_path, page)
    assert (tmp_path / "page-losses.png").stat().st_size > 500
    assert loss_curves(["missing"], tmp_path, tmp_path / "other.md") == ""
    assert not (tmp_path / "other-losses.png").exists()
