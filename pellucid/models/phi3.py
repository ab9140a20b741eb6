"""Phi-3 and 3.5 (Abdin et al. 2024): Llama's arithmetic with fused weights, long-rope and a window."""

from pellucid.layers.attention import AttentionConfig
from pellucid.layers.block import BlockConfig
from pellucid.models.config import ModelConfig
from pellucid.models.decoder import Decoder
from pellucid.models.decoder_config import read_decoder, read_gated_feed_forward, read_heads, read_rms_norm
from pellucid.models.family import Family
from pellucid.models.published import PublishedConfig
from pellucid.models.rotary_dialects import NAMES, read_rotary


def read_config(published: PublishedConfig) -> ModelConfig:
    """config.json → ModelConfig. Early files say "su" or "yarn" where they mean longrope."""
    heads = read_heads(published)
    max_length = published.size("max_position_embeddings", 4096)
    norm = read_rms_norm(published, 1e-5)
    names = {**NAMES, "yarn": "longrope"}
    rotary = read_rotary(published, heads.dim, max_length, partial=1.0, original=4096, names=names)
    attention = AttentionConfig(
        spec=heads.spec(window=published.optional("sliding_window", int)), rotary=rotary
    )
    block = BlockConfig(
        wiring="pre_norm",
        norm=norm,
        attention=attention,
        feed_forward=read_gated_feed_forward(published),
    )
    blocks = (block,) * published.size("num_hidden_layers")
    return read_decoder(published, blocks, norm=norm, max_length=max_length, bos=1, eos=(32000,), pad=32000)


WEIGHTS = {
    "model.embed_tokens.weight": "embed_tokens.weight",
    "model.layers.{}.input_layernorm.weight": "blocks.{}.attn_norm.weight",
    "model.layers.{}.self_attn.qkv_proj.weight": "blocks.{}.attn.qkv_proj.weight",
    "model.layers.{}.self_attn.o_proj.weight": "blocks.{}.attn.o_proj.weight",
    "model.layers.{}.post_attention_layernorm.weight": "blocks.{}.mlp_norm.weight",
    "model.layers.{}.mlp.gate_up_proj.weight": "blocks.{}.mlp.gate_up_proj.weight",
    "model.layers.{}.mlp.down_proj.weight": "blocks.{}.mlp.down_proj.weight",
    "model.norm.weight": "norm.weight",
    "lm_head.weight": "lm_head.weight",
}

FAMILY = Family(model_type="phi3", read_config=read_config, build=Decoder, weights=WEIGHTS)
