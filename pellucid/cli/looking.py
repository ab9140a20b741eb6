"""Commands that look at a run: `pellucid see | bench`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pellucid.bench import bench as measure
from pellucid.cli.options import (
    Device,
    Dtype,
    Json,
    KVCacheDtype,
    Model,
    Prompts,
    Quantization,
    print_json,
    read_prompts,
)
from pellucid.demo import BUNDLED
from pellucid.errors import RequestError
from pellucid.llm import LLM
from pellucid.models.encoder_decoder import EncoderDecoder
from pellucid.sampling.params import SamplingParams
from pellucid.views import batch_timeline
from pellucid.views.cost import show_cost


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
    kv_cache_dtype: KVCacheDtype = "auto",
    device: Device = "auto",
) -> None:
    """Look inside a run of any model: attention, logit lens, the likeliest tokens of every step; both sides
    of a translation, a text in an encoder, a picture file in patches."""
    texts = read_prompts(prompts or [], file)
    if batch:
        see_batch(
            texts, model, max_tokens or 8, dtype=dtype, kv_cache_dtype=kv_cache_dtype, device=device,
            num_gpu_blocks_override=blocks, max_num_batched_tokens=budget,
        )  # fmt: skip
        return
    if len(texts) != 1:
        raise RequestError(
            f"see shows one prompt at a time, or several with --batch; {len(texts)} were given"
        )
    llm = LLM(model, dtype=dtype, kv_cache_dtype=kv_cache_dtype, device=device)
    if max_tokens is None:
        max_tokens = 32 if isinstance(llm.model, EncoderDecoder) else 8 if llm.writes else 0
    llm.trace(texts[0], max_tokens=max_tokens).show(layer=layer, head=head)


def bench(
    model: Annotated[str, typer.Argument(help="Bundled name, local folder, GGUF file or hub id.")] = BUNDLED,
    prompt_tokens: Annotated[int, typer.Option(help="Tokens of the prompt.")] = 512,
    new_tokens: Annotated[int, typer.Option(help="Tokens to generate.")] = 64,
    quantization: Quantization = None,
    dtype: Dtype = "auto",
    kv_cache_dtype: KVCacheDtype = "auto",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure how fast a model runs here, how near to what memory can deliver, and where the time goes."""
    llm = LLM(
        model, dtype=dtype, kv_cache_dtype=kv_cache_dtype, device=device, quantization=quantization,
        enable_prefix_caching=False, skip_tokenizer_init=True,
    )  # fmt: skip
    cost = measure(llm, prompt_tokens, new_tokens)
    if as_json:
        print_json(cost.as_dict())
        return
    show_cost(cost, Console(highlight=False))


def see_batch(texts: list[str], model: str, max_tokens: int, **options: Any) -> None:
    """Run prompts together, then show each step: who took part, who waited, what the cache held."""
    llm = LLM(model, max_num_seqs=len(texts), **options)
    outputs = llm.generate(texts, SamplingParams(temperature=0, max_tokens=max_tokens), use_tqdm=False)
    labels = {output.request_id: text for output, text in zip(outputs, texts, strict=True)}
    batch_timeline.show(list(llm.engine.steps), num_blocks=llm.engine.config.num_blocks, labels=labels)
