"""The engine: runs a network on a picture of any size.

A network says what it needs (:class:`restauro.facts.Facts`); the engine chooses device, precision and tiles,
and reports what it chose. Three promises: a tile that was not computed is never written; what did not go the
plain way stands in :attr:`Run.notes`; and nothing is kept between calls, so that threads may share a network.

The picture stays in host memory and each tile goes to the device alone. The result is accumulated in place
(the weights of :mod:`restauro.restore.tiles` need no map), so that memory is the result plus one tile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from restauro.errors import EngineError
from restauro.facts import Facts, Precision, SeesWhole
from restauro.restore.device import choose_device, choose_precision, is_out_of_memory, on_device, threads
from restauro.restore.memory import free_bytes
from restauro.restore.outcome import Progress
from restauro.restore.request import DEFAULTS, EngineSettings
from restauro.restore.tiles import Grid, Span, cut, largest_tile_px

__all__ = ["DEFAULTS", "EngineSettings", "Run", "choose_device", "choose_precision", "run"]

Pixels = NDArray[np.float32]
Map = NDArray[np.float32]

#: Numbers per pixel that looking at a whole picture keeps or computes with, beside the picture itself.
SEEN = 5


@dataclass(frozen=True, eq=False)
class Run:
    """A computed picture and how it was computed.

    Attributes
    ----------
    pixels
        float32 [H, W, C], of the input's shape; the network's values as they are, not clipped to 0..1.
    device, precision
        What was chosen.
    tiles, tile_px
        How many tiles, and what one writes on a side at most; for the whole picture, its longer side.
    notes
        Whatever did not go the plain way, one sentence each.
    """

    pixels: Pixels
    device: str
    precision: Precision
    tiles: int
    tile_px: int
    notes: tuple[str, ...]


def run(
    net: nn.Module,
    facts: Facts,
    pixels: Pixels,
    settings: EngineSettings = DEFAULTS,
    *,
    alpha: Map | None = None,
    progress: Progress | None = None,
    name: str = "the picture",
) -> Run:
    """Run a network on a picture, in tiles where it must be.

    Parameters
    ----------
    net
        In eval mode, float32 weights; maps [1, C, h, w] to the same shape. One that is not on the device is
        copied there for this run (the caller's is never moved): put it on :func:`choose_device` to save that.
    facts
        What the network needs. Where ``halo_px`` covers its receptive field, tiles change nothing beyond
        rounding (about 1e-6 in float32). Where a network has global statistics, tiles do change the result, unless it
        can look at the whole picture first (:class:`restauro.facts.SeesWhole`): then it does, tile by tile.
    pixels
        float32 [H, W, C], sRGB in 0..1, any size from 1 x 1. Grey (C = 1) goes through a network of 3
        channels as three equal ones, and their mean comes back.
    settings
        Device, precision, memory, tiles.
    alpha
        float32 [H, W]: a second argument of the network, cut and padded as the picture is.
    progress
        Called as ``progress(done, total)`` after each tile, ``done`` always rising. ``total`` rises as well
        when the picture is begun again with smaller tiles.
    name
        What messages call the picture.

    Raises
    ------
    EngineError
        Input of another shape or type, a network in training mode or that changes the size, too little
        memory for the smallest tile, or values that are not finite in float32.
    SettingError
        A device that this machine does not have.

    Notes
    -----
    Out of memory, the whole picture is begun again with tiles of half the size, so that the result depends on
    that size alone, not on where memory ran out. The same input, settings and machine give the same bytes on
    the CPU; on CUDA that, and whether float32 means TF32, is up to the caller's ``torch.backends.cudnn``.

    Examples
    --------
    >>> blur = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False).eval()
    >>> pixels = np.random.default_rng(0).random((100, 120, 3), dtype=np.float32)
    >>> whole = run(blur, Facts(halo_px=1), pixels, EngineSettings(device="cpu"))
    >>> tiled = run(blur, Facts(halo_px=1), pixels, EngineSettings(device="cpu", tile_px=64))
    >>> whole.tiles, tiled.tiles, bool(np.allclose(whole.pixels, tiled.pixels, atol=1e-6))
    (1, 6, True)
    """
    _check(net, facts, pixels, alpha, name)
    device = choose_device(settings.device)
    precision, notes = choose_precision(settings.precision, facts, device)
    ready = _Ready(on_device(net, device, name), facts, device, precision, name)
    grid = _plan(pixels, facts, settings, device, ready.sees, name)
    if settings.tile_px is not None and grid.count > 1 and grid.tile_px < settings.tile_px:
        notes.append(f"tiles of {settings.tile_px} px exceed the memory limit: took {grid.tile_px} px")
    done = 0
    with threads(settings.threads):
        result = _allocate(pixels, name)
        while True:
            total, repeated = done + grid.count, 0
            try:
                looked = ready.looked(pixels, grid) if grid.count > 1 or facts.looks_first else ready
                for again in _fill(result, pixels, alpha, grid, looked):
                    done, repeated = done + 1, repeated + again
                    if progress is not None:
                        progress(done, total)
                break
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            # Outside of the handler: the traceback, and the tensors that it held, are gone.
            before, grid = grid, _shrink(grid, pixels, facts, settings, name)
            notes.append(f"out of memory at tiles of {before.tile_px} px: went on with {grid.tile_px} px")
    notes += getattr(looked.net, "notes", ())
    if repeated:
        notes.append(f"non-finite output in bfloat16 for {repeated} of {grid.count} tiles: computed again in float32")
    if grid.count > 1 and facts.global_statistics:
        change = "looked first, they change nothing" if ready.sees else "change the result"
        notes.append(f"this network looks at the whole picture; {grid.count} tiles {change}")
    return Run(result, str(device), precision, grid.count, grid.tile_px, tuple(notes))


def _check(net: nn.Module, facts: Facts, pixels: Pixels, alpha: Map | None, name: str) -> None:
    if pixels.dtype != np.float32 or pixels.ndim != 3 or 0 in pixels.shape:
        raise EngineError(
            f"{name}: found {pixels.dtype} pixels of shape {list(pixels.shape)}, wanted float32 [H, W, C]; "
            "convert them (a Picture has them so)"
        )
    if pixels.shape[2] not in (1, facts.channels):
        raise EngineError(
            f"{name}: found {pixels.shape[2]} channels, wanted {'1' if facts.channels == 1 else '1 or 3'}; "
            "split off alpha, or take a network for these channels"
        )
    if alpha is not None and (alpha.dtype != np.float32 or alpha.shape != pixels.shape[:2]):
        raise EngineError(
            f"{name}: found a map alpha of {alpha.dtype} {list(alpha.shape)}, wanted float32 "
            f"{list(pixels.shape[:2])}; make it of the picture's size"
        )
    if any(module.training for module in net.modules()):
        raise EngineError(f"{name}: found a network in training mode, wanted eval mode; call net.eval() first")


def _plan(pixels: Pixels, facts: Facts, settings: EngineSettings, device: torch.device, sees: bool, name: str) -> Grid:
    """Choose the tiles: as large as wanted, as the memory limit lets them, never below the floor."""
    height, width, _ = pixels.shape
    limit = free_bytes(device) // 2 if settings.memory_limit is None else settings.memory_limit
    fixed = pixels.nbytes if device.type == "cpu" else 0
    # Beside the network's own: a tile, its result and the weighted result; and the product of the weights.
    per_px = facts.bytes_per_px + 4 * (3 * facts.channels + 1)
    wanted = settings.tile_px or max(height, width)
    fitting = largest_tile_px(height, width, (limit - fixed) // per_px, facts)
    if sees and min(wanted, fitting) < max(height, width):
        # To look, the whole picture lies on the device, and beside it the maps that one level is looked at in.
        fixed += height * width * 4 * (facts.channels + SEEN)
        fitting = largest_tile_px(height, width, (limit - fixed) // per_px, facts)
    grid = cut(height, width, max(min(wanted, fitting), _floor_px(settings)), facts)
    needed = fixed + grid.area_px * per_px
    if needed > limit:
        raise EngineError(
            f"{name}: found a memory limit of {_mib(limit)}, wanted at least {_mib(needed)} for {width} x "
            f"{height} px in the smallest tiles; raise memory_limit (or free memory), or lower min_tile_px"
        )
    return grid


def _shrink(grid: Grid, pixels: Pixels, facts: Facts, settings: EngineSettings, name: str) -> Grid:
    """Halve the tile until its window really is smaller, down to the floor."""
    height, width, _ = pixels.shape
    floor, tile_px = _floor_px(settings), grid.tile_px
    while tile_px > floor:
        tile_px = max(tile_px // 2, floor)
        smaller = cut(height, width, tile_px, facts)
        if smaller.area_px < grid.area_px:
            return smaller
    raise EngineError(
        f"{name}: found no memory for a tile of {grid.tile_px} px, wanted {width} x {height} px in tiles of "
        f"at least {floor} px; free some memory, lower min_tile_px, or take a smaller network"
    )


def _allocate(pixels: Pixels, name: str) -> Pixels:
    try:
        return np.empty(pixels.shape, np.float32)
    except MemoryError as error:
        raise EngineError(
            f"{name}: found no memory for the result, wanted {_mib(pixels.nbytes)}; free some memory"
        ) from error


def _floor_px(settings: EngineSettings) -> int:
    return min(settings.min_tile_px, settings.tile_px or settings.min_tile_px)


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


@dataclass(frozen=True, eq=False)
class _Ready:
    """A network on its device, for one run."""

    net: nn.Module
    facts: Facts
    device: torch.device
    precision: Precision
    name: str

    @property
    def sees(self) -> bool:
        """Whether the network can look at a whole picture first, and has a reason to."""
        return self.facts.global_statistics and isinstance(self.net, SeesWhole)

    @torch.inference_mode()
    def looked(self, pixels: Pixels, grid: Grid) -> _Ready:
        """The same after a look at the whole picture, where the network can look."""
        if not (self.facts.global_statistics and isinstance(self.net, SeesWhole)):
            return self
        height, width, _ = pixels.shape
        whole = cut(height, width, max(height, width), self.facts)
        x = self._tensor(_read(pixels, whole.rows[0], whole.cols[0]))
        with self._computing_in(self.precision):
            return replace(self, net=self.net.seeing(x, grid.tile_px).eval())

    @torch.inference_mode()
    def __call__(self, tile: Pixels, alpha: Map | None, precision: Precision) -> Pixels:
        """[h, w, C] through the network and back, in float32."""
        grey = tile.shape[2] < self.facts.channels
        x = self._tensor(tile)
        maps = () if alpha is None else (torch.from_numpy(alpha)[None, None].to(self.device),)
        with self._computing_in(precision):
            y: torch.Tensor = self.net(x, *maps)
        if y.shape != x.shape:
            raise EngineError(
                f"{self.name}: found a result of shape {list(y.shape)} for a tile of {list(x.shape)}, wanted "
                "the same shape; check the model's facts (multiple, channels)"
            )
        y = y.float().mean(dim=1, keepdim=True) if grey else y.float()
        values: Pixels = y[0].permute(1, 2, 0).cpu().numpy()
        return values

    def _tensor(self, tile: Pixels) -> torch.Tensor:
        # [1, H, W, C] as it lies is channels_last to torch; with [None] last, the strides would hide it.
        x = torch.from_numpy(tile)[None].permute(0, 3, 1, 2).to(self.device)
        if tile.shape[2] < self.facts.channels:
            x = x.expand(-1, self.facts.channels, -1, -1).contiguous(memory_format=torch.channels_last)
        return x

    def _computing_in(self, precision: Precision) -> torch.autocast:
        # No cache of cast weights: all threads would share it.
        return torch.autocast(self.device.type, torch.bfloat16, enabled=precision == "bfloat16", cache_enabled=False)


def _fill(result: Pixels, pixels: Pixels, alpha: Map | None, grid: Grid, ready: _Ready) -> Iterator[bool]:
    """Compute tile after tile into ``result``; after each, yield whether it had to be computed again."""
    result.fill(0)
    for row in grid.rows:
        for col in grid.cols:
            yield _add(result, pixels, alpha, row, col, ready)


def _add(result: Pixels, pixels: Pixels, alpha: Map | None, row: Span, col: Span, ready: _Ready) -> bool:
    tile = _read(pixels, row, col)
    part = None if alpha is None else _read(alpha, row, col)
    values = ready(tile, part, ready.precision)
    again = ready.precision != "float32" and not np.isfinite(values).all()
    if again:
        values = ready(tile, part, "float32")
    if not np.isfinite(values).all():
        raise _not_finite(tile, row, col, ready.name)
    weight = row.weight[:, None, None] * col.weight[:, None]
    result[row.write, col.write] += weight * values[row.inside, col.inside]
    return again


def _read(pixels: Pixels, row: Span, col: Span) -> Pixels:
    """Copy a tile's window, padded where it leaves the picture: on the right and at the bottom, never inside.

    By reflection; by replication where the side has too few pixels to reflect.
    """
    tile = pixels[row.read, col.read].copy()
    for axis, span in enumerate((row, col)):
        missing = span.size_px - tile.shape[axis]
        if missing:
            widths = [(0, missing if axis == side else 0) for side in range(tile.ndim)]
            tile = np.pad(tile, widths, mode="reflect" if missing < tile.shape[axis] else "edge")
    return tile


def _not_finite(tile: Pixels, row: Span, col: Span, name: str) -> EngineError:
    sound = np.isfinite(tile).all()
    do = "try another model" if sound else "the picture has them already: repair it first"
    return EngineError(
        f"{name}: found NaN or infinite values in the tile at x = {col.read.start}, y = {row.read.start} "
        f"({col.size_px} x {row.size_px} px) in float32, wanted finite ones; {do}"
    )
