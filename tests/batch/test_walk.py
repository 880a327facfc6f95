from __future__ import annotations

from pathlib import Path

import pytest

from restauro.batch.walk import Job, plan
from restauro.errors import UsageError


@pytest.fixture
def album(tmp_path: Path) -> Path:
    for name in ("a.png", "sub/ñ 图像 #1.jpg", "sub/notes.txt", ".hidden/x.png", "sub/.thumb.png"):
        path = tmp_path / "album" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "album"


def test_result_lies_beside_the_input_without_o():
    assert plan(["dir/aunt.jpg"], None, made="desmoothed") == [Job("dir/aunt.jpg", "dir/aunt.desmoothed.jpg")]


def test_folder_is_walked_and_mirrored(album: Path, tmp_path: Path):
    jobs = plan([str(album)], str(tmp_path / "out"), made="m")
    assert {j.target for j in jobs if not j.skip} == {
        str(tmp_path / "out" / "a.png"),
        str(tmp_path / "out" / "sub" / "ñ 图像 #1.jpg"),
    }
    skipped = [j for j in jobs if j.skip]
    assert [Path(j.source).name for j in skipped] == ["notes.txt"], "hidden files are not even mentioned"


def test_own_results_are_not_done_again(album: Path):
    (album / "a.m.png").write_bytes(b"x")
    jobs = {Path(j.source).name: j for j in plan([str(album)], None, made="m")}
    assert "already" in jobs["a.m.png"].skip
    assert not jobs["a.png"].skip


def test_glob_is_sorted_and_recursive(album: Path):
    jobs = plan([str(album / "**" / "*.*g")], None, made="m")
    assert [Path(j.source).name for j in jobs] == ["a.png", "ñ 图像 #1.jpg"]


def test_a_file_with_glob_characters_in_its_name_is_itself(tmp_path: Path):
    odd = tmp_path / "a[1].png"
    odd.write_bytes(b"x")
    (tmp_path / "a1.png").write_bytes(b"x")
    assert [j.source for j in plan([str(odd)], None, made="m")] == [str(odd)]


def test_streams():
    assert plan(["-"], None, made="m") == [Job("-", "-")]
    assert plan(["-"], "x.png", made="m") == [Job("-", "x.png")]
    assert plan(["a.png"], "-", made="m") == [Job("a.png", "-")]


def test_output_is_a_folder_when_it_says_so(tmp_path: Path):
    assert plan(["a.png"], "out/", made="m")[0].target == str(Path("out/a.png"))
    assert plan(["a.png"], str(tmp_path), made="m")[0].target == str(tmp_path / "a.png")
    assert plan(["a.png"], "out.png", made="m")[0].target == "out.png"


@pytest.mark.parametrize(
    ("inputs", "output", "says"),
    [
        ([], None, "found nothing"),
        (["x/a.png", "y/a.png"], "out", "would both become"),
        (["a.png", "b.png"], "-", "found 2 pictures"),
        (["no-such-*.png"], None, "no file that matches"),
        (["a.png", "--strenght"], None, "--strenght: found no such option"),
    ],
)
def test_impossible_plans_are_refused_before_any_work(inputs: list[str], output: str | None, says: str):
    with pytest.raises(UsageError, match=says):
        plan(inputs, output, made="m")


def test_empty_folder_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="empty folder"):
        plan([str(tmp_path)], None, made="m")
