"""Attention over blocks of keys and values by torch's own fused operations.

Keys and values lie in blocks as `[B, S, G, K]`, so that gathering a sequence is copying whole rows. Sequences
that have the same number of queries and about as many blocks are attended to together; query heads that share
a key head are folded into the query length.

Letters: T tokens, H query heads, G KV heads, K head size, R query heads a KV head, N sequences (n: of one
group), Q queries of one sequence, L its keys, B blocks, S slots in a block, E entries of a distance table.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.kernels.kept import round_heads
from pellucid.kernels.spec import AttentionSpec, KVBlocks, PagedSegments, new_blocks
from pellucid.kernels.torch_attention import attend_openly, planless


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
            with planless(q_THK.device):
                out_nGqK = F.scaled_dot_product_attention(q_nGqK, k_nGLK, v_nGLK, mask, scale=spec.scale)
        else:
            out_nGqK = attend_openly(q_nGqK, k_nGLK, v_nGLK, spec, mask)
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


def _rows(starts: Sequence[int], members: Sequence[int], length: int, device: torch.device) -> Tensor:
    """The rows of these sequences, each `length` long, one after the other."""
    starts_n = torch.tensor([starts[i] for i in members], device=device)
    return (starts_n[:, None] + torch.arange(length, device=device)).flatten()


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
