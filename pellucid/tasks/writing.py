"""How an encoder-decoder is asked to write: its input read, its decoder begun, its published rules kept."""

from collections.abc import Mapping
from typing import Any

from pellucid.models.encoder_decoder_config import EncoderDecoderConfig
from pellucid.prompts import PromptReader, SourceReader
from pellucid.sampling.published_rules import published_rules
from pellucid.text import Tokenizer


def source_reader(
    config: EncoderDecoderConfig, tokenizer: Tokenizer | None, settings: Mapping[str, Any]
) -> SourceReader:
    """What reads prompts for such a model. `settings` are generation_config.json's, or one task's over them;
    what they do not say of the forced beginning and end, the config says."""
    start = settings.get("decoder_start_token_id")
    forced = settings.get("forced_bos_token_id", config.forced_bos_token_id)
    begins = [config.decoder_start_token_id if start is None else start]
    begins += [] if forced is None else [forced]
    rules = published_rules(settings, config.eos_token_ids, len(begins))
    assert config.encoder.vocab_size is not None, "an encoder that reads no text has a reader of its own"
    # one more, because no room is needed in the source for an answer
    longest = config.max_source_length + 1
    return SourceReader(
        PromptReader(tokenizer, config.encoder.vocab_size, longest),
        tuple(begins),
        rules,
        settings.get("forced_eos_token_id", config.forced_eos_token_id),
    )
