"""The keys and values themselves: for every layer the same blocks, in the layout of the kernels in use."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pellucid.kernels import AttentionSpec, Kernels, KVBlocks


@dataclass(frozen=True)
class KVStyle:
    """How an engine keeps keys and values, whatever the model."""

    kernels: Kernels
    block_size: int
    dtype: torch.dtype
    device: torch.device

    def bytes_per_block(self, specs: Sequence[AttentionSpec]) -> int:
        """What one block takes in all these layers together, as the kernels lay it out."""
        cpu = torch.device("cpu")
        of_one = [self.kernels.new_kv(1, self.block_size, spec, self.dtype, cpu) for spec in specs]
        return sum(kv.nbytes for kv in of_one)


class PagedKV:
    """The cache's tensors. Which block holds what is known to `block_pool.py` and `block_table.py` alone."""

    def __init__(self, specs: Sequence[AttentionSpec], style: KVStyle, num_blocks: int) -> None:
        """`specs[i]` is the attention whose `index` is i."""
        self._kernels = style.kernels
        self._device = style.device
        self.layers = [
            style.kernels.new_kv(num_blocks, style.block_size, spec, style.dtype, style.device)
            for spec in specs
        ]

    def __getitem__(self, index: int) -> KVBlocks:
        return self.layers[index]

    def copy(self, copies: Sequence[tuple[int, int]]) -> None:
        """Copy whole blocks, (from, to), in every layer."""
        if not copies:
            return
        source_N, target_N = torch.tensor(copies, device=self._device).T
        for kv in self.layers:
            self._kernels.copy_blocks(kv, source_N, target_N)
