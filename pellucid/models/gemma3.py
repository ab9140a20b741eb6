"""Gemma 3 (Gemma team 2025), its text model: as Gemma 2 without caps, with normed heads and two rotaries."""

from dataclasses import replace
from typing import Any

from pellucid.layers.attention import AttentionConfig
from pellucid.layers.block import BlockConfig
from pellucid.layers.position import RotaryConfig
from pellucid.layers.qk_norm import QKNormConfig
from pellucid.models.config import ModelConfig
from pellucid.models.decoder import Decoder
from pellucid.models.decoder_config import read_decoder, read_heads, read_rms_norm, read_windows
from pellucid.models.family import Family
from pellucid.models.gemma2 import WEIGHTS as GEMMA2
from pellucid.models.gemma2 import one_less, one_more, read_geglu
from pellucid.models.published import LARGEST, PublishedConfig
from pellucid.models.rotary_dialects import rotary_from


def read_rotaries(
    published: PublishedConfig, head_dim: int, max_length: int
) -> tuple[RotaryConfig, RotaryConfig]:
    """The rotary of the layers that see everything, and of those with a window.

    transformers 5 publishes settings for each type of layer; transformers 4 `rope_theta` and `rope_scaling`
    for the first, `rope_local_base_freq` for the second.
    """
    newer = published.inside("rope_parameters")
    older = published.get("rope_scaling", dict, {})

    def rotary(layers: str, theta: float, more: dict[str, Any]) -> RotaryConfig:
        settings = {"rope_theta": theta} | newer.get(layers, dict, {}) | more
        where = f"{published.where}, rope settings of {layers}"
        return rotary_from(PublishedConfig(settings, where, published.model_type), head_dim, max_length)

    local = published.get("rope_local_base_freq", float, 10000.0)
    return (
        rotary("full_attention", published.get("rope_theta", float, 1e6), older),
        rotary("sliding_attention", local, {}),
    )


def read_config(published: PublishedConfig) -> ModelConfig:
    """config.json → ModelConfig."""
    heads = read_heads(published, kv_heads=4, head_dim=256)
    max_length = published.size("max_position_embeddings", 131072)
    norm = read_rms_norm(published, 1e-6)
    bias = published.get("attention_bias", bool, False)
    everywhere, nearby = read_rotaries(published, heads.dim, max_length)
    feed_forward = read_geglu(published)
    scale = published.within("query_pre_attn_scalar", 0, LARGEST, 256.0) ** -0.5
    pattern = published.size("sliding_window_pattern", 6)
    sliding = [(layer + 1) % pattern != 0 for layer in range(published.size("num_hidden_layers"))]
    window = published.optional("sliding_window", int, 4096)

    def block(window: int | None) -> BlockConfig:
        attention = AttentionConfig(
            spec=heads.spec(scale=scale, window=window),
            qkv_bias=bias,
            o_bias=bias,
            rotary=everywhere if window is None else nearby,
            qk_norm=QKNormConfig(norm=norm),
        )
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
        logit_soft_cap=published.optional("final_logit_softcapping", float),
    )


# What the text model is where the config of a whole model does not say it.
UNSAID = {
    "vocab_size": 262208,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
}
# What is said of the whole model and holds for the text model within.
SHARED = ("bos_token_id", "dtype", "eos_token_id", "pad_token_id", "tie_word_embeddings", "torch_dtype")


def read_whole_config(published: PublishedConfig) -> ModelConfig:
    """The text model within a Gemma 3 that also sees pictures."""
    said = {name: published.fields[name] for name in SHARED if name in published.fields}
    published.read.update(said)
    fields = UNSAID | said | published.need("text_config", dict)
    text = PublishedConfig(fields, f"{published.where}, `text_config`")
    config = read_config(text)
    text.refuse_unread()
    return config


WEIGHTS = {
    **GEMMA2,
    "model.layers.{}.self_attn.q_norm.weight": "blocks.{}.attn.q_norm.weight",
    "model.layers.{}.self_attn.k_norm.weight": "blocks.{}.attn.k_norm.weight",
}

FAMILY = Family(
    model_type="gemma3_text",
    read_config=read_config,
    build=Decoder,
    weights=WEIGHTS,
    transforms={name: one_more for name in WEIGHTS if name.endswith("norm.weight")},
    inverses={name: one_less for name in WEIGHTS if name.endswith("norm.weight")},
)
WHOLE = replace(
    FAMILY,
    model_type="gemma3",
    read_config=read_whole_config,
    left_out=("vision_tower.", "multi_modal_projector."),
    prefixes=("language_model.",),
)
