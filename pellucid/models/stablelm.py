"""StableLM (Bellagente et al. 2024): Llama's names with layer norm, partly turned heads, and in the larger
models a parallel residual and a norm for every head."""

from pellucid.layers.attention import AttentionConfig
from pellucid.layers.block import BlockConfig
from pellucid.layers.norm import NormConfig
from pellucid.layers.qk_norm import QKNormConfig
from pellucid.models.config import ModelConfig
from pellucid.models.decoder import Decoder
from pellucid.models.decoder_config import read_decoder, read_gated_feed_forward, read_heads, read_layer_norm
from pellucid.models.family import Family
from pellucid.models.llama import WEIGHTS as LLAMA
from pellucid.models.published import PublishedConfig
from pellucid.models.rotary_dialects import read_rotary


def read_config(published: PublishedConfig) -> ModelConfig:
    """config.json → ModelConfig."""
    heads = read_heads(published, kv_heads=32)
    max_length = published.size("max_position_embeddings", 4096)
    norm = read_layer_norm(published, 1e-5)
    own = QKNormConfig(norm=NormConfig(kind="layer_norm", eps=norm.eps, bias=False), over="own")
    attention = AttentionConfig(
        spec=heads.spec(),
        qkv_bias=published.get("use_qkv_bias", bool, False),
        rotary=read_rotary(published, heads.dim, max_length, partial=0.25),
        qk_norm=own if published.get("qk_layernorm", bool, False) else None,
    )
    block = BlockConfig(
        wiring="parallel" if published.get("use_parallel_residual", bool, False) else "pre_norm",
        norm=norm,
        attention=attention,
        feed_forward=read_gated_feed_forward(published),
    )
    blocks = (block,) * published.size("num_hidden_layers")
    return read_decoder(published, blocks, norm=norm, max_length=max_length, bos=0, eos=(0,))


WEIGHTS = {
    **LLAMA,
    "model.layers.{}.input_layernorm.bias": "blocks.{}.attn_norm.bias",
    "model.layers.{}.post_attention_layernorm.bias": "blocks.{}.mlp_norm.bias",
    "model.layers.{}.self_attn.q_layernorm.norms.{}.weight": "blocks.{}.attn.q_norm.norms.{}.weight",
    "model.layers.{}.self_attn.k_layernorm.norms.{}.weight": "blocks.{}.attn.k_norm.norms.{}.weight",
    "model.norm.bias": "norm.bias",
}

FAMILY = Family(model_type="stablelm", read_config=read_config, build=Decoder, weights=WEIGHTS)
