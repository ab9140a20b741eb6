"""demo: stream an answer as it is made, then tell what happened and how fast."""

import math
import os
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from rich.console import Console

from pellucid.device import read_bandwidth
from pellucid.errors import RequestError
from pellucid.llm import LLM
from pellucid.models.config import ModelConfig
from pellucid.outputs import RequestOutput
from pellucid.report import Report, Step
from pellucid.sampling.defaults import in_words
from pellucid.sampling.logprobs import Logprob
from pellucid.sampling.params import SamplingParams
from pellucid.views.story import tell

BUNDLED = "pellucid/guide"
QUESTION = "What is AI?"
FIRST_STEPS, CANDIDATES = 5, 4


def demo(
    model: str | os.PathLike[str] | LLM = BUNDLED,
    prompt: str = QUESTION,
    max_tokens: int = 128,
    *,
    console: Console | None = None,
    **options: Any,
) -> Report:
    """Ask a model, show its answer as it is made, then the guide's six steps with this run's own values.

    `model` is a bundled name, a local folder, a hub id, or an LLM that is loaded already; `options` go to
    `LLM(...)`. The checkpoint's chat template is applied where it has one. Ctrl-C ends the answer, and the
    story of what there is follows. Returns the report that was told.
    """
    console = console or Console(highlight=False)
    start = time.perf_counter()
    llm = model if isinstance(model, LLM) else LLM(model, **options)
    load_seconds = time.perf_counter() - start
    console.print(f"[bold]{prompt}[/bold]")
    report = run(llm, prompt, max_tokens, console, load_seconds)
    tell(report, console)
    return report


def run(llm: LLM, prompt: str, max_tokens: int, console: Console, load_seconds: float = 0.0) -> Report:
    """Stream one answer to the console and give its report."""
    if not isinstance(llm.config, ModelConfig):
        raise RequestError(
            f"{llm.name}: demo tells the story of a decoder, and this is a {llm.config.model_type}; see "
            "looks into any model, and embed, classify, fill and translate put it to work"
        )
    params = llm.default_sampling_params(max_tokens=max_tokens, logprobs=CANDIDATES)
    if llm.has_chat_template:
        pieces = llm.stream_chat([{"role": "user", "content": prompt}], params)
    else:
        pieces = llm.stream(prompt, params)
    moments = [time.perf_counter()]
    output: RequestOutput | None = None
    try:
        for piece in pieces:
            output = piece.output
            moments += [time.perf_counter()] * bool(piece.token_ids)
            console.print(piece.text, end="", markup=False, soft_wrap=True)
    except KeyboardInterrupt:
        pieces.close()
        if output is None:
            raise
    console.print()
    assert output is not None, "a request that was accepted has at least one piece"
    return describe(llm, prompt, params, output, moments, load_seconds)


def describe(
    llm: LLM,
    prompt: str,
    params: SamplingParams,
    output: RequestOutput,
    moments: Sequence[float],
    load_seconds: float,
) -> Report:
    """A run as a report. `moments`: when it was asked, then when each token came, in seconds."""
    config, sample = llm.config, output.outputs[0]
    assert isinstance(config, ModelConfig)  # run() has seen to it
    spec = config.blocks[0].attention.spec
    total = len(output.prompt_token_ids) + max(0, len(sample.token_ids) - 1)
    return Report(
        model=llm.name,
        prompt=prompt,
        answer=sample.text,
        finish_reason=sample.finish_reason or "abort",
        tokens=list(zip(output.prompt_token_ids, llm.pieces(output.prompt_token_ids), strict=True)),
        output_token_ids=list(sample.token_ids),
        steps=[
            first_step(llm, token, logprobs)
            for token, logprobs in zip(sample.token_ids[:FIRST_STEPS], sample.logprobs or [], strict=False)
        ],
        sampling=in_words(params),
        num_layers=config.num_layers,
        num_heads=spec.num_heads,
        num_kv_heads=spec.num_kv_heads,
        head_dim=spec.head_dim,
        hidden_size=config.hidden_size,
        vocab_size=config.vocab_size,
        positions="learned" if config.learned_positions else "rotary",
        parameters=llm.footprint.num_parameters,
        dtype=llm.footprint.dtype,
        weight_bytes=llm.footprint.weight_bytes,
        weight_bytes_per_token=llm.footprint.weight_bytes_per_token,
        kv_bytes_per_token=llm.engine.kv_bytes_per_token,
        kv_blocks=-(-total // llm.block_size),
        block_size=llm.block_size,
        time_to_first_token=moments[1] - moments[0] if len(moments) > 1 else 0.0,
        decode_seconds=sum(b - a for a, b in pairwise(moments[1:])),
        load_seconds=load_seconds,
        read_bandwidth=read_bandwidth(llm.device),
    )


def first_step(llm: LLM, token_id: int, logprobs: Mapping[int, Logprob]) -> Step:
    """One of the first steps, likeliest candidates first."""
    ranked = sorted(logprobs.items(), key=lambda item: item[1].rank)
    texts = dict(zip([i for i, _ in ranked], llm.pieces([i for i, _ in ranked]), strict=True))
    candidates = [(texts[i], math.exp(found.logprob)) for i, found in ranked[:CANDIDATES]]
    return Step(candidates, texts[token_id], math.exp(logprobs[token_id].logprob))
