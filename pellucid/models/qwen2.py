"""Qwen2 and 2.5 (Yang et al. 2024): Llama's names, biases on queries, keys and values, windows by layer."""

from pellucid.layers.attention import AttentionConfig
from pellucid.layers.block import BlockConfig
from pellucid.models.config import ModelConfig
from pellucid.models.decoder import Decoder
from pellucid.models.decoder_config import (
    read_decoder,
    read_gated_feed_forward,
    read_heads,
    read_rms_norm,
    read_windows,
)
from pellucid.models.family import Family
from pellucid.models.llama import WEIGHTS
from pellucid.models.published import PublishedConfig
from pellucid.models.rotary_dialects import read_rotary


def read_upper_windows(published: PublishedConfig) -> tuple[int | None, ...]:
    """The window of each layer: the layers from `max_window_layers` up have one, if `use_sliding_window`."""
    used = published.get("use_sliding_window", bool, False)
    window = published.optional("sliding_window", int, 4096)
    first = published.get("max_window_layers", int, 28)
    slides = used and window is not None
    sliding = [slides and layer >= first for layer in range(published.size("num_hidden_layers"))]
    return read_windows(published, sliding, window if used else None)


def read_config(published: PublishedConfig) -> ModelConfig:
    """config.json → ModelConfig."""
    heads = read_heads(published, kv_heads=32)
    max_length = published.size("max_position_embeddings", 32768)
    norm = read_rms_norm(published, 1e-6)
    rotary = read_rotary(published, heads.dim, max_length)
    feed_forward = read_gated_feed_forward(published)

    def block(window: int | None) -> BlockConfig:
        attention = AttentionConfig(spec=heads.spec(window=window), qkv_bias=True, rotary=rotary)
        return BlockConfig(wiring="pre_norm", norm=norm, attention=attention, feed_forward=feed_forward)

    blocks = [block(window) for window in read_upper_windows(published)]
    return read_decoder(published, blocks, norm=norm, max_length=max_length)


FAMILY = Family(model_type="qwen2", read_config=read_config, build=Decoder, weights=WEIGHTS)
