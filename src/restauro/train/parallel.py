"""Several processes that train one network: joined with ``torchrun``, each with its share of every batch.

Gradients are averaged by torch's DistributedDataParallel, so that W processes with a batch of B take the steps of one
process with a batch of W * B, to rounding. Networks or critics with batch norm are the exception: their statistics
are those of a process's own share.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from restauro.train.batches import Share

Net = TypeVar("Net", bound=nn.Module)


@contextmanager
def joined() -> Iterator[None]:
    """Join the other processes of ``torchrun`` while the block runs; without torchrun do nothing."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(own_device())
    # hours: the first process prepares the pictures while the others wait
    dist.init_process_group("nccl" if cuda else "gloo", timeout=timedelta(hours=6))
    try:
        yield
    finally:
        dist.destroy_process_group()


def own_share() -> Share:
    """Which part of each batch is this process's."""
    return Share(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else Share()


def own_device() -> torch.device:
    """The GPU of this process, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def shared(net: Net, device: torch.device) -> Net | DistributedDataParallel:
    """The network as it is called in training: its gradients become averages over the processes."""
    if not dist.is_initialized():
        return net
    ids = [device.index] if device.type == "cuda" else None
    return DistributedDataParallel(net, device_ids=ids)


def only_last(net: nn.Module, last: bool) -> AbstractContextManager[object]:
    """Around a backward pass: processes exchange gradients in the last of several passes only."""
    return net.no_sync() if isinstance(net, DistributedDataParallel) and not last else nullcontext()


@contextmanager
def first_goes_first() -> Iterator[None]:
    """The first process runs the block while the others wait, then they do: what it cached, they find."""
    rank = own_share().rank
    if rank:
        dist.barrier()
    yield
    if dist.is_initialized() and not rank:
        dist.barrier()


def agreed(yes: bool) -> bool:
    """What the first process thinks."""
    return bool(first_says(int(yes)))


def first_says(number: int) -> int:
    """The first process's number, in all of them."""
    if not dist.is_initialized():
        return number
    answer = torch.tensor([number], device=own_device())
    dist.broadcast(answer, 0)
    return int(answer.item())
