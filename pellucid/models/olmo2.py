"""OLMo 2 (OLMo team 2025): Llama with norms after each layer, and queries and keys normed whole."""

from pellucid.layers.attention import AttentionConfig
from pellucid.layers.block import BlockConfig
from pellucid.layers.qk_norm import QKNormConfig
from pellucid.models.config import ModelConfig
from pellucid.models.decoder import Decoder
from pellucid.models.decoder_config import read_decoder, read_gated_feed_forward, read_heads, read_rms_norm
from pellucid.models.family import Family
from pellucid.models.llama import WEIGHTS as LLAMA
from pellucid.models.published import PublishedConfig
from pellucid.models.rotary_dialects import read_rotary


def read_config(published: PublishedConfig) -> ModelConfig:
    """config.json → ModelConfig."""
    heads = read_heads(published)
    max_length = published.size("max_position_embeddings", 2048)
    norm = read_rms_norm(published, 1e-5)
    bias = published.get("attention_bias", bool, False)
    attention = AttentionConfig(
        spec=heads.spec(),
        qkv_bias=bias,
        o_bias=bias,
        rotary=read_rotary(published, heads.dim, max_length),
        qk_norm=QKNormConfig(norm=norm, over="projection"),
    )
    block = BlockConfig(
        wiring="reordered_norm",
        norm=norm,
        attention=attention,
        feed_forward=read_gated_feed_forward(published),
    )
    blocks = (block,) * published.size("num_hidden_layers")
    return read_decoder(published, blocks, norm=norm, max_length=max_length, eos=(50279,), pad=1)


WEIGHTS = {
    **{name: ours for name, ours in LLAMA.items() if "layernorm" not in name},
    "model.layers.{}.self_attn.q_norm.weight": "blocks.{}.attn.q_norm.norm.weight",
    "model.layers.{}.self_attn.k_norm.weight": "blocks.{}.attn.k_norm.norm.weight",
    "model.layers.{}.post_attention_layernorm.weight": "blocks.{}.attn_norm.weight",
    "model.layers.{}.post_feedforward_layernorm.weight": "blocks.{}.mlp_norm.weight",
}

FAMILY = Family(model_type="olmo2", read_config=read_config, build=Decoder, weights=WEIGHTS)
