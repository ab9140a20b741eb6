"""BERT (Devlin et al. 2018): learned positions, two kinds of segment, norm after each residual, GELU."""

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


def read_config(published: PublishedConfig) -> EncoderConfig:
    """config.json → EncoderConfig."""
    norm = read_norm(published)
    length = published.size("max_position_embeddings", 512)
    return read_bert(
        published,
        positions=PositionsConfig(kind="learned", size=length),
        words=TransformConfig(activation=published.activation("hidden_act", "gelu"), norm=norm),
    )


def read_norm(published: PublishedConfig) -> NormConfig:
    """The norm that embeddings, blocks and word head share."""
    return NormConfig(kind="layer_norm", eps=published.get("layer_norm_eps", float, 1e-12))


def read_bert(
    published: PublishedConfig, *, positions: PositionsConfig, words: TransformConfig
) -> EncoderConfig:
    """What BERT and RoBERTa publish under the same names; positions and the word head are the family's."""
    hidden_size = published.size("hidden_size", 768)
    heads = published.size("num_attention_heads", 12)
    head_dim = published.head_dim(hidden_size, heads)
    norm = read_norm(published)
    spec = AttentionSpec(
        num_heads=heads, num_kv_heads=heads, head_dim=head_dim, scale=head_dim**-0.5, causal=False
    )
    block = BlockConfig(
        wiring="post_norm",
        norm=norm,
        attention=AttentionConfig(spec=spec, qkv_bias=True, o_bias=True),
        feed_forward=FeedForwardConfig(
            size=published.size("intermediate_size", 3072),
            activation=published.activation("hidden_act", "gelu"),
            gated=False,
            bias=True,
        ),
    )
    return EncoderConfig(
        model_type=published.model_type,
        vocab_size=published.size("vocab_size", 30522),
        hidden_size=hidden_size,
        max_position_embeddings=positions.size,
        input=TokenInputConfig(
            positions=positions, token_types=published.size("type_vocab_size", 2), norm=norm
        ),
        blocks=(block,) * published.size("num_hidden_layers", 12),
        final_norm=None,
        head=read_head(published, words=words, sequence=TransformConfig(activation="tanh")),
        pad_token_id=published.optional("pad_token_id", int),
        dtype=published.dtype(),
    )


WEIGHTS = {
    "embeddings.word_embeddings.weight": "input.embed_tokens.weight",
    "embeddings.position_embeddings.weight": "input.embed_positions.weight",
    "embeddings.token_type_embeddings.weight": "input.embed_types.weight",
    **weights_and_biases(
        {
            "embeddings.LayerNorm": "input.norm",
            "encoder.layer.{}.attention.self.query": "blocks.{}.attn.qkv_proj[q]",
            "encoder.layer.{}.attention.self.key": "blocks.{}.attn.qkv_proj[k]",
            "encoder.layer.{}.attention.self.value": "blocks.{}.attn.qkv_proj[v]",
            "encoder.layer.{}.attention.output.dense": "blocks.{}.attn.o_proj",
            "encoder.layer.{}.attention.output.LayerNorm": "blocks.{}.attn_norm",
            "encoder.layer.{}.intermediate.dense": "blocks.{}.mlp.up_proj",
            "encoder.layer.{}.output.dense": "blocks.{}.mlp.down_proj",
            "encoder.layer.{}.output.LayerNorm": "blocks.{}.mlp_norm",
        }
    ),
}
HEADS = {
    **weights_and_biases(
        {
            "cls.predictions.transform.dense": "heads.words.transform.dense",
            "cls.predictions.transform.LayerNorm": "heads.words.transform.norm",
            "pooler.dense": "heads.sequence.transform.dense",
            "classifier": ("heads.sequence.out_proj", "heads.tokens.out_proj"),
        }
    ),
    "cls.predictions.decoder.weight": "heads.words.out_proj.weight",
    "cls.predictions.bias": "heads.words.out_proj.bias",
}

FAMILY = Family(
    model_type="bert",
    read_config=read_config,
    build=Encoder,
    weights={**WEIGHTS, **HEADS},
    ignored=(
        "embeddings.position_ids",
        "pooler.dense.weight",
        "pooler.dense.bias",
        "cls.predictions.decoder.bias",  # the same numbers as cls.predictions.bias
        "cls.seq_relationship.weight",
        "cls.seq_relationship.bias",
    ),
    outside=("cls.", "classifier."),
    prefixes=("bert.",),
    spellings={"gamma": "weight", "beta": "bias"},
)
