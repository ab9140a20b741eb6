"""The forward context over blocks: keys and values are written to the cache and read from it.

Letters: T tokens of the step, H query heads, G KV heads, K head size, D hidden, R output rows,
I inputs and O outputs of a product.
"""

from collections.abc import Callable, Hashable
from typing import TypeVar

import torch
from torch import Tensor, nn

from pellucid.cache.paged_kv import PagedKV
from pellucid.engine.batch import Batch
from pellucid.kernels import Kernels, PagedSegments
from pellucid.layers.context import Attends, Named

Value = TypeVar("Value")


class PagedContext:
    """One step of the engine, as the layers see it."""

    def __init__(self, batch: Batch, kv: PagedKV, kernels: Kernels, device: torch.device) -> None:
        self.kernels = kernels
        self.positions_T = torch.from_numpy(batch.positions_T).to(device)
        self.lengths_T = torch.from_numpy(batch.lengths_T).to(device)
        self.prompt_lengths_T = torch.from_numpy(batch.prompt_lengths_T).to(device)
        self._slots_T = torch.from_numpy(batch.slots_T).to(device)
        self._output_rows_R = torch.from_numpy(batch.output_rows_R).to(device)
        self._segments = PagedSegments(
            torch.from_numpy(batch.query_starts_N1).to(device),
            torch.from_numpy(batch.context_lens_N).to(device),
            torch.from_numpy(batch.block_tables_NB).to(device),
            batch.max_query_len,
            batch.max_context_len,
        )
        self._memories = batch.memories
        self._kv = kv
        self._once: dict[Hashable, object] = {}

    def attend(
        self, module: Attends, q_THK: Tensor, k_TGK: Tensor | None = None, v_TGK: Tensor | None = None
    ) -> Tensor:
        """Write this step's keys and values to their slots, then attend over each sample's blocks; without
        keys and values, over the blocks of what its encoder read."""
        kv = self._kv[module.index]
        if k_TGK is None or v_TGK is None:
            segments = self.once("memory segments", self._memory_segments)
            return self.kernels.paged_attention(q_THK, kv, module.spec, segments)
        self.kernels.store_kv(kv, k_TGK, v_TGK, self._slots_T)
        return self.kernels.paged_attention(q_THK, kv, module.spec, self._segments, module.bias_table())

    def _memory_segments(self) -> PagedSegments:
        memories, device = self._memories, self.positions_T.device
        assert memories is not None, "cross-attention, and nothing that an encoder has read"
        return PagedSegments(
            self._segments.query_starts_N1,
            torch.from_numpy(memories.lens_N).to(device),
            torch.from_numpy(memories.tables_NM).to(device),
            self._segments.max_query_len,
            int(memories.lens_N.max()),
        )

    def remember(self, module: Attends, k_TGK: Tensor, v_TGK: Tensor) -> None:
        raise AssertionError("an encoder's pass is not a step: see encoder_decoder_runner.py")

    def adapted(self, module: nn.Module, x_TI: Tensor, y_TO: Tensor) -> Tensor:
        return y_TO

    def tap(self, module: Named, name: str, tensor: Tensor) -> Tensor:
        return tensor

    def dropout(self, x: Tensor) -> Tensor:
        return x

    def output_rows(self, x_TD: Tensor) -> Tensor:
        return x_TD.index_select(0, self._output_rows_R)

    def once(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        if key not in self._once:
            self._once[key] = compute()
        return self._once[key]  # type: ignore[return-value]  # put there by the same key's compute
