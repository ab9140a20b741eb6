"""GPT-2 (Radford et al. 2019): learned positions, layer norm first, GELU; products are stored transposed."""

from torch import Tensor

from pellucid.kernels import AttentionSpec
from pellucid.layers.attention import AttentionConfig
from pellucid.layers.block import BlockConfig
from pellucid.layers.feed_forward import FeedForwardConfig
from pellucid.layers.norm import NormConfig
from pellucid.models.config import ModelConfig
from pellucid.models.decoder import Decoder
from pellucid.models.family import Family
from pellucid.models.published import PublishedConfig


def read_config(published: PublishedConfig) -> ModelConfig:
    """config.json → ModelConfig."""
    hidden_size = published.size("n_embd", 768)
    heads = published.size("n_head", 12)
    head_dim = published.head_dim(hidden_size, heads)
    scale = head_dim**-0.5 if published.get("scale_attn_weights", bool, True) else 1.0
    by_layer = published.get("scale_attn_by_inverse_layer_idx", bool, False)
    norm = NormConfig(kind="layer_norm", eps=published.get("layer_norm_epsilon", float, 1e-5))
    feed_forward = FeedForwardConfig(
        size=published.size("n_inner", 4 * hidden_size),
        activation=published.activation("activation_function", "gelu_new"),
        gated=False,
        bias=True,
    )

    def block(layer: int) -> BlockConfig:
        spec = AttentionSpec(
            num_heads=heads,
            num_kv_heads=heads,
            head_dim=head_dim,
            scale=scale / (layer + 1) if by_layer else scale,
            causal=True,
        )
        attention = AttentionConfig(spec=spec, qkv_bias=True, o_bias=True)
        return BlockConfig(wiring="pre_norm", norm=norm, attention=attention, feed_forward=feed_forward)

    return ModelConfig(
        model_type=published.model_type,
        vocab_size=published.size("vocab_size", 50257),
        hidden_size=hidden_size,
        max_position_embeddings=published.size("n_positions", 1024),
        blocks=tuple(block(layer) for layer in range(published.size("n_layer", 12))),
        final_norm=norm,
        learned_positions=True,
        tie_word_embeddings=published.get("tie_word_embeddings", bool, True),
        bos_token_id=published.optional("bos_token_id", int, 50256),
        eos_token_ids=published.token_ids("eos_token_id", (50256,)),
        pad_token_id=published.optional("pad_token_id", int),
        dtype=published.dtype(),
    )


def transposed(weight_IO: Tensor) -> Tensor:
    """`[I, O]` as published → `[O, I]`."""
    return weight_IO.t()


def transposed_back(weight_OI: Tensor, config: ModelConfig) -> Tensor:
    """What `transposed` undoes."""
    return weight_OI.t()


WEIGHTS = {
    "wte.weight": "embed_tokens.weight",
    "wpe.weight": "embed_positions.weight",
    "h.{}.ln_1.weight": "blocks.{}.attn_norm.weight",
    "h.{}.ln_1.bias": "blocks.{}.attn_norm.bias",
    "h.{}.attn.c_attn.weight": "blocks.{}.attn.qkv_proj.weight",
    "h.{}.attn.c_attn.bias": "blocks.{}.attn.qkv_proj.bias",
    "h.{}.attn.c_proj.weight": "blocks.{}.attn.o_proj.weight",
    "h.{}.attn.c_proj.bias": "blocks.{}.attn.o_proj.bias",
    "h.{}.ln_2.weight": "blocks.{}.mlp_norm.weight",
    "h.{}.ln_2.bias": "blocks.{}.mlp_norm.bias",
    "h.{}.mlp.c_fc.weight": "blocks.{}.mlp.up_proj.weight",
    "h.{}.mlp.c_fc.bias": "blocks.{}.mlp.up_proj.bias",
    "h.{}.mlp.c_proj.weight": "blocks.{}.mlp.down_proj.weight",
    "h.{}.mlp.c_proj.bias": "blocks.{}.mlp.down_proj.bias",
    "ln_f.weight": "norm.weight",
    "ln_f.bias": "norm.bias",
    "lm_head.weight": "lm_head.weight",
}
PRODUCTS = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")

FAMILY = Family(
    model_type="gpt2",
    read_config=read_config,
    build=Decoder,
    weights=WEIGHTS,
    transforms={f"h.{{}}.{product}.weight": transposed for product in PRODUCTS},
    inverses={f"h.{{}}.{product}.weight": transposed_back for product in PRODUCTS},
    outside=("lm_head.",),
    ignored=("h.{}.attn.bias", "h.{}.attn.masked_bias"),
    prefixes=("transformer.",),
)
