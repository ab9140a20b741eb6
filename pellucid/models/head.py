"""The heads of encoders: masked words, the class of a sequence or a picture, the class of each token.

Letters: T tokens, D hidden, R rows (T, or one a sequence), V outputs.
"""

import torch
from torch import Tensor, nn

from pellucid.layers.context import ForwardContext
from pellucid.layers.linear import Linear
from pellucid.layers.norm import Unchanged, make_norm
from pellucid.layers.pooling import POOLINGS
from pellucid.models.head_config import HeadConfig, TransformConfig, VotingHeadConfig


class Transform(nn.Module):
    """`norm(act(W x))`."""

    def __init__(self, hidden_size: int, config: TransformConfig) -> None:
        super().__init__()
        self.activation = config.activation
        self.dense = Linear(hidden_size, hidden_size, bias=config.bias)
        self.norm = make_norm(config.norm, hidden_size) if config.norm else Unchanged()

    def forward(self, x_RD: Tensor, ctx: ForwardContext) -> Tensor:
        return self.norm(ctx.kernels.activation(self.dense(x_RD, ctx), self.activation), ctx)


class Head(nn.Module):
    """`W transform(pool(x)) + b`."""

    name = "head"

    def __init__(self, hidden_size: int, config: HeadConfig) -> None:
        super().__init__()
        self.pool = POOLINGS[config.pool]()
        self.transform = Transform(hidden_size, config.transform) if config.transform else Unchanged()
        self.out_proj = Linear(hidden_size, config.outputs, bias=config.out_bias)

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        """The outputs `[R, V]`, before any softmax."""
        x_RD = self.transform(self.pool(x_TD, ctx), ctx)
        return self.out_proj(ctx.dropout(x_RD), ctx)


class VotingHead(nn.Module):
    """`mean(W_i x_i + b_i)` over the first tokens, each with a product of its own (Touvron et al. 2021,
    "DeiT", section 3)."""

    name = "head"

    def __init__(self, hidden_size: int, config: VotingHeadConfig) -> None:
        super().__init__()
        self.voters = nn.ModuleList(
            Linear(hidden_size, config.outputs, bias=config.out_bias) for _ in range(config.voters)
        )

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        """The outputs `[N, V]`, a row a sequence, before any softmax."""
        votes = [voter(x_TD[ctx.positions_T == i], ctx) for i, voter in enumerate(self.voters)]
        return torch.stack(votes).mean(0)


def make_head(hidden_size: int, config: HeadConfig) -> Head | VotingHead:
    """The head that the config names."""
    if isinstance(config, VotingHeadConfig):
        return VotingHead(hidden_size, config)
    return Head(hidden_size, config)
