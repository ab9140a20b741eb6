"""Mistral (Jiang et al. 2023): Llama's arithmetic and names with grouped KV heads and a sliding window."""

from pellucid.layers.attention import AttentionConfig
from pellucid.layers.block import BlockConfig
from pellucid.models.config import ModelConfig
from pellucid.models.decoder import Decoder
from pellucid.models.decoder_config import read_decoder, read_gated_feed_forward, read_heads, read_rms_norm
from pellucid.models.family import Family
from pellucid.models.llama import WEIGHTS
from pellucid.models.published import PublishedConfig
from pellucid.models.rotary_dialects import read_rotary


def read_config(published: PublishedConfig) -> ModelConfig:
    """config.json → ModelConfig."""
    heads = read_heads(published, kv_heads=8)
    max_length = published.size("max_position_embeddings", 131072)
    norm = read_rms_norm(published, 1e-6)
    attention = AttentionConfig(
        spec=heads.spec(window=published.optional("sliding_window", int, 4096)),
        rotary=read_rotary(published, heads.dim, max_length),
    )
    block = BlockConfig(
        wiring="pre_norm",
        norm=norm,
        attention=attention,
        feed_forward=read_gated_feed_forward(published),
    )
    blocks = (block,) * published.size("num_hidden_layers")
    return read_decoder(published, blocks, norm=norm, max_length=max_length, bos=1, eos=(2,))


FAMILY = Family(model_type="mistral", read_config=read_config, build=Decoder, weights=WEIGHTS)
