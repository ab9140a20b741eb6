"""LLM: a checkpoint with its tokenizer on the paged engine; generate, stream, chat, trace."""

import logging
import os
import sys
from collections.abc import Generator, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from pellucid.device import resolve_device
from pellucid.driver import Driver
from pellucid.engine.backend import choose_backend
from pellucid.engine.encoder_decoder_runner import EncoderDecoderRunner
from pellucid.engine.engine import Engine
from pellucid.engine.speculative_config import read_speculative_config
from pellucid.errors import ConfigError, RequestError, TokenizerError
from pellucid.images import Picture
from pellucid.kernels import QuantisedWeight, torch_ops
from pellucid.limits import at_least_one, within_model
from pellucid.lora import Adapters, LoRARequest
from pellucid.models.checkpoint import open_checkpoint
from pellucid.models.decoder import Decoder
from pellucid.models.encoder_decoder import EncoderDecoder
from pellucid.models.loading import load_checkpoint
from pellucid.models.quantising import stored_weights
from pellucid.outputs import BeamSearchOutput, Piece, RequestOutput
from pellucid.prompts import (
    Message,
    Prompt,
    PromptReader,
    ReadPrompt,
    SourceReader,
    as_conversations,
    as_prompts,
)
from pellucid.sampling.defaults import GenerationDefaults, in_words
from pellucid.sampling.params import BeamSearchParams, SamplingParams
from pellucid.tasks.outputs import (
    ClassificationRequestOutput,
    EmbeddingRequestOutput,
    FilledMask,
    TokenClassificationRequestOutput,
)
from pellucid.tasks.tasks import Tasks
from pellucid.tasks.writing import source_reader
from pellucid.trace.record import Record
from pellucid.trace.trace import Trace
from pellucid.views import terminal

log = logging.getLogger(__name__)

MAX_NUM_SEQS = 64
MAX_NUM_BATCHED_TOKENS = {"cpu": 128}
"""Where arithmetic is dear, a step with a long prompt's chunk must not keep the others waiting."""
MOST_BATCHED_TOKENS = 2048
LoRAs = LoRARequest | Sequence[LoRARequest | None] | None
"""One adapter for all prompts, one or none for each, or none at all."""


class LLM:
    """One model, its tokenizer and its engine; many requests at once."""

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        dtype: str | torch.dtype = "auto",
        quantization: str | None = None,
        device: str | torch.device = "auto",
        max_model_len: int | None = None,
        block_size: int = 16,
        num_gpu_blocks_override: int | None = None,
        enable_prefix_caching: bool = True,
        max_num_batched_tokens: int | None = None,
        max_num_seqs: int | None = None,
        use_cache: bool = True,
        speculative_config: Mapping[str, Any] | None = None,
        skip_tokenizer_init: bool = False,
        revision: str | None = None,
        token: str | None = None,
    ) -> None:
        """Open `model`: a bundled name, a local folder or a hub id.

        `dtype`, `device`: "auto" is the published dtype, and the best device there is. `quantization`:
        "int8" or "int4" rounds the weights while they load, "auto" only as far as memory asks.
        `max_model_len`: the longest prompt and answer together, the model's own limit by default.
        `num_gpu_blocks_override`: how many blocks of `block_size` tokens the KV cache has, on whatever
        device; as many as fit by default. `max_num_batched_tokens`, `max_num_seqs`: how many tokens and
        samples one step takes, by default 128 on a CPU (elsewhere 2048) and 64.
        `use_cache=False` computes every token anew each step: same tokens, far more work.
        `speculative_config`: guess several tokens a step and verify them together, by lookup
        (`{"method": "ngram"}`) or with a smaller model (`{"model": source}`); the tokens stay the same.

        Raises PellucidError saying what is wrong and what to do.
        """
        at_least_one(
            max_model_len=max_model_len,
            block_size=block_size,
            num_gpu_blocks_override=num_gpu_blocks_override,
            max_num_batched_tokens=max_num_batched_tokens,
            max_num_seqs=max_num_seqs,
        )
        checkpoint = open_checkpoint(model, revision=revision, token=token)
        self.name = checkpoint.source.name
        self.device = resolve_device(device)
        body = load_checkpoint(checkpoint, dtype=dtype, device=self.device, quantization=quantization)
        self.model: Any = body  # whichever of the four it is
        self.config: Any = body.config
        self.folder = checkpoint.source.path
        reads_text = body.config.vocab_size is not None and not skip_tokenizer_init
        self.tokenizer = checkpoint.tokenizer() if reads_text else None
        self.tasks = Tasks(body, self.tokenizer, self.folder, torch_ops, self.name)
        self.generation = checkpoint.generation
        self._defaults = GenerationDefaults(checkpoint.generation)
        self._writes = isinstance(body, Decoder | EncoderDecoder)
        if not isinstance(body, Decoder | EncoderDecoder):
            log.info("%s: a %s, which writes no text", self.name, self.config.model_type)
            return
        within_model(max_model_len, body.config.max_position_embeddings, self.name)
        self.block_size = block_size
        self.backend = choose_backend(self.device, body.lm_head.weight.dtype)
        encodes = isinstance(body, EncoderDecoder)
        speculation = read_speculative_config(speculative_config, self._load_draft)
        if encodes and speculative_config:
            raise ConfigError(f"{self.name}: speculative_config is for decoders; leave it out")
        self.engine = Engine(
            body,
            kernels=self.backend.kernels,
            make_runner=EncoderDecoderRunner if encodes else self.backend.make_runner,
            kv_dtype=self.backend.kv_dtype(body.lm_head.weight),
            block_size=block_size,
            num_blocks=num_gpu_blocks_override,
            max_model_len=max_model_len,
            max_num_seqs=max_num_seqs or MAX_NUM_SEQS,
            max_num_batched_tokens=max_num_batched_tokens
            or MAX_NUM_BATCHED_TOKENS.get(self.device.type, MOST_BATCHED_TOKENS),
            enable_prefix_caching=enable_prefix_caching,
            use_cache=use_cache,
            speculation=speculation,
            eos_token_ids=self._eos_token_ids(),
        )
        self._reader: PromptReader | SourceReader = PromptReader(
            self.tokenizer, body.config.vocab_size, self.engine.max_model_len
        )
        if isinstance(body, EncoderDecoder):
            self._reader = source_reader(body.config, self.tokenizer, checkpoint.generation)
        self._driver = Driver(self.engine, self.tokenizer)
        self._adapters = Adapters(checkpoint, body)
        log.info("%s on %s; %s", self.name, self.backend.name, self.engine.cache_size.describe())
        if checkpoint.generation:
            said = in_words(self.default_sampling_params())
            log.info("%s: by its generation_config.json, tokens are %s", self.name, said)

    def generate(
        self,
        prompts: Prompt | Sequence[Prompt],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        use_tqdm: bool = True,
        lora_request: LoRAs = None,
    ) -> list[RequestOutput]:
        """Continue one prompt or many, as they are, all in one running batch; outputs in the order given.

        One SamplingParams for all, or a list as long as the prompts; None is what generation_config.json
        says. One LoRARequest for all, or a list that may hold None: a batch mixes any of them. Raises
        RequestError for a prompt or parameter that cannot be served, before anything runs.
        """
        self._must_write("generate")
        several = as_prompts(prompts)
        each = self._params_for(sampling_params, len(several))
        read = [self._reader.read(prompt) for prompt in several]
        return self._finish(read, each, lora_request, use_tqdm)

    def stream(
        self,
        prompt: Prompt,
        sampling_params: SamplingParams | None = None,
        *,
        lora_request: LoRARequest | None = None,
    ) -> Generator[Piece, None, None]:
        """Continue one prompt, a piece at a time as it is made. Closing the iterator aborts the request.

        Several streams may be under way at once; they share the engine's steps.
        """
        self._must_write("stream")
        read = self._reader.read(prompt)
        (params,) = self._params_for(sampling_params, 1)
        return self._driver.stream(read, params, self._adapters.of(lora_request))

    def chat(
        self,
        messages: Sequence[Message] | Sequence[Sequence[Message]],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        use_tqdm: bool = True,
        lora_request: LoRAs = None,
        **template_variables: Any,
    ) -> list[RequestOutput]:
        """Answer one conversation or many, through the checkpoint's chat template.

        Earlier turns that the prefix cache still holds are not computed again. Raises TokenizerError where
        the checkpoint has no template.
        """
        read = [self._render(one, tools, template_variables) for one in as_conversations(messages)]
        each = self._params_for(sampling_params, len(read))
        return self._finish(read, each, lora_request, use_tqdm)

    def stream_chat(
        self,
        messages: Sequence[Message],
        sampling_params: SamplingParams | None = None,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        lora_request: LoRARequest | None = None,
        **template_variables: Any,
    ) -> Generator[Piece, None, None]:
        """Answer one conversation, a piece at a time as it is made."""
        (one,) = as_conversations([messages])
        read = self._render(one, tools, template_variables)
        (params,) = self._params_for(sampling_params, 1)
        return self._driver.stream(read, params, self._adapters.of(lora_request))

    def beam_search(
        self, prompts: Prompt | Sequence[Prompt], params: BeamSearchParams
    ) -> list[BeamSearchOutput]:
        """The `beam_width` likeliest texts found for each prompt; beams share what they have in common."""
        if not isinstance(params, BeamSearchParams):
            raise RequestError(f"params is {params!r}; give BeamSearchParams(beam_width=4, max_tokens=64)")
        self._must_write("beam_search")
        several = [self._reader.read(prompt) for prompt in as_prompts(prompts)]
        return self.search(several, params)

    def trace(
        self, prompt: Prompt, max_tokens: int = 0, sampling_params: SamplingParams | None = None
    ) -> Trace:
        """Run a prompt, and `max_tokens` greedy tokens after it, keeping every number inside.

        Other requests keep their tokens; a step that is watched runs operation by operation. With
        `sampling_params` the tokens are chosen as they say instead.
        """
        if not isinstance(self.model, Decoder):
            raise RequestError(f"{self.name}: trace looks into decoders; this is a {self.config.model_type}")
        read = self._reader.read(prompt)
        greedy = SamplingParams(temperature=0.0, max_tokens=max_tokens or 1)
        (params,) = self._params_for(sampling_params or greedy, 1)
        if params.n > 1:
            raise RequestError(
                f"a trace is of one sample, and n={params.n}: give n=1, and another seed for another"
            )
        record = Record()
        answer = self._driver.answer(read, params, record=record)
        self._driver.run([answer])
        output = answer.output
        generated = output.outputs[0].token_ids if max_tokens or sampling_params else []
        ids = read.token_ids + generated
        return Trace(self.model, record, ids, len(read.token_ids), self.text_of, terminal.show)

    def embed(
        self,
        prompts: Prompt | Sequence[Prompt],
        *,
        prompt_name: str | None = None,
        truncate_prompt_tokens: int | None = None,
    ) -> list[EmbeddingRequestOutput]:
        """One vector for each text, pooled as the checkpoint's folder says. See `Embedder.embed`."""
        return self.tasks.embed(
            prompts, prompt_name=prompt_name, truncate_prompt_tokens=truncate_prompt_tokens
        )

    def classify(
        self,
        inputs: Prompt | Picture | Sequence[Prompt | Picture],
        *,
        truncate_prompt_tokens: int | None = None,
    ) -> list[ClassificationRequestOutput] | list[TokenClassificationRequestOutput]:
        """The class of each text, of each of its tokens, or of each picture. See `Tasks.classify`."""
        return self.tasks.classify(inputs, truncate_prompt_tokens=truncate_prompt_tokens)

    def fill_mask(self, text: str, top_k: int = 5) -> list[FilledMask]:
        """The likeliest words for each mask of the text, best first. See `MaskFiller.fill`."""
        return self.tasks.fill_mask(text, top_k)

    def search(self, prompts: Sequence[ReadPrompt], params: BeamSearchParams) -> list[BeamSearchOutput]:
        """`beam_search` for prompts that are read already."""
        searches = self._driver.begin([partial(self._driver.search, read, params) for read in prompts])
        self._driver.run(searches)
        return [search.output() for search in searches]

    def read(self, prompt: Prompt) -> ReadPrompt:
        """A prompt as the engine takes it."""
        self._must_write("reading a prompt")
        return self._reader.read(prompt)

    def default_sampling_params(self, **changes: Any) -> SamplingParams:
        """What generation_config.json says, greedy where it does not say `do_sample`, with these changes."""
        return self._defaults.params(**changes)

    def _load_draft(self, source: str) -> Decoder:
        dtype = self.model.embed_tokens.weight.dtype
        body = load_checkpoint(open_checkpoint(source), dtype=dtype, device=self.device)
        if not isinstance(body, Decoder):
            raise ConfigError(f"{source} is no decoder, so it cannot make drafts")
        return body

    @property
    def has_chat_template(self) -> bool:
        """Whether the checkpoint was published with a chat template."""
        return self.tokenizer is not None and self.tokenizer.chat_template is not None

    @property
    def num_parameters(self) -> int:
        """How many numbers the model has learned; a tied table counts once."""
        return sum(weight.numel() for weight in stored_weights(self.model))

    @property
    def weight_bytes(self) -> int:
        """What the weights take in memory."""
        return sum(weight.nbytes for weight in stored_weights(self.model))

    @property
    def weight_bytes_per_token(self) -> int:
        """The weights that one decoding step reads: all but a table of which it takes one row."""
        tied = self.config.tie_word_embeddings
        return self.weight_bytes - (0 if tied else self.model.embed_tokens.weight.nbytes)

    @property
    def dtype_name(self) -> str:
        """The dtype of the weights that multiply, or the format they are quantised to."""
        formats = {w.format for w in stored_weights(self.model) if isinstance(w, QuantisedWeight)}
        return "+".join(sorted(formats)) or str(self.model.lm_head.weight.dtype).removeprefix("torch.")

    @property
    def kv_bytes_per_token(self) -> int:
        """What one token's keys and values take in all layers together."""
        itemsize = self.engine.kv_dtype.itemsize
        specs = [module.spec for module in self.model.attentions]
        return sum(2 * spec.num_kv_heads * spec.head_dim * itemsize for spec in specs)

    def text_of(self, token_id: int) -> str:
        """One token as a person would read it."""
        return self.pieces([token_id])[0]

    def pieces(self, token_ids: Sequence[int]) -> list[str]:
        """Each token as a person would read it; its number where there is no tokenizer."""
        return self.tokenizer.pieces(token_ids) if self.tokenizer else [str(i) for i in token_ids]

    def _render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None,
        variables: Mapping[str, Any],
    ) -> ReadPrompt:
        if self.tokenizer is None or self.tokenizer.chat_template is None:
            raise TokenizerError(
                f"{self.name} has no chat template; use generate() or stream() with a prompt as it was "
                "trained on"
            )
        text = self.tokenizer.chat_template.render(messages, tools, **variables)
        return self._reader.read(text, rendered=True)

    def _must_write(self, what: str) -> None:
        if not self._writes:
            raise RequestError(
                f"{self.name}: a {self.config.model_type} writes no text, so {what} cannot be had; it may "
                "embed, classify or fill_mask"
            )

    def _eos_token_ids(self) -> tuple[int, ...]:
        """generation_config.json's, else the config's, else the tokenizer's."""
        own = self.tokenizer.eos_token_id if self.tokenizer else None
        return self._defaults.eos_token_ids or self.config.eos_token_ids or (() if own is None else (own,))

    def _finish(
        self, prompts: Sequence[ReadPrompt], params: Sequence[SamplingParams], loras: LoRAs, use_tqdm: bool
    ) -> list[RequestOutput]:
        asked = list(zip(prompts, params, self._adapters.each(loras, len(prompts)), strict=True))
        answers = self._driver.begin([partial(self._driver.answer, *one) for one in asked])
        self._driver.run(answers, show=use_tqdm and len(answers) > 1 and sys.stderr.isatty())
        return [answer.output for answer in answers]

    def _params_for(
        self, given: SamplingParams | Sequence[SamplingParams] | None, count: int
    ) -> Sequence[SamplingParams]:
        if given is None:
            given = self.default_sampling_params()
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
