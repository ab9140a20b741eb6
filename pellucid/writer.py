"""Writer: a body that writes text, on its engine: prompts are read, parameters settled, requests run."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from pellucid.driver import Driver
from pellucid.engine.backend import choose_backend
from pellucid.engine.encoder_decoder_runner import EncoderDecoderRunner
from pellucid.engine.engine import Engine
from pellucid.engine.speculative_config import read_speculative_config
from pellucid.errors import ConfigError, RequestError
from pellucid.limits import within_model
from pellucid.lora import Adapters, LoRARequest
from pellucid.models.checkpoint import Checkpoint, open_checkpoint
from pellucid.models.decoder import Decoder
from pellucid.models.encoder_decoder import EncoderDecoder
from pellucid.models.loading import load_checkpoint
from pellucid.outputs import BeamSearchOutput, RequestOutput
from pellucid.prompts import PromptReader, ReadPrompt, SourceReader
from pellucid.sampling.defaults import GenerationDefaults
from pellucid.sampling.params import BeamSearchParams, SamplingParams
from pellucid.tasks.listening import SoundReader, sound_reader
from pellucid.tasks.writing import source_reader
from pellucid.text import Tokenizer

log = logging.getLogger(__name__)

MAX_NUM_SEQS = 64
MAX_NUM_BATCHED_TOKENS = {"cpu": 128}
"""Where arithmetic is dear, a step with a long prompt's chunk must not keep the others waiting."""
MOST_BATCHED_TOKENS = 2048
LoRAs = LoRARequest | Sequence[LoRARequest | None] | None
"""One adapter for all prompts, one or none for each, or none at all."""


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What a caller of `LLM` may say of the engine, under the same names; None is left to us."""

    max_model_len: int | None
    block_size: int
    num_gpu_blocks_override: int | None
    kv_cache_dtype: torch.dtype | None
    enable_prefix_caching: bool
    max_num_batched_tokens: int | None
    max_num_seqs: int | None
    use_cache: bool
    speculative_config: Mapping[str, Any] | None


class Writer:
    """One engine, what reads prompts for it, and what its checkpoint says of sampling."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        body: Decoder | EncoderDecoder,
        tokenizer: Tokenizer | None,
        device: torch.device,
        options: EngineOptions,
    ) -> None:
        """Make the engine. Raises PellucidError for options that the model cannot be served with."""
        name, encodes = checkpoint.source.name, isinstance(body, EncoderDecoder)
        within_model(options.max_model_len, body.config.max_position_embeddings, name)
        if encodes and options.speculative_config:
            raise ConfigError(f"{name}: speculative_config is for decoders; leave it out")
        self.body = body
        self.defaults = GenerationDefaults(checkpoint.generation)
        self.backend = choose_backend(device, body.lm_head.weight.dtype)
        own_end = () if tokenizer is None or tokenizer.eos_token_id is None else (tokenizer.eos_token_id,)
        self.engine = Engine(
            body,
            kernels=self.backend.kernels,
            make_runner=EncoderDecoderRunner if encodes else self.backend.make_runner,
            kv_dtype=options.kv_cache_dtype or self.backend.kv_dtype(body.lm_head.weight),
            block_size=options.block_size,
            num_blocks=options.num_gpu_blocks_override,
            max_model_len=options.max_model_len,
            max_num_seqs=options.max_num_seqs or MAX_NUM_SEQS,
            max_num_batched_tokens=options.max_num_batched_tokens
            or MAX_NUM_BATCHED_TOKENS.get(device.type, MOST_BATCHED_TOKENS),
            max_waiting=None,  # whoever calls waits for all of theirs anyway
            enable_prefix_caching=options.enable_prefix_caching,
            use_cache=options.use_cache,
            speculation=read_speculative_config(options.speculative_config, partial(load_draft, body)),
            eos_token_ids=self.defaults.eos_token_ids or body.config.eos_token_ids or own_end,
        )
        prompts = PromptReader(tokenizer, body.config.vocab_size, self.engine.max_model_len)
        self.reader: PromptReader | SourceReader | SoundReader = prompts
        if isinstance(body, EncoderDecoder) and body.config.encoder.vocab_size is None:
            self.reader = sound_reader(body.config, checkpoint, self.engine.eos_token_ids, prompts)
        elif isinstance(body, EncoderDecoder):
            self.reader = source_reader(body.config, tokenizer, checkpoint.generation)
        self.driver = Driver(self.engine, tokenizer)
        self.adapters = Adapters(checkpoint, body)
        log.info("%s on %s; %s", name, self.backend.name, self.engine.cache_size.describe())
        if checkpoint.generation:
            said = self.defaults.in_words()
            log.info("%s: by its generation_config.json, tokens are %s", name, said)

    def generate(
        self, prompts: Sequence[ReadPrompt], params: Sequence[SamplingParams], loras: LoRAs, *, show: bool
    ) -> list[RequestOutput]:
        """Continue all prompts, or, where one is refused, none. `show` says how far it is."""
        asked = list(zip(prompts, params, self.adapters.each(loras, len(prompts)), strict=True))
        answers = self.driver.begin([partial(self.driver.answer, *one) for one in asked])
        self.driver.run(answers, show=show and len(answers) > 1)
        return [answer.output for answer in answers]

    def search(self, prompts: Sequence[ReadPrompt], params: BeamSearchParams) -> list[BeamSearchOutput]:
        """The likeliest texts found for each prompt."""
        searches = self.driver.begin([partial(self.driver.search, read, params) for read in prompts])
        self.driver.run(searches)
        return [search.output() for search in searches]

    def params(
        self, given: SamplingParams | Sequence[SamplingParams] | None, count: int
    ) -> Sequence[SamplingParams]:
        """The parameters of each of `count` prompts; the checkpoint's own for None. Raises RequestError."""
        if given is None:
            given = self.defaults.params()
        if isinstance(given, SamplingParams):
            return [given] * count
        if not isinstance(given, list | tuple) or not all(isinstance(one, SamplingParams) for one in given):
            raise RequestError(
                f"sampling_params is {given!r}; give a SamplingParams, or a list with one for each prompt"
            )
        if len(given) != count:
            raise RequestError(
                f"{count} prompts and {len(given)} SamplingParams were given; give one for all, or one "
                "for each"
            )
        return given


def load_draft(target: Decoder | EncoderDecoder, source: str) -> Decoder:
    """A small model that guesses for a large one, in the dtype and on the device of that."""
    weight = target.lm_head.weight
    body = load_checkpoint(open_checkpoint(source), dtype=weight.dtype, device=weight.device)
    if not isinstance(body, Decoder):
        raise ConfigError(f"{source} is no decoder, so it cannot make drafts")
    return body
