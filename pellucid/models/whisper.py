"""Whisper (Radford et al. 2022): the encoder hears thirty seconds, the decoder writes down what was said.

As BART but for its input: norm first, positions from tables, keys without a bias.
"""

from pellucid.layers.frame_input import FrameInputConfig
from pellucid.layers.token_input import PositionsConfig, TokenInputConfig
from pellucid.models import bart
from pellucid.models.encoder_decoder import EncoderDecoder
from pellucid.models.encoder_decoder_config import EncoderDecoderConfig, StackConfig
from pellucid.models.family import Family, weights_and_biases
from pellucid.models.published import PublishedConfig

SIZES = {
    "d_model": 384,
    "encoder_layers": 4,
    "decoder_layers": 4,
    "encoder_attention_heads": 6,
    "decoder_attention_heads": 6,
    "encoder_ffn_dim": 1536,
    "decoder_ffn_dim": 1536,
}
"""What the published class assumes where a config is silent."""


def read_config(published: PublishedConfig) -> EncoderDecoderConfig:
    """config.json → EncoderDecoderConfig. `scale_embedding` is in every config, and scales nothing."""
    published = published.with_defaults(SIZES)
    target_length = published.size("max_target_positions", 448)
    source_length = published.size("max_source_positions", 1500)
    encoder, decoder = bart.read_blocks(published, wiring="pre_norm")
    return EncoderDecoderConfig(
        model_type=published.model_type,
        hidden_size=published.size("d_model"),
        encoder=StackConfig(
            vocab_size=None,
            max_length=source_length,
            input=FrameInputConfig(num_mels=published.size("num_mel_bins", 80), num_tokens=source_length),
            blocks=encoder,
            final_norm=bart.NORM,
        ),
        decoder=StackConfig(
            vocab_size=published.size("vocab_size", 51865),
            max_length=target_length,
            input=TokenInputConfig(positions=PositionsConfig(kind="learned", size=target_length)),
            blocks=decoder,
            final_norm=bart.NORM,
        ),
        shared_embedding=False,
        tie_word_embeddings=published.get("tie_word_embeddings", bool, True),
        decoder_start_token_id=published.get("decoder_start_token_id", int, 50257),
        bos_token_id=published.optional("bos_token_id", int, 50256),
        eos_token_ids=published.token_ids("eos_token_id", (50256,)),
        pad_token_id=published.optional("pad_token_id", int, 50256),
        dtype=published.dtype(),
    )


FAMILY = Family(
    model_type="whisper",
    read_config=read_config,
    build=EncoderDecoder,
    weights={
        **{name: ours for name, ours in bart.BLOCKS.items() if not name.endswith("k_proj.bias")},
        **weights_and_biases(
            {
                "encoder.conv1": "encoder.input.conv1",
                "encoder.conv2": "encoder.input.conv2",
                "encoder.layer_norm": "encoder.norm",
                "decoder.layer_norm": "decoder.norm",
            }
        ),
        "encoder.embed_positions.weight": "encoder.input.embed_positions.weight",
        "decoder.embed_positions.weight": "decoder.input.embed_positions.weight",
        "decoder.embed_tokens.weight": "decoder.input.embed_tokens.weight",
        "proj_out.weight": "lm_head.weight",
    },
    # a convolution's weights `[D, C, 3]` as a product's `[D, C * 3]`
    transforms={f"encoder.conv{i}.weight": lambda weight_DC3: weight_DC3.flatten(1) for i in (1, 2)},
    prefixes=("model.",),
    spares={"decoder.embed_tokens.weight": ("proj_out.weight",)},
)
