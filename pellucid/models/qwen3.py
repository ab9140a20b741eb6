"""Qwen3 (Yang et al. 2025): Llama's names, each head of queries and keys normed, windows by layer."""

from pellucid.layers.attention import AttentionConfig
from pellucid.layers.block import BlockConfig
from pellucid.layers.qk_norm import QKNormConfig
from pellucid.models.config import ModelConfig
from pellucid.models.decoder import Decoder
from pellucid.models.decoder_config import read_decoder, read_gated_feed_forward, read_heads, read_rms_norm
from pellucid.models.family import Family
from pellucid.models.llama import WEIGHTS as LLAMA
from pellucid.models.published import PublishedConfig
from pellucid.models.qwen2 import read_upper_windows
from pellucid.models.rotary_dialects import read_rotary


def read_config(published: PublishedConfig) -> ModelConfig:
    """config.json → ModelConfig."""
    heads = read_heads(published, kv_heads=32, head_dim=128)
    max_length = published.size("max_position_embeddings", 32768)
    norm = read_rms_norm(published, 1e-6)
    bias = published.get("attention_bias", bool, False)
    rotary = read_rotary(published, heads.dim, max_length)
    feed_forward = read_gated_feed_forward(published)

    def block(window: int | None) -> BlockConfig:
        attention = AttentionConfig(
            spec=heads.spec(window=window),
            qkv_bias=bias,
            o_bias=bias,
            rotary=rotary,
            qk_norm=QKNormConfig(norm=norm),
        )
        return BlockConfig(wiring="pre_norm", norm=norm, attention=attention, feed_forward=feed_forward)

    blocks = [block(window) for window in read_upper_windows(published)]
    return read_decoder(published, blocks, norm=norm, max_length=max_length)


WEIGHTS = {
    **LLAMA,
    "model.layers.{}.self_attn.q_norm.weight": "blocks.{}.attn.q_norm.weight",
    "model.layers.{}.self_attn.k_norm.weight": "blocks.{}.attn.k_norm.weight",
}

FAMILY = Family(model_type="qwen3", read_config=read_config, build=Decoder, weights=WEIGHTS)
