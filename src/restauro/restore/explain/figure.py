"""The figure of ``restauro explain``: what a network changed in a picture, and what its layers did to get there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from restauro.errors import SettingError
from restauro.metrics.ciede2000 import MAP_TOP, ciede2000_map
from restauro.models import Weights, facts_of, find, load
from restauro.nets.hifacegan import HiFaceGAN
from restauro.picture import Picture, from_array
from restauro.restore.explain.draw import Array, Row, board, enlarged, heat, marked, plot
from restauro.restore.explain.injection import GREY, Injections, inject
from restauro.restore.explain.layers import Attention, Layer, Modulation, layer_names, watch
from restauro.restore.outcome import Evidence, Restored
from restauro.sheet import Panel

#: Longer side of a panel; the injection rows have up to nine of them.
CELL_PX, SMALL_PX = 256, 160


@dataclass(frozen=True)
class Explained(Evidence):
    """The evidence of a figure.

    Attributes
    ----------
    width, height
        Of the picture that the network saw.
    difference
        Mean CIEDE2000 between input and output.
    layers
        Names of all layers that ``layer`` can name.
    shown
        Those in the figure.
    pixel
        (x, y) of the attention row, in the picture that the network saw; None without attention.
    contributions
        Injection point -> mode -> mean absolute change (HiFaceGAN only).
    """

    width: int = 0
    height: int = 0
    difference: float = 0.0
    layers: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    pixel: tuple[int, int] | None = None
    contributions: dict[str, dict[str, float]] | None = None


def explain(
    picture: Picture,
    model: str | Path | Weights,
    *,
    layers: Sequence[str] | None = None,
    pixel: tuple[int, int] | None = None,
    side_px: int = 256,
) -> Restored:
    """Draw what a network does to a picture.

    Input, output, residual map ((input - output + 1) / 2, Figure 6b of HiFaceGAN) and CIEDE2000; gamma and beta of
    modulating layers, summed over channels (Figure 7 of DeSmoothGAN); the curve F of attending layers and the row of
    one pixel; for a HiFaceGAN, what each injection point contributes (its Figure 5a).

    Parameters
    ----------
    picture
        What :func:`restauro.read` gave; grey is repeated to three channels, alpha is not looked at.
    model
        A name of :data:`restauro.models.MODELS`, a local ``.safetensors`` path, or what :func:`restauro.models.find`
        gave.
    layers
        Names as in ``evidence.layers``, or ``("all",)``; without them the last layer of each kind.
    pixel
        (x, y) in px of the picture: whose attention row is shown; without it the middle.
    side_px
        A larger picture is reduced until its longer side has this many pixels, and a note says so.

    Returns
    -------
    Restored
        The figure as a picture, with :class:`Explained` as evidence.

    Raises
    ------
    ModelError
        The model is not there.
    SettingError
        A layer that the network does not have, or a pixel outside of the picture.

    Notes
    -----
    Runs on the CPU in float32. Cost: one run of the network; for a HiFaceGAN about 25 of its decoder.

    Examples
    --------
    >>> picture = from_array(np.full((48, 64, 3), 0.5, np.float32))
    >>> outcome = explain(picture, "desmooth-general")
    >>> outcome.evidence.width, outcome.evidence.layers
    (64, ())
    """
    began = time.perf_counter()
    weights = model if isinstance(model, Weights) else find(model)
    net = load(weights)
    x, notes = _fitted(picture, side_px)
    height, width = x.shape[2:]
    place = _scaled(pixel, picture, (height, width))
    names = _chosen(net, layers)
    padded = _padded(x, facts_of(net).multiple)
    output, looks = watch(net, padded, names)
    output = output[..., :height, :width].clamp(0, 1)
    injections = inject(net, padded) if isinstance(net, HiFaceGAN) else None
    if not (looks or injections):
        notes += ("this network has no modulating or attending layer: there is nothing inside of it to show",)
    difference = ciede2000_map(x, output)[0]
    evidence = Explained(
        weights.name,
        weights.sha256,
        "cpu",
        "float32",
        1,
        time.perf_counter() - began,
        notes,
        width=width,
        height=height,
        difference=float(difference.mean()),
        layers=tuple(layer_names(net)),
        shown=tuple(names),
        pixel=place if any(isinstance(look, Attention) for look in looks) else None,
        contributions=injections.contributions() if injections else None,
    )
    frame = _Frame(height, width, padded.shape[2], padded.shape[3])
    rows = [_change(frame, x, output, difference), *(_layer_row(frame, look, x, place) for look in looks)]
    if injections is not None:
        rows += _injection_rows(frame, injections)
    title = f"{picture.source.name}, {width} x {height} px, through {weights.name} ({weights.architecture})"
    return Restored(from_array(board(title, rows), name=picture.source.name), evidence)


@dataclass(frozen=True)
class _Frame:
    """The size of the picture, and of the padded one that the network saw."""

    height: int
    width: int
    padded_height: int
    padded_width: int

    def cell(self, side_px: int) -> tuple[int, int]:
        """Height and width of a panel."""
        scale = side_px / max(self.height, self.width)
        return max(1, round(self.height * scale)), max(1, round(self.width * scale))

    def inside(self, values: Tensor) -> Array:
        """A map of the padded picture [h, w] without the padding, at whatever scale it has."""
        rows = -(-self.height * values.shape[0] // self.padded_height)
        columns = -(-self.width * values.shape[1] // self.padded_width)
        return values[:rows, :columns].float().numpy()


def _change(frame: _Frame, x: Tensor, output: Tensor, difference: Tensor) -> Row:
    size = frame.cell(CELL_PX)
    residual = (x - output + 1) / 2
    return Row(
        "What was changed",
        (
            Panel(_shown(x[0], size), "input"),
            Panel(_shown(output[0], size), "output"),
            Panel(_shown(residual[0], size), "residual", "(input - output + 1) / 2; grey: no change"),
            Panel(
                heat(difference.float().numpy(), size, 0, MAP_TOP),
                "CIEDE2000",
                f"mean {float(difference.mean()):.2f}; blue 0, red {MAP_TOP:g} and more",
            ),
        ),
    )


def _layer_row(frame: _Frame, look: Layer, x: Tensor, place: tuple[int, int]) -> Row:
    size = frame.cell(CELL_PX)
    if isinstance(look, Modulation):
        panels = []
        for name, maps in (("gamma", look.gamma), ("beta", look.beta)):
            total = frame.inside(maps.sum(0))
            line = f"blue {total.min():.3g}, red {total.max():.3g}"
            panels.append(Panel(heat(total, size), f"{name}, sum of {len(maps)} channels", line))
        return Row(f"Modulation {look.name}: {look.gamma.shape[2]} x {look.gamma.shape[1]} positions", tuple(panels))
    t, values = (part.float().numpy() for part in look.curve())
    y, column = _position(look, frame, place)
    row = frame.inside(look.row(y, column))
    # The places of all positions would be a solid bar: 200 quantiles show where they are dense.
    ticks = np.quantile(look.g.numpy(), np.linspace(0, 1, 200)).astype(np.float32)
    curve = plot(t, values, ticks, (size[0], 2 * CELL_PX), mark=float(look.g[y, column]))
    at = f"({place[0]}, {place[1]})"
    mark = (place[1] * size[0] // frame.height, place[0] * size[1] // frame.width)
    return Row(
        f"Attention {look.name}: {look.g.shape[1]} x {look.g.shape[0]} positions, softmax over the {look.axis} axis",
        (
            Panel(curve, "y = F(g), what a position receives", f"strokes: the positions; orange: pixel {at}"),
            Panel(marked(_shown(x[0], size), *mark), f"pixel {at}"),
            Panel(heat(row, size), "what each position gives to it", f"blue {row.min():.2e}, red {row.max():.2e}"),
        ),
    )


def _injection_rows(frame: _Frame, found: Injections) -> list[Row]:
    """Three rows of pictures, the numbers of :meth:`Injections.contributions` under their titles."""
    size, values = frame.cell(SMALL_PX), found.contributions()

    def panel(made: Tensor, title: str, line: str = "") -> Panel:
        picture = made[:, : frame.height, : frame.width]
        return Panel(_shown(picture + GREY if found.residual else picture, size), title, line)

    def line(point: str, mode: str) -> str:
        return f"changes {values[point][mode]:.4f}"

    none = panel(found.progressive[0], "none")
    plugged = [panel(y, p, line(p, "one-plug")) for p, y in zip(found.points, found.plugged, strict=True)]
    steps = zip(found.points, found.progressive[1:], strict=True)
    progressive = [panel(y, f"+ {p}", line(p, "progressive")) for p, y in steps]
    ablated = [panel(y, p, line(p, "one-ablate")) for p, y in zip(found.points, found.ablated, strict=True)]
    shown = " (the correction, plus 0.5 grey)" if found.residual else ""
    return [
        Row(f"One-plug: only this injection point is fed{shown}", (none, *plugged)),
        Row(f"Progressive: this point too; the last is all of them{shown}", (none, *progressive)),
        Row(f"One-ablate: all points but this one{shown}", (panel(found.progressive[-1], "all"), *ablated)),
    ]


def _chosen(net: nn.Module, layers: Sequence[str] | None) -> list[str]:
    known = layer_names(net)
    if layers is None:
        return [names[-1] for kind in (Modulation, Attention) if (names := [n for n, k in known.items() if k is kind])]
    return list(known) if tuple(layers) == ("all",) else list(dict.fromkeys(layers))


def _fitted(picture: Picture, side_px: int) -> tuple[Tensor, tuple[str, ...]]:
    """The picture as [1, 3, H, W] in 0..1, reduced (antialiased bicubic) where it is larger than ``side_px``."""
    if side_px < 1:
        raise SettingError("side_px", side_px, "a whole number from 1")
    x = torch.from_numpy(np.ascontiguousarray(picture.rgb())).permute(2, 0, 1)[None].clamp(0, 1)
    longer = max(picture.height, picture.width)
    if longer <= side_px:
        return x, ()
    size = tuple(max(1, round(side * side_px / longer)) for side in (picture.height, picture.width))
    note = f"reduced from {picture.width} x {picture.height} to {size[1]} x {size[0]} px for the figure"
    return nn.functional.interpolate(x, size=size, mode="bicubic", antialias=True).clamp(0, 1), (note,)


def _padded(x: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column until both sides are multiples."""
    height, width = x.shape[2:]
    return nn.functional.pad(x, (0, -width % multiple, 0, -height % multiple), mode="replicate")


def _scaled(pixel: tuple[int, int] | None, picture: Picture, size: tuple[int, int]) -> tuple[int, int]:
    """(x, y) of a pixel in the picture that the network sees."""
    if pixel is None:
        return size[1] // 2, size[0] // 2
    x, y = pixel
    if not (0 <= x < picture.width and 0 <= y < picture.height):
        wanted = f"x,y inside the picture, at most {picture.width - 1},{picture.height - 1}"
        raise SettingError("pixel", f"{x},{y}", wanted)
    return x * size[1] // picture.width, y * size[0] // picture.height


def _position(look: Attention, frame: _Frame, place: tuple[int, int]) -> tuple[int, int]:
    """(row, column) of the position of a layer that a pixel falls on."""
    rows, columns = look.g.shape
    return place[1] * rows // frame.padded_height, place[0] * columns // frame.padded_width


def _shown(picture: Tensor, size: tuple[int, int]) -> Array:
    """[3, H, W] as an array of a panel's size: made smaller smoothly, larger by repeating pixels."""
    picture = picture.float()
    if size[0] < picture.shape[1]:
        picture = nn.functional.interpolate(picture[None], size=size, mode="bicubic", antialias=True)[0]
    return enlarged(picture.permute(1, 2, 0).numpy(), size)
