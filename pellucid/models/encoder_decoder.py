"""The encoder-decoder: a text or a recording in, a text out, a token at a time (Vaswani et al. 2017).

Letters: S source tokens, T target tokens, D hidden, R output rows, V vocabulary, F frames of a recording,
M mel bands.
"""

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import RequestError
from pellucid.kernels import reference
from pellucid.layers.attention import Attention
from pellucid.layers.block import make_blocks
from pellucid.layers.context import DenseContext, ForwardContext
from pellucid.layers.cross_attention import CrossAttention
from pellucid.layers.cross_block import make_cross_blocks
from pellucid.layers.frame_input import FrameInput, FrameInputConfig
from pellucid.layers.linear import Linear
from pellucid.layers.norm import Unchanged, make_norm
from pellucid.layers.token_input import TokenInput
from pellucid.models.encoder_decoder_config import EncoderDecoderConfig, StackConfig
from pellucid.models.ids import ids_tensor


class Stack(nn.Module):
    """`norm(blocks(input(x)))`, x being ids or frames."""

    name = ""

    def __init__(self, hidden_size: int, config: StackConfig[Any], blocks: nn.ModuleList) -> None:
        super().__init__()
        self.input = make_input(hidden_size, config)
        self.blocks = blocks
        self.norm = make_norm(config.final_norm, hidden_size) if config.final_norm else Unchanged()

    def forward(self, x: Tensor, ctx: ForwardContext) -> Tensor:
        """The residual stream after the last block, normed, `[T, D]`."""
        return self.norm(self.blocks_of(x, ctx), ctx)

    def blocks_of(self, x: Tensor, ctx: ForwardContext) -> Tensor:
        """The residual stream after the last block, `[T, D]`."""
        x_TD = self.input(x, ctx)
        for block in self.blocks:
            x_TD = block(x_TD, ctx)
        return x_TD


class EncoderDecoder(nn.Module):
    """`encode` reads a source once and leaves its keys and values with the context; `forward` writes on."""

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

    def pack(self, contents: Sequence[Any]) -> Tensor:
        """Several sources, each token ids or frames `[F, M]`, as `encode` reads them."""
        return self.encoder.input.pack(contents)

    def encode(self, sources: Tensor, ctx: ForwardContext) -> Tensor:
        """The encoder's output `[S, D]`. Each cross-attention makes its keys and values of it, once."""
        memory_SD = self.encoder(sources, ctx)
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
        inputs = (self.encoder.input, self.decoder.input)
        tables = [each.embed_tokens for each in inputs if isinstance(each, TokenInput)]
        if self.config.shared_embedding:
            tables[-1].weight = tables[0].weight
        if self.config.tie_word_embeddings:
            self.lm_head.weight = tables[-1].weight

    @torch.inference_mode()
    def logits(
        self,
        decoder_ids: Sequence[int] | Tensor,
        encoder_ids: Sequence[int] | Tensor | None = None,
        *,
        input_features: Tensor | None = None,
    ) -> Tensor:
        """The head's output `[T, V]` for one source and the beginning of its answer, without a cache.

        `decoder_ids` begin with `config.decoder_start_token_id`. The source is a text's `encoder_ids`, or a
        recording's `input_features`: log-mel frames `[F, M]`, or `[M, F]` as transformers writes them.
        """
        device = self.lm_head.weight.device
        ids_T = ids_tensor(decoder_ids, self.config.vocab_size, device)
        source = self._read(encoder_ids, input_features, device)
        source_ctx = DenseContext([self.rows_of(source)], reference, device=device)
        self.encode(self.pack([source]).to(device), source_ctx)
        return self(ids_T, DenseContext([len(ids_T)], reference, device=device, memory=source_ctx))

    def rows_of(self, source: Any) -> int:
        """How many rows the encoder makes of a source."""
        frames = isinstance(self.config.encoder.input, FrameInputConfig)
        return self.config.encoder.max_length if frames else len(source)

    def _read(
        self, encoder_ids: Sequence[int] | Tensor | None, features: Tensor | None, device: torch.device
    ) -> Tensor:
        """The one source that was given, checked. Raises RequestError."""
        config = self.config.encoder
        if isinstance(config.input, FrameInputConfig):
            wanted = (config.input.num_frames, config.input.num_mels)
            shape = () if features is None else tuple(features.shape)
            if features is None or encoder_ids is not None or shape[-2:] not in (wanted, wanted[::-1]):
                raise RequestError(
                    f"this {self.config.model_type} reads input_features of shape {list(wanted)}, log-mel "
                    f"frames; {'none' if features is None else list(shape)} were given"
                )
            frames = torch.as_tensor(features).reshape(shape[-2:])
            return frames if shape[-2:] == wanted else frames.T
        if encoder_ids is None or config.vocab_size is None:
            raise RequestError(f"this {self.config.model_type} reads a text: give its encoder_ids")
        return ids_tensor(encoder_ids, config.vocab_size, device)


def make_input(hidden_size: int, config: StackConfig[Any]) -> TokenInput | FrameInput:
    """The layer that the config's `input` describes."""
    if isinstance(config.input, FrameInputConfig):
        return FrameInput(hidden_size, config.input)
    assert config.vocab_size is not None
    return TokenInput(config.vocab_size, hidden_size, config.input)
