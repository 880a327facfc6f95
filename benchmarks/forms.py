"""What the speed benchmarks share: a network in its plain form beside the form that the engine runs.

Plain: the module as it was trained, eager, float32, channels first, the whole picture at once. The engine's form: what
:func:`restauro.models.for_use` makes of it, run by the engine from array to array, in float32 and in bfloat16.

On one thread the clock counts the processor's seconds, so that a busy machine does not matter much; on more it is the
wall's. The floor is the plain network's operations at the speed that one large 3x3 convolution has on the same machine,
in the same type: what computes all of them is hardly faster.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.harness import Case, compare, in_fresh_process
from benchmarks.inputs import picture, use_threads
from restauro.models import facts_of, for_use
from restauro.restore.engine import EngineSettings, run

FORMS = ("bfloat16", "float32", "plain")

Work = Callable[[], np.ndarray]


def crop(megapixels: float, height: int | None = None, width: int | None = None) -> np.ndarray:
    """The benchmarks' photograph of that size, its sides cut to multiples of 32 so that nobody pads."""
    pixels = picture(megapixels)
    high, wide, _ = pixels.shape
    return np.ascontiguousarray(pixels[: height or high // 32 * 32, : width or wide // 32 * 32])


def work(net: nn.Module, form: str, pixels: np.ndarray) -> Work:
    """One form, from array to array."""
    if form == "plain":

        def plain() -> np.ndarray:
            with torch.inference_mode():
                x = torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()
                made: np.ndarray = net(x)[0].permute(1, 2, 0).numpy()
            return made

        return plain
    quick = for_use(net)
    settings = EngineSettings(device="cpu", precision="bfloat16" if form == "bfloat16" else "float32")
    return lambda: run(quick, facts_of(quick), pixels, settings).pixels


def prepare(
    maker: str, options: Mapping[str, Any], form: str, megapixels: float, side: int | None, threads: int
) -> Callable[[], None]:
    """Make one form ready in a fresh process, tried on a small picture."""
    use_threads(threads)
    net = _made(maker, options)
    work(net, form, crop(0))()
    ready = work(net, form, crop(megapixels, side, side))

    def without_result() -> None:
        ready()

    return without_result


def case(
    maker: str,
    options: Mapping[str, Any],
    megapixels: float,
    rounds: int,
    threads: int,
    *,
    name: str,
    side: int | None = None,
) -> Case:
    """Compare the forms of the network that ``maker``, "module:function", makes of its options.

    ``side``: a square of so many pixels is cut from the picture.
    """
    use_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    net, pixels = _made(maker, options), crop(megapixels, side, side)
    works = {form: work(net, form, pixels) for form in FORMS}
    results: dict[str, np.ndarray] = {}

    def kept(form: str) -> Callable[[], None]:
        def do() -> None:
            results[form] = works[form]()

        return do

    seconds, ratios = compare({form: kept(form) for form in FORMS}, rounds, clock)
    arguments = {"maker": maker, "options": dict(options), "megapixels": megapixels, "side": side, "threads": threads}
    memory = {form: in_fresh_process("benchmarks.forms:prepare", {**arguments, "form": form})[1] for form in FORMS}
    height, width, _ = pixels.shape
    gflop = _gflop(net) * height * width
    notes: dict[str, float | int | str] = {
        "network": name,
        "clock": "processor" if threads == 1 else "wall",
        "plain / float32": seconds["plain"].median / seconds["float32"].median,
        "bfloat16 to plain, dB": _db(results["bfloat16"], results["plain"]),
        "float32 to plain, largest error": float(np.abs(results["float32"] - results["plain"]).max()),
        "the plain form's change of the picture, dB": _db(results["plain"], pixels),
        "GFLOP": gflop,
    }
    for dtype in (torch.float32, torch.bfloat16):
        notes[f"floor {str(dtype).removeprefix('torch.')}, s"] = gflop / _gflop_per_second(dtype, clock)
    return Case(width, height, seconds, ratios, memory, notes)


def randomised(net: nn.Module, std: float) -> nn.Module:
    """Weights N(0, std^2 / inputs) in place of those that start at zero, and small offsets."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in net.named_parameters():
        values = torch.randn(parameter.shape, generator=generator)
        scaled = values * std / parameter[0].numel() ** 0.5 if parameter.dim() > 1 else values / 20
        parameter.data = scaled + (0 if parameter.dim() > 1 or name.endswith("bias") else 1)
    return net


def _made(maker: str, options: Mapping[str, Any]) -> nn.Module:
    module, _, function = maker.partition(":")
    net: nn.Module = getattr(import_module(module), function)(**options)
    return net.eval().requires_grad_(False)


def _db(a: np.ndarray, b: np.ndarray) -> float:
    error = float(np.square(a.astype(np.float64) - b).mean())
    return -10 * math.log10(error) if error else math.inf


def _gflop(net: nn.Module, side: int = 128) -> float:
    """Operations of the plain form per pixel, as torch counts them: two per multiply-accumulate."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.rand(1, 3, side, side))
    return counter.get_total_flops() / 1e9 / side**2


def _gflop_per_second(dtype: torch.dtype, clock: Callable[[], float], channels: int = 256, side: int = 64) -> float:
    """The best of five convolutions of that many channels to as many, after one that is not timed."""
    last = {"dtype": dtype, "memory_format": torch.channels_last}
    x, weight = torch.ones(1, channels, side, side).to(**last), torch.ones(channels, channels, 3, 3).to(**last)
    times = []
    for _ in range(6):
        began = clock()
        nn.functional.conv2d(x, weight, padding=1)
        times.append(clock() - began)
    return 2 * 9 * (channels * side) ** 2 / min(times[1:]) / 1e9
