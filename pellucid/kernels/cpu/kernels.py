"""The kernels as the C++ library carries them out: each function describes one operation and has it played.

Everything between the weights is float32, whatever the weights are stored in. For inference only: there are
no gradients.

Letters: T tokens, D hidden, I inputs, O outputs, F feed-forward, H query heads, G KV heads, K head size,
R rotated part of the head, V vocabulary, N sequences, E entries of a distance table.
"""

import ctypes
from typing import Protocol

import torch
from torch import Tensor

from pellucid.kernels import torch_ops
from pellucid.kernels.cpu import operations as ops
from pellucid.kernels.cpu.library import Library
from pellucid.kernels.cpu.operations import ACTIVATIONS, CACHE_TYPES, FORMATS, NORMS, Kind
from pellucid.kernels.spec import (
    AttentionSpec,
    KVBlocks,
    PagedSegments,
    QuantisedWeight,
    Segments,
    new_blocks,
)

WEIGHT_DTYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16"}


class Player(Protocol):
    """Who carries an operation out, now or later."""

    def play(
        self,
        kind: Kind,
        arguments: ctypes.Structure,
        rows: int,
        tensors: tuple[Tensor | None, ...],
        sequences: int = 0,
    ) -> None:
        """`tensors` are all that the arguments point into, the one that is written last."""


def floats(x: Tensor) -> Tensor:
    """`x` in float32 with its last axis contiguous: what every operation reads."""
    x = x if x.dtype is torch.float32 else x.float()
    return x if x.stride(-1) == 1 or x.shape[-1] == 1 else x.contiguous()


def rows_of(x_TD: Tensor) -> ops.Rows:
    """A matrix as the library sees it."""
    return ops.Rows(x_TD.data_ptr(), x_TD.stride(0))


def heads_of(x: Tensor) -> ops.Heads:
    """`[T, H, K]`, or `[T, D]` as one head, as the library sees it."""
    if x.dim() == 2:
        return ops.Heads(x.data_ptr(), x.stride(0), 0, 1, x.shape[1])
    return ops.Heads(x.data_ptr(), x.stride(0), x.stride(1), x.shape[1], x.shape[2])


def weight_of(weight_OI: Tensor) -> ops.Weight:
    """A float weight as the library sees it: where it lies, in the dtype it has."""
    outputs, inputs = weight_OI.shape
    kind = FORMATS[WEIGHT_DTYPES[weight_OI.dtype]]
    return ops.Weight(kind, outputs, inputs, weight_OI.stride(0), weight_OI.data_ptr(), None, None)


def quantised_of(weight: QuantisedWeight) -> ops.Weight:
    """A packed weight as the library sees it."""
    kind, shape = FORMATS[weight.format], (weight.outputs, weight.inputs)
    addresses = (tensor.data_ptr() for tensor in (weight.values, weight.scales, weight.supers))
    return ops.Weight(kind, *shape, 0, *addresses)


def cache_of(kv: KVBlocks) -> ops.Cache:
    """One layer's cache as the library sees it: keys `[B, G, K, S']`, values `[B, G, S, K']`, and the scales
    of int8 `[B, G, 2, S']`."""
    scales = None if kv.scales is None else kv.scales.data_ptr()
    kind, (G, K) = CACHE_TYPES[kv.k.dtype], kv.k.shape[1:3]
    return ops.Cache(kv.k.data_ptr(), kv.v.data_ptr(), scales, kind, kv.block_size, G, K)


def to_16(n: int) -> int:
    """Rounded up to what the library takes at once."""
    return -(-n // 16) * 16


class CpuKernels:
    """`Kernels` by way of a player."""

    def __init__(self, player: Player, *, panels: bool = False) -> None:
        """`panels`: float products in the way that suits passes over whole inputs (src/products_panel.h). Its
        sums are in another order, so a model that takes it takes it for all rows, few or many."""
        self._play = player.play
        self._panels = panels

    def embedding(self, ids_T: Tensor, weight_VD: Tensor) -> Tensor:
        return self._embedding(ids_T, weight_of(weight_VD), (weight_VD,))

    def embedding_quantised(self, ids_T: Tensor, weight: QuantisedWeight) -> Tensor:
        return self._embedding(ids_T, quantised_of(weight), (weight.values, weight.scales, weight.supers))

    def _embedding(self, ids_T: Tensor, weight: ops.Weight, held: tuple[Tensor, ...]) -> Tensor:
        out_TD = torch.empty(len(ids_T), weight.inputs)
        arguments = ops.Embedding(ids_T.data_ptr(), weight, rows_of(out_TD))
        self._play(Kind.EMBEDDING, arguments, len(ids_T), (ids_T, *held, out_TD))
        return out_TD

    def linear(self, x_TI: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
        return self._product(x_TI, weight_of(weight_OI), bias_O, (weight_OI,))

    def linear_quantised(self, x_TI: Tensor, weight: QuantisedWeight, bias_O: Tensor | None) -> Tensor:
        held = (weight.values, weight.scales, weight.supers)
        return self._product(x_TI, quantised_of(weight), bias_O, held)

    def _product(
        self, x_TI: Tensor, weight: ops.Weight, bias_O: Tensor | None, held: tuple[Tensor, ...]
    ) -> Tensor:
        x_TI = floats(x_TI)
        bias_O = None if bias_O is None else floats(bias_O)
        out_TO = torch.empty(len(x_TI), weight.outputs)
        arguments = ops.Product(x=rows_of(x_TI), weight=weight, panels=self._panels, out=rows_of(out_TO))
        arguments.bias = None if bias_O is None else bias_O.data_ptr()
        self._play(Kind.PRODUCT, arguments, len(x_TI), (x_TI, *held, bias_O, out_TO))
        return out_TO

    def rms_norm(self, x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
        return self._norm(x, "rms", weight_D, None, eps)

    def layer_norm(self, x: Tensor, weight_D: Tensor, bias_D: Tensor | None, eps: float) -> Tensor:
        return self._norm(x, "layer", weight_D, bias_D, eps)

    def _norm(self, x: Tensor, kind: str, weight_D: Tensor, bias_D: Tensor | None, eps: float) -> Tensor:
        x, weight_D = floats(x), floats(weight_D)
        bias_D = None if bias_D is None else floats(bias_D)
        out = torch.empty(x.shape)
        norm = ops.Norm(NORMS[kind], weight_D.data_ptr(), None, eps)
        norm.bias = None if bias_D is None else bias_D.data_ptr()
        arguments = ops.NormRows(heads_of(x), norm, heads_of(out))
        self._play(Kind.NORM, arguments, len(x), (x, weight_D, bias_D, out))
        return out

    def rotary(self, x_THK: Tensor, cos_TR: Tensor, sin_TR: Tensor) -> Tensor:
        x_THK, cos_TR, sin_TR = floats(x_THK), floats(cos_TR), floats(sin_TR)
        out_THK = torch.empty(x_THK.shape)
        angles = (cos_TR.data_ptr(), sin_TR.data_ptr(), cos_TR.stride(0), cos_TR.shape[1])
        arguments = ops.Rotary(heads_of(x_THK), heads_of(out_THK), *angles)
        self._play(Kind.ROTARY, arguments, len(x_THK), (x_THK, cos_TR, sin_TR, out_THK))
        return out_THK

    def activation(self, x_TF: Tensor, name: str) -> Tensor:
        x_TF = floats(x_TF)
        out_TF = torch.empty(x_TF.shape)
        arguments = ops.Activate(rows_of(x_TF), rows_of(out_TF), x_TF.shape[1], ACTIVATIONS[name])
        self._play(Kind.ACTIVATION, arguments, len(x_TF), (x_TF, out_TF))
        return out_TF

    def gated(self, gate_up_TF: Tensor, name: str) -> Tensor:
        x_TF = floats(gate_up_TF)
        out_TF = torch.empty(len(x_TF), x_TF.shape[1] // 2)
        arguments = ops.Gate(rows_of(x_TF), rows_of(out_TF), out_TF.shape[1], ACTIVATIONS[name])
        self._play(Kind.GATED, arguments, len(x_TF), (x_TF, out_TF))
        return out_TF

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
    ) -> Tensor:
        """Without a cache there is nothing to read in place: torch's fused attention."""
        qkv = floats(q_THK), floats(k_TGK), floats(v_TGK)
        return torch_ops.attention(*qkv, spec, segments, bias_HE, dropout, generator)

    def new_kv(
        self, num_blocks: int, block_size: int, spec: AttentionSpec, dtype: torch.dtype, device: torch.device
    ) -> KVBlocks:
        G, K = spec.num_kv_heads, spec.head_dim
        k = new_blocks((num_blocks, G, K, to_16(block_size)), dtype, device)
        v = new_blocks((num_blocks, G, block_size, to_16(K)), dtype, device)
        if dtype is not torch.int8:
            return KVBlocks(k, v, block_size)
        return KVBlocks(
            k, v, block_size, new_blocks((num_blocks, G, 2, to_16(block_size)), torch.float32, device)
        )

    def store_kv(self, kv: KVBlocks, k_TGK: Tensor, v_TGK: Tensor, slots_T: Tensor) -> None:
        k_TGK, v_TGK = floats(k_TGK), floats(v_TGK)
        arguments = ops.Store(heads_of(k_TGK), heads_of(v_TGK), cache_of(kv), slots_T.data_ptr())
        self._play(Kind.STORE, arguments, len(k_TGK), (k_TGK, v_TGK, slots_T, *kv.tensors))

    def copy_blocks(self, kv: KVBlocks, source_N: Tensor, target_N: Tensor) -> None:
        torch_ops.copy_blocks(kv, source_N, target_N)

    def paged_attention(
        self,
        q_THK: Tensor,
        kv: KVBlocks,
        spec: AttentionSpec,
        segments: PagedSegments,
        bias_HE: Tensor | None = None,
    ) -> Tensor:
        q_THK = floats(q_THK)
        bias_HE = None if bias_HE is None else floats(bias_HE).contiguous()
        out_THK = torch.empty(q_THK.shape)
        of_sequences = (segments.query_starts_N1, segments.context_lens_N, segments.block_tables_NB)
        whose = [tensor.to(torch.int32) for tensor in of_sequences]
        arguments = ops.Attention(
            heads_of(q_THK),
            heads_of(out_THK),
            cache_of(kv),
            spec.scale,
            spec.soft_cap or 0.0,
            spec.causal,
            spec.window or 0,
            *(tensor.data_ptr() for tensor in whose),
            whose[2].stride(0),
            None if bias_HE is None else bias_HE.data_ptr(),
            0 if bias_HE is None else bias_HE.shape[1],
        )
        held = (q_THK, *whose, bias_HE, *kv.tensors, out_THK)
        self._play(Kind.ATTENTION, arguments, len(q_THK), held, len(whose[1]))
        return out_THK


class Now:
    """The player that carries each operation out at once."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def play(
        self,
        kind: Kind,
        arguments: ctypes.Structure,
        rows: int,
        tensors: tuple[Tensor | None, ...],
        sequences: int = 0,
    ) -> None:
        step = ops.Step((rows, rows), sequences)
        operation = ops.Operation(kind, ops.TOKENS, ctypes.addressof(arguments))
        if not self._library.run(operation, 1, step, torch.get_num_threads(), None):
            raise MemoryError(f"no memory for the scratch room of a {kind.name.lower()} over {rows} rows")
