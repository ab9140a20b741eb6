"""SmolLM3 (Hugging Face 2025): Llama in which some layers have no positions at all ("NoPE")."""

from pellucid.errors import ConfigError
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


def read_turning(published: PublishedConfig) -> list[bool]:
    """Which layers turn queries and keys. `no_rope_layers` has a 1 for those that do, whatever its name."""
    layers = published.size("num_hidden_layers")
    interval = published.size("no_rope_layer_interval", 4)
    marks = published.get("no_rope_layers", list, [(i + 1) % interval != 0 for i in range(layers)])
    if len(marks) < layers:
        raise ConfigError(
            f"{published.where}: `no_rope_layers` has {len(marks)} entries; there are {layers} layers"
        )
    return [bool(mark) for mark in marks[:layers]]


def read_config(published: PublishedConfig) -> ModelConfig:
    """config.json → ModelConfig."""
    heads = read_heads(published, kv_heads=4)
    max_length = published.size("max_position_embeddings", 32768)
    norm = read_rms_norm(published, 1e-6)
    bias = published.get("attention_bias", bool, False)
    rotary = read_rotary(published, heads.dim, max_length, theta=2e6)
    feed_forward = read_gated_feed_forward(published, bias=published.get("mlp_bias", bool, False))
    turning = read_turning(published)
    window = published.optional("sliding_window", int)
    used = published.get("use_sliding_window", bool, False) and window is not None
    windows = read_windows(published, [used and not turns for turns in turning], window if used else None)

    def block(turns: bool, window: int | None) -> BlockConfig:
        attention = AttentionConfig(
            spec=heads.spec(window=window), qkv_bias=bias, o_bias=bias, rotary=rotary if turns else None
        )
        return BlockConfig(wiring="pre_norm", norm=norm, attention=attention, feed_forward=feed_forward)

    blocks = [block(*layer) for layer in zip(turning, windows, strict=True)]
    return read_decoder(
        published,
        blocks,
        norm=norm,
        max_length=max_length,
        tied=True,
        bos=128000,
        eos=(128001,),
        pad=128004,
    )


FAMILY = Family(model_type="smollm3", read_config=read_config, build=Decoder, weights=WEIGHTS)
