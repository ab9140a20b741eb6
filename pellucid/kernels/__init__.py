"""One set of functions, several readings of it; a context is given the set it is to use."""

from typing import Protocol

import torch
from torch import Tensor

from pellucid.kernels.spec import AttentionSpec, KVBlocks, PagedSegments, QuantisedWeight, Segments

__all__ = ["AttentionSpec", "KVBlocks", "Kernels", "PagedSegments", "QuantisedWeight", "Segments"]


class Kernels(Protocol):
    """The functions a layer may call. `kernels/reference.py` is the definition of correct for each.

    Letters: T tokens, D hidden, I inputs, O outputs, F feed-forward, H query heads, G KV heads, K head size,
    R rotated part of the head, V vocabulary, N sequences, B blocks, S slots, E entries of a distance table.
    """

    def embedding(self, ids_T: Tensor, weight_VD: Tensor) -> Tensor: ...

    def embedding_quantised(self, ids_T: Tensor, weight: QuantisedWeight) -> Tensor: ...

    def linear(self, x_TI: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor: ...

    def linear_quantised(self, x_TI: Tensor, weight: QuantisedWeight, bias_O: Tensor | None) -> Tensor: ...

    def rms_norm(self, x: Tensor, weight_D: Tensor, eps: float) -> Tensor: ...

    def layer_norm(self, x: Tensor, weight_D: Tensor, bias_D: Tensor | None, eps: float) -> Tensor: ...

    def rotary(self, x_THK: Tensor, cos_TR: Tensor, sin_TR: Tensor) -> Tensor: ...

    def activation(self, x_TF: Tensor, name: str) -> Tensor: ...

    def gated(self, gate_up_TF: Tensor, name: str) -> Tensor: ...

    def attention(
        self,
        q_THK: Tensor,
        k_TGK: Tensor,
        v_TGK: Tensor,
        spec: AttentionSpec,
        segments: Segments,
        bias_HE: Tensor | None = None,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> Tensor: ...

    def new_kv(
        self,
        num_blocks: int,
        block_size: int,
        spec: AttentionSpec,
        dtype: torch.dtype,
        device: torch.device,
    ) -> KVBlocks: ...

    def store_kv(self, kv: KVBlocks, k_TGK: Tensor, v_TGK: Tensor, slots_T: Tensor) -> None: ...

    def copy_blocks(self, kv: KVBlocks, source_N: Tensor, target_N: Tensor) -> None: ...

    def paged_attention(
        self,
        q_THK: Tensor,
        kv: KVBlocks,
        spec: AttentionSpec,
        segments: PagedSegments,
        bias_HE: Tensor | None = None,
    ) -> Tensor: ...
