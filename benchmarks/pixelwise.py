"""ASAP-Net's pixelwise stage in its published form and in ours, then the whole network beside pix2pixHD and SPADE.

Labels of 35 classes and their borders; 0.52 megapixels are 512 x 1024, as in the paper. Beside them DeblurGAN (with two
convolutions per block, and with one) on a picture of that size. Weights are random; times do not depend on them. The
roofline of the stage: its published products at the speed that one large product has on the same machine, in the same
type.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from benchmarks.harness import Case, Spread, compare, in_fresh_process
from benchmarks.inputs import use_threads
from restauro.models import for_use
from restauro.nets.asapnet import build_asapnet
from restauro.nets.deblurgan import build_deblurgan
from restauro.nets.layers import pixelwise
from restauro.nets.layers.labels import instance_edges, one_hot, semantic
from restauro.nets.layers.pixelwise import PixelMlp
from restauro.nets.pix2pixhd import build_pix2pixhd
from restauro.nets.spade import SpadeGenerator

QUESTION = (
    "How much faster than the published forms is ASAP-Net's pixelwise stage, and what is left of that end to end?"
)
MEGAPIXELS = (0.066, 0.13, 0.52)
CLASSES = 35
STAGE = ("stage, ours", "stage, ours bfloat16", "stage, published")

Work = Callable[[], object]


def size_of(megapixels: float) -> tuple[int, int, int]:
    """Height, width and tile side: powers of two, a square or twice as wide, whose area is nearest; 16 tiles down.

    >>> size_of(0.52), size_of(0.13), size_of(0.066)
    ((512, 1024, 32), (256, 512, 16), (256, 256, 16))
    """
    octaves = max(12, round(math.log2(megapixels * 1e6)))
    height = 1 << octaves // 2
    return height, 1 << octaves - octaves // 2, max(16, height // 16)


def labels(height: int, width: int) -> Tensor:
    """A label map [1, H, W] of blocks of 20 x 20 pixels."""
    blocks = torch.randint(
        0, CLASSES, (1, -(-height // 20), -(-width // 20)), generator=torch.Generator().manual_seed(0)
    )
    return blocks.repeat_interleave(20, 1).repeat_interleave(20, 2)[:, :height, :width].contiguous()


def stage(form: str, megapixels: float, width: int) -> Work:
    """One form of the stage; the one-hot map of the published form is made beforehand, as it is its input."""
    height, across, k = size_of(megapixels)
    ids, mlp = labels(height, across), PixelMlp(CLASSES, k, width)
    generator = torch.Generator().manual_seed(0)
    params = torch.randn(1, height // k, across // k, mlp.count, generator=generator) / 8
    if form == "stage, published":
        planes, vectors = one_hot(ids, CLASSES), params.permute(0, 3, 1, 2).contiguous()
        return lambda: pixelwise.published(mlp, planes, vectors)
    params = params.bfloat16() if form == "stage, ours bfloat16" else params
    return lambda: pixelwise.of_labels(mlp, ids, params)


def networks(megapixels: float, width: int) -> dict[str, Work]:
    """Whole networks, from the label ids on."""
    height, across, k = size_of(megapixels)
    ids = labels(height, across)
    edges = instance_edges(ids)
    net = build_asapnet(CLASSES, tile_px=k, width=width, max_width=16 * width, mlp_width=width).eval()
    ours = for_use(net)
    half = for_use(copy.deepcopy(net).bfloat16())
    works: dict[str, Work] = {
        "ASAP-Net, ours": lambda: ours.from_labels(ids, edges),
        "ASAP-Net, ours bfloat16": lambda: half.from_labels(ids, edges),
        "ASAP-Net, published": lambda: net.published(semantic(ids, CLASSES, edges)),
    }
    of_labels = {
        "pix2pixHD": build_pix2pixhd("global", CLASSES, width=width).eval(),
        "SPADE": SpadeGenerator(CLASSES + 1, width, "more").eval(),
    }
    for name, other in of_labels.items():
        works[name] = lambda net=other: net(semantic(ids, CLASSES, edges))
    of_pictures = {
        "DeblurGAN": build_deblurgan(width).eval(),
        "DeblurGAN, one convolution": build_deblurgan(width, convs_per_block=1).eval(),
    }
    picture = torch.rand(1, 3, height, across, generator=torch.Generator().manual_seed(0))
    for name, other in of_pictures.items():
        works[name] = lambda net=other: net(picture)
    return works


def prepare(form: str, megapixels: float, threads: int, width: int) -> Work:
    """Make one form of the stage ready in a fresh process, tried on a small map."""
    use_threads(threads)
    torch.set_grad_enabled(False)
    stage(form, 0.01, width)()
    work = stage(form, megapixels, width)

    def without_result() -> None:
        work()

    return without_result


def cases(megapixels: Sequence[float], rounds: int, threads: int, width: int = 64) -> list[Case]:
    """Compare on every size."""
    use_threads(threads)
    with torch.inference_mode():
        return [_case(size, rounds, threads, width) for size in megapixels]


def _case(megapixels: float, rounds: int, threads: int, width: int) -> Case:
    parts = {form: stage(form, megapixels, width) for form in STAGE}
    seconds, ratios = compare(parts, rounds)
    notes = _roofline(megapixels, width, seconds) | _agreement(parts)
    works = networks(megapixels, width)
    whole_seconds, whole_ratios = compare(works, rounds)
    bfloat16 = whole_seconds["ASAP-Net, ours bfloat16"].median
    notes |= {
        f"{name} / ASAP-Net, ours bfloat16": whole_seconds[name].median / bfloat16
        for name in works
        if not name.startswith("ASAP-Net, ours")
    }
    memory = {
        form: in_fresh_process(
            "benchmarks.pixelwise:prepare",
            {"form": form, "megapixels": megapixels, "threads": threads, "width": width},
        )[1]
        for form in STAGE
    }
    height, across, _ = size_of(megapixels)
    return Case(across, height, seconds | whole_seconds, ratios | whole_ratios, memory, notes)


def _roofline(megapixels: float, width: int, seconds: Mapping[str, Spread]) -> dict[str, float | int | str]:
    height, across, k = size_of(megapixels)
    mlp, pixels = PixelMlp(CLASSES, k, width), height * across
    gflop = 2 * pixels * sum(a * b for a, b in zip(mlp.widths, mlp.widths[1:], strict=False)) / 1e9
    traffic = 4 * mlp.count * pixels / k**2 + 4 * 3 * pixels + pixels  # vectors, result, labels of a byte
    notes: dict[str, float | int | str] = {"roofline, GFLOP": gflop, "ideal traffic, MB": traffic / 1e6}
    for form, dtype in (("stage, ours", torch.float32), ("stage, ours bfloat16", torch.bfloat16)):
        speed, name = _gflop_per_second(dtype), str(dtype).removeprefix("torch.")
        notes[f"one product {name}, GFLOP/s"] = speed
        notes[f"share of the roofline {name}"] = gflop / speed / seconds[form].median
    return notes


def _gflop_per_second(dtype: torch.dtype, side: int = 1024) -> float:
    """The best of five products of square matrices, after one that is not timed."""
    a, b = torch.ones(side, side, dtype=dtype), torch.ones(side, side, dtype=dtype)
    times = []
    for _ in range(6):
        began = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - began)
    return 2 * side**3 / min(times[1:]) / 1e9


def _agreement(works: Mapping[str, Work]) -> dict[str, float | int | str]:
    """How far ours are from the published form, in its own units (the result before the tanh)."""
    results = {}
    for name, work in works.items():
        made = work()
        assert isinstance(made, Tensor)
        results[name] = made.float()
    exact, half = (results[name] - results["stage, published"] for name in STAGE[:2])
    return {
        "largest difference float32": float(exact.abs().max()),
        "mean difference bfloat16": float(half.abs().mean()),
    }
