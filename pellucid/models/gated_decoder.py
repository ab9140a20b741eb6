"""The config that Llama and its descendants share: RMS norm first, rotary positions, a gated feed-forward."""

from collections.abc import Sequence

from pellucid.kernels import AttentionSpec
from pellucid.layers.attention import AttentionConfig
from pellucid.layers.block import BlockConfig
from pellucid.layers.feed_forward import FeedForwardConfig
from pellucid.layers.norm import NormConfig
from pellucid.layers.position import RotaryConfig
from pellucid.models.config import ModelConfig
from pellucid.models.published import PublishedConfig


def read_gated_decoder(
    published: PublishedConfig,
    *,
    rotary: RotaryConfig,
    head_dim: int,
    max_length: int,
    norm: NormConfig,
    qkv_bias: bool = False,
    o_bias: bool = False,
    mlp_bias: bool = False,
    qk_norm: NormConfig | None = None,
    windows: Sequence[int | None] | None = None,
    tied: bool = False,
    bos: int | None = None,
    eos: tuple[int, ...] = (),
) -> ModelConfig:
    """What is published under the same names throughout the line; the rest is the family's to say.

    `windows` is one entry a layer; `tied`, `bos` and `eos` hold where the config is silent on them.
    """
    heads, kv_heads = published.heads("num_attention_heads", "num_key_value_heads")
    layers = published.size("num_hidden_layers")
    feed_forward = FeedForwardConfig(
        size=published.size("intermediate_size"),
        activation=published.activation("hidden_act", "silu"),
        gated=True,
        bias=mlp_bias,
    )

    def block(window: int | None) -> BlockConfig:
        spec = AttentionSpec(
            num_heads=heads,
            num_kv_heads=kv_heads,
            head_dim=head_dim,
            scale=head_dim**-0.5,
            causal=True,
            window=window,
        )
        attention = AttentionConfig(
            spec=spec, qkv_bias=qkv_bias, o_bias=o_bias, rotary=rotary, qk_norm=qk_norm
        )
        return BlockConfig(wiring="pre_norm", norm=norm, attention=attention, feed_forward=feed_forward)

    return ModelConfig(
        model_type=published.model_type,
        vocab_size=published.size("vocab_size"),
        hidden_size=published.size("hidden_size"),
        max_position_embeddings=max_length,
        blocks=tuple(block(window) for window in windows or (None,) * layers),
        final_norm=norm,
        tie_word_embeddings=published.get("tie_word_embeddings", bool, tied),
        bos_token_id=published.optional("bos_token_id", int) if "bos_token_id" in published.fields else bos,
        eos_token_ids=published.token_ids("eos_token_id", eos),
        pad_token_id=published.optional("pad_token_id", int),
        dtype=published.dtype(),
    )
