"""The original Transformer, "Attention Is All You Need" (Vaswani et al. 2017), in a format of our own.

The paper fixes the arithmetic: sinusoidal positions, norm after each residual, ReLU, one table for both sides
and the head, embeddings times √D. Config and weights use the published vocabulary of its descendants.
"""

from pellucid.layers.token_input import PositionsConfig, TokenInputConfig
from pellucid.models import bart
from pellucid.models.encoder_decoder import EncoderDecoder
from pellucid.models.encoder_decoder_config import EncoderDecoderConfig, StackConfig
from pellucid.models.family import Family
from pellucid.models.published import PublishedConfig

BASE = {
    "model_type": "transformer",
    "vocab_size": 37000,
    "d_model": 512,
    "encoder_layers": 6,
    "decoder_layers": 6,
    "encoder_attention_heads": 8,
    "decoder_attention_heads": 8,
    "encoder_ffn_dim": 2048,
    "decoder_ffn_dim": 2048,
    "max_position_embeddings": 1024,
    "activation_function": "relu",
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
"""The paper's base model, as a config.json."""
BIG = BASE | {
    "d_model": 1024,
    "encoder_attention_heads": 16,
    "decoder_attention_heads": 16,
    "encoder_ffn_dim": 4096,
    "decoder_ffn_dim": 4096,
}
"""The paper's big model."""


def read_config(published: PublishedConfig) -> EncoderDecoderConfig:
    """config.json → EncoderDecoderConfig. Sizes may be any; the arithmetic is the paper's."""
    hidden_size = published.size("d_model", 512)
    vocab_size, length = published.size("vocab_size"), published.size("max_position_embeddings", 1024)
    side = TokenInputConfig(
        scale=hidden_size**0.5, positions=PositionsConfig(kind="sines_interleaved", size=length)
    )
    encoder, decoder = bart.read_blocks(published, wiring="post_norm")
    return EncoderDecoderConfig(
        model_type=published.model_type,
        hidden_size=hidden_size,
        encoder=StackConfig(
            vocab_size=vocab_size, max_length=length, input=side, blocks=encoder, final_norm=None
        ),
        decoder=StackConfig(
            vocab_size=vocab_size, max_length=length, input=side, blocks=decoder, final_norm=None
        ),
        shared_embedding=True,
        tie_word_embeddings=True,
        decoder_start_token_id=published.need("decoder_start_token_id", int),
        bos_token_id=published.optional("bos_token_id", int),
        eos_token_ids=published.token_ids("eos_token_id"),
        pad_token_id=published.optional("pad_token_id", int),
        dtype=published.dtype(),
    )


FAMILY = Family(
    model_type="transformer",
    read_config=read_config,
    build=EncoderDecoder,
    weights={"shared.weight": "encoder.input.embed_tokens.weight", **bart.BLOCKS},
)
