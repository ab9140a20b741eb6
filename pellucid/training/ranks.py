"""Data parallelism: each rank takes its share of a step's parts, and gradients are added up.

`torchrun --nproc-per-node 2 ...` starts the ranks and says so in the environment; alone there is one.
"""

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Ranks:
    """Which rank this process is, of how many."""

    def __init__(self) -> None:
        self.rank, self.world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if self.world > 1 and not dist.is_initialized():
            dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")

    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Each tensor becomes its sum over the ranks, in one message."""
        if self.world == 1:
            return
        tensors = list(tensors)
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, part in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def add_up_gradients(self, model: nn.Module) -> None:
        """The gradient of the whole step's loss, on every rank."""
        self.add_up(p.grad for p in model.parameters() if p.grad is not None)

    def wait(self, device: torch.device) -> None:
        """Until every rank is here, by way of the device that the ranks train on."""
        self.add_up([torch.zeros(1, device=device)])

    def close(self) -> None:
        """Leave the group."""
        if self.world > 1:
            dist.destroy_process_group()
