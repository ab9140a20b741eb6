"""Every kernel in plain torch: the definition of correct, short enough to teach from.

Letters: T tokens, D hidden, I inputs, O outputs, F feed-forward, H query heads, G KV heads, K head size,
R rotated part of the head, V vocabulary, N sequences, Q queries of one sequence, L its keys, B blocks,
S slots in a block, E entries of a distance table.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.kernels.kept import round_heads
from pellucid.kernels.packing import unpack, unpack_rows
from pellucid.kernels.spec import (
    AttentionSpec,
    KVBlocks,
    PagedSegments,
    QuantisedWeight,
    Segments,
    new_blocks,
)


def embedding(ids_T: Tensor, weight_VD: Tensor) -> Tensor:
    """Row `id` of the table for each token."""
    return weight_VD[ids_T]


def linear(x_TI: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
    """`x Wᵀ + b`, in the dtype of x."""
    bias_O = None if bias_O is None else bias_O.to(x_TI.dtype)
    return F.linear(x_TI, weight_OI.to(x_TI.dtype), bias_O)


def linear_quantised(x_TI: Tensor, weight: QuantisedWeight, bias_O: Tensor | None) -> Tensor:
    """`x Wᵀ + b` with the weight unpacked to x's dtype."""
    return linear(x_TI, unpack(weight).to(x_TI.dtype), bias_O)


def embedding_quantised(ids_T: Tensor, weight: QuantisedWeight) -> Tensor:
    """Row `id` of the unpacked table for each token, float32."""
    return unpack_rows(weight, ids_T)


def rms_norm(x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    """`x / sqrt(mean(x²) + eps) * weight` over the last axis, in float32 (Zhang & Sennrich 2019)."""
    x32 = x.float()
    scale = torch.rsqrt(x32.square().mean(-1, keepdim=True) + eps)
    return (x32 * scale * weight_D.float()).to(x.dtype)


def layer_norm(x: Tensor, weight_D: Tensor, bias_D: Tensor | None, eps: float) -> Tensor:
    """`(x - mean) / sqrt(var + eps) * weight + bias` over the last axis, in float32 (Ba et al. 2016)."""
    x32 = x.float()
    centred = x32 - x32.mean(-1, keepdim=True)
    y = centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + eps) * weight_D.float()
    return (y if bias_D is None else y + bias_D.float()).to(x.dtype)


def rotary(x_THK: Tensor, cos_TR: Tensor, sin_TR: Tensor) -> Tensor:
    """Turn each pair (x_i, x_{i + R/2}) of the first R entries of every head by its position's angle."""
    R = cos_TR.shape[-1]
    turned, kept = x_THK[..., :R].float(), x_THK[..., R:]
    first, second = turned.chunk(2, dim=-1)
    quarter_turn = torch.cat((-second, first), dim=-1)
    turned = turned * cos_TR.unsqueeze(1) + quarter_turn * sin_TR.unsqueeze(1)
    return torch.cat((turned.to(x_THK.dtype), kept), dim=-1)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "silu": F.silu,
    "tanh": torch.tanh,
}


def activation(x_TF: Tensor, name: str) -> Tensor:
    """The named non-linearity, entry by entry."""
    return ACTIVATIONS[name](x_TF)


def gated(gate_up_TF: Tensor, name: str) -> Tensor:
    """`act(gate) * up`, the two halves of each row (Shazeer 2020, "GLU Variants Improve Transformer")."""
    gate, up = gate_up_TF.chunk(2, dim=-1)
    return ACTIVATIONS[name](gate) * up


def scores_and_mask(
    q_QHK: Tensor,
    k_LGK: Tensor,
    spec: AttentionSpec,
    bias_HE: Tensor | None,
    query_Q: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The scores `[H, Q, L]` of one sequence in float32, and which of them may be seen `[Q, L]`.

    `query_Q` says at which positions the queries stand. By default they are the last Q of the L positions
    when causal; else they stand beside the keys from 0 on.
    """
    Q, L = q_QHK.shape[0], k_LGK.shape[0]
    k_LHK = k_LGK.repeat_interleave(spec.num_heads // spec.num_kv_heads, dim=1)
    scores_HQL = torch.einsum("qhk,lhk->hql", q_QHK.float(), k_LHK.float()) * spec.scale
    if spec.soft_cap is not None:
        scores_HQL = spec.soft_cap * torch.tanh(scores_HQL / spec.soft_cap)
    if query_Q is None:
        query_Q = torch.arange(Q, device=q_QHK.device) + (L - Q if spec.causal else 0)
    distance_QL = torch.arange(L, device=q_QHK.device)[None, :] - query_Q[:, None]
    if bias_HE is not None:
        reach = bias_HE.shape[1] // 2
        scores_HQL = scores_HQL + bias_HE.float()[:, distance_QL.clamp(-reach, reach) + reach]
    seen_QL = torch.ones(Q, L, dtype=torch.bool, device=q_QHK.device)
    if spec.causal:
        seen_QL &= distance_QL <= 0
    if spec.window is not None:
        seen_QL &= distance_QL.abs() < spec.window
    return scores_HQL, seen_QL


def attention_pattern(
    q_QHK: Tensor,
    k_LGK: Tensor,
    spec: AttentionSpec,
    bias_HE: Tensor | None = None,
    query_Q: Tensor | None = None,
) -> Tensor:
    """`softmax(QKᵀ · scale + bias)` under the mask, `[H, Q, L]` in float32 (Vaswani et al. 2017, eq. 1)."""
    scores_HQL, seen_QL = scores_and_mask(q_QHK, k_LGK, spec, bias_HE, query_Q)
    return torch.softmax(scores_HQL.masked_fill(~seen_QL, -math.inf), dim=-1)


def attend_one(
    q_QHK: Tensor, k_LGK: Tensor, v_LGK: Tensor, spec: AttentionSpec, bias_HE: Tensor | None = None
) -> Tensor:
    """Attention of one sequence: the pattern times the values, `[Q, H, K]`."""
    pattern_HQL = attention_pattern(q_QHK, k_LGK, spec, bias_HE)
    v_LHK = v_LGK.repeat_interleave(spec.num_heads // spec.num_kv_heads, dim=1)
    return torch.einsum("hql,lhk->qhk", pattern_HQL, v_LHK.float()).to(q_QHK.dtype)


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
    """Each packed sequence attends to its own keys, one after the other."""
    if dropout:
        raise ValueError("the reference attention has no dropout; train with kernels.torch_ops")
    out_THK = torch.empty_like(q_THK)
    for i in range(len(segments.query_starts) - 1):
        rows = slice(segments.query_starts[i], segments.query_starts[i + 1])
        keys = slice(segments.key_starts[i], segments.key_starts[i + 1])
        out_THK[rows] = attend_one(q_THK[rows], k_TGK[keys], v_TGK[keys], spec, bias_HE)
    return out_THK


def new_kv(
    num_blocks: int, block_size: int, spec: AttentionSpec, dtype: torch.dtype, device: torch.device
) -> KVBlocks:
    """Room for keys and values, each `[B, G, S, K]`, and for the scales of int8, `[B, 2, G, S]`."""
    shape = (num_blocks, spec.num_kv_heads, block_size, spec.head_dim)
    k, v = (new_blocks(shape, dtype, device) for _ in range(2))
    scales = new_blocks((num_blocks, 2, *shape[1:3]), torch.float32, device) if dtype is torch.int8 else None
    return KVBlocks(k, v, block_size, scales)


def store_kv(kv: KVBlocks, k_TGK: Tensor, v_TGK: Tensor, slots_T: Tensor) -> None:
    """Write token t's key and value to slot `slots_T[t]`, which is `block * S + offset`."""
    block_T, offset_T = slots_T // kv.block_size, slots_T % kv.block_size
    for which, (place, x_TGK) in enumerate(((kv.k, k_TGK), (kv.v, v_TGK))):
        if kv.scales is not None:
            x_TGK, kv.scales[block_T, which, :, offset_T] = round_heads(x_TGK)
        place[block_T, :, offset_T] = x_TGK.to(place.dtype)


def copy_blocks(kv: KVBlocks, source_N: Tensor, target_N: Tensor) -> None:
    """Copy whole blocks, for copy-on-write."""
    for blocks in kv.tensors:
        blocks[target_N] = blocks[source_N]


def paged_attention(
    q_THK: Tensor, kv: KVBlocks, spec: AttentionSpec, segments: PagedSegments, bias_HE: Tensor | None = None
) -> Tensor:
    """Gather each sequence's blocks into rows, then attend as if they had never been apart."""
    out_THK = torch.empty_like(q_THK)
    starts = segments.query_starts_N1.tolist()
    for i, length in enumerate(segments.context_lens_N.tolist()):
        table_B = segments.block_tables_NB[i, : -(-length // kv.block_size)].clamp_min(0)
        k_BGSK, v_BGSK = kv.k[table_B], kv.v[table_B]
        if kv.scales is not None:
            k_BGSK, v_BGSK = (x * kv.scales[table_B, i].unsqueeze(-1) for i, x in enumerate((k_BGSK, v_BGSK)))
        k_LGK, v_LGK = (x.transpose(1, 2).flatten(0, 1)[:length] for x in (k_BGSK, v_BGSK))
        rows = slice(starts[i], starts[i + 1])
        out_THK[rows] = attend_one(q_THK[rows], k_LGK, v_LGK, spec, bias_HE)
    return out_THK
