"""The encoder-decoder: one text in, another out, a token at a time (Vaswani et al. 2017).

Letters: S source tokens, T target tokens, D hidden, R output rows, V vocabulary.
"""

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.kernels import reference
from pellucid.layers.attention import Attention
from pellucid.layers.block import make_blocks
from pellucid.layers.context import DenseContext, ForwardContext
from pellucid.layers.cross_attention import CrossAttention
from pellucid.layers.cross_block import make_cross_blocks
from pellucid.layers.linear import Linear
from pellucid.layers.norm import Unchanged, make_norm
from pellucid.layers.token_input import TokenInput
from pellucid.models.encoder_decoder_config import EncoderDecoderConfig, StackConfig
from pellucid.models.ids import ids_tensor


class Stack(nn.Module):
    """`norm(blocks(input(ids)))`."""

    name = ""

    def __init__(self, hidden_size: int, config: StackConfig[Any], blocks: nn.ModuleList) -> None:
        super().__init__()
        self.input = TokenInput(config.vocab_size, hidden_size, config.input)
        self.blocks = blocks
        self.norm = make_norm(config.final_norm, hidden_size) if config.final_norm else Unchanged()

    def forward(self, ids_T: Tensor, ctx: ForwardContext) -> Tensor:
        """The residual stream after the last block, normed, `[T, D]`."""
        return self.norm(self.blocks_of(ids_T, ctx), ctx)

    def blocks_of(self, ids_T: Tensor, ctx: ForwardContext) -> Tensor:
        """The residual stream after the last block, `[T, D]`."""
        x_TD = self.input(ids_T, ctx)
        for block in self.blocks:
            x_TD = block(x_TD, ctx)
        return x_TD


class EncoderDecoder(nn.Module):
    """`encode` reads a text once and leaves its keys and values with the context; `forward` writes on."""

    name = ""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.config = config
        D = config.hidden_size
        self.encoder = Stack(D, config.encoder, make_blocks(D, config.encoder.blocks))
        self.decoder = Stack(D, config.decoder, make_cross_blocks(D, config.decoder.blocks))
        self.lm_head = Linear(D, config.vocab_size, bias=config.lm_head_bias)
        self.tie_weights()
        for path, module in self.named_modules():
            module.name = path
        self.attentions = [module for module in self.decoder.modules() if isinstance(module, Attention)]
        self.cross_attentions = [m for m in self.decoder.modules() if isinstance(m, CrossAttention)]
        self.encoder_attentions = [m for m in self.encoder.modules() if isinstance(m, Attention)]

    def pack(self, contents: Sequence[Sequence[int]]) -> Tensor:
        """Several sources, each token ids, as `encode` reads them, end to end."""
        return torch.tensor([token for content in contents for token in content])

    def encode(self, ids_S: Tensor, ctx: ForwardContext) -> Tensor:
        """The encoder's output `[S, D]`. Each cross-attention makes its keys and values of it, once."""
        memory_SD = self.encoder(ids_S, ctx)
        for attention in self.cross_attentions:
            attention.remember(memory_SD, ctx)
        return memory_SD

    def forward(self, ids_T: Tensor, ctx: ForwardContext) -> Tensor:
        """The logits `[R, V]` of the rows that the context asks for; the context remembers the encoder's."""
        return self.head(ctx.output_rows(self.decoder.blocks_of(ids_T, ctx)), ctx)

    def head(self, x_RD: Tensor, ctx: ForwardContext) -> Tensor:
        """What the vocabulary says of any residual stream `[R, D]` of the decoder."""
        x_RD = self.decoder.norm(x_RD, ctx)
        scale = self.config.lm_head_scale
        return self.lm_head(x_RD if scale == 1.0 else x_RD * scale, ctx)

    def rotary_regime(self, prompt_length: int, length: int) -> Hashable:
        """No family turns its keys."""
        return None

    def tie_weights(self) -> None:
        """Make tables one that the config says are one (Press & Wolf 2017; Vaswani et al. 2017, 3.4)."""
        if self.config.shared_embedding:
            self.decoder.input.embed_tokens.weight = self.encoder.input.embed_tokens.weight
        if self.config.tie_word_embeddings:
            self.lm_head.weight = self.decoder.input.embed_tokens.weight

    @torch.inference_mode()
    def logits(self, decoder_ids: Sequence[int] | Tensor, encoder_ids: Sequence[int] | Tensor) -> Tensor:
        """The head's output `[T, V]` for one text and the beginning of its answer, without a cache.

        `decoder_ids` begin with `config.decoder_start_token_id`.
        """
        device = self.lm_head.weight.device
        ids_S = ids_tensor(encoder_ids, self.config.vocab_size, device)
        ids_T = ids_tensor(decoder_ids, self.config.vocab_size, device)
        source = DenseContext([len(ids_S)], reference, device=device)
        self.encode(ids_S, source)
        return self(ids_T, DenseContext([len(ids_T)], reference, device=device, memory=source))
