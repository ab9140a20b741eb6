"""The forward context over blocks: keys and values are written to the cache and read from it.

Letters: T tokens of the step, H query heads, G KV heads, K head size, D hidden, R output rows.
"""

from collections.abc import Callable, Hashable
from typing import TypeVar

import torch
from torch import Tensor

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
        self._kv = kv
        self._once: dict[Hashable, object] = {}

    def attend(
        self, module: Attends, q_THK: Tensor, k_TGK: Tensor | None = None, v_TGK: Tensor | None = None
    ) -> Tensor:
        """Write this step's keys and values to their slots, then attend over each sample's blocks."""
        assert k_TGK is not None and v_TGK is not None, f"{module.name} has no keys in this step"
        kv = self._kv[module.index]
        self.kernels.store_kv(kv, k_TGK, v_TGK, self._slots_T)
        return self.kernels.paged_attention(q_THK, kv, module.spec, self._segments, module.bias_table())

    def remember(self, module: Attends, k_TGK: Tensor, v_TGK: Tensor) -> None:
        raise AssertionError("a decoder's step has no encoder output to remember")

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
