"""Writing: all of it or nothing, and what was there before stays."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import textwrap
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from restauro.codecs import files
from restauro.errors import PictureError, SettingError
from restauro.picture import encode, from_array, read, write
from tests.picture import odd_files as odd

PICTURE = from_array(odd.scene())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "name", ["plain.png", "zdjęcia/ñ 图像 #1.png", "a b/100% [x]{y};'q'.tif", "-rf.webp", "UP.JPG"]
)
def test_any_path_in_any_script(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    assert write(PICTURE, path) == path
    again = read(str(path))
    assert again.source.name == str(path)
    assert (again.width, again.height) == (60, 40)
    with path.open("rb") as stream:
        np.testing.assert_array_equal(read(stream).pixels, again.pixels)
    assert names(path.parent) == [path.name]


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [(".png", "png"), (".jpeg", "jpeg"), (".JPG", "jpeg"), (".webp", "webp"), (".tif", "tiff"), (".bmp",
    "bmp"),
     (".gif", "gif"), (".avif", "avif")],
)  # fmt: skip
def test_the_suffix_chooses_the_format(tmp_path, suffix, kind):
    assert read(write(PICTURE, tmp_path / f"picture{suffix}")).source.format == kind


def test_a_format_can_be_asked_for_whatever_the_suffix_says(tmp_path):
    assert read(write(PICTURE, tmp_path / "picture.dat", format="jpg")).source.format == "jpeg"
    with pytest.raises(SettingError, match="format"):
        write(PICTURE, tmp_path / "picture.png", format="xyz")
    for name in ("picture", "picture.xyz"):
        with pytest.raises(PictureError, match="change the name"):
            write(PICTURE, tmp_path / name)


def test_an_existing_file_needs_force(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"precious")
    with pytest.raises(PictureError, match=r"exists already.*needs --force"):
        write(PICTURE, path)
    assert path.read_bytes() == b"precious"
    path.chmod(0o640)
    write(PICTURE, path, force=True)
    assert read(path).width == 60
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert names(tmp_path) == ["a.png"]


def test_the_source_itself_is_such_a_target(tmp_path):
    path = write(PICTURE, tmp_path / "a.jpg")
    before = path.read_bytes()
    picture = read(path)
    with pytest.raises(PictureError, match="--force"):
        write(picture, path)
    assert path.read_bytes() == before
    write(picture, path, force=True)


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    real = os.fsync

    def meanwhile(handle):
        path.write_bytes(b"somebody else")
        real(handle)

    monkeypatch.setattr(os, "fsync", meanwhile)
    with pytest.raises(PictureError, match="appeared meanwhile"):
        write(PICTURE, path)
    assert path.read_bytes() == b"somebody else"
    assert names(tmp_path) == ["a.png"]


def test_a_file_system_without_hard_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    path = write(PICTURE, tmp_path / "a.png")
    assert read(path).width == 60
    assert names(tmp_path) == ["a.png"]


def test_a_link_keeps_being_a_link(tmp_path):
    (tmp_path / "real.png").write_bytes(b"old")
    (tmp_path / "link.png").symlink_to("real.png")
    write(PICTURE, tmp_path / "link.png", force=True)
    assert (tmp_path / "link.png").is_symlink()
    assert read(tmp_path / "real.png").width == 60


def test_a_missing_directory_and_a_directory_as_target(tmp_path):
    with pytest.raises(PictureError, match=r"no such directory.*create"):
        write(PICTURE, tmp_path / "none" / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(PictureError, match="a directory"):
        write(PICTURE, tmp_path / "folder.png", force=True)
    with pytest.raises(PictureError):
        write(PICTURE, tmp_path / ("x" * 300 + ".png"))
    with pytest.raises(PictureError):
        write(PICTURE, str(tmp_path / "a\0b.png"))


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (errno.ENOSPC, "a full disk"),
        (errno.EACCES, "may not write to"),
        (errno.EROFS, "may not write to"),
        (errno.EIO, "input/output error"),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_failures_of_the_disk_leave_nothing_behind(tmp_path, monkeypatch, code, sentence, force):
    path = tmp_path / "a.png"
    if force:
        path.write_bytes(b"precious")
    real = os.write

    def half(handle, data):
        if len(data) > 100:
            return real(handle, data[:100])
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(PictureError, match=sentence) as error:
        write(PICTURE, path, force=force)
    assert str(error.value).startswith(f"{path}: found ")
    monkeypatch.undo()
    assert names(tmp_path) == (["a.png"] if force else [])
    if force:
        assert path.read_bytes() == b"precious"


def test_an_interrupt_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(handle):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(PICTURE, tmp_path / "a.png")
    assert names(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="there is no RLIMIT_FSIZE on Windows")
def test_a_real_size_limit(tmp_path):
    script = """
        import resource, sys
        import numpy as np
        from restauro.errors import PictureError
        from restauro.picture import from_array, write
        picture = from_array(np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8))
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        try:
            write(picture, sys.argv[1])
        except PictureError as error:
            print(error)
    """
    path = tmp_path / "big.png"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "a file size limit" in done.stdout
    assert done.stderr == ""
    assert names(tmp_path) == []


def test_a_failing_encoder_touches_nothing(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"precious")
    with pytest.raises(PictureError, match="transparency"):
        write(from_array(odd.scene(bands=4)), path, force=True)
    assert path.read_bytes() == b"precious"
    assert names(tmp_path) == ["a.jpg"]


def test_new_files_have_ordinary_permissions(tmp_path):
    old = os.umask(0o022)
    try:
        path = files.write_bytes(b"x", tmp_path / "a.txt")
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_same_picture_same_bytes():
    for kind in ("png", "jpeg", "webp", "tiff", "bmp", "gif", "avif"):
        assert encode(PICTURE, format=kind) == encode(from_array(odd.scene()), format=kind), kind


def test_reading_takes_little_more_memory_than_its_pixels():
    array = np.tile(odd.scene(500, 800), (4, 5, 1))
    data = odd.saved(array, "JPEG")
    pixels = array.shape[0] * array.shape[1]
    read(data)
    tracemalloc.start()
    picture = read(data)
    reading = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    encode(picture)
    writing = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    # 12 bytes of float32 and 3 of samples, which libvips allocates unseen; the rest are strips.
    assert reading < 12 * pixels + 8e6
    assert writing < 6 * pixels + 8e6
