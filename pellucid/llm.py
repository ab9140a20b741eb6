"""LLM: a checkpoint with its tokenizer, and all that can be asked of it: text, vectors, classes, traces."""

import logging
import os
import sys
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import torch

from pellucid.audio import Sound
from pellucid.device import resolve_cache_dtype, resolve_device
from pellucid.engine.backend import Backend
from pellucid.engine.engine import Engine
from pellucid.errors import RequestError, TokenizerError
from pellucid.images import Picture
from pellucid.limits import at_least_one
from pellucid.lora import LoRARequest
from pellucid.models.body import Body, BodyConfig
from pellucid.models.checkpoint import open_checkpoint
from pellucid.models.decoder import Decoder
from pellucid.models.encoder_decoder import EncoderDecoder
from pellucid.models.footprint import Footprint
from pellucid.models.loading import load_checkpoint
from pellucid.outputs import BeamSearchOutput, Piece, RequestOutput
from pellucid.prompts import Message, Prompt, ReadPrompt, as_conversations, as_prompts
from pellucid.sampling.params import BeamSearchParams, SamplingParams, known_names
from pellucid.tasks.listening import SoundReader
from pellucid.tasks.outputs import (
    ClassificationRequestOutput,
    EmbeddingRequestOutput,
    FilledMask,
    TokenClassificationRequestOutput,
    Transcription,
)
from pellucid.tasks.tasks import Tasks
from pellucid.trace.trace import Trace
from pellucid.tracing import trace_reading, trace_writing
from pellucid.transcription import Transcriber, TranscriptionParams
from pellucid.writer import EngineOptions, LoRAs, Writer

log = logging.getLogger(__name__)


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
        kv_cache_dtype: str | torch.dtype = "auto",
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
        device; as many as fit by default. `kv_cache_dtype`: what keys and values are kept in: "float32",
        "bfloat16", "float16", or "int8" with a scale for each head of each token, half the memory of 16 bits;
        "auto" is as precise as the weights. `max_num_batched_tokens`, `max_num_seqs`: how many tokens and
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
        kept_in = resolve_cache_dtype(kv_cache_dtype)
        checkpoint = open_checkpoint(model, revision=revision, token=token)
        self.name = checkpoint.source.name
        self.folder = checkpoint.source.path
        self.generation = checkpoint.generation
        self.device = resolve_device(device)
        body = load_checkpoint(checkpoint, dtype=dtype, device=self.device, quantization=quantization)
        self.model: Body = body
        self.config: BodyConfig = body.config
        self.footprint = Footprint(body)
        reads_text = body.config.vocab_size is not None and not skip_tokenizer_init
        self.tokenizer = checkpoint.tokenizer() if reads_text else None
        self.tasks = Tasks(body, self.tokenizer, self.folder, self.name)
        self.block_size = block_size
        self._writer: Writer | None = None
        if not isinstance(body, Decoder | EncoderDecoder):
            log.info("%s: a %s, which writes no text", self.name, self.config.model_type)
            return
        options = EngineOptions(
            max_model_len=max_model_len,
            block_size=block_size,
            num_gpu_blocks_override=num_gpu_blocks_override,
            kv_cache_dtype=kept_in,
            enable_prefix_caching=enable_prefix_caching,
            max_num_batched_tokens=max_num_batched_tokens,
            max_num_seqs=max_num_seqs,
            use_cache=use_cache,
            speculative_config=speculative_config,
        )
        self._writer = Writer(checkpoint, body, self.tokenizer, self.device, options)

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
        writer, several = self._writer_for("generate"), as_prompts(prompts)
        each = writer.params(sampling_params, len(several))
        read = [writer.reader.read(prompt) for prompt in several]
        return writer.generate(read, each, lora_request, show=use_tqdm and sys.stderr.isatty())

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
        writer = self._writer_for("stream")
        read = writer.reader.read(prompt)
        (params,) = writer.params(sampling_params, 1)
        return writer.driver.stream(read, params, writer.adapters.of(lora_request))

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
        writer = self._writer_for("chat")
        read = [self._render(one, tools, template_variables) for one in as_conversations(messages)]
        each = writer.params(sampling_params, len(read))
        return writer.generate(read, each, lora_request, show=use_tqdm and sys.stderr.isatty())

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
        writer = self._writer_for("stream_chat")
        (one,) = as_conversations([messages])
        read = self._render(one, tools, template_variables)
        (params,) = writer.params(sampling_params, 1)
        return writer.driver.stream(read, params, writer.adapters.of(lora_request))

    def beam_search(
        self, prompts: Prompt | Sequence[Prompt], params: BeamSearchParams
    ) -> list[BeamSearchOutput]:
        """The `beam_width` likeliest texts found for each prompt; beams share what they have in common."""
        if not isinstance(params, BeamSearchParams):
            raise RequestError(f"params is {params!r}; give BeamSearchParams(beam_width=4, max_tokens=64)")
        writer = self._writer_for("beam_search")
        return writer.search([writer.reader.read(prompt) for prompt in as_prompts(prompts)], params)

    def trace(
        self,
        prompt: Prompt | Picture,
        max_tokens: int = 0,
        sampling_params: SamplingParams | None = None,
    ) -> Trace:
        """Run one input, keeping every number inside: a text in an encoder, a picture, or a prompt and
        `max_tokens` greedy tokens after it (chosen as `sampling_params` say instead, if given).

        A decoder gives a `TextTrace`, an encoder-decoder a `TranslationTrace` with both sides and
        cross-attention, an encoder an `EncoderTrace`, a vision model a `PictureTrace`. Other requests keep
        their tokens and their speed. Raises RequestError.
        """
        if self._writer is None:
            if max_tokens or sampling_params:
                self._writer_for("max_tokens")
            return trace_reading(self.tasks, prompt, self.pieces)
        (params,) = self._writer.params(
            sampling_params or SamplingParams(temperature=0.0, max_tokens=max_tokens or 1), 1
        )
        keep = bool(max_tokens or sampling_params)
        return trace_writing(self._writer, prompt, params, self.pieces, keep_answer=keep)

    def embed(
        self,
        prompts: Prompt | Sequence[Prompt],
        *,
        prompt_name: str | None = None,
        truncate_prompt_tokens: int | None = None,
    ) -> list[EmbeddingRequestOutput]:
        """One vector for each text, pooled as the checkpoint's folder says. See `Embedder.embed`."""
        return self.tasks.embedder.embed(
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
        return self.tasks.mask_filler.fill(text, top_k)

    def transcribe(
        self,
        audio: Sound | Sequence[Sound],
        *,
        language: str | None = None,
        task: str | None = None,
        timestamps: bool = False,
        **options: Any,
    ) -> list[Transcription]:
        """What is said in one recording or many of any length, all in one running batch, in the order given.

        A recording is a WAV or FLAC file, its bytes, or samples; `(samples, rate)` where they have another
        rate than the model. `language`: "fr", "french"; None is heard from each recording. `task`:
        "transcribe", or "translate" into English. `timestamps`: cut the text into segments at the times the
        model writes; longer recordings need them anyway. For `options` see `TranscriptionParams`. Raises
        RequestError for a recording that cannot be read, before any is heard.
        """  # fmt: skip
        writer = self._writer_for("transcribe")
        if not isinstance(writer.reader, SoundReader):
            raise RequestError(f"{self.name}: a {self.config.model_type} hears nothing; a whisper does")
        known_names(TranscriptionParams, options)
        wanted = TranscriptionParams(language=language, task=task, timestamps=timestamps, **options)
        return Transcriber(writer.reader, writer.driver, self.tokenizer, wanted).transcribe(audio)

    def search(self, prompts: Sequence[ReadPrompt], params: BeamSearchParams) -> list[BeamSearchOutput]:
        """`beam_search` for prompts that are read already."""
        return self._writer_for("search").search(prompts, params)

    def read(self, prompt: Prompt) -> ReadPrompt:
        """A prompt as the engine takes it."""
        return self._writer_for("reading a prompt").reader.read(prompt)

    def default_sampling_params(self, **changes: Any) -> SamplingParams:
        """What generation_config.json says, greedy where it does not say `do_sample`, with these changes."""
        return self._writer_for("sampling").defaults.params(**changes)

    @property
    def writes(self) -> bool:
        """Whether it writes text, as decoders and encoder-decoders do; else it reads texts or pictures."""
        return self._writer is not None

    @property
    def engine(self) -> Engine:
        """The engine: its `steps` and `totals` say what it did. Raises RequestError where there is none."""
        return self._writer_for("an engine").engine

    @property
    def backend(self) -> Backend:
        """Which kernels the engine runs with."""
        return self._writer_for("an engine").backend

    @property
    def has_chat_template(self) -> bool:
        """Whether the checkpoint was published with a chat template."""
        return self.tokenizer is not None and self.tokenizer.chat_template is not None

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
        return self._writer_for("chat").reader.read(text, rendered=True)

    def _writer_for(self, what: str) -> Writer:
        if self._writer is None:
            raise RequestError(
                f"{self.name}: a {self.config.model_type} writes no text, so {what} cannot be had; it may "
                "embed, classify or fill_mask"
            )
        return self._writer
