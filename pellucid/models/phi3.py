"""Phi-3 and 3.5 (Abdin et al. 2024): Llama's arithmetic with fused weights, long-rope and a window."""

from pellucid.layers.norm import NormConfig
from pellucid.models.config import ModelConfig
from pellucid.models.decoder import Decoder
from pellucid.models.family import Family
from pellucid.models.gated_decoder import read_gated_decoder
from pellucid.models.published import PublishedConfig
from pellucid.models.rotary_dialects import NAMES, read_rotary


def read_config(published: PublishedConfig) -> ModelConfig:
    """config.json → ModelConfig. Early files say "su" or "yarn" where they mean longrope."""
    head_dim = published.head_dim(published.size("hidden_size"), published.size("num_attention_heads"))
    max_length = published.size("max_position_embeddings", 4096)
    layers = published.size("num_hidden_layers")
    return read_gated_decoder(
        published,
        rotary=read_rotary(published, head_dim, max_length, names={**NAMES, "yarn": "longrope"}),
        head_dim=head_dim,
        max_length=max_length,
        norm=NormConfig(kind="rms_norm", eps=published.get("rms_norm_eps", float, 1e-5)),
        bos=1,
        eos=(32000,),
        windows=(published.optional("sliding_window", int),) * layers,
    )


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
