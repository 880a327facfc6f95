"""Whole files in and out: bytes from any path, and bytes to a path all or nothing."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from pathlib import Path
from typing import BinaryIO

from restauro.errors import PictureError


def load(source: str | os.PathLike[str] | bytes | BinaryIO) -> tuple[str, bytes]:
    """Return ``(name, bytes)`` of a path, of bytes or of a binary stream.

    Raises
    ------
    PictureError
        The path is missing, a directory, not readable, or there is nothing in it.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        name, data = "bytes", bytes(source)
    elif isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        data = _read_path(name)
    else:
        name = str(getattr(source, "name", "stream"))
        data = source.read()
        if not isinstance(data, bytes):
            raise PictureError(name, "a text stream", "a binary stream", "open it with mode 'rb'")
    if not data:
        raise PictureError(name, "an empty file", "a picture", "copy it again from its source")
    return name, data


def _read_path(name: str) -> bytes:
    path = Path(name)
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise PictureError(name, "a directory", "a picture file", "name a file in it")
        if not (stat.S_ISREG(kind) or stat.S_ISFIFO(kind)):
            raise PictureError(name, "a device or socket", "a picture file", "name a regular file")
        return path.read_bytes()
    except FileNotFoundError:
        raise PictureError(name, "no such file", "a picture file", "check the name") from None
    except PermissionError:
        raise PictureError(name, "a file you may not read", "a readable file", "change its permissions") from None
    except MemoryError:
        raise PictureError(name, "a file too big for memory", "a picture file", "check the name") from None
    except (OSError, ValueError) as error:
        raise PictureError(name, _reason(error), "a readable file", "check the path and the disk") from None


def check_target(path: str | os.PathLike[str], *, force: bool = False) -> Path:
    """Refuse a target that cannot or must not be written; cheap, so that it can be asked before the work.

    Raises
    ------
    PictureError
        The directory is missing, the target is a directory, or it exists and ``force`` is false.
    """
    target = Path(path)
    name = os.fspath(path)
    try:
        if target.is_dir():
            raise PictureError(name, "a directory", "a file name", "add a file name to it")
        if not target.parent.is_dir():
            raise PictureError(name, "no such directory", "an existing directory", f"create {target.parent} first")
        if target.exists() and not force:
            raise PictureError(name, "a file that exists already", "a new name", "choose another name; needs --force")
    except (OSError, ValueError) as error:
        raise _unwritable(name, error) from None
    return target


def write_bytes(data: bytes, path: str | os.PathLike[str], *, force: bool = False) -> Path:
    """Write ``data`` to ``path`` so that the path holds either all of it or what it held before.

    The bytes go to a temporary name in the same directory, are flushed to the disk (``fsync``) and renamed.
    Whatever fails, the temporary file is removed. A symbolic link is followed: the file behind it is
    replaced.

    Parameters
    ----------
    data
        The whole file.
    path
        Where it goes.
    force
        Replace an existing file (its permissions are kept). Without it an existing file is refused, also one
        that appears while the bytes are being written.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    PictureError
        The target cannot be written; the sentence says why.
    """
    target = check_target(path, force=force)
    name = os.fspath(path)
    try:
        real = Path(os.path.realpath(target))
        temporary = real.with_name(f".restauro-{secrets.token_hex(6)}.part")
        try:
            _fill(temporary, data)
            _settle(temporary, real, force=force)
        finally:
            temporary.unlink(missing_ok=True)
    except FileExistsError:
        raise PictureError(
            name, "a file that appeared meanwhile", "a new name", "choose another name; needs --force"
        ) from None
    except (OSError, ValueError) as error:
        raise _unwritable(name, error) from None
    return target


def _fill(temporary: Path, data: bytes) -> None:
    # 0o666 and the user's umask, as open() would: mkstemp's 0o600 would make results private.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _settle(temporary: Path, real: Path, *, force: bool) -> None:
    if force:
        if real.exists():
            temporary.chmod(stat.S_IMODE(real.stat().st_mode))
        temporary.replace(real)
        return
    try:
        os.link(temporary, real)  # unlike rename, link never replaces a file that appeared meanwhile
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if real.exists():
            raise FileExistsError(errno.EEXIST, "exists") from None
        temporary.rename(real)


def _unwritable(name: str, error: OSError | ValueError) -> PictureError:
    code = getattr(error, "errno", None)
    if code in (errno.ENOSPC, errno.EDQUOT):
        return PictureError(name, "a full disk", "room for the result", "free some space or choose another disk")
    if code == errno.EFBIG:
        return PictureError(name, "a file size limit", "room for the result", "raise the limit (ulimit -f)")
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return PictureError(name, "a place you may not write to", "a writable directory", "choose another directory")

    return PictureError(name, _reason(error), "a writable target", "check the path and the disk")


def _reason(error: OSError | ValueError) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return text[:1].lower() + text[1:]
