"""Qwen3-MoE (Yang et al. 2025): Qwen3 with a mixture of many small experts in all or some layers."""

from dataclasses import replace

from pellucid.layers.attention import AttentionConfig
from pellucid.layers.block import BlockConfig
from pellucid.layers.experts import ExpertsConfig
from pellucid.layers.feed_forward import FeedForwardConfig
from pellucid.layers.qk_norm import QKNormConfig
from pellucid.models.config import ModelConfig
from pellucid.models.decoder import Decoder
from pellucid.models.decoder_config import read_decoder, read_gated_feed_forward, read_heads, read_rms_norm
from pellucid.models.family import Family
from pellucid.models.published import PublishedConfig
from pellucid.models.qwen3 import WEIGHTS as QWEN3
from pellucid.models.rotary_dialects import read_rotary


def read_feed_forwards(published: PublishedConfig) -> list[FeedForwardConfig]:
    """Each layer's network: experts in every `decoder_sparse_step`th layer but the `mlp_only_layers`."""
    dense = read_gated_feed_forward(published)
    count = published.size("num_local_experts", published.size("num_experts", 128))
    experts = ExpertsConfig(
        count=count,
        chosen=published.size("num_experts_per_tok", 8),
        normalised=published.get("norm_topk_prob", bool, False),
    )
    sparse = replace(dense, size=published.size("moe_intermediate_size", 768), experts=experts)
    step = published.size("decoder_sparse_step", 1)
    never = published.get("mlp_only_layers", list, [])
    layers = range(published.size("num_hidden_layers"))
    return [sparse if layer not in never and (layer + 1) % step == 0 else dense for layer in layers]


def read_config(published: PublishedConfig) -> ModelConfig:
    """config.json → ModelConfig."""
    heads = read_heads(published, kv_heads=4)
    max_length = published.size("max_position_embeddings", 32768)
    norm = read_rms_norm(published, 1e-6)
    bias = published.get("attention_bias", bool, False)
    window = published.optional("sliding_window", int, 4096)
    used = published.get("use_sliding_window", bool, False)
    attention = AttentionConfig(
        spec=heads.spec(window=window if used else None),
        qkv_bias=bias,
        o_bias=bias,
        rotary=read_rotary(published, heads.dim, max_length),
        qk_norm=QKNormConfig(norm=norm),
    )
    blocks = [
        BlockConfig(wiring="pre_norm", norm=norm, attention=attention, feed_forward=feed_forward)
        for feed_forward in read_feed_forwards(published)
    ]
    return read_decoder(published, blocks, norm=norm, max_length=max_length)


EXPERT = "model.layers.{}.mlp.experts.{}"
WEIGHTS = {
    **QWEN3,
    "model.layers.{}.mlp.gate.weight": "blocks.{}.mlp.router.weight",
    f"{EXPERT}.gate_proj.weight": "blocks.{}.mlp.experts.{}.gate_up_proj.weight[gate]",
    f"{EXPERT}.up_proj.weight": "blocks.{}.mlp.experts.{}.gate_up_proj.weight[up]",
    f"{EXPERT}.down_proj.weight": "blocks.{}.mlp.experts.{}.down_proj.weight",
}

FAMILY = Family(model_type="qwen3_moe", read_config=read_config, build=Decoder, weights=WEIGHTS)
