"""From ids to the residual stream: the token's row, its position, its type, and a norm where there is one.

Letters: T tokens, V vocabulary, D hidden.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from pellucid.layers.context import ForwardContext
from pellucid.layers.embedding import Embedding, LearnedPositions, NoPositions, SinusoidalPositions
from pellucid.layers.norm import NormConfig, Unchanged, make_norm


@dataclass(frozen=True, kw_only=True)
class PositionsConfig:
    """What is added for a token's position: a learned row, or sines and cosines in one of two orders."""

    kind: Literal["learned", "sines_interleaved", "sines_first"]
    size: int
    offset: int = 0
    """The row of position 0 in a learned table."""


@dataclass(frozen=True, kw_only=True)
class TokenInputConfig:
    """What becomes of an id before the first block."""

    scale: float = 1.0
    positions: PositionsConfig | None = None
    token_types: int = 0
    """How many kinds of segment are told apart (BERT: 2)."""
    norm: NormConfig | None = None


class TokenTypes(nn.Module):
    """A trained row for each kind of segment, added to the token's (Devlin et al. 2018, "BERT")."""

    def __init__(self, num_types: int, hidden_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_types, hidden_size))

    def forward(self, x_TD: Tensor, types_T: Tensor | None, ctx: ForwardContext) -> Tensor:
        """Without `types_T` all tokens are of type 0."""
        if types_T is None:
            return x_TD + self.weight[0].to(x_TD.dtype).expand(x_TD.shape)
        return x_TD + ctx.kernels.embedding(types_T, self.weight)


class NoTokenTypes(nn.Module):
    """All tokens are of one kind."""

    def forward(self, x_TD: Tensor, types_T: Tensor | None, ctx: ForwardContext) -> Tensor:
        return x_TD


class TokenInput(nn.Module):
    """`norm(E[id]·scale + P[position] + S[type])`."""

    name = "input"

    def __init__(self, vocab_size: int, hidden_size: int, config: TokenInputConfig) -> None:
        super().__init__()
        self.embed_tokens = Embedding(vocab_size, hidden_size, scale=config.scale)
        self.embed_positions = make_positions(hidden_size, config.positions)
        types = TokenTypes(config.token_types, hidden_size) if config.token_types else NoTokenTypes()
        self.embed_types = types
        self.norm = make_norm(config.norm, hidden_size) if config.norm else Unchanged()

    def pack(self, contents: Sequence[Sequence[int]]) -> Tensor:
        """The ids of several texts as `forward` reads them, end to end."""
        return torch.tensor([token for content in contents for token in content])

    def forward(self, ids_T: Tensor, ctx: ForwardContext, types_T: Tensor | None = None) -> Tensor:
        x_TD = ctx.tap(self, "embed", self.embed_tokens(ids_T, ctx))
        x_TD = self.embed_types(self.embed_positions(x_TD, ctx), types_T, ctx)
        return ctx.dropout(self.norm(x_TD, ctx))


def make_positions(
    hidden_size: int, config: PositionsConfig | None
) -> LearnedPositions | SinusoidalPositions | NoPositions:
    """The module that the config names."""
    if config is None:
        return NoPositions()
    if config.kind == "learned":
        return LearnedPositions(config.size, hidden_size, offset=config.offset)
    return SinusoidalPositions(hidden_size, interleaved=config.kind == "sines_interleaved")
