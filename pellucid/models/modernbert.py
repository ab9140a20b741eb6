"""ModernBERT (Warner et al. 2024): rotary positions, gated feed-forward, norm first, windows."""

from collections.abc import Mapping
from typing import Any

from pellucid.errors import ConfigError
from pellucid.kernels import AttentionSpec
from pellucid.layers.attention import AttentionConfig
from pellucid.layers.block import BlockConfig
from pellucid.layers.feed_forward import FeedForwardConfig
from pellucid.layers.norm import NormConfig
from pellucid.layers.token_input import TokenInputConfig
from pellucid.models.encoder import Encoder
from pellucid.models.encoder_config import EncoderConfig
from pellucid.models.family import Family, weights_and_biases
from pellucid.models.head_config import TransformConfig
from pellucid.models.published import PublishedConfig
from pellucid.models.published_head import read_head
from pellucid.models.rotary_dialects import rotary_from

FULL, NEAR = "full_attention", "sliding_attention"


def read_config(published: PublishedConfig) -> EncoderConfig:
    """config.json → EncoderConfig."""
    hidden_size, heads = published.size("hidden_size", 768), published.size("num_attention_heads", 12)
    head_dim = published.head_dim(hidden_size, heads)
    length = published.size("max_position_embeddings", 8192)
    norm = NormConfig(
        kind="layer_norm",
        eps=published.get("norm_eps", float, 1e-5),
        bias=published.get("norm_bias", bool, False),
    )
    bias = published.get("attention_bias", bool, False)
    feed_forward = FeedForwardConfig(
        size=published.size("intermediate_size", 1152),
        activation=published.activation("hidden_activation", "gelu"),
        gated=True,
        bias=published.get("mlp_bias", bool, False),
    )
    transform = TransformConfig(
        activation=published.activation("classifier_activation", "gelu"),
        bias=published.get("classifier_bias", bool, False),
        norm=norm,
    )
    # `local_attention` counts both sides; the spec counts one, the token itself included
    window = published.size("local_attention", 128) // 2 + 1
    rotaries = {
        kind: rotary_from(PublishedConfig(settings, f"{published.where}, rope settings"), head_dim, length)
        for kind, settings in _rope_settings(published).items()
    }

    def block(layer: int, kind: str) -> BlockConfig:
        spec = AttentionSpec(
            num_heads=heads,
            num_kv_heads=heads,
            head_dim=head_dim,
            scale=head_dim**-0.5,
            causal=False,
            window=window if kind == NEAR else None,
        )
        attention = AttentionConfig(spec=spec, qkv_bias=bias, o_bias=bias, rotary=rotaries[kind])
        wiring = "pre_norm" if layer else "normed_input"
        return BlockConfig(wiring=wiring, norm=norm, attention=attention, feed_forward=feed_forward)

    return EncoderConfig(
        model_type=published.model_type,
        vocab_size=published.size("vocab_size", 50368),
        hidden_size=hidden_size,
        max_position_embeddings=length,
        input=TokenInputConfig(norm=norm),
        blocks=tuple(block(layer, kind) for layer, kind in enumerate(_layer_kinds(published))),
        final_norm=norm,
        head=read_head(
            published,
            words=transform,
            sequence=transform,
            tokens=transform,
            pool=_pooling(published),
            words_bias=published.get("decoder_bias", bool, True),
        ),
        pad_token_id=published.optional("pad_token_id", int),
        dtype=published.dtype(),
    )


def _layer_kinds(published: PublishedConfig) -> list[str]:
    layers = published.size("num_hidden_layers", 22)
    every = published.size("global_attn_every_n_layers", 3)
    kinds = published.get("layer_types", list, [NEAR if i % every else FULL for i in range(layers)])
    if len(kinds) != layers or any(kind not in (FULL, NEAR) for kind in kinds):
        raise ConfigError(f"{published.where}: `layer_types` must be {layers} entries of {FULL} or {NEAR}")
    return kinds


def _rope_settings(published: PublishedConfig) -> dict[str, Mapping[str, Any]]:
    """One set of rope settings for each kind of layer, in either dialect."""
    thetas = {
        FULL: published.get("global_rope_theta", float, 160000.0),
        NEAR: published.get("local_rope_theta", float, 10000.0),
    }
    by_kind = published.get("rope_parameters", dict, {})
    return {kind: {"rope_theta": theta, **by_kind.get(kind, {})} for kind, theta in thetas.items()}


def _pooling(published: PublishedConfig) -> str:
    name = published.get("classifier_pooling", str, "cls")
    if name not in ("cls", "mean"):
        raise ConfigError(f"{published.where}: `classifier_pooling` is {name!r}; it must be cls or mean")
    return "first" if name == "cls" else "mean"


TASKS = ("words", "sequence", "tokens")
WEIGHTS = {
    "embeddings.tok_embeddings.weight": "input.embed_tokens.weight",
    "decoder.weight": "heads.words.out_proj.weight",
    "decoder.bias": "heads.words.out_proj.bias",
    **weights_and_biases(
        {
            "embeddings.norm": "input.norm",
            "layers.{}.attn_norm": "blocks.{}.attn_norm",
            "layers.{}.attn.Wqkv": "blocks.{}.attn.qkv_proj",
            "layers.{}.attn.Wo": "blocks.{}.attn.o_proj",
            "layers.{}.mlp_norm": "blocks.{}.mlp_norm",
            "layers.{}.mlp.Wi": "blocks.{}.mlp.gate_up_proj",
            "layers.{}.mlp.Wo": "blocks.{}.mlp.down_proj",
            "final_norm": "norm",
            "head.dense": tuple(f"heads.{task}.transform.dense" for task in TASKS),
            "head.norm": tuple(f"heads.{task}.transform.norm" for task in TASKS),
            "classifier": ("heads.sequence.out_proj", "heads.tokens.out_proj"),
        }
    ),
}

FAMILY = Family(
    model_type="modernbert",
    read_config=read_config,
    build=Encoder,
    weights=WEIGHTS,
    outside=("decoder.", "head.", "classifier."),
    prefixes=("model.",),
)
