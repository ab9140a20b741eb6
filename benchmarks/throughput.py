"""Many requests at once: our engine, the same one request at a time, and transformers, side by side.

`python benchmarks/throughput.py [--shape llama-135m] [--requests 64] [--dtype float32] [--only ...]` makes a
random-weight checkpoint of the shape, gives every peer the same requests (prompt and output lengths uniform
from 16 to 256), warms each up, and prints tokens out per second, and what the cache wasted. `--only` picks:

- engine: ours as `LLM` sets it up; torch: ours on torch's operators; alone: ours, one request at a time;
- static: `generate` on padded batches of 16; continuous: transformers' continuous batching;
- prefix: a shared 512-token beginning over 32 requests, with and without prefix caching;
- latency: the time between tokens while other requests arrive.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers_peer
from make_checkpoint import SHAPES, write_checkpoint

from pellucid.engine.backend import choose_backend
from pellucid.engine.engine import Engine
from pellucid.engine.request import Request
from pellucid.engine.runner import plain_runner
from pellucid.kernels import torch_ops
from pellucid.models.decoder import Decoder
from pellucid.models.loading import load_model
from pellucid.sampling.params import SamplingParams

SHORTEST, LONGEST = 16, 256


@dataclass(frozen=True)
class Ask:
    """A prompt and how many tokens to add to it."""

    prompt: list[int]
    count: int


def make_asks(count: int, vocabulary: int, seed: int = 0) -> list[Ask]:
    """Random requests, lengths uniform."""
    draw = random.Random(seed)
    return [
        Ask(random_ids(draw, draw.randint(SHORTEST, LONGEST), vocabulary), draw.randint(SHORTEST, LONGEST))
        for _ in range(count)
    ]


def random_ids(draw: random.Random, count: int, vocabulary: int) -> list[int]:
    return [draw.randrange(3, vocabulary) for _ in range(count)]


def make_engine(model: Decoder, *, on_torch: bool = False, **options) -> Engine:
    """Our engine as `LLM` sets it up, or on torch's operators."""
    options = {"num_blocks": 64 * 2 * LONGEST // 16 + 256, "enable_prefix_caching": False, **options}
    if on_torch:
        return Engine(model, kernels=torch_ops, make_runner=plain_runner, **options)
    backend = choose_backend(torch.device("cpu"), model.lm_head.weight.dtype)
    return Engine(model, kernels=backend.kernels, make_runner=backend.make_runner, **options)


def serve(engine: Engine, asks: list[Ask], tag: str = "") -> float:
    """Seconds until every request is done."""
    began = time.perf_counter()
    for number, ask in enumerate(asks):
        params = SamplingParams(temperature=0, max_tokens=ask.count, ignore_eos=True)
        engine.add(Request(id=f"{tag}{number}", prompt_token_ids=ask.prompt, params=params))
    while engine.has_work:
        engine.step()
    return time.perf_counter() - began


def serve_alone(engine: Engine, asks: list[Ask]) -> float:
    """Seconds to serve them one after the other."""
    return sum(serve(engine, [ask], str(number)) for number, ask in enumerate(asks))


def waste(engine: Engine) -> float:
    """Of the slots of the blocks in use, the part that no token filled, over all steps."""
    used = sum(step.blocks_in_use for step in engine.steps) * engine.config.block_size
    return sum(step.unused_slots for step in engine.steps) / used


def overhead(engine: Engine) -> float:
    """Of the time of all steps, the part outside the model."""
    return 1 - sum(step.model_ms for step in engine.steps) / sum(step.total_ms for step in engine.steps)


def report(name: str, asks: list[Ask], seconds: float, more: str = "") -> None:
    tokens = sum(ask.count for ask in asks)
    print(f"{name:<12} {tokens / seconds:9.1f} tokens/s   {seconds:7.1f} s   {more}", flush=True)


def run_engine(name: str, make: Callable[[], Engine], asks: list[Ask]) -> None:
    """Warm up, then measure."""
    engine = make()
    serve(engine, [Ask(ask.prompt[:20], 4) for ask in asks[:4]], "warm")
    engine.steps.clear()
    seconds = serve(engine, asks)
    steps = list(engine.steps)
    told = f"{waste(engine):.1%} of the cache's slots unused, {overhead(engine):.1%} outside the model"
    report(name, asks, seconds, f"{len(steps)} steps, {told}")


def run_prefix(model: Decoder, vocabulary: int, options: dict) -> None:
    """32 requests over one beginning of 512 tokens, with and without prefix caching."""
    draw = random.Random(1)
    shared = random_ids(draw, 512, vocabulary)
    asks = [Ask(shared + random_ids(draw, 16, vocabulary), 16) for _ in range(32)]
    seconds = {}
    for caching in (True, False):
        engine = make_engine(model, **{**options, "enable_prefix_caching": caching, "num_blocks": 1600})
        serve(engine, [Ask(random_ids(draw, 20, vocabulary), 4)], "warm")
        seconds[caching] = serve(engine, asks)
        report(
            "prefix" if caching else "no prefix",
            asks,
            seconds[caching],
            f"hit rate {engine.totals.hit_rate:.1%}",
        )
    print(f"shared beginning: {seconds[False] / seconds[True]:.2f} times as fast with prefix caching")


def run_latency(model: Decoder, vocabulary: int, options: dict) -> None:
    """Requests that arrive one by one while others decode: the time between a request's tokens."""
    asks = make_asks(32, vocabulary, seed=2)
    engine = make_engine(model, **{**options, "max_num_seqs": 16})
    serve(engine, [Ask(asks[0].prompt[:20], 4)], "warm")
    engine.steps.clear()
    newest: dict[str, float] = {}
    gaps = []
    arrivals = iter(enumerate(asks))
    steps = 0
    while engine.has_work or steps == 0:
        if steps % 8 == 0 and (arrival := next(arrivals, None)):
            params = SamplingParams(temperature=0, max_tokens=arrival[1].count, ignore_eos=True)
            engine.add(Request(id=str(arrival[0]), prompt_token_ids=arrival[1].prompt, params=params))
        outputs = engine.step()
        now = time.perf_counter()
        steps += 1
        for output in outputs:
            if output.request_id in newest:
                gaps.append(now - newest[output.request_id])
            newest[output.request_id] = now
    gaps.sort()
    median, p99 = statistics.median(gaps), gaps[int(len(gaps) * 0.99)]
    print(
        f"time between tokens, mixed load: median {median * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms, "
        f"{p99 / median:.2f} times the median"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="llama-135m")
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--budget", type=int, default=128, help="tokens of one step of our engine")
    parser.add_argument("--seqs", type=int, default=64, help="samples that our engine runs at once")
    names = ["engine", "torch", "alone", "static", "continuous", "prefix", "latency"]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    given = parser.parse_args()
    options = {"max_num_batched_tokens": given.budget, "max_num_seqs": given.seqs}
    vocabulary = SHAPES[given.shape]["vocab_size"]
    asks = make_asks(given.requests, vocabulary)
    out = sum(ask.count for ask in asks)
    print(f"{given.shape}, {given.dtype}, {torch.get_num_threads()} threads: {len(asks)} requests, "
          f"{sum(len(ask.prompt) for ask in asks)} tokens in, {out} out")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(given.shape, Path(folder), getattr(torch, given.dtype), None)
        run_ours(folder, given, asks, options)
        pairs = [(ask.prompt, ask.count) for ask in asks]
        if "static" in given.only:
            report("static", asks, transformers_peer.static_batches(folder, given.dtype, pairs))
        if "continuous" in given.only:
            report("continuous", asks, transformers_peer.continuous_batching(folder, given.dtype, pairs))


def run_ours(folder: str, given: argparse.Namespace, asks: list[Ask], options: dict) -> None:
    """Everything of ours that was asked for, on one loaded model."""
    model = load_model(folder, dtype=given.dtype, device="cpu")
    vocabulary = model.config.vocab_size
    if "engine" in given.only:
        run_engine("engine", lambda: make_engine(model, **options), asks)
    if "torch" in given.only:
        run_engine("torch", lambda: make_engine(model, on_torch=True, **options), asks)
    if "alone" in given.only:
        report("alone", asks, serve_alone(make_engine(model, **options), asks))
    if "prefix" in given.only:
        run_prefix(model, vocabulary, options)
    if "latency" in given.only:
        run_latency(model, vocabulary, options)


if __name__ == "__main__":
    main()
