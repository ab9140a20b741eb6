"""Norms of queries and keys before they meet: over each head, over the whole projection, or one a head.

Letters: T tokens, H heads, K head size.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from pellucid.layers.context import ForwardContext
from pellucid.layers.norm import LayerNorm, NormConfig, RMSNorm, Unchanged, make_norm


@dataclass(frozen=True, kw_only=True)
class QKNormConfig:
    """Which norm, and over what: `head` (one norm, every head by itself), `projection` (all heads as one
    vector), `own` (every head by itself, each with a norm of its own)."""

    norm: NormConfig
    over: Literal["head", "projection", "own"] = "head"


class ProjectionNorm(nn.Module):
    """One norm over all heads joined (OLMo 2)."""

    def __init__(self, config: NormConfig, num_heads: int, head_dim: int) -> None:
        super().__init__()
        self.norm = make_norm(config, num_heads * head_dim)

    def forward(self, x_THK: Tensor, ctx: ForwardContext) -> Tensor:
        return self.norm(x_THK.flatten(1), ctx).view_as(x_THK)


class OwnNorms(nn.Module):
    """Each head has its own norm (StableLM 2)."""

    def __init__(self, config: NormConfig, num_heads: int, head_dim: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(make_norm(config, head_dim) for _ in range(num_heads))

    def forward(self, x_THK: Tensor, ctx: ForwardContext) -> Tensor:
        heads = x_THK.unbind(1)
        return torch.stack([norm(x_TK, ctx) for norm, x_TK in zip(self.norms, heads, strict=True)], dim=1)


def make_qk_norm(
    config: QKNormConfig | None, num_heads: int, head_dim: int
) -> Unchanged | RMSNorm | LayerNorm | ProjectionNorm | OwnNorms:
    """The module for `[T, H, K]` that the config names; None leaves queries and keys as they are."""
    if config is None:
        return Unchanged()
    if config.over == "head":
        return make_norm(config.norm, head_dim)
    return (ProjectionNorm if config.over == "projection" else OwnNorms)(config.norm, num_heads, head_dim)
