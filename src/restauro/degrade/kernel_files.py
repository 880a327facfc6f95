"""Blur kernels in files: pictures, .npy, .npz and text, read, checked and normalised."""

from __future__ import annotations

import hashlib
import struct
import zipfile
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from restauro.errors import UsageError

Taps = NDArray[np.float64]  # [kh, kw]

WIDEST_PX = 999
BROKEN = (OSError, ValueError, EOFError, SyntaxError, struct.error, zipfile.BadZipFile)  # what readers raise


def read_kernel(path: str | Path) -> Taps:
    """Read what a point of light becomes, [kh, kw].

    Parameters
    ----------
    path
        A grey picture (black = 0, levels count as they are), a .npy of two dimensions, a .txt or .csv of rows of
        numbers, or an array of a .npz as ``FILE.npz:NAME`` (``FILE.npz`` where it holds one).

    Returns
    -------
    array
        float64, sum 1, both sides odd: an even one gets a row or column of zeros at its end, so that the middle
        (side // 2) stays.

    Raises
    ------
    UsageError
        No such file, no kernel in it, negative or infinite taps, nothing but zeros, a side above 999 px.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "line.txt")
    ...     _ = file.write_text("1 2 1")
    ...     read_kernel(file)
    array([[0.25, 0.5 , 0.25]])
    """
    names = choose_kernel(path)
    if len(names) > 1:
        few = ", ".join(_split(name)[1] for name in names[:6]) + (", ..." if len(names) > 6 else "")
        raise UsageError(f"kernel {path}: found {len(names)} kernels, wanted one; add :NAME, of {few}")
    return normalised(_load(names[0]), str(path))


def choose_kernel(path: str | Path) -> list[str]:
    """Names that :func:`read_kernel` takes: the path itself, or the arrays of a .npz that it matches, sorted."""
    file, glob = _split(str(path))
    if not file.endswith(".npz"):
        return [file]
    with _opened(file) as arrays:
        names = sorted(name for name in arrays.files if fnmatch(name, glob or "*"))
    if not names:
        raise UsageError(f"kernel {path}: found no array of that name in {file}, wanted one; see its names")
    return [f"{file}:{name}" for name in names]


def normalised(array: NDArray[Any], name: str) -> Taps:
    """Check taps and give them odd sides and the sum 1; ``name`` is what an error calls them."""
    found = None
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "buif":
        found = f"an array of shape {list(array.shape)} and type {array.dtype}"
    elif max(array.shape) > WIDEST_PX:
        found = f"{array.shape[1]}x{array.shape[0]} taps (at most {WIDEST_PX} a side)"
    elif not np.isfinite(array).all():
        found = "taps that are no numbers"
    elif array.min() < 0:
        found = "negative taps"
    elif array.sum() <= 0:
        found = "nothing but zeros"
    if found:
        raise UsageError(
            f"kernel {name}: found {found}, wanted rows of numbers from 0: what a point of light becomes; "
            "check the file"
        )
    rows, columns = array.shape
    taps = np.pad(array.astype(np.float64), ((0, 1 - rows % 2), (0, 1 - columns % 2)))
    result: Taps = taps / taps.sum()
    return result


def kernel_sha256(taps: Taps) -> str:
    """Of the shape and the taps in single precision: the same whatever file they came in."""
    return hashlib.sha256(str(taps.shape).encode() + taps.astype("<f4").tobytes()).hexdigest()


def _split(path: str) -> tuple[str, str]:
    """``FILE.npz:NAME`` in two; anything else is a file."""
    file, mark, name = path.rpartition(".npz:")
    return (file + ".npz", name) if mark else (path, "")


def _load(path: str) -> NDArray[Any]:
    file, name = _split(path)
    if name:
        with _opened(file) as arrays:
            return np.asarray(arrays[name])
    suffix = Path(file).suffix.lower()
    try:
        if suffix == ".npy":
            return np.asarray(np.load(file, allow_pickle=False))
        if suffix in (".txt", ".csv"):
            return np.loadtxt(file, delimiter="," if suffix == ".csv" else None, ndmin=2)
        return _grey(file)
    except BROKEN as error:
        raise _unreadable(file, error) from None


def _opened(file: str) -> Any:
    try:
        arrays = np.load(file, allow_pickle=False)
    except BROKEN as error:
        raise _unreadable(file, error) from None
    if not isinstance(arrays, np.lib.npyio.NpzFile):
        raise _unreadable(file, ValueError("one array under a name for several"))
    return arrays


def _unreadable(file: str, error: Exception) -> UsageError:
    reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:120]
    return UsageError(
        f"kernel {file}: found {reason}, wanted a grey picture, .npy, .npz or .txt of a kernel; check the path"
    )


def _grey(file: str) -> NDArray[Any]:
    with Image.open(file) as image:
        if max(image.size) > WIDEST_PX:
            return np.empty((image.height, image.width), np.bool_)  # its size is all that will be said of it
        pixels = np.asarray(image.convert("RGB") if image.mode in ("P", "RGBA", "CMYK", "PA", "LA") else image)
    if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., 0]
    return pixels
