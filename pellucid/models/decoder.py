"""The decoder-only body: tokens in, the next token's logits out.

Letters: T tokens, D hidden, R output rows, V vocabulary.
"""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor, nn

from pellucid.kernels import reference
from pellucid.layers.attention import Attention
from pellucid.layers.block import make_blocks
from pellucid.layers.context import DenseContext, ForwardContext
from pellucid.layers.embedding import Embedding, LearnedPositions, NoPositions
from pellucid.layers.linear import Linear
from pellucid.layers.norm import Unchanged, make_norm
from pellucid.layers.position import Rotary
from pellucid.models.config import ModelConfig
from pellucid.models.ids import ids_tensor


class Decoder(nn.Module):
    """`head(norm(blocks(embed(ids))))`, packed: every sequence's tokens end to end."""

    name = ""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        D, V = config.hidden_size, config.vocab_size
        self.embed_tokens = Embedding(V, D, scale=config.embedding_scale)
        positions = LearnedPositions(config.max_position_embeddings, D) if config.learned_positions else None
        self.embed_positions = positions or NoPositions()
        self.blocks = make_blocks(D, config.blocks)
        self.norm = make_norm(config.final_norm, D) if config.final_norm else Unchanged()
        self.lm_head = Linear(D, V, bias=config.lm_head_bias)
        self.tie_weights()
        for path, module in self.named_modules():
            module.name = path
        self.attentions = [module for module in self.modules() if isinstance(module, Attention)]
        self._rotaries = [module for module in self.modules() if isinstance(module, Rotary)]

    def forward(self, ids_T: Tensor, ctx: ForwardContext) -> Tensor:
        """The logits `[R, V]` of the rows that the context asks for."""
        return self.head(ctx.output_rows(self.hidden(ids_T, ctx)), ctx)

    def hidden(self, ids_T: Tensor, ctx: ForwardContext) -> Tensor:
        """The residual stream after the last block, `[T, D]`."""
        x_TD = self.embed_positions(ctx.tap(self, "embed", self.embed_tokens(ids_T, ctx)), ctx)
        x_TD = ctx.dropout(x_TD)
        for block in self.blocks:
            x_TD = block(x_TD, ctx)
        return x_TD

    def head(self, x_RD: Tensor, ctx: ForwardContext) -> Tensor:
        """What the vocabulary says of any residual stream `[R, D]` (nostalgebraist 2020, "logit lens")."""
        logits_RV = self.lm_head(self.norm(x_RD, ctx), ctx)
        cap = self.config.logit_soft_cap
        return logits_RV if cap is None else cap * torch.tanh(logits_RV / cap)

    def rotary_regime(self, prompt_length: int, length: int) -> Hashable:
        """What keys depend on beside tokens and positions: when it changes they must be computed anew."""
        regimes = {r.regime(prompt_length, length) for r in self._rotaries} - {None}
        return tuple(sorted(map(repr, regimes))) or None

    def tie_weights(self) -> None:
        """Make the head the embedding's own table where the config says so (Press & Wolf 2017)."""
        if self.config.tie_word_embeddings:
            self.lm_head.weight = self.embed_tokens.weight

    @torch.inference_mode()
    def logits(self, input_ids: Sequence[int] | Tensor) -> Tensor:
        """The published head's output `[T, V]` for one sequence of ids, in one pass without a cache.

        Raises RequestError for ids that are not the vocabulary's.
        """
        ids_T = ids_tensor(input_ids, self.config.vocab_size, self.lm_head.weight.device)
        return self(ids_T, DenseContext([len(ids_T)], reference, device=ids_T.device))
