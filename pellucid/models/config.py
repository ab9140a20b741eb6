"""ModelConfig: everything a body is built from, complete once it exists."""

from dataclasses import dataclass

from pellucid.layers.block import BlockConfig
from pellucid.layers.norm import NormConfig


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A model's shape and arithmetic, whatever dialect its config.json was written in."""

    model_type: str
    vocab_size: int
    hidden_size: int
    max_position_embeddings: int
    blocks: tuple[BlockConfig, ...]
    final_norm: NormConfig | None
    learned_positions: bool = False
    embedding_scale: float = 1.0
    tie_word_embeddings: bool = False
    lm_head_bias: bool = False
    logit_soft_cap: float | None = None
    """Logits become `cap * tanh(logits / cap)` (Gemma 2)."""
    bos_token_id: int | None = None
    eos_token_ids: tuple[int, ...] = ()
    pad_token_id: int | None = None
    dtype: str | None = None
    """The dtype the weights were published in, if the config says."""

    @property
    def max_source_length(self) -> None:
        """It has no encoder."""
        return None

    @property
    def num_layers(self) -> int:
        return len(self.blocks)

    @property
    def num_heads(self) -> int:
        return self.blocks[0].attention.spec.num_heads

    @property
    def num_kv_heads(self) -> int:
        return self.blocks[0].attention.spec.num_kv_heads

    @property
    def head_dim(self) -> int:
        return self.blocks[0].attention.spec.head_dim

    @property
    def intermediate_size(self) -> int:
        return self.blocks[0].feed_forward.size
