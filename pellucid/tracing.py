"""Runs one input through whichever body there is, and keeps every number: what is behind `LLM.trace`."""

from functools import partial

import torch

from pellucid.errors import RequestError
from pellucid.images import Picture
from pellucid.kernels import torch_ops
from pellucid.kernels.kept import as_kept
from pellucid.layers.context import ForwardContext
from pellucid.models.decoder import Decoder
from pellucid.models.encoder import Encoder
from pellucid.models.vision import Vision
from pellucid.prompts import Prompt, ReadPrompt
from pellucid.sampling.params import SamplingParams
from pellucid.tasks.tasks import Tasks
from pellucid.tasks.texts import TextReader
from pellucid.trace.reading import EncoderTrace, PictureTrace
from pellucid.trace.record import Record, TracingContext, Watched
from pellucid.trace.text import TextTrace, TranslationTrace
from pellucid.trace.trace import Names, Trace
from pellucid.views import picture, terminal
from pellucid.writer import Writer


def trace_writing(
    writer: Writer,
    given: Prompt | Picture,
    params: SamplingParams,
    pieces: Names,
    *,
    keep_answer: bool,
) -> TextTrace:
    """Run a prompt and what is written after it on the engine, beside whatever else is running there; without
    `keep_answer` the trace is of the prompt alone."""
    if params.n > 1:
        raise RequestError(
            f"a trace is of one sample, and n={params.n}: give n=1, and another seed for another"
        )
    prompt: Prompt = given  # type: ignore[assignment]  # what is no text is refused there
    model, read, record = writer.body, writer.reader.read(prompt), Record()
    answer = writer.driver.answer(read, params, record=record)
    writer.driver.run([answer])
    for module in (*model.attentions, *(() if isinstance(model, Decoder) else model.cross_attentions)):
        for part in "kv":  # attention saw what the cache keeps of them
            record.edit(f"{module.name}.{part}", partial(as_kept, dtype=writer.engine.kv_dtype))
    token_ids = [*read.token_ids, *(answer.output.outputs[0].token_ids if keep_answer else [])]
    if isinstance(model, Decoder):
        return TextTrace(model, record, token_ids, len(read.token_ids), pieces, terminal.show_text)
    source = source_rows(read, pieces)
    return TranslationTrace(
        model, record, token_ids, len(read.token_ids), pieces, terminal.show_translation, source=source
    )


def source_rows(read: ReadPrompt, pieces: Names) -> list[str]:
    """How a person reads each row of an encoder: its token, or its number where it is no text."""
    assert read.source is not None
    content = read.source.content
    return pieces(content) if isinstance(content, list) else [str(row) for row in range(read.source.num_rows)]


def trace_reading(tasks: Tasks, given: Prompt | Picture, pieces: Names) -> Trace:
    """Run one text through an encoder, or one picture through a vision model."""
    if isinstance(tasks.body, Vision):
        return _trace_picture(tasks.body, tasks, given)
    assert isinstance(tasks.body, Encoder)
    return _trace_text(tasks.body, tasks, given, pieces)


@torch.inference_mode()
def _trace_text(model: Encoder, tasks: Tasks, given: Prompt | Picture, pieces: Names) -> EncoderTrace:
    config, tokenizer = model.config, tasks.tokenizer
    prompt: Prompt = given  # type: ignore[assignment]  # what is no text is refused there
    ids = TextReader(tokenizer, config.vocab_size, config.max_position_embeddings).read(prompt).token_ids
    device, record = model.input.embed_tokens.weight.device, Record()
    ctx = watched(tasks.runner.context([len(ids)]), record, len(ids))
    output_RV = model(torch.tensor(ids, device=device), ctx).cpu()
    mask_id = tokenizer.mask_token_id if tokenizer else None
    return EncoderTrace(model, record, ids, output_RV, pieces, terminal.show_encoder, mask_id=mask_id)


@torch.inference_mode()
def _trace_picture(model: Vision, tasks: Tasks, given: Prompt | Picture) -> PictureTrace:
    shown: Picture = given  # type: ignore[assignment]  # what is no picture is refused there
    pixels_CYX, record = tasks.picture_reader.read(shown), Record()
    ctx = watched(model.context(1, torch_ops), record, model.config.input.num_tokens)
    weight = model.input.patch_proj.weight
    output_RV = model(pixels_CYX[None].to(weight.device, weight.dtype), ctx).cpu()
    return PictureTrace(model, record, pixels_CYX, output_RV, picture.show_picture)


def watched(inside: ForwardContext, record: Record, num_tokens: int) -> TracingContext:
    """A context around one for a single input, of which every row is written down."""
    return TracingContext(inside, [Watched(record, slice(0, num_tokens), 0)])
