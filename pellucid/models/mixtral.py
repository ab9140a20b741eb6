"""Mixtral (Jiang et al. 2024): Mistral with a mixture of experts for a feed-forward network."""

from dataclasses import replace

from pellucid.layers.attention import AttentionConfig
from pellucid.layers.block import BlockConfig
from pellucid.layers.experts import ExpertsConfig
from pellucid.models.config import ModelConfig
from pellucid.models.decoder import Decoder
from pellucid.models.decoder_config import read_decoder, read_gated_feed_forward, read_heads, read_rms_norm
from pellucid.models.family import Family
from pellucid.models.llama import WEIGHTS as LLAMA
from pellucid.models.published import PublishedConfig
from pellucid.models.rotary_dialects import read_rotary


def read_config(published: PublishedConfig) -> ModelConfig:
    """config.json → ModelConfig."""
    heads = read_heads(published, kv_heads=8)
    max_length = published.size("max_position_embeddings", 131072)
    norm = read_rms_norm(published, 1e-5)
    attention = AttentionConfig(
        spec=heads.spec(window=published.optional("sliding_window", int)),
        rotary=read_rotary(published, heads.dim, max_length, theta=1e6),
    )
    experts = ExpertsConfig(
        count=published.size("num_local_experts", 8),
        chosen=published.size("num_experts_per_tok", 2),
        normalised=True,
    )
    feed_forward = replace(read_gated_feed_forward(published), experts=experts)
    block = BlockConfig(wiring="pre_norm", norm=norm, attention=attention, feed_forward=feed_forward)
    blocks = (block,) * published.size("num_hidden_layers")
    return read_decoder(published, blocks, norm=norm, max_length=max_length, bos=1, eos=(2,))


EXPERT = "model.layers.{}.block_sparse_moe.experts.{}"
WEIGHTS = {
    **{name: ours for name, ours in LLAMA.items() if ".mlp." not in name},
    "model.layers.{}.block_sparse_moe.gate.weight": "blocks.{}.mlp.router.weight",
    f"{EXPERT}.w1.weight": "blocks.{}.mlp.experts.{}.gate_up_proj.weight[gate]",
    f"{EXPERT}.w3.weight": "blocks.{}.mlp.experts.{}.gate_up_proj.weight[up]",
    f"{EXPERT}.w2.weight": "blocks.{}.mlp.experts.{}.down_proj.weight",
}

FAMILY = Family(model_type="mixtral", read_config=read_config, build=Decoder, weights=WEIGHTS)
