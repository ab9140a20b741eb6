"""The keys and values themselves: for every layer the same blocks, in the layout of the kernels in use."""

from collections.abc import Sequence

import torch

from pellucid.kernels import AttentionSpec, Kernels, KVBlocks


class PagedKV:
    """The cache's tensors. Which block holds what is known to `block_pool.py` and `block_table.py` alone."""

    def __init__(
        self,
        specs: Sequence[AttentionSpec],
        kernels: Kernels,
        *,
        num_blocks: int,
        block_size: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        """`specs[i]` is the attention whose `index` is i."""
        self.layers = [kernels.new_kv(num_blocks, block_size, spec, dtype, device) for spec in specs]
        self._kernels = kernels
        self._device = device

    def __getitem__(self, index: int) -> KVBlocks:
        return self.layers[index]

    def copy(self, copies: Sequence[tuple[int, int]]) -> None:
        """Copy whole blocks, (from, to), in every layer."""
        if not copies:
            return
        source_N, target_N = torch.tensor(copies, device=self._device).T
        for kv in self.layers:
            self._kernels.copy_blocks(kv, source_N, target_N)


def bytes_per_block(
    specs: Sequence[AttentionSpec], kernels: Kernels, *, block_size: int, dtype: torch.dtype
) -> int:
    """What one block takes in all layers together, as these kernels lay it out."""
    of_one = [kernels.new_kv(1, block_size, spec, dtype, torch.device("cpu")) for spec in specs]
    return sum(kv.k.nbytes + kv.v.nbytes for kv in of_one)
