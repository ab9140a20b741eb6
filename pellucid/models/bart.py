"""BART (Lewis et al. 2019), and the config and names that its relatives (Marian, Whisper) share with it."""

from typing import Any

from torch import Tensor

from pellucid.kernels import AttentionSpec
from pellucid.layers.attention import AttentionConfig
from pellucid.layers.block import BlockConfig
from pellucid.layers.cross_block import CrossBlockConfig
from pellucid.layers.feed_forward import FeedForwardConfig
from pellucid.layers.norm import NormConfig
from pellucid.layers.token_input import PositionsConfig, TokenInputConfig
from pellucid.models.encoder_decoder import EncoderDecoder
from pellucid.models.encoder_decoder_config import EncoderDecoderConfig, StackConfig
from pellucid.models.family import Family, weights_and_biases
from pellucid.models.published import PublishedConfig

NORM = NormConfig(kind="layer_norm", eps=1e-5)


def read_config(published: PublishedConfig) -> EncoderDecoderConfig:
    """config.json → EncoderDecoderConfig. The position tables begin two rows late."""
    length = published.size("max_position_embeddings", 1024)
    side = TokenInputConfig(
        scale=read_scale(published),
        positions=PositionsConfig(kind="learned", size=length, offset=2),
        norm=NORM,
    )
    vocab_size = published.size("vocab_size", 50265)
    encoder, decoder = read_blocks(published, wiring="post_norm")
    tied = published.get("tie_word_embeddings", bool, True)
    return EncoderDecoderConfig(
        model_type=published.model_type,
        hidden_size=published.size("d_model", 1024),
        encoder=StackConfig(
            vocab_size=vocab_size, max_length=length, input=side, blocks=encoder, final_norm=None
        ),
        decoder=StackConfig(
            vocab_size=vocab_size, max_length=length, input=side, blocks=decoder, final_norm=None
        ),
        shared_embedding=tied,
        tie_word_embeddings=tied,
        lm_head_bias=True,
        decoder_start_token_id=published.get("decoder_start_token_id", int, 2),
        bos_token_id=published.optional("bos_token_id", int, 0),
        eos_token_ids=published.token_ids("eos_token_id", (2,)),
        pad_token_id=published.optional("pad_token_id", int, 1),
        forced_bos_token_id=published.optional("forced_bos_token_id", int),
        forced_eos_token_id=published.optional("forced_eos_token_id", int, 2),
        dtype=published.dtype(),
    )


def read_scale(published: PublishedConfig) -> float:
    """What the embeddings are multiplied with."""
    return (
        float(published.size("d_model", 1024)) ** 0.5
        if published.get("scale_embedding", bool, False)
        else 1.0
    )


def read_blocks(
    published: PublishedConfig, *, wiring: str
) -> tuple[tuple[BlockConfig, ...], tuple[CrossBlockConfig, ...]]:
    """The blocks of the encoder and of the decoder; they may differ in number, heads and width."""
    hidden_size = published.size("d_model", 1024)
    activation = published.activation("activation_function", "gelu")

    def side(name: str, causal: bool) -> dict[str, Any]:
        heads = published.size(f"{name}_attention_heads", 16)
        head_dim = published.head_dim(hidden_size, heads)
        spec = AttentionSpec(
            num_heads=heads, num_kv_heads=heads, head_dim=head_dim, scale=head_dim**-0.5, causal=causal
        )
        size = published.size(f"{name}_ffn_dim", 4096)
        return {
            "wiring": wiring,
            "norm": NORM,
            "attention": AttentionConfig(spec=spec, qkv_bias=True, o_bias=True),
            "feed_forward": FeedForwardConfig(size=size, activation=activation, gated=False, bias=True),
        }

    cross = side("decoder", causal=False)["attention"]
    encoder = BlockConfig(**side("encoder", causal=False))
    decoder = CrossBlockConfig(**side("decoder", causal=True), cross_attention=cross)
    return (
        (encoder,) * published.size("encoder_layers", 12),
        (decoder,) * published.size("decoder_layers", 12),
    )


def flattened(bias_1V: Tensor) -> Tensor:
    """`[1, V]` as published → `[V]`."""
    return bias_1V.flatten()


BLOCKS = weights_and_biases(
    {
        f"{side}.layers.{{}}.{published}": f"{side}.blocks.{{}}.{ours}"
        for side in ("encoder", "decoder")
        for published, ours in {
            "self_attn.q_proj": "attn.qkv_proj[q]",
            "self_attn.k_proj": "attn.qkv_proj[k]",
            "self_attn.v_proj": "attn.qkv_proj[v]",
            "self_attn.out_proj": "attn.o_proj",
            "self_attn_layer_norm": "attn_norm",
            "encoder_attn.q_proj": "cross_attn.q_proj",
            "encoder_attn.k_proj": "cross_attn.kv_proj[k]",
            "encoder_attn.v_proj": "cross_attn.kv_proj[v]",
            "encoder_attn.out_proj": "cross_attn.o_proj",
            "encoder_attn_layer_norm": "cross_attn_norm",
            "fc1": "mlp.up_proj",
            "fc2": "mlp.down_proj",
            "final_layer_norm": "mlp_norm",
        }.items()
    }
)
TABLES = {
    "encoder.embed_tokens.weight": "encoder.input.embed_tokens.weight",
    "decoder.embed_tokens.weight": "decoder.input.embed_tokens.weight",
    "lm_head.weight": "lm_head.weight",
    "final_logits_bias": "lm_head.bias",
}
SPARE_TABLES = {
    "encoder.embed_tokens.weight": ("shared.weight", "decoder.embed_tokens.weight", "lm_head.weight"),
    "decoder.embed_tokens.weight": ("shared.weight", "lm_head.weight"),
}

FAMILY = Family(
    model_type="bart",
    read_config=read_config,
    build=EncoderDecoder,
    weights={
        **TABLES,
        **BLOCKS,
        **{
            f"{side}.embed_positions.weight": f"{side}.input.embed_positions.weight"
            for side in ("encoder", "decoder")
        },
        **weights_and_biases(
            {f"{side}.layernorm_embedding": f"{side}.input.norm" for side in ("encoder", "decoder")}
        ),
    },
    transforms={"final_logits_bias": flattened},
    ignored=("shared.weight",),
    prefixes=("model.",),
    spares=SPARE_TABLES,
    optional=("final_logits_bias",),
)
