"""EncoderConfig: everything an encoder-only body is built from."""

from dataclasses import dataclass

from pellucid.layers.block import BlockConfig
from pellucid.layers.norm import NormConfig
from pellucid.layers.token_input import TokenInputConfig
from pellucid.models.head_config import HeadConfig


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """An encoder's shape and arithmetic, and the head it was published with."""

    model_type: str
    vocab_size: int
    hidden_size: int
    max_position_embeddings: int
    """The longest input in tokens, those that the tokenizer adds included."""
    input: TokenInputConfig
    blocks: tuple[BlockConfig, ...]
    final_norm: NormConfig | None
    head: HeadConfig | None
    """None: a bare encoder, whose answer is a vector a token."""
    pad_token_id: int | None = None
    dtype: str | None = None
    """The dtype the weights were published in, if the config says."""

    @property
    def num_layers(self) -> int:
        return len(self.blocks)

    @property
    def num_heads(self) -> int:
        return self.blocks[0].attention.spec.num_heads
