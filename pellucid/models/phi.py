"""Phi-1, 1.5 and 2 (Gunasekar et al. 2023; Li et al. 2023): a parallel residual, heads turned in part."""

from pellucid.layers.attention import AttentionConfig
from pellucid.layers.block import BlockConfig
from pellucid.layers.feed_forward import FeedForwardConfig
from pellucid.layers.qk_norm import QKNormConfig
from pellucid.models.config import ModelConfig
from pellucid.models.decoder import Decoder
from pellucid.models.decoder_config import read_decoder, read_heads, read_layer_norm
from pellucid.models.family import Family
from pellucid.models.published import PublishedConfig
from pellucid.models.rotary_dialects import read_rotary


def read_config(published: PublishedConfig) -> ModelConfig:
    """config.json → ModelConfig."""
    heads = read_heads(published)
    max_length = published.size("max_position_embeddings", 2048)
    norm = read_layer_norm(published, 1e-5)
    attention = AttentionConfig(
        spec=heads.spec(),
        qkv_bias=True,
        o_bias=True,
        rotary=read_rotary(published, heads.dim, max_length, partial=0.5),
        qk_norm=QKNormConfig(norm=norm) if published.get("qk_layernorm", bool, False) else None,
    )
    feed_forward = FeedForwardConfig(
        size=published.size("intermediate_size"),
        activation=published.activation("hidden_act", "gelu_new"),
        gated=False,
        bias=True,
    )
    block = BlockConfig(wiring="parallel", norm=norm, attention=attention, feed_forward=feed_forward)
    blocks = (block,) * published.size("num_hidden_layers")
    return read_decoder(
        published, blocks, norm=norm, max_length=max_length, bos=1, eos=(2,), lm_head_bias=True
    )


WEIGHTS = {
    "model.embed_tokens.weight": "embed_tokens.weight",
    "model.layers.{}.input_layernorm.weight": "blocks.{}.attn_norm.weight",
    "model.layers.{}.input_layernorm.bias": "blocks.{}.attn_norm.bias",
    "model.layers.{}.self_attn.q_proj.weight": "blocks.{}.attn.qkv_proj.weight[q]",
    "model.layers.{}.self_attn.k_proj.weight": "blocks.{}.attn.qkv_proj.weight[k]",
    "model.layers.{}.self_attn.v_proj.weight": "blocks.{}.attn.qkv_proj.weight[v]",
    "model.layers.{}.self_attn.q_proj.bias": "blocks.{}.attn.qkv_proj.bias[q]",
    "model.layers.{}.self_attn.k_proj.bias": "blocks.{}.attn.qkv_proj.bias[k]",
    "model.layers.{}.self_attn.v_proj.bias": "blocks.{}.attn.qkv_proj.bias[v]",
    "model.layers.{}.self_attn.q_layernorm.weight": "blocks.{}.attn.q_norm.weight",
    "model.layers.{}.self_attn.q_layernorm.bias": "blocks.{}.attn.q_norm.bias",
    "model.layers.{}.self_attn.k_layernorm.weight": "blocks.{}.attn.k_norm.weight",
    "model.layers.{}.self_attn.k_layernorm.bias": "blocks.{}.attn.k_norm.bias",
    "model.layers.{}.self_attn.dense.weight": "blocks.{}.attn.o_proj.weight",
    "model.layers.{}.self_attn.dense.bias": "blocks.{}.attn.o_proj.bias",
    "model.layers.{}.mlp.fc1.weight": "blocks.{}.mlp.up_proj.weight",
    "model.layers.{}.mlp.fc1.bias": "blocks.{}.mlp.up_proj.bias",
    "model.layers.{}.mlp.fc2.weight": "blocks.{}.mlp.down_proj.weight",
    "model.layers.{}.mlp.fc2.bias": "blocks.{}.mlp.down_proj.bias",
    "model.final_layernorm.weight": "norm.weight",
    "model.final_layernorm.bias": "norm.bias",
    "lm_head.weight": "lm_head.weight",
    "lm_head.bias": "lm_head.bias",
}

FAMILY = Family(model_type="phi", read_config=read_config, build=Decoder, weights=WEIGHTS)
