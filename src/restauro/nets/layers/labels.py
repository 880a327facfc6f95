"""Label maps as networks want them: one channel per class, and one for the borders between objects."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad


def one_hot(ids: Tensor, classes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Label ids [N, H, W], whole numbers in 0..classes-1, to [N, classes, H, W] of zeros and ones.

    >>> one_hot(torch.tensor([[[0, 2]]]), 3)[0, :, 0].tolist()
    [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]
    """
    n, h, w = ids.shape
    planes = torch.zeros(n, classes, h, w, dtype=dtype, device=ids.device)
    return planes.scatter_(1, ids[:, None].long(), 1)


def instance_edges(instances: Tensor) -> Tensor:
    """Borders between objects: 1 where any of a pixel's four neighbours belongs to another object, else 0.

    Both sides of a border are marked, so that it is two pixels thick (Wang et al. 2018, section 3.3).

    Parameters
    ----------
    instances
        Ids of objects [N, H, W], whole numbers; on Cityscapes the raw 16-bit ids.

    Returns
    -------
    Tensor
        float32 [N, 1, H, W].

    Examples
    --------
    >>> instance_edges(torch.tensor([[[7, 7, 9, 9]]]))[0, 0, 0].tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    across = instances[:, :, 1:] != instances[:, :, :-1]
    down = instances[:, 1:] != instances[:, :-1]
    edge = pad(across, (0, 1)) | pad(across, (1, 0)) | pad(down, (0, 0, 0, 1)) | pad(down, (0, 0, 1, 0))
    return edge[:, None].float()


def semantic(ids: Tensor, classes: int, edges: Tensor | None = None) -> Tensor:
    """What pix2pixHD, SPADE and ASAP-Net take: the one-hot classes, then the edges [N, 1, H, W] if there are any."""
    planes = one_hot(ids, classes)
    return planes if edges is None else torch.cat([planes, edges.to(planes)], dim=1)
