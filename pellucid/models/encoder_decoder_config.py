"""EncoderDecoderConfig: everything an encoder-decoder is built from."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from pellucid.layers.block import BlockConfig
from pellucid.layers.cross_block import CrossBlockConfig
from pellucid.layers.frame_input import FrameInputConfig
from pellucid.layers.norm import NormConfig
from pellucid.layers.token_input import TokenInputConfig

Block = TypeVar("Block", bound=BlockConfig)


@dataclass(frozen=True, kw_only=True)
class StackConfig(Generic[Block]):
    """One side: what comes before its blocks, the blocks, the norm after them."""

    vocab_size: int | None
    """None where it reads no text."""
    max_length: int
    """The longest sequence, in tokens."""
    input: TokenInputConfig | FrameInputConfig
    blocks: tuple[Block, ...]
    final_norm: NormConfig | None


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderConfig:
    """An encoder-decoder's shape and arithmetic, and how its decoder begins and ends."""

    model_type: str
    hidden_size: int
    encoder: StackConfig[BlockConfig]
    decoder: StackConfig[CrossBlockConfig]
    shared_embedding: bool
    """Whether encoder and decoder read from one table."""
    tie_word_embeddings: bool
    """Whether the head is the decoder's table."""
    decoder_start_token_id: int
    lm_head_bias: bool = False
    lm_head_scale: float = 1.0
    """Multiplies what the head is given (T5: `hidden_size ** -0.5` where the head is tied)."""
    bos_token_id: int | None = None
    eos_token_ids: tuple[int, ...] = ()
    pad_token_id: int | None = None
    forced_bos_token_id: int | None = None
    """The first token that the decoder writes, where it is not free: the language, in multilingual models."""
    forced_eos_token_id: int | None = None
    """The token that a text which reaches its longest length ends with."""
    dtype: str | None = None
    """The dtype the weights were published in, if the config says."""

    @property
    def vocab_size(self) -> int:
        assert self.decoder.vocab_size is not None, "a decoder writes text"
        return self.decoder.vocab_size

    @property
    def max_position_embeddings(self) -> int:
        return self.decoder.max_length

    @property
    def max_source_length(self) -> int:
        """The most rows that the encoder makes of a source."""
        return self.encoder.max_length

    @property
    def num_layers(self) -> int:
        return len(self.decoder.blocks)
