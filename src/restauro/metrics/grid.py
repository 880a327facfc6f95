"""The share of an error that repeats every few pixels; lower is better.

A network that works on a folded or strided picture can draw the same small pattern in every cell, seen as a fine
regular grid. Neither PSNR nor SSIM tells it from other errors. (JPEG's blocks are not this: each has its own pattern.)

``grid:4px``  G / V of e = restored - truth, in blocks of 12 x 12 cells of 4 x 4 pixels. G: mean over blocks, channels
              and places in the cell of (the mean of e at that place of the block's cells - the block's mean)^2. V: mean
              over blocks and channels of the variance of e. 0 where V is 0. A pattern that is the same in all cells
              has 1; white errors have 15 / (144 * 16 - 1) = 0.0065, smooth ones less.
"""

from __future__ import annotations

import torch
from torch import Tensor

from restauro.errors import SettingError
from restauro.metrics.inputs import picture_pair

NAME = "grid:4px"

TINY = 1e-12  # a variance that is rounding, in float32 too

#: Cells on a side of a block, or as many as there are.
BLOCK_CELLS = 12


def grid_share(restored: Tensor, truth: Tensor, cell_px: int = 4) -> Tensor:
    """Share of the variance of each picture's error that repeats with the cells: with 4 px, convention ``grid:4px``.

    Parameters
    ----------
    restored, truth
        Float [N,3,H,W], sRGB in 0..1. Rows and columns left over at the bottom and the right are not looked at.
    cell_px
        Side of a cell, from 2.

    Returns
    -------
    Tensor
        [N], 0..1.

    Raises
    ------
    SettingError
        Shapes differ, values are outside 0..1, or a side is shorter than two cells.

    Examples
    --------
    >>> truth = torch.full((1, 3, 48, 48), 0.5)
    >>> pattern = 0.1 * torch.eye(4).repeat(12, 12)
    >>> round(grid_share(truth + pattern, truth).item(), 4), round(grid_share(truth + 0.1, truth).item(), 4)
    (1.0, 0.0)
    """
    restored, truth = picture_pair(restored, truth)
    if min(truth.shape[-2:]) < 2 * cell_px:
        raise SettingError("side", min(truth.shape[-2:]), f"at least {2 * cell_px} px for cells of {cell_px}")
    blocks = in_blocks(restored - truth, cell_px)
    repeated = repeated_square(blocks).flatten(1).mean(1)
    whole = blocks.var((3, 4, 6, 7), correction=0).flatten(1).mean(1)
    return torch.where(whole > TINY, repeated / whole.clamp_min(TINY), 0.0)


def in_blocks(error: Tensor, cell_px: int) -> Tensor:
    """[N,C,H,W] as [N, C, rows of blocks, cells, cell_px, columns of blocks, cells, cell_px]."""
    for axis in (3, 2):  # the last first: splitting it moves no other
        cells = error.shape[axis] // cell_px
        in_block = min(cells, BLOCK_CELLS)
        blocks = cells // in_block
        error = error.narrow(axis, 0, blocks * in_block * cell_px).unflatten(axis, (blocks, in_block, cell_px))
    return error


def repeated_square(blocks: Tensor) -> Tensor:
    """What repeats in :func:`in_blocks`' result, squared: [N, C, rows, cell_px, columns, cell_px]."""
    place = blocks.mean((3, 6))
    return (place - place.mean((3, 5), keepdim=True)).square()
