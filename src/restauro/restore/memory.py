"""Memory: how much may still be taken, on the host and on an accelerator, without any package but torch.

A container's limit is not in /proc/meminfo: on Linux the control groups of this process (version 1 and 2) are
read as well, and the tightest of all counts. Page cache that can be dropped is free, as MemAvailable has it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from restauro.errors import EngineError

if TYPE_CHECKING:
    import torch

_UNKNOWN = "found no way to tell how much memory is free on {}, wanted a limit; set memory_limit (bytes)"


def host_free_bytes(root: Path = Path("/")) -> int:
    """Bytes of host memory that this process may still take, at this moment.

    Parameters
    ----------
    root
        Where ``proc`` and ``sys`` are found.

    Returns
    -------
    int
        On Linux the smallest of MemAvailable and, for each control group that this process is in, its limit
        less what its members use (without inactive page cache); never below 0. On Windows the available
        physical memory. Elsewhere (macOS) half of the physical memory: a guess.

    Raises
    ------
    EngineError
        On a system that tells none of these.

    Examples
    --------
    >>> host_free_bytes() > 0
    True
    """
    meminfo = root / "proc/meminfo"
    if meminfo.exists():
        available = _fields(meminfo)["MemAvailable:"] * 1024
        return max(0, min([available, *_cgroup_free_bytes(root)]))
    if sys.platform == "win32":
        return _windows_free_bytes()
    if "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    raise EngineError(_UNKNOWN.format(sys.platform))


def free_bytes(device: torch.device) -> int:
    """Bytes that may still be taken on a torch device: CPU, CUDA (and ROCm) or Apple's MPS.

    What torch's caching allocator holds but does not use counts as free.

    Raises
    ------
    EngineError
        For a device whose free memory torch does not tell.

    Examples
    --------
    >>> import torch
    >>> free_bytes(torch.device("cpu")) > 0
    True
    """
    import torch

    if device.type == "cpu":
        return host_free_bytes()
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    if device.type == "mps":
        return max(0, torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    raise EngineError(_UNKNOWN.format(device))


def _fields(file: Path) -> dict[str, int]:
    """First number of each line of a ``name number [unit]`` file."""
    lines = (line.split() for line in file.read_text().splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdecimal()}


def _cgroup_free_bytes(root: Path) -> Iterator[int]:
    """Limit less use of every control group above this process that has a limit."""
    membership = root / "proc/self/cgroup"
    if not membership.exists():
        return
    for line in membership.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            mount, limit, usage, inactive = "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            mount, limit, usage = "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            inactive = "total_inactive_file"
        else:
            continue
        # Inside a container the path is often the host's and the group itself is mounted as the top.
        inner = Path(path.lstrip("/"))
        for group in (inner, *inner.parents):
            folder = root / mount / group
            most = (folder / limit).read_text().strip() if (folder / limit).exists() else "max"
            if most != "max":
                used = int((folder / usage).read_text())
                yield int(most) - used + _fields(folder / "memory.stat").get(inactive, 0)


if sys.platform == "win32":

    def _windows_free_bytes() -> int:
        """Available physical memory (GlobalMemoryStatusEx)."""

        class MemoryStatus(ctypes.Structure):
            _fields_ = (
                ("length", ctypes.c_ulong),
                ("load", ctypes.c_ulong),
                *((name, ctypes.c_ulonglong) for name in ("total", "available", "a", "b", "c", "d", "e")),
            )

        status = MemoryStatus(length=ctypes.sizeof(MemoryStatus))
        if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
            raise EngineError(_UNKNOWN.format("Windows"))
        return int(status.available)
