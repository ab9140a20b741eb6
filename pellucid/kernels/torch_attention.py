"""Attention without a cache by torch's own fused operations: training, encoders, traces.

Sequences of equal lengths are attended to together.

Letters: T tokens, H query heads, G KV heads, K head size, n sequences of one group, Q queries of a sequence,
L its keys, X rows of all groups, E entries of a distance table.
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
from pellucid.kernels.spec import AttentionSpec, Segments


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
            with planless(q_THK.device):
                out_nHQK = F.scaled_dot_product_attention(
                    q_nHQK, k_nGLK, v_nGLK, mask, is_causal=triangle and by_name, scale=spec.scale,
                    enable_gqa=spec.num_heads != spec.num_kv_heads,
                )  # fmt: skip
        else:
            out_nHQK = attend_openly(q_nHQK, k_nGLK, v_nGLK, spec, mask, dropout, generator)
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


def planless(device: torch.device) -> AbstractContextManager[None]:
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


def attend_openly(
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
