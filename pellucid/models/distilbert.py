"""DistilBERT (Sanh et al. 2019): BERT's body without kinds of segment, under names of its own."""

from pellucid.kernels import AttentionSpec
from pellucid.layers.attention import AttentionConfig
from pellucid.layers.block import BlockConfig
from pellucid.layers.feed_forward import FeedForwardConfig
from pellucid.layers.norm import NormConfig
from pellucid.layers.token_input import PositionsConfig, TokenInputConfig
from pellucid.models.encoder import Encoder
from pellucid.models.encoder_config import EncoderConfig
from pellucid.models.family import Family, weights_and_biases
from pellucid.models.head_config import TransformConfig
from pellucid.models.published import PublishedConfig
from pellucid.models.published_head import read_head

NORM = NormConfig(kind="layer_norm", eps=1e-12)


def read_config(published: PublishedConfig) -> EncoderConfig:
    """config.json → EncoderConfig."""
    hidden_size, heads = published.size("dim", 768), published.size("n_heads", 12)
    head_dim = published.head_dim(hidden_size, heads)
    length = published.size("max_position_embeddings", 512)
    activation = published.activation("activation", "gelu")
    spec = AttentionSpec(
        num_heads=heads, num_kv_heads=heads, head_dim=head_dim, scale=head_dim**-0.5, causal=False
    )
    block = BlockConfig(
        wiring="post_norm",
        norm=NORM,
        attention=AttentionConfig(spec=spec, qkv_bias=True, o_bias=True),
        feed_forward=FeedForwardConfig(
            size=published.size("hidden_dim", 3072), activation=activation, gated=False, bias=True
        ),
    )
    return EncoderConfig(
        model_type=published.model_type,
        vocab_size=published.size("vocab_size", 30522),
        hidden_size=hidden_size,
        max_position_embeddings=length,
        input=TokenInputConfig(positions=PositionsConfig(kind="learned", size=length), norm=NORM),
        blocks=(block,) * published.size("n_layers", 6),
        final_norm=None,
        head=read_head(
            published,
            words=TransformConfig(activation=activation, norm=NORM),
            sequence=TransformConfig(activation="relu"),
        ),
        pad_token_id=published.optional("pad_token_id", int),
        dtype=published.dtype(),
    )


WEIGHTS = {
    "embeddings.word_embeddings.weight": "input.embed_tokens.weight",
    "embeddings.position_embeddings.weight": "input.embed_positions.weight",
    "vocab_projector.weight": "heads.words.out_proj.weight",
    "vocab_projector.bias": "heads.words.out_proj.bias",
    **weights_and_biases(
        {
            "embeddings.LayerNorm": "input.norm",
            "transformer.layer.{}.attention.q_lin": "blocks.{}.attn.qkv_proj[q]",
            "transformer.layer.{}.attention.k_lin": "blocks.{}.attn.qkv_proj[k]",
            "transformer.layer.{}.attention.v_lin": "blocks.{}.attn.qkv_proj[v]",
            "transformer.layer.{}.attention.out_lin": "blocks.{}.attn.o_proj",
            "transformer.layer.{}.sa_layer_norm": "blocks.{}.attn_norm",
            "transformer.layer.{}.ffn.lin1": "blocks.{}.mlp.up_proj",
            "transformer.layer.{}.ffn.lin2": "blocks.{}.mlp.down_proj",
            "transformer.layer.{}.output_layer_norm": "blocks.{}.mlp_norm",
            "vocab_transform": "heads.words.transform.dense",
            "vocab_layer_norm": "heads.words.transform.norm",
            "pre_classifier": "heads.sequence.transform.dense",
            "classifier": ("heads.sequence.out_proj", "heads.tokens.out_proj"),
        }
    ),
}

FAMILY = Family(
    model_type="distilbert",
    read_config=read_config,
    build=Encoder,
    weights=WEIGHTS,
    ignored=("embeddings.position_ids",),
    outside=("vocab_", "pre_classifier.", "classifier."),
    prefixes=("distilbert.",),
)
