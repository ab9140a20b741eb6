"""Llama 1, 2 and 3.x (Touvron et al. 2023; Dubey et al. 2024), and what shares its config and names."""

from pellucid.layers.attention import AttentionConfig
from pellucid.layers.block import BlockConfig
from pellucid.models.config import ModelConfig
from pellucid.models.decoder import Decoder
from pellucid.models.decoder_config import read_decoder, read_gated_feed_forward, read_heads, read_rms_norm
from pellucid.models.family import Family
from pellucid.models.published import PublishedConfig
from pellucid.models.rotary_dialects import read_rotary


def read_config(published: PublishedConfig) -> ModelConfig:
    """config.json → ModelConfig."""
    heads = read_heads(published)
    max_length = published.size("max_position_embeddings", 2048)
    norm = read_rms_norm(published, 1e-6)
    bias = published.get("attention_bias", bool, False)
    attention = AttentionConfig(
        spec=heads.spec(),
        qkv_bias=bias,
        o_bias=bias,
        rotary=read_rotary(published, heads.dim, max_length),
    )
    feed_forward = read_gated_feed_forward(published, bias=published.get("mlp_bias", bool, False))
    block = BlockConfig(wiring="pre_norm", norm=norm, attention=attention, feed_forward=feed_forward)
    blocks = (block,) * published.size("num_hidden_layers")
    return read_decoder(published, blocks, norm=norm, max_length=max_length, bos=1, eos=(2,))


WEIGHTS = {
    "model.embed_tokens.weight": "embed_tokens.weight",
    "model.layers.{}.input_layernorm.weight": "blocks.{}.attn_norm.weight",
    "model.layers.{}.self_attn.q_proj.weight": "blocks.{}.attn.qkv_proj.weight[q]",
    "model.layers.{}.self_attn.k_proj.weight": "blocks.{}.attn.qkv_proj.weight[k]",
    "model.layers.{}.self_attn.v_proj.weight": "blocks.{}.attn.qkv_proj.weight[v]",
    "model.layers.{}.self_attn.o_proj.weight": "blocks.{}.attn.o_proj.weight",
    "model.layers.{}.self_attn.q_proj.bias": "blocks.{}.attn.qkv_proj.bias[q]",
    "model.layers.{}.self_attn.k_proj.bias": "blocks.{}.attn.qkv_proj.bias[k]",
    "model.layers.{}.self_attn.v_proj.bias": "blocks.{}.attn.qkv_proj.bias[v]",
    "model.layers.{}.self_attn.o_proj.bias": "blocks.{}.attn.o_proj.bias",
    "model.layers.{}.post_attention_layernorm.weight": "blocks.{}.mlp_norm.weight",
    "model.layers.{}.mlp.gate_proj.weight": "blocks.{}.mlp.gate_up_proj.weight[gate]",
    "model.layers.{}.mlp.up_proj.weight": "blocks.{}.mlp.gate_up_proj.weight[up]",
    "model.layers.{}.mlp.down_proj.weight": "blocks.{}.mlp.down_proj.weight",
    "model.layers.{}.mlp.gate_proj.bias": "blocks.{}.mlp.gate_up_proj.bias[gate]",
    "model.layers.{}.mlp.up_proj.bias": "blocks.{}.mlp.gate_up_proj.bias[up]",
    "model.layers.{}.mlp.down_proj.bias": "blocks.{}.mlp.down_proj.bias",
    "model.norm.weight": "norm.weight",
    "lm_head.weight": "lm_head.weight",
}

FAMILY = Family(
    model_type="llama",
    read_config=read_config,
    build=Decoder,
    weights=WEIGHTS,
    ignored=("model.layers.{}.self_attn.rotary_emb.inv_freq",),
)
