"""The experiments of `compare`: each measures one thing and says whether the claim about it holds."""

import math
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

from pellucid import LLM, SamplingParams
from pellucid.kernels import torch_ops
from pellucid.training import Batch, NextToken, TrainConfig, Windows, train
from pellucid.training.data import Source
from pellucid.training.loop import train_step
from pellucid.training.loss import evaluate, training_context
from pellucid.training.optim import adamw
from pellucid.training.ranks import Ranks
from recipes import compare_models as models
from recipes.compare_page import Finding
from recipes.compare_translation import translation
from recipes.recipe_arguments import read_text
from recipes.shakespeare import character_tokenizer


def fit(model: nn.Module, source: Source[Batch], steps: int, lr: float, seed: int = 0) -> None:
    """Train a model in place and keep nothing else."""
    plan = TrainConfig(
        steps=steps, lr=lr, evaluate_every=steps, save_every=steps, weight_decay=0.01, seed=seed
    )
    with TemporaryDirectory() as folder:
        train(model, source, NextToken(torch_ops), plan, Path(folder))


def speed(text: Path | None, scale: float) -> Finding:
    """Training tokens/s against sequence length."""
    V, tokens, rows = 64, 2048, []
    lengths = [16, 64, 256, 1024]
    for length in lengths:
        source = Windows(np.random.default_rng(0).integers(0, V, 50_000), length, tokens // length)
        transformer = models.decoder(V, 2, 4, 128, max(lengths))
        lstm = models.LSTM(V, 144, 2)
        rows.append(
            [length, *(round(_tokens_per_s(m, source, max(2, int(12 * scale)))) for m in (transformer, lstm))]
        )
    ratios = [row[1] / row[2] for row in rows]
    sizes = f"{models.size(transformer):,} and {models.size(lstm):,} parameters"
    return Finding(
        "A transformer trains on all positions of a sequence at once; a recurrent network goes through them "
        "one after the other.",
        f"Training steps of {tokens:,} tokens, {sizes}, {torch.get_num_threads()} CPU threads; the median.",
        ["sequence length", "transformer, tokens/s", "LSTM, tokens/s"],
        rows,
        ratios[-1] > ratios[0] and ratios[-1] > 1,
        f"The transformer is {ratios[0]:.2f} times as fast at length {lengths[0]} and {ratios[-1]:.2f} times "
        f"at {lengths[-1]:,}. What can be done at once is done faster only where there is much to do it "
        f"with: here {torch.get_num_threads()} CPU threads, on a GPU thousands of units.",
        ("sequence length", "training tokens/s", "log"),
    )


def _tokens_per_s(model: nn.Module, source: Source[Batch], steps: int) -> float:
    optimizer, task = adamw(model, lr=1e-3, weight_decay=0.1, betas=(0.9, 0.95)), NextToken(torch_ops)
    plan, seconds = TrainConfig(steps=steps, lr=1e-3), []
    for step in range(steps + 1):
        begun = time.perf_counter()
        _, _, tokens = train_step(model, source.parts(step, 1), task, plan, optimizer, Ranks(), step, 1e-3)
        seconds.append(time.perf_counter() - begun)
    return tokens / statistics.median(seconds[1:])


class Repeats:
    """Sequences that repeat themselves, each at a distance of its own: after the first time all is known.

    No symbol stands twice between a symbol and its repetition, so the one before tells which is next.
    """

    def __init__(self, vocab_size: int, distances: list[int], length: int, rows: int, seed: int = 0) -> None:
        self.vocab_size, self.distances, self.length, self.rows = vocab_size, distances, length, rows
        self.seed = seed

    def parts(self, step: int, count: int) -> list[Batch]:
        rng = np.random.default_rng((self.seed, step))
        documents = [self.document(int(d), rng) for d in rng.choice(self.distances, self.rows)]
        return [Batch.of(documents[part::count]) for part in range(count)]

    def document(self, distance: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A sequence that repeats itself at this distance; its first repetition counts alone."""
        once = rng.permutation(self.vocab_size)[:distance]
        place = np.arange(self.length + 1)
        return once[place % distance], ((place >= distance) & (place < 2 * distance)).astype(np.float32)


def recall(text: Path | None, scale: float) -> Finding:
    """How often a token is recalled, against how far back it stands."""
    V, distances, length, steps = 128, [2, 4, 8, 16, 32, 64], 128, max(1, int(3000 * scale))
    source = Repeats(V, distances, length, rows=16)
    trained = {
        "transformer": (models.decoder(V, 2, 4, 64, length), 3e-3),
        "LSTM": (models.LSTM(V, 80, 2), 5e-3),
    }
    for model, lr in trained.values():
        fit(model, source, steps, lr)
    rng = np.random.default_rng(1)
    rows = []
    for distance in distances:
        batch = Batch.of([source.document(distance, rng) for _ in range(128)])
        rows.append([distance, *(round(_right(model, batch), 4) for model, _ in trained.values())])
    sizes = " and ".join(f"{models.size(model):,}" for model, _ in trained.values())
    return Finding(
        "Attention reaches as far back as it likes in one step; a recurrent state must carry all along.",
        f"Sequences of {V} symbols in random order that repeat themselves; the share told right in the first "
        f"repetition. {steps:,} steps of {16 * length:,} tokens, {sizes} parameters; chance is 1 %.",
        ["distance", *trained],
        rows,
        rows[-1][1] > 0.9 and rows[-1][1] > rows[-1][2] + 0.3,
        f"At distance {distances[-1]} the transformer recalls {rows[-1][1]:.0%}, the LSTM {rows[-1][2]:.0%}; "
        f"at distance {distances[0]}, {rows[0][1]:.0%} and {rows[0][2]:.0%}.",
        ("distance", "share recalled", "log"),
    )


@torch.no_grad()
def _right(model: nn.Module, batch: Batch) -> float:
    ctx = training_context(batch.lengths, torch_ops, batch.ids_T.device, 0.0, None)
    said_T = model(batch.ids_T, ctx).argmax(-1)
    return (said_T == batch.targets_T)[batch.weights_T > 0].float().mean().item()


def parts(text: Path | None, scale: float) -> Finding:
    """The same decoder without one of its parts."""
    ids, V = _characters(text)
    layers, heads, width, context, steps = 6, 4, 64, 64, int(300 * scale)
    cut = len(ids) * 9 // 10
    held_out = Windows.all(ids[cut : cut + 20_000], context)
    rows = []
    for name, make in models.variants(V, layers, heads, width, context).items():
        model = make()
        fit(model, Windows(ids[:cut], context, 12), max(1, steps), 2e-3)
        rows.append([name, models.size(model), round(evaluate(model, NextToken(torch_ops), held_out), 3)])
    loss = {name: found for name, _, found in rows}
    costs = {name: found - loss["whole"] for name, found in loss.items() if name != "whole"}
    useless = [name for name, cost in costs.items() if not cost > 0]
    return Finding(
        "Residual connections, norms, positions, several heads, a gated feed-forward: each earns its place.",
        f"{layers} layers, width {width}, context {context}, {steps} steps of 768 characters each, one seed; "
        "nats a character on held-out text.",
        ["decoder", "parameters", "loss"],
        rows,
        not useless,
        "Each change made it worse"
        + (f" but these: {', '.join(useless)}. " if useless else ". ")
        + "; ".join(f"{name}: {cost:+.3f}" for name, cost in sorted(costs.items(), key=lambda c: -c[1]))
        + ". At this size and length of training.",
        ("decoder", "loss", "bar"),
    )


def sizes(text: Path | None, scale: float) -> Finding:
    """Loss against size, over five sizes."""
    ids, V = _characters(text)
    context, steps = 64, int(300 * scale)
    cut = len(ids) * 9 // 10
    held_out = Windows.all(ids[cut : cut + 20_000], context)
    rows = []
    for width in (16, 32, 64, 128, 192):
        model = models.decoder(V, 3, width // 16, width, context)
        fit(model, Windows(ids[:cut], context, 12), max(1, steps), 0.024 / math.sqrt(width))
        rows.append([models.size(model), round(evaluate(model, NextToken(torch_ops), held_out), 3)])
    falls = all(b[1] < a[1] for a, b in pairwise(rows))
    x, y = np.log([row[0] for row in rows]), np.log([row[1] for row in rows])
    slope = np.polyfit(x, y, 1)[0]
    return Finding(
        "Larger transformers are better, steadily: the loss falls along a power of the size.",
        f"3 layers of five widths, {steps} steps of 768 characters each; nats a character on held-out text.",
        ["parameters", "loss"],
        rows,
        falls,
        f"The loss {'falls' if falls else 'does not fall'} with every size, about as the size to the power "
        f"{slope:.3f}; steps are the same for all, so the largest are the least finished.",
        ("parameters", "loss", "log"),
    )


def cache(text: Path | None, scale: float) -> Finding:
    """Tokens a second with the KV cache and without, against length."""
    lengths = [max(1, min(448, int(n * scale))) for n in (32, 64, 128, 256, 448)]
    rows = []
    engines = [LLM("pellucid/guide", use_cache=on) for on in (True, False)]
    for length in lengths:
        params = SamplingParams(temperature=0, max_tokens=length, ignore_eos=True)
        rows.append([length, *(round(_written_per_s(llm, params), 1) for llm in engines)])
    first, last = (row[1] / row[2] for row in (rows[0], rows[-1]))
    return Finding(
        "With a KV cache each new token costs one token's work; without one it costs the whole text's.",
        "pellucid/guide, one request, greedy, from two prompt tokens; the median of three after one more.",
        ["tokens generated", "with the cache, tokens/s", "without, tokens/s"],
        rows,
        last > first and last > 1,
        f"The cache makes it {first:.1f} times as fast at {lengths[0]} tokens and {last:.1f} times at "
        f"{lengths[-1]}.",
        ("tokens generated", "tokens/s", "log"),
    )


def _written_per_s(llm: LLM, params: SamplingParams) -> float:
    seconds = []
    for _ in range(4):
        begun = time.perf_counter()
        (output,) = llm.generate(["The cat"], params, use_tqdm=False)
        seconds.append(time.perf_counter() - begun)
    # the first round records what the others replay
    return len(output.outputs[0].token_ids) / statistics.median(seconds[1:])


def _characters(text: Path | None) -> tuple[np.ndarray, int]:
    assert text is not None, "this experiment reads a text"
    read = read_text(text)
    tokenizer = character_tokenizer(read)
    return np.array(tokenizer.encode(read).ids, np.int32), tokenizer.get_vocab_size()


EXPERIMENTS: dict[str, Callable[[Path | None, float], Finding]] = {
    "speed": speed,
    "recall": recall,
    "parts": parts,
    "sizes": sizes,
    "cache": cache,
    "translation": translation,
}
