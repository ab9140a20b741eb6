"""From a vector a token to a vector a sequence.

Letters: T tokens, N sequences, D hidden, R rows: T or N.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pellucid.layers.context import ForwardContext


class EachToken(nn.Module):
    """Every token for itself, `[T, D]`."""

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        return x_TD


class FirstToken(nn.Module):
    """The vector of each sequence's first token, `[N, D]`: BERT's [CLS] (Devlin et al. 2018)."""

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        return x_TD[ctx.positions_T == 0]


class LastToken(nn.Module):
    """The vector of each sequence's last token, `[N, D]`."""

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        return x_TD[ctx.positions_T == ctx.lengths_T - 1]


def each_sequence(x_TD: Tensor, ctx: ForwardContext) -> tuple[Tensor, ...]:
    """The rows of each sequence, N of `[L, D]`."""
    return torch.split(x_TD, lengths_of(ctx).tolist())


def sum_of_tokens(x_TD: Tensor, ctx: ForwardContext) -> Tensor:
    """The sum over each sequence's tokens, `[N, D]` in float32."""
    # adding rows by their index into one tensor takes ten times as long on a CPU
    return torch.stack([rows_LD.sum(0, dtype=torch.float32) for rows_LD in each_sequence(x_TD, ctx)])


def lengths_of(ctx: ForwardContext) -> Tensor:
    """How many tokens each sequence has, `[N]`."""
    return ctx.lengths_T[ctx.positions_T == 0]


class MeanOfTokens(nn.Module):
    """The mean over each sequence's tokens, `[N, D]` (Reimers & Gurevych 2019, "Sentence-BERT")."""

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        return (sum_of_tokens(x_TD, ctx) / lengths_of(ctx)[:, None]).to(x_TD.dtype)


class RootMeanOfTokens(nn.Module):
    """The sum over each sequence's tokens by the root of their number, `[N, D]`."""

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        return (sum_of_tokens(x_TD, ctx) / lengths_of(ctx)[:, None].sqrt()).to(x_TD.dtype)


class WeightedMeanOfTokens(nn.Module):
    """The mean in which token i counts i times, from 1, `[N, D]` (Muennighoff 2022, "SGPT")."""

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        weighted_ND = sum_of_tokens(x_TD.float() * (ctx.positions_T + 1)[:, None], ctx)
        lengths_N = lengths_of(ctx)
        return (weighted_ND / (lengths_N * (lengths_N + 1) / 2)[:, None]).to(x_TD.dtype)


class MaxOfTokens(nn.Module):
    """The largest of each entry over each sequence's tokens, `[N, D]`."""

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        return torch.stack([rows_LD.amax(0) for rows_LD in each_sequence(x_TD, ctx)])


POOLINGS: dict[str, Callable[[], nn.Module]] = {
    "each": EachToken,
    "first": FirstToken,
    "last": LastToken,
    "max": MaxOfTokens,
    "mean": MeanOfTokens,
    "root_mean": RootMeanOfTokens,
    "weighted_mean": WeightedMeanOfTokens,
}
