"""MarianMT (Junczys-Dowmunt et al. 2018; the OPUS-MT models of Tiedemann & Thottingal 2020): the original
Transformer with sines before cosines, and a bias for every word."""

from pellucid.layers.token_input import PositionsConfig, TokenInputConfig
from pellucid.models import bart
from pellucid.models.encoder_decoder import EncoderDecoder
from pellucid.models.encoder_decoder_config import EncoderDecoderConfig, StackConfig
from pellucid.models.family import Family
from pellucid.models.published import PublishedConfig


def read_config(published: PublishedConfig) -> EncoderDecoderConfig:
    """config.json → EncoderDecoderConfig."""
    length = published.size("max_position_embeddings", 1024)
    vocab_size = published.size("vocab_size", 58101)
    shared = published.get("share_encoder_decoder_embeddings", bool, True)
    tied = published.get("tie_word_embeddings", bool, True)
    target_size = published.size("decoder_vocab_size", vocab_size)
    side = TokenInputConfig(
        scale=bart.read_scale(published), positions=PositionsConfig(kind="sines_first", size=length)
    )
    encoder, decoder = bart.read_blocks(published, wiring="post_norm")
    return EncoderDecoderConfig(
        model_type=published.model_type,
        hidden_size=published.size("d_model", 1024),
        encoder=StackConfig(
            vocab_size=vocab_size, max_length=length, input=side, blocks=encoder, final_norm=None
        ),
        decoder=StackConfig(
            vocab_size=vocab_size if shared else target_size,
            max_length=length,
            input=side,
            blocks=decoder,
            final_norm=None,
        ),
        shared_embedding=shared and tied,
        tie_word_embeddings=tied,
        lm_head_bias=True,
        decoder_start_token_id=published.get("decoder_start_token_id", int, 58100),
        bos_token_id=published.optional("bos_token_id", int),
        eos_token_ids=published.token_ids("eos_token_id", (0,)),
        pad_token_id=published.optional("pad_token_id", int, 58100),
        forced_bos_token_id=published.optional("forced_bos_token_id", int),
        forced_eos_token_id=published.optional("forced_eos_token_id", int, 0),
        dtype=published.dtype(),
    )


FAMILY = Family(
    model_type="marian",
    read_config=read_config,
    build=EncoderDecoder,
    weights={
        **bart.TABLES,
        **bart.BLOCKS,
    },
    transforms={"final_logits_bias": bart.flattened},
    ignored=("shared.weight", "encoder.embed_positions.weight", "decoder.embed_positions.weight"),
    prefixes=("model.",),
    spares=bart.SPARE_TABLES,
    optional=("final_logits_bias",),
)
