"""Every kernel by torch's own fused operations: differentiable, on any device, no compiler needed.

Keys and values lie in blocks as `[B, S, G, K]`, so that gathering a sequence is copying whole rows. Sequences
that have the same number of queries and about as many blocks are attended to together; query heads that share
a key head are folded into the query length. Equal to `reference.py` up to rounding.

Letters: T tokens, D hidden, I inputs, O outputs, F feed-forward, H query heads, G KV heads, K head size,
R rotated part of the head, V vocabulary, N sequences (n: of one group), Q queries of one sequence, L its
keys, B blocks, S slots in a block, E entries of a distance table.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from pellucid.kernels.dropout import kept
from pellucid.kernels.kept import round_heads
from pellucid.kernels.packing import unpack, unpack_rows
from pellucid.kernels.reference import ACTIVATIONS, activation
from pellucid.kernels.spec import (
    AttentionSpec,
    KVBlocks,
    PagedSegments,
    QuantisedWeight,
    Segments,
    new_blocks,
)

__all__ = [
    "activation", "attention", "copy_blocks", "embedding", "embedding_quantised", "gated", "layer_norm",
    "linear", "linear_quantised", "new_kv", "paged_attention", "rms_norm", "rotary", "store_kv",
]  # fmt: skip


def embedding(ids_T: Tensor, weight_VD: Tensor) -> Tensor:
    """Row `id` of the table for each token."""
    return F.embedding(ids_T, weight_VD)


def linear(x_TI: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
    """`x Wᵀ + b`."""
    return F.linear(x_TI, weight_OI, bias_O)


def linear_quantised(x_TI: Tensor, weight: QuantisedWeight, bias_O: Tensor | None) -> Tensor:
    """`x Wᵀ + b` with the weight unpacked to x's dtype."""
    return linear(x_TI, unpack(weight).to(x_TI.dtype), bias_O)


def embedding_quantised(ids_T: Tensor, weight: QuantisedWeight) -> Tensor:
    """Row `id` of the unpacked table for each token, float32."""
    return unpack_rows(weight, ids_T)


def rms_norm(x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    """`x / sqrt(mean(x²) + eps) * weight` over the last axis, in float32."""
    return F.rms_norm(x.float(), weight_D.shape, weight_D.float(), eps).to(x.dtype)


def layer_norm(x: Tensor, weight_D: Tensor, bias_D: Tensor | None, eps: float) -> Tensor:
    """`(x - mean) / sqrt(var + eps) * weight + bias` over the last axis, in float32."""
    bias_D = None if bias_D is None else bias_D.float()
    return F.layer_norm(x.float(), weight_D.shape, weight_D.float(), bias_D, eps).to(x.dtype)


def rotary(x_THK: Tensor, cos_TR: Tensor, sin_TR: Tensor) -> Tensor:
    """Turn each pair (x_i, x_{i + R/2}) of the first R entries of every head by its position's angle."""
    R = cos_TR.shape[-1]
    first, second = x_THK[..., : R // 2].float(), x_THK[..., R // 2 : R].float()
    cos_T1R, sin_T1R = cos_TR.unsqueeze(1), sin_TR.unsqueeze(1)
    halves = (
        first * cos_T1R[..., : R // 2] - second * sin_T1R[..., : R // 2],
        second * cos_T1R[..., R // 2 :] + first * sin_T1R[..., R // 2 :],
    )
    return torch.cat((*(half.to(x_THK.dtype) for half in halves), x_THK[..., R:]), dim=-1)


def gated(gate_up_TF: Tensor, name: str) -> Tensor:
    """`act(gate) * up`, the two halves of each row."""
    gate, up = gate_up_TF.chunk(2, dim=-1)
    return ACTIVATIONS[name](gate) * up


# Attention without a cache


def attention(
    q_THK: Tensor,
    k_TGK: Tensor,
    v_TGK: Tensor,
    spec: AttentionSpec,
    segments: Segments,
    bias_HE: Tensor | None = None,
    dropout: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Each packed sequence attends to its own keys; those of equal lengths go together, and where causality
    hides what is appended, those of nearly equal lengths too."""
    # on a CPU torch's fused backward takes 2 to 8 times as long in bfloat16 as the plain products do
    slow = q_THK.dtype == torch.bfloat16 and q_THK.requires_grad and q_THK.device.type == "cpu"
    plan = _dense_plan(segments, spec.causal, q_THK.device)
    moved = plan.back_T is not None
    q_XHK = q_THK[plan.queries_X] if moved else q_THK
    k_XGK, v_XGK = (x[plan.keys_X] if moved else x for x in (k_TGK, v_TGK))
    query_sizes, key_sizes = [n * Q for n, Q, _ in plan.groups], [n * L for n, _, L in plan.groups]
    outs = []
    split = ((q_XHK, query_sizes), (k_XGK, key_sizes), (v_XGK, key_sizes))
    q_g, k_g, v_g = (torch.split(x, sizes) for x, sizes in split)
    for (n, Q, L), hidden_n11L, q, k, v in zip(plan.groups, plan.hidden, q_g, k_g, v_g, strict=True):
        q_nHQK = q.view(n, Q, -1, spec.head_dim).transpose(1, 2)
        k_nGLK = k.view(n, L, -1, spec.head_dim).transpose(1, 2)
        v_nGLK = v.view(n, L, -1, spec.head_dim).transpose(1, 2)
        fused = not dropout and spec.soft_cap is None and not (slow and L <= _SHORT)
        triangle = spec.causal and Q > 1
        by_name = fused and Q == L and spec.window is None and bias_HE is None
        mask = None
        if spec.window is not None or bias_HE is not None or (triangle and not by_name):
            first = L - Q if spec.causal else 0
            mask = _unseen(Q, L, first, spec.causal, spec.window, q_THK.dtype, q_THK.device)
            mask = mask if bias_HE is None else mask + _bias(bias_HE, Q, L, first).to(q_THK.dtype)
        if hidden_n11L is not None:
            hidden_n11L = hidden_n11L.to(q_THK.dtype)
            mask = hidden_n11L.expand(-1, -1, Q, -1) if mask is None else mask + hidden_n11L
        if fused:
            with _planless(q_THK.device):
                out_nHQK = F.scaled_dot_product_attention(
                    q_nHQK, k_nGLK, v_nGLK, mask, is_causal=triangle and by_name, scale=spec.scale,
                    enable_gqa=spec.num_heads != spec.num_kv_heads,
                )  # fmt: skip
        else:
            out_nHQK = _attend_openly(q_nHQK, k_nGLK, v_nGLK, spec, mask, dropout, generator)
        outs.append(out_nHQK.transpose(1, 2).flatten(0, 1))
    out_XHK = torch.cat(outs) if len(outs) > 1 else outs[0]
    return out_XHK if plan.back_T is None else out_XHK[plan.back_T]


@dataclass(frozen=True, slots=True)
class _DensePlan:
    """Which sequences go together: rows in the order of the groups, X of them with those appended."""

    groups: list[tuple[int, int, int]]
    """Sequences, queries and keys of each group."""
    hidden: list[Tensor | None]
    """For each group what hides keys that a sequence has not, `[n, 1, 1, L]`; None where all have theirs."""
    queries_X: Tensor
    keys_X: Tensor
    back_T: Tensor | None
    """Where each token's row is among the X; None where nothing moves."""


@lru_cache(maxsize=4)
def _dense_plan(segments: Segments, causal: bool, device: torch.device) -> _DensePlan:
    """Gathering once for all groups costs one scatter in the backward pass, not one a group."""
    queries = [b - a for a, b in pairwise(segments.query_starts)]
    keys = [b - a for a, b in pairwise(segments.key_starts)]
    extend = causal and queries == keys and len(set(queries)) > 1
    pad = not causal and _launches_cost(device) and len(set(zip(queries, keys, strict=True))) > 1
    members: dict[tuple[int, int], list[int]] = {}
    for i, (Q, L) in enumerate(zip(queries, keys, strict=True)):
        Q, L = (-(-n // _ROUND) * _ROUND if extend or pad else n for n in (Q, L))
        members.setdefault((Q, L), []).append(i)
    groups = [(len(numbers), Q, L) for (Q, L), numbers in members.items()]
    hidden: list[Tensor | None] = [None] * len(groups)
    if len(groups) == 1 and not extend and not pad:
        none = torch.empty(0, dtype=torch.int64)
        return _DensePlan(groups, hidden, none, none, None)
    query_rows, key_rows = [], []
    for at, ((Q, L), numbers) in enumerate(members.items()):
        query_rows.append(_extended(segments.query_starts, queries, numbers, Q))
        key_rows.append(_extended(segments.key_starts, keys, numbers, L))
        if pad:
            beyond_nL = torch.arange(L) >= torch.tensor([keys[i] for i in numbers])[:, None]
            hidden_nL = torch.zeros(beyond_nL.shape).masked_fill_(beyond_nL, _FAR_BELOW)
            hidden[at] = hidden_nL[:, None, None].to(device)
    queries_X = torch.cat(query_rows)
    real_T = torch.nonzero(torch.diff(queries_X, prepend=torch.tensor([-1]))).flatten()
    back_T = torch.empty_like(real_T)
    back_T[queries_X[real_T]] = real_T
    return _DensePlan(groups, hidden, *(x.to(device) for x in (queries_X, torch.cat(key_rows), back_T)))


def _launches_cost(device: torch.device) -> bool:
    """Whether one more launch costs more than keys that nobody sees."""
    return device.type == "cuda"


def _planless(device: torch.device) -> AbstractContextManager[None]:
    """Fused attention without cuDNN's on a GPU: that plans each new shape for tens of milliseconds, and every
    batch has its own shapes."""
    if device.type != "cuda":
        return nullcontext()
    return sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])


def _extended(starts: Sequence[int], lengths: Sequence[int], members: Sequence[int], length: int) -> Tensor:
    """The rows of these sequences, one after the other, the last row of each repeated up to `length`."""
    starts_n, lengths_n = (torch.tensor([numbers[i] for i in members]) for numbers in (starts, lengths))
    return (starts_n[:, None] + torch.minimum(torch.arange(length), lengths_n[:, None] - 1)).flatten()


_ROUND = 32
"""Lengths are rounded up to a multiple of this to make groups fewer."""
_FAR_BELOW = -30_000.0
"""What hides a key, and leaves an appended query that sees no other something to look at."""
_SHORT = 512
"""Up to so many keys the scores of all queries may lie open in memory."""


def _rows(starts: Sequence[int], members: Sequence[int], length: int, device: torch.device) -> Tensor:
    """The rows of these sequences, each `length` long, one after the other."""
    starts_n = torch.tensor([starts[i] for i in members], device=device)
    return (starts_n[:, None] + torch.arange(length, device=device)).flatten()


@lru_cache(maxsize=4)
@torch.inference_mode(False)  # a mask first made while serving must do for training too
def _unseen(
    Q: int, L: int, first: int, causal: bool, window: int | None, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """-inf where query `first + i` may not see key j, else 0, `[Q, L]`."""
    distance_QL = torch.arange(L, device=device) - torch.arange(first, first + Q, device=device)[:, None]
    hidden_QL = distance_QL > 0 if causal else torch.zeros_like(distance_QL, dtype=torch.bool)
    if window is not None:
        hidden_QL = hidden_QL | (distance_QL.abs() >= window)
    return torch.zeros(Q, L, dtype=dtype, device=device).masked_fill_(hidden_QL, -math.inf)


def _bias(bias_HE: Tensor, Q: int, L: int, first: int) -> Tensor:
    reach = bias_HE.shape[1] // 2
    device = bias_HE.device
    distance_QL = torch.arange(L, device=device) - torch.arange(first, first + Q, device=device)[:, None]
    return bias_HE[:, distance_QL.clamp(-reach, reach) + reach]


def _attend_openly(
    q_nHQK: Tensor,
    k_nGLK: Tensor,
    v_nGLK: Tensor,
    spec: AttentionSpec,
    mask: Tensor | None,
    dropout: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Attention in the open, where SDPA is slow or does not offer it: soft caps, dropout from a generator."""
    R = q_nHQK.shape[1] // k_nGLK.shape[1]
    k_nHLK, v_nHLK = (x if R == 1 else x.repeat_interleave(R, dim=1) for x in (k_nGLK, v_nGLK))
    scores_nHQL = (q_nHQK @ k_nHLK.transpose(-1, -2)).float() * spec.scale
    if spec.soft_cap is not None:
        scores_nHQL = spec.soft_cap * torch.tanh(scores_nHQL / spec.soft_cap)
    if mask is not None:
        scores_nHQL = scores_nHQL + mask.float()
    pattern_nHQL = torch.softmax(scores_nHQL, dim=-1)
    if dropout:
        pattern_nHQL = pattern_nHQL * kept(pattern_nHQL, dropout, generator)
    return pattern_nHQL.to(v_nHLK.dtype) @ v_nHLK


# Attention over blocks


def new_kv(
    num_blocks: int, block_size: int, spec: AttentionSpec, dtype: torch.dtype, device: torch.device
) -> KVBlocks:
    """Room for keys and values, each `[B, S, G, K]`, and for the scales of int8, `[B, S, 2, G]`."""
    shape = (num_blocks, block_size, spec.num_kv_heads, spec.head_dim)
    k, v = (new_blocks(shape, dtype, device) for _ in range(2))
    scales = (
        new_blocks((*shape[:2], 2, spec.num_kv_heads), torch.float32, device) if dtype is torch.int8 else None
    )
    return KVBlocks(k, v, block_size, scales)


def store_kv(kv: KVBlocks, k_TGK: Tensor, v_TGK: Tensor, slots_T: Tensor) -> None:
    """Write token t's key and value to slot `slots_T[t]`, which is `block * S + offset`."""
    if kv.scales is not None:
        (k_TGK, k_scale_TG), (v_TGK, v_scale_TG) = round_heads(k_TGK), round_heads(v_TGK)
        kv.scales.flatten(0, 1).index_copy_(0, slots_T, torch.stack((k_scale_TG, v_scale_TG), dim=1))
    kv.k.flatten(0, 1).index_copy_(0, slots_T, k_TGK.to(kv.k.dtype))
    kv.v.flatten(0, 1).index_copy_(0, slots_T, v_TGK.to(kv.v.dtype))


def copy_blocks(kv: KVBlocks, source_N: Tensor, target_N: Tensor) -> None:
    """Copy whole blocks, for copy-on-write."""
    for blocks in kv.tensors:
        blocks[target_N] = blocks[source_N]


@dataclass(frozen=True, slots=True)
class _Group:
    """Sequences of one step with the same number of queries and about as many blocks."""

    rows_nQ: Tensor
    """Their rows in the packed queries."""
    blocks_nB: Tensor
    """Their blocks, as many for each as the longest needs; what lies beyond its own end is masked."""
    firsts_n: Tensor
    """The position of each one's first query."""
    lengths_n: Tensor


def paged_attention(
    q_THK: Tensor, kv: KVBlocks, spec: AttentionSpec, segments: PagedSegments, bias_HE: Tensor | None = None
) -> Tensor:
    """Gather each group's blocks into rows and attend to all its sequences at once."""
    groups = segments.scratch.get("groups")
    if groups is None:
        groups = segments.scratch["groups"] = _group(segments, kv.block_size, spec.causal)
    out_THK = torch.empty_like(q_THK)
    R = spec.num_heads // spec.num_kv_heads
    for number, group in enumerate(groups):
        n, Q = group.rows_nQ.shape
        mask = _paged_mask(segments, number, group, kv.block_size, spec, bias_HE, q_THK.dtype)
        k_nGLK, v_nGLK = (
            x.view(n, -1, spec.num_kv_heads, spec.head_dim).transpose(1, 2).to(q_THK.dtype)
            for x in _gather(kv, group.blocks_nB.flatten())
        )
        q_nQGRK = q_THK.index_select(0, group.rows_nQ.flatten()).view(n, Q, -1, R, spec.head_dim)
        q_nGqK = q_nQGRK.permute(0, 2, 3, 1, 4).reshape(n, -1, R * Q, spec.head_dim)
        if spec.soft_cap is None:
            with _planless(q_THK.device):
                out_nGqK = F.scaled_dot_product_attention(q_nGqK, k_nGLK, v_nGLK, mask, scale=spec.scale)
        else:
            out_nGqK = _attend_openly(q_nGqK, k_nGLK, v_nGLK, spec, mask)
        out_nQHK = (
            out_nGqK.view(n, -1, R, Q, spec.head_dim).permute(0, 3, 1, 2, 4).flatten(2, 3).flatten(0, 1)
        )
        out_THK.index_copy_(0, group.rows_nQ.flatten(), out_nQHK)
    return out_THK


def _gather(kv: KVBlocks, blocks_B: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values of these blocks, each `[B, S, G, K]`."""
    k_BSGK, v_BSGK = (x.index_select(0, blocks_B) for x in (kv.k, kv.v))
    if kv.scales is None:
        return k_BSGK, v_BSGK
    k_scale_BSG1, v_scale_BSG1 = kv.scales.index_select(0, blocks_B).unsqueeze(-1).unbind(2)
    return k_BSGK * k_scale_BSG1, v_BSGK * v_scale_BSG1


def _group(segments: PagedSegments, block_size: int, causal: bool) -> list[_Group]:
    """Group by query length and by the power of two that the number of blocks is under."""
    starts, lengths = segments.query_starts_N1.tolist(), segments.context_lens_N.tolist()
    members: dict[tuple[int, int], list[int]] = {}
    for i, length in enumerate(lengths):
        num_blocks = -(-length // block_size)
        members.setdefault((starts[i + 1] - starts[i], num_blocks.bit_length()), []).append(i)
    groups = []
    device = segments.block_tables_NB.device
    for (Q, _), numbers in members.items():
        longest = max(lengths[i] for i in numbers)
        groups.append(
            _Group(
                _rows(starts, numbers, Q, device).view(-1, Q),
                segments.block_tables_NB[numbers, : -(-longest // block_size)].clamp_min(0),
                torch.tensor([lengths[i] - Q if causal else 0 for i in numbers], device=device),
                torch.tensor([lengths[i] for i in numbers], device=device),
            )
        )
    return groups


def _paged_mask(
    segments: PagedSegments,
    number: int,
    group: _Group,
    block_size: int,
    spec: AttentionSpec,
    bias_HE: Tensor | None,
    dtype: torch.dtype,
) -> Tensor:
    """What is added to the scores of a group, `[n, 1 or G, R * Q, L]`; worked out once a forward."""
    key = ("mask", number, spec.window, dtype, None if bias_HE is None else bias_HE.data_ptr())
    if key in segments.scratch:
        mask: Tensor = segments.scratch[key]
        return mask
    (n, Q), L = group.rows_nQ.shape, group.blocks_nB.shape[1] * block_size
    device = group.firsts_n.device
    keys_L = torch.arange(L, device=device)
    distance_nQL = keys_L - (group.firsts_n[:, None, None] + torch.arange(Q, device=device)[:, None])
    hidden_nQL = (
        distance_nQL > 0 if spec.causal else (keys_L >= group.lengths_n[:, None, None]).expand(n, Q, L)
    )
    if spec.window is not None:
        hidden_nQL = hidden_nQL | (distance_nQL.abs() >= spec.window)
    mask_nQL = torch.zeros(n, Q, L, dtype=dtype, device=device).masked_fill_(hidden_nQL, -math.inf)
    R = spec.num_heads // spec.num_kv_heads
    if bias_HE is None:
        mask = mask_nQL[:, None, None].expand(n, 1, R, Q, L).reshape(n, 1, R * Q, L)
    else:
        reach = bias_HE.shape[1] // 2
        bias_nHQL = bias_HE[:, distance_nQL.clamp(-reach, reach) + reach].transpose(0, 1)
        mask = (mask_nQL[:, None] + bias_nHQL.to(dtype)).reshape(n, -1, R * Q, L)
    segments.scratch[key] = mask
    return mask
