"""T5 (Raffel et al. 2020), 1.1 and Flan: a bias over distance for positions, unscaled scores, RMS norm."""

from pellucid.errors import ConfigError
from pellucid.kernels import AttentionSpec
from pellucid.layers.attention import AttentionConfig
from pellucid.layers.block import BlockConfig
from pellucid.layers.cross_block import CrossBlockConfig
from pellucid.layers.distance_bias import DistanceBiasConfig
from pellucid.layers.feed_forward import FeedForwardConfig
from pellucid.layers.norm import NormConfig
from pellucid.layers.token_input import TokenInputConfig
from pellucid.models.encoder_decoder import EncoderDecoder
from pellucid.models.encoder_decoder_config import EncoderDecoderConfig, StackConfig
from pellucid.models.family import Family
from pellucid.models.published import ACTIVATIONS, PublishedConfig

MAX_SOURCE = 4096
"""No table of positions ends; this only bounds what one request may ask of the cache."""


def read_config(published: PublishedConfig) -> EncoderDecoderConfig:
    """config.json → EncoderDecoderConfig. An untied head says that this is 1.1, which does not scale it."""
    hidden_size, vocab_size = published.size("d_model", 512), published.size("vocab_size", 32128)
    norm = NormConfig(kind="rms_norm", eps=published.get("layer_norm_epsilon", float, 1e-6))
    layers = published.size("num_layers", 6)
    tied = published.get("tie_word_embeddings", bool, True)
    tied = published.get("scale_decoder_outputs", bool, tied)
    feed_forward = _read_feed_forward(published)
    # half of the encoder's buckets look ahead, and half of those that look back hold one distance each
    buckets = published.size("relative_attention_num_buckets", 32, least=4)
    farthest = published.size("relative_attention_max_distance", 128, least=buckets // 2 + 1)

    def attention(*, causal: bool, biased: bool) -> AttentionConfig:
        heads = published.size("num_heads", 8)
        spec = AttentionSpec(
            num_heads=heads, num_kv_heads=heads, head_dim=published.size("d_kv", 64), scale=1.0, causal=causal
        )
        bias = DistanceBiasConfig(
            num_heads=heads,
            num_buckets=buckets,
            max_distance=farthest,
            bidirectional=not causal,
        )
        return AttentionConfig(spec=spec, distance_bias=bias if biased else None)

    encoder = BlockConfig(
        wiring="pre_norm",
        norm=norm,
        attention=attention(causal=False, biased=True),
        feed_forward=feed_forward,
    )
    decoder = CrossBlockConfig(
        wiring="pre_norm",
        norm=norm,
        attention=attention(causal=True, biased=True),
        cross_attention=attention(causal=False, biased=False),
        feed_forward=feed_forward,
    )
    return EncoderDecoderConfig(
        model_type=published.model_type,
        hidden_size=hidden_size,
        encoder=StackConfig(
            vocab_size=vocab_size,
            max_length=MAX_SOURCE,
            input=TokenInputConfig(),
            blocks=(encoder,) * layers,
            final_norm=norm,
        ),
        decoder=StackConfig(
            vocab_size=vocab_size,
            max_length=published.size("n_positions", 512),
            input=TokenInputConfig(),
            blocks=(decoder,) * published.size("num_decoder_layers", layers),
            final_norm=norm,
        ),
        shared_embedding=True,
        tie_word_embeddings=tied,
        lm_head_scale=hidden_size**-0.5 if tied else 1.0,
        decoder_start_token_id=published.get("decoder_start_token_id", int, 0),
        bos_token_id=published.optional("bos_token_id", int),
        eos_token_ids=published.token_ids("eos_token_id", (1,)),
        pad_token_id=published.optional("pad_token_id", int, 0),
        dtype=published.dtype(),
    )


def _read_feed_forward(published: PublishedConfig) -> FeedForwardConfig:
    name = published.get("feed_forward_proj", str, "relu")
    gate, _, activation = name.rpartition("-")
    # "gated-gelu" has always meant the tanh form
    activation = "gelu_new" if name == "gated-gelu" else activation
    if gate not in ("", "gated") or activation not in ACTIVATIONS:
        raise ConfigError(
            f"{published.where}: `feed_forward_proj` is {name!r}; known: relu, gated-gelu, gated-silu"
        )
    return FeedForwardConfig(
        size=published.size("d_ff", 2048),
        activation=ACTIVATIONS[activation],
        gated=gate == "gated",
        bias=False,
    )


def _side(side: str, feed_forward: int) -> dict[str, str]:
    table = {
        "0.SelfAttention.q": "attn.qkv_proj.weight[q]",
        "0.SelfAttention.k": "attn.qkv_proj.weight[k]",
        "0.SelfAttention.v": "attn.qkv_proj.weight[v]",
        "0.SelfAttention.o": "attn.o_proj.weight",
        "0.SelfAttention.relative_attention_bias": "attn.distance_bias.weight",
        "0.layer_norm": "attn_norm.weight",
        "1.EncDecAttention.q": "cross_attn.q_proj.weight",
        "1.EncDecAttention.k": "cross_attn.kv_proj.weight[k]",
        "1.EncDecAttention.v": "cross_attn.kv_proj.weight[v]",
        "1.EncDecAttention.o": "cross_attn.o_proj.weight",
        f"{feed_forward}.DenseReluDense.wi": "mlp.up_proj.weight",
        f"{feed_forward}.DenseReluDense.wi_0": "mlp.gate_up_proj.weight[gate]",
        f"{feed_forward}.DenseReluDense.wi_1": "mlp.gate_up_proj.weight[up]",
        f"{feed_forward}.DenseReluDense.wo": "mlp.down_proj.weight",
        f"{feed_forward}.layer_norm": "mlp_norm.weight",
    }
    if side == "decoder":
        table["1.layer_norm"] = "cross_attn_norm.weight"
    return {
        **{
            f"{side}.block.{{}}.layer.{name}.weight": f"{side}.blocks.{{}}.{ours}"
            for name, ours in table.items()
        },
        f"{side}.final_layer_norm.weight": f"{side}.norm.weight",
    }


SECOND_TABLES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")

FAMILY = Family(
    model_type="t5",
    read_config=read_config,
    build=EncoderDecoder,
    weights={
        "shared.weight": "encoder.input.embed_tokens.weight",
        "lm_head.weight": "lm_head.weight",
        **_side("encoder", 1),
        **_side("decoder", 2),
    },
    ignored=(*SECOND_TABLES, "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"),
    spares={"shared.weight": (*SECOND_TABLES, "lm_head.weight"), "lm_head.weight": ("shared.weight",)},
)
