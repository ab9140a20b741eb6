"""The command line: `pellucid demo | run | chat | see | train | bench | models | inspect | quantize |
convert`."""

import dataclasses
import io
import json
import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pellucid import cli_tasks
from pellucid.bench import bench as measure
from pellucid.demo import BUNDLED, QUESTION
from pellucid.demo import demo as run_demo
from pellucid.device import available_memory, human_bytes, resolve_device
from pellucid.errors import ConfigError, PellucidError, RequestError
from pellucid.llm import LLM
from pellucid.lora import LoRARequest
from pellucid.models.catalog import catalog
from pellucid.models.checkpoint import open_checkpoint
from pellucid.models.convert import convert as convert_folder
from pellucid.models.encoder_decoder import EncoderDecoder
from pellucid.models.inspect import inspect as inspect_checkpoint
from pellucid.models.quantise_folder import quantise_folder
from pellucid.models.quantising import QUANTIZATIONS
from pellucid.sampling.params import SamplingParams
from pellucid.training import recipes
from pellucid.views import batch_timeline
from pellucid.views.cost import show_cost
from pellucid.views.inspection import show_catalog, show_inspection

INTERRUPTED = 130

app = typer.Typer(
    help="A transformer engine you can see through.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

for command in cli_tasks.COMMANDS:
    app.command()(command)

Model = Annotated[str, typer.Option("--model", "-m", help="Bundled name, local folder or hub id.")]
MaxTokens = Annotated[int, typer.Option("--max-tokens", "-n", help="At most this many new tokens.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Quantization = Annotated[str | None, typer.Option(help="Round the weights: int8, int4, or auto (what fits).")]
Prompts = Annotated[list[str] | None, typer.Argument(help="One or more prompts; - reads standard input.")]


@app.command()
def demo(
    model: Annotated[str, typer.Argument(help="Bundled name, local folder or hub id.")] = BUNDLED,
    prompt: Annotated[str, typer.Argument(help="What to ask.")] = QUESTION,
    max_tokens: Annotated[int, typer.Argument(help="At most this many new tokens.")] = 128,
    dtype: Dtype = "auto",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Ask a model, watch the answer being made, then read what happened and how fast."""
    console = Console(highlight=False, file=sys.stderr if as_json else sys.stdout)
    report = run_demo(model, prompt, max_tokens, console=console, dtype=dtype, device=device)
    if as_json:
        print_json(report.as_dict())


@app.command()
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
    llm = LLM(model, dtype=dtype, device=device, quantization=quantization)
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


@app.command()
def chat(
    model: Annotated[str, typer.Argument(help="Bundled name, local folder or hub id.")] = BUNDLED,
    system: Annotated[str | None, typer.Option(help="A system turn to begin with.")] = None,
    max_tokens: MaxTokens = 512,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.")] = None,
    quantization: Quantization = None,
    dtype: Dtype = "auto",
    device: Device = "auto",
) -> None:
    """Talk with a model. It keeps its turns, and their keys and values stay in the cache."""
    llm = LLM(model, dtype=dtype, device=device, quantization=quantization)
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


@app.command()
def see(
    prompts: Prompts = None,
    file: Annotated[Path | None, typer.Option(help="Read the prompt from a file.")] = None,
    model: Model = BUNDLED,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", "-n", help="New tokens; by default 8, of a translation 32.")
    ] = None,
    layer: Annotated[int | None, typer.Option(help="Whose attention to show; the last by default.")] = None,
    head: Annotated[int, typer.Option(help="Which head of it.")] = 0,
    batch: Annotated[
        bool, typer.Option("--batch", help="Run several prompts; show what each step did.")
    ] = False,
    blocks: Annotated[int | None, typer.Option(help="With --batch: blocks of the KV cache.")] = None,
    budget: Annotated[int, typer.Option(help="With --batch: tokens of one step.")] = 64,
    dtype: Dtype = "auto",
    device: Device = "auto",
) -> None:
    """Look inside a run of any model: attention, logit lens, the likeliest tokens of every step; both sides
    of a translation, a text in an encoder, a picture file in patches."""
    texts = read_prompts(prompts or [], file)
    if batch:
        see_batch(texts, model, max_tokens or 8, dtype=dtype, device=device, blocks=blocks, budget=budget)
        return
    if len(texts) != 1:
        raise RequestError(
            f"see shows one prompt at a time, or several with --batch; {len(texts)} were given"
        )
    llm = LLM(model, dtype=dtype, device=device)
    if max_tokens is None:
        max_tokens = 32 if isinstance(llm.model, EncoderDecoder) else 8 if llm.writes else 0
    llm.trace(texts[0], max_tokens=max_tokens).show(layer=layer, head=head)


@app.command()
def models(as_json: Json = False) -> None:
    """List the models that are here, bundled or in the cache, and what each needs in memory."""
    entries = catalog()
    if as_json:
        print_json([dataclasses.asdict(entry) for entry in entries])
        return
    show_catalog(entries, available_memory(resolve_device("cpu")), Console(highlight=False))


@app.command()
def inspect(
    source: Annotated[str, typer.Argument(help="Bundled name, local folder, GGUF file or hub id.")],
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")] = None,
    as_json: Json = False,
) -> None:
    """Show what a checkpoint is, its config, shapes, tokenizer and memory, without loading its weights."""
    found = inspect_checkpoint(open_checkpoint(source, revision=revision, weights=False))
    if as_json:
        print_json(dataclasses.asdict(found))
        return
    show_inspection(found, Console(highlight=False))


@app.command()
def convert(
    folder: Annotated[Path, typer.Argument(help="A checkpoint folder with pickle weights (.bin).")],
    target: Annotated[Path | None, typer.Argument(help="Where to write; the same folder by default.")] = None,
) -> None:
    """Write a folder's pickle weights as safetensors; only tensors are read, and no code is run."""
    done = convert_folder(folder, target, on_file=lambda file: print(f"reading {file}", file=sys.stderr))
    files = ", ".join(file.name for file in done.files)
    print(f"{done.folder}: wrote {done.num_tensors} tensors, {human_bytes(done.nbytes)}, to {files}")
    if done.left_out:
        print(f"left out, as no tensors: {', '.join(done.left_out)}")


@app.command()
def bench(
    model: Annotated[str, typer.Argument(help="Bundled name, local folder, GGUF file or hub id.")] = BUNDLED,
    prompt_tokens: Annotated[int, typer.Option(help="Tokens of the prompt.")] = 512,
    new_tokens: Annotated[int, typer.Option(help="Tokens to generate.")] = 64,
    quantization: Quantization = None,
    dtype: Dtype = "auto",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure how fast a model runs here, how near to what memory can deliver, and where the time goes."""
    llm = LLM(
        model, dtype=dtype, device=device, quantization=quantization,
        enable_prefix_caching=False, skip_tokenizer_init=True,
    )  # fmt: skip
    cost = measure(llm, prompt_tokens, new_tokens)
    if as_json:
        print_json(cost.as_dict())
        return
    show_cost(cost, Console(highlight=False))


@app.command()
def quantize(
    source: Annotated[str, typer.Argument(help="Bundled name, local folder or hub id.")],
    target: Annotated[Path, typer.Argument(help="A new folder.")],
    quantization: Annotated[str, typer.Option("--to", help="int8 or int4.")] = "int4",
) -> None:
    """Write a checkpoint with its weights rounded to 8 or 4 bits; it loads as they are."""
    if quantization not in QUANTIZATIONS:
        raise ConfigError(f"--to {quantization!r}: allowed are {', '.join(QUANTIZATIONS)}")
    done = quantise_folder(open_checkpoint(source), target, quantization)
    sizes = f"{human_bytes(done.nbytes)}, {human_bytes(done.nbytes_before)} before"
    print(f"{done.file}: {done.num_rounded} tensors rounded to {quantization}; {sizes}")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help=f"One of {', '.join(recipes.names())}.")],
) -> None:
    """Train a model by a recipe; what follows its name is the recipe's (`pellucid train text -h`)."""
    recipes.run(recipe, context.args)


def read_prompts(arguments: list[str], file: Path | None) -> list[str]:
    """The prompts of a command: its arguments, a file's lines, or standard input for `-` or a pipe."""
    texts = list(arguments)
    if file is not None:
        try:
            texts += file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise RequestError(f"{file}: cannot be read as text: {error}") from error
    elif not texts and not sys.stdin.isatty():
        texts = ["-"]
    texts = [sys.stdin.read().removesuffix("\n") if text == "-" else text for text in texts]
    if not [text for text in texts if text]:
        raise RequestError("there is no prompt; give it as an argument, with --file, or on standard input")
    return [text for text in texts if text]


def see_batch(
    texts: list[str], model: str, max_tokens: int, *, dtype: str, device: str, blocks: int | None, budget: int
) -> None:
    """Run prompts together, then show each step: who took part, who waited, what the cache held."""
    llm = LLM(
        model,
        dtype=dtype,
        device=device,
        num_gpu_blocks_override=blocks,
        max_num_seqs=len(texts),
        max_num_batched_tokens=budget,
    )
    outputs = llm.generate(texts, SamplingParams(temperature=0, max_tokens=max_tokens), use_tqdm=False)
    labels = {output.request_id: text for output, text in zip(outputs, texts, strict=True)}
    batch_timeline.show(list(llm.engine.steps), num_blocks=llm.engine.config.num_blocks, labels=labels)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


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


def open_streams() -> None:
    """Make standard streams that are closed empty ones, and let no character end a run: what the terminal
    cannot show becomes `?`, and what cannot be decoded reaches the tokenizer, which says so."""
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")
    for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, "replace"), (sys.stderr, "replace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


def main() -> None:
    """Run a command; a user's mistake is one message on standard error and exit code 2."""
    open_streams()
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("pellucid").setLevel(logging.INFO)
    try:
        app()
    except PellucidError as error:
        print(f"pellucid: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # whoever read our output has gone; say nothing more, not even while Python closes the stream
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
