"""Where and in what a network runs: the one place where a device and a precision are chosen, and lived with."""

from __future__ import annotations

import copy
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Literal

import torch
from torch import nn

from restauro.errors import EngineError, SettingError
from restauro.facts import BFLOAT16_DB, Facts, Precision


def choose_device(name: str = "auto") -> torch.device:
    """Resolve a device name; ``"auto"`` is CUDA, else MPS, else the CPU.

    >>> choose_device("cpu")
    device(type='cpu')
    """
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, here in found.items() if here)
    try:
        return torch.empty(0, device=name).device  # fails where the device is missing, and adds its index
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        here = ", ".join(kind for kind, here in found.items() if here)
        raise SettingError("device", name, f"auto or a device of this machine ({here})") from error


def choose_precision(
    wanted: Literal["auto"] | Precision, facts: Facts, device: torch.device
) -> tuple[Precision, list[str]]:
    """Resolve a precision, with a note where bfloat16 is asked for and is not known to be good.

    Automatic is bfloat16 only where it is the network's preferred one, where these very weights were measured to reach
    :data:`restauro.facts.BFLOAT16_DB` in it, and where the device is fast in it.

    >>> choose_precision("auto", Facts(precisions=("bfloat16", "float32")), torch.device("cpu"))  # nobody measured
    ('float32', [])
    """
    reached = facts.bfloat16_db
    if wanted == "auto":
        good = reached is not None and reached >= BFLOAT16_DB
        usable: dict[Precision, bool] = {"float32": True, "bfloat16": good and _is_fast_in_bfloat16(device)}
        return next((precision for precision in facts.precisions if usable[precision]), "float32"), []
    if wanted == "bfloat16" and (reached is None or wanted not in facts.precisions):
        return wanted, ["bfloat16 was asked for, and this network was not measured in it"]
    if wanted == "bfloat16" and reached is not None and reached < BFLOAT16_DB:
        return wanted, [f"bfloat16 was asked for: these weights reach {reached:.1f} dB to float32 in it"]
    return wanted, []


def _is_fast_in_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 itself: torch also emulates it, slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    if platform.machine().lower() in ("aarch64", "arm64"):
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    probes = (
        "_is_avx512_bf16_supported",
        "_is_amx_tile_supported",
    )  # torch 2.6 to 2.13; private, hence getattr
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell running out of memory from a network's own errors; on most devices only the words differ."""
    words = (
        "out of memory",
        "not enough memory",
        "DefaultCPUAllocator",
        "bad_alloc",
        "ALLOC_FAILED",
        "could not create a primitive",  # oneDNN's way to say it
    )
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(word in str(error) for word in words)


def on_device(net: nn.Module, device: torch.device, name: str) -> nn.Module:
    """The network itself where it is on the device already, else a copy there; ``name`` begins a complaint."""
    if all(tensor.device == device for tensor in chain(net.parameters(), net.buffers())):
        return net
    try:
        # A copy, because moving the caller's network would pull it from under another thread.
        return copy.deepcopy(net).to(device)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise EngineError(
            f"{name}: found no memory on {device} for the network's weights; free some, or take device cpu"
        ) from error


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """So many threads of torch inside; None leaves them as they are."""
    if count is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
