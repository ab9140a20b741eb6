"""What an attention module declares about itself, and whose tokens a packed tensor holds.

Letters: T tokens of the batch, H query heads, G KV heads, K head size, N sequences, B blocks, S slots.
"""

import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

QuantisedFormat = Literal["int8", "int4", "q4_k", "q6_k"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionSpec:
    """Everything a kernel, or code that derives maps for people, must know of one attention module."""

    num_heads: int
    num_kv_heads: int
    head_dim: int
    scale: float
    causal: bool
    window: int | None = None
    """A query sees the `window` newest positions, its own included; None is all of them."""
    soft_cap: float | None = None
    """Scores become `soft_cap * tanh(scores / soft_cap)` before the mask (Gemma 2)."""


@dataclass(frozen=True, slots=True)
class Segments:
    """Packed sequences without a cache: sequence i owns rows `starts[i]:starts[i + 1]`."""

    query_starts: tuple[int, ...]
    key_starts: tuple[int, ...]


@dataclass(slots=True)
class PagedSegments:
    """Packed queries over keys in blocks. Sequence i owns query rows `query_starts[i]:query_starts[i + 1]`;
    its queries are the last of its `context_lens[i]` keys (or, not causal, see all of them).

    `block_tables_NB[i, j]` is the block that holds keys `j * S` to `(j + 1) * S - 1` of sequence i. Entries
    whose block lies wholly before a sliding window may be stale (-1): no kernel may use what they hold.
    All three tensors are int32.
    """

    query_starts_N1: Tensor
    context_lens_N: Tensor
    block_tables_NB: Tensor
    max_query_len: int
    max_context_len: int
    scratch: dict[Hashable, Any] = field(default_factory=dict)
    """What a kernel set works out in the first layer for all the layers of one forward."""


@dataclass(frozen=True, slots=True)
class KVBlocks:
    """One layer's keys and values, in blocks. Only that dimension 0 counts blocks is agreed; the rest of the
    layout belongs to the kernel set that made it."""

    k: Tensor
    v: Tensor
    block_size: int
    scales: Tensor | None = None
    """float32, for int8 keys and values alone: one a key and one a value (see kept.py)."""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All that a block is made of."""
        return (self.k, self.v) if self.scales is None else (self.k, self.v, self.scales)

    @property
    def nbytes(self) -> int:
        """What it takes in memory."""
        return sum(tensor.nbytes for tensor in self.tensors)


@dataclass(frozen=True, slots=True)
class QuantisedWeight:
    """A weight matrix [O, I] in few bits, every 32 inputs of an output sharing a scale.

    Packed 16 outputs side by side as kernels/packing.py says; outputs beyond the last and inputs beyond the
    last are zeros.
    """

    format: QuantisedFormat
    outputs: int
    inputs: int
    values: Tensor
    """uint8 `[blocks of 16 outputs, groups of 32 inputs, bytes]`."""
    scales: Tensor
    """`[blocks of 16 outputs, groups of 32 inputs, kinds of scales, 16]`, float16 or whole numbers."""
    supers: Tensor
    """float16 `[blocks, runs of 8 groups, kinds, 16]`: what whole-number scales are scaled by; else empty."""

    @property
    def device(self) -> torch.device:
        return self.values.device

    @property
    def dtype(self) -> torch.dtype:
        """What the numbers are once unpacked, and so what everything between the weights is."""
        return torch.float32

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """What it takes in memory."""
        return self.values.nbytes + self.scales.nbytes + self.supers.nbytes

    def numel(self) -> int:
        """How many numbers it stands for."""
        return self.outputs * self.inputs


def new_blocks(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros for keys or values. On a CPU their memory is taken page by page as blocks are first written
    (torch.zeros would touch all of it at once), so a large cache costs nothing until it is used."""
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    flat = torch.from_numpy(np.zeros(math.prod(shape) * dtype.itemsize, np.uint8))
    return flat.view(dtype).view(shape)
