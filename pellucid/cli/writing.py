"""Commands that continue a text: `pellucid demo | run | chat`."""

import dataclasses
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pellucid.cli.options import (
    Device,
    Dtype,
    Json,
    KVCacheDtype,
    MaxTokens,
    Model,
    Prompts,
    Quantization,
    print_json,
    read_prompts,
)
from pellucid.demo import BUNDLED, QUESTION
from pellucid.demo import demo as run_demo
from pellucid.errors import PellucidError
from pellucid.llm import LLM
from pellucid.lora import LoRARequest
from pellucid.sampling.params import SamplingParams


def demo(
    model: Annotated[str, typer.Argument(help="Bundled name, local folder or hub id.")] = BUNDLED,
    prompt: Annotated[str, typer.Argument(help="What to ask.")] = QUESTION,
    max_tokens: Annotated[int, typer.Argument(help="At most this many new tokens.")] = 128,
    dtype: Dtype = "auto",
    kv_cache_dtype: KVCacheDtype = "auto",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Ask a model, watch the answer being made, then read what happened and how fast."""
    console = Console(highlight=False, file=sys.stderr if as_json else sys.stdout)
    report = run_demo(
        model, prompt, max_tokens, console=console, dtype=dtype, kv_cache_dtype=kv_cache_dtype, device=device
    )
    if as_json:
        print_json(report.as_dict())


def run(
    prompts: Prompts = None,
    file: Annotated[Path | None, typer.Option(help="Read prompts from a file, one a line.")] = None,
    model: Model = BUNDLED,
    max_tokens: MaxTokens = 64,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.")] = None,
    top_p: Annotated[float | None, typer.Option()] = None,
    top_k: Annotated[int | None, typer.Option()] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same text.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="Stop at this text; may be given again.")] = None,
    logprobs: Annotated[int | None, typer.Option(help="Also the likeliest tokens of each step.")] = None,
    lora: Annotated[Path | None, typer.Option(help="The folder of a LoRA adapter to run with.")] = None,
    quantization: Quantization = None,
    dtype: Dtype = "auto",
    kv_cache_dtype: KVCacheDtype = "auto",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Continue prompts as they are, all of them in one batch; a single one is streamed."""
    texts = read_prompts(prompts or [], file)
    given: dict[str, Any] = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "seed": seed,
        "stop": stop,
        "logprobs": logprobs,
    }
    given = {name: value for name, value in given.items() if value is not None}
    SamplingParams(**given)  # a mistake in these is said before a large model loads
    llm = LLM(model, dtype=dtype, kv_cache_dtype=kv_cache_dtype, device=device, quantization=quantization)
    params = llm.default_sampling_params(**given)
    adapter = LoRARequest(lora.resolve().name, 1, lora) if lora else None
    if len(texts) == 1 and not as_json:
        stream_text(llm, texts[0], params, adapter)
        return
    outputs = llm.generate(texts, params, lora_request=adapter)
    if as_json:
        print_json([dataclasses.asdict(output) for output in outputs])
    else:
        for output in outputs:
            print(f"{output.prompt}{output.outputs[0].text}\n")
    exit_if_failed([output.outputs[0].finish_reason for output in outputs])


def chat(
    model: Annotated[str, typer.Argument(help="Bundled name, local folder or hub id.")] = BUNDLED,
    system: Annotated[str | None, typer.Option(help="A system turn to begin with.")] = None,
    max_tokens: MaxTokens = 512,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.")] = None,
    quantization: Quantization = None,
    dtype: Dtype = "auto",
    kv_cache_dtype: KVCacheDtype = "auto",
    device: Device = "auto",
) -> None:
    """Talk with a model. It keeps its turns, and their keys and values stay in the cache."""
    llm = LLM(model, dtype=dtype, kv_cache_dtype=kv_cache_dtype, device=device, quantization=quantization)
    given = {} if temperature is None else {"temperature": temperature}
    params = llm.default_sampling_params(max_tokens=max_tokens, **given)
    turns = [{"role": "system", "content": system}] if system else []
    print("Ctrl-C ends an answer; Ctrl-D, or an empty line, ends the conversation.", file=sys.stderr)
    while question := ask():
        asked = [*turns, {"role": "user", "content": question}]
        try:
            turns = [*asked, {"role": "assistant", "content": answer(llm, asked, params)}]
        except PellucidError as error:
            print(f"{error}; this turn is not kept", file=sys.stderr)


def stream_text(llm: LLM, prompt: str, params: SamplingParams, adapter: LoRARequest | None) -> None:
    """Print a prompt and its continuation as it is made."""
    pieces = llm.stream(
        prompt, params, lora_request=adapter
    )  # what is refused is refused before anything is printed
    print(prompt, end="", flush=True)
    reasons = []
    for piece in pieces:
        print(piece.text, end="", flush=True)
        reasons.append(piece.finish_reason)
    print()
    exit_if_failed(reasons)


def exit_if_failed(reasons: Iterable[str | None]) -> None:
    """End with a mistake's exit code where an answer ended in an error, which was said when it happened."""
    if "error" in reasons:
        raise typer.Exit(2)


def ask() -> str:
    """The next line a person types; empty at the end of input."""
    try:
        return input("\n> ").strip()
    except EOFError:
        print()
        return ""


def answer(llm: LLM, turns: list[dict[str, str]], params: SamplingParams) -> str:
    """Stream one answer; Ctrl-C ends it and keeps what there is."""
    text = ""
    pieces = llm.stream_chat(turns, params)
    try:
        for piece in pieces:
            text += piece.text
            print(piece.text, end="", flush=True)
    except KeyboardInterrupt:
        pieces.close()
        print(" …", end="")
    print()
    return text
