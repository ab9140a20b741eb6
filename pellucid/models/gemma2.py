"""Gemma 2 (Gemma team 2024): norms before and after each layer, soft caps, a window in every other."""

from torch import Tensor

from pellucid.layers.attention import AttentionConfig
from pellucid.layers.block import BlockConfig
from pellucid.layers.feed_forward import FeedForwardConfig
from pellucid.models.config import ModelConfig
from pellucid.models.decoder import Decoder
from pellucid.models.decoder_config import read_decoder, read_heads, read_rms_norm, read_windows
from pellucid.models.family import Family
from pellucid.models.llama import WEIGHTS as LLAMA
from pellucid.models.published import LARGEST, PublishedConfig
from pellucid.models.rotary_dialects import read_rotary


def read_config(published: PublishedConfig) -> ModelConfig:
    """config.json → ModelConfig."""
    heads = read_heads(published, kv_heads=4, head_dim=256)
    max_length = published.size("max_position_embeddings", 8192)
    norm = read_rms_norm(published, 1e-6)
    bias = published.get("attention_bias", bool, False)
    rotary = read_rotary(published, heads.dim, max_length)
    feed_forward = read_geglu(published)
    scale = published.within("query_pre_attn_scalar", 0, LARGEST, 256.0) ** -0.5
    soft_cap = published.optional("attn_logit_softcapping", float, 50.0)
    sliding = [layer % 2 == 0 for layer in range(published.size("num_hidden_layers"))]
    window = published.optional("sliding_window", int, 4096)

    def block(window: int | None) -> BlockConfig:
        spec = heads.spec(scale=scale, window=window, soft_cap=soft_cap)
        attention = AttentionConfig(spec=spec, qkv_bias=bias, o_bias=bias, rotary=rotary)
        return BlockConfig(wiring="sandwich_norm", norm=norm, attention=attention, feed_forward=feed_forward)

    return read_decoder(
        published,
        [block(window) for window in read_windows(published, sliding, window)],
        norm=norm,
        max_length=max_length,
        tied=True,
        bos=2,
        eos=(1,),
        pad=0,
        embedding_scale=published.size("hidden_size") ** 0.5,
        logit_soft_cap=published.optional("final_logit_softcapping", float, 30.0),
    )


def read_geglu(published: PublishedConfig) -> FeedForwardConfig:
    """GeGLU; the activation's name stands under another key than in all other families, where a `hidden_act`
    beside it means nothing."""
    return FeedForwardConfig(
        size=published.size("intermediate_size"),
        activation=published.activation("hidden_activation", "gelu_pytorch_tanh"),
        gated=True,
        bias=False,
    )


def one_more(weight: Tensor) -> Tensor:
    """A norm's weight, published as its distance from 1."""
    return weight.float() + 1.0


def one_less(weight: Tensor, config: ModelConfig) -> Tensor:
    """What `one_more` undoes."""
    return weight.float() - 1.0


WEIGHTS = {
    **LLAMA,
    "model.layers.{}.post_attention_layernorm.weight": "blocks.{}.attn_out_norm.weight",
    "model.layers.{}.pre_feedforward_layernorm.weight": "blocks.{}.mlp_norm.weight",
    "model.layers.{}.post_feedforward_layernorm.weight": "blocks.{}.mlp_out_norm.weight",
}

FAMILY = Family(
    model_type="gemma2",
    read_config=read_config,
    build=Decoder,
    weights=WEIGHTS,
    transforms={name: one_more for name in WEIGHTS if name.endswith("norm.weight")},
    inverses={name: one_less for name in WEIGHTS if name.endswith("norm.weight")},
)
