"""Training tokens/s at the `shakespeare` recipe's shape beside a plain loop over torch's own encoder layers.

    python benchmarks/training.py

They take turns, step by step, on the same random batches; the medians are compared. Letters: V vocabulary.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pellucid.kernels import torch_ops
from pellucid.models.registry import read_config
from pellucid.training import NextToken, TrainConfig, Windows, initialise
from pellucid.training.loop import train_step
from pellucid.training.optim import adamw
from pellucid.training.ranks import Ranks
from recipes.from_text import small_llama

V, LAYERS, HEADS, WIDTH, CONTEXT, WINDOWS = 66, 4, 4, 128, 64, 12
STEPS, WARM = 60, 10


class Plain(nn.Module):
    """What a newcomer writes: embeddings, `nn.TransformerEncoderLayer` with a causal mask, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(V, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 4 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(
            layer, LAYERS, norm=nn.LayerNorm(WIDTH), enable_nested_tensor=False
        )
        self.head = nn.Linear(WIDTH, V, bias=False)
        self.mask = nn.Transformer.generate_square_subsequent_mask(CONTEXT)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids) + self.places.weight
        return self.head(self.layers(x, mask=self.mask, is_causal=True))


def main() -> None:
    source = Windows(np.random.default_rng(0).integers(0, V, 100_000).astype(np.int32), CONTEXT, WINDOWS)
    family, config = read_config(small_llama(V, LAYERS, HEADS, WIDTH, CONTEXT))
    ours = family.build(config)
    initialise(ours, seed=0)
    our_optimizer = adamw(ours, lr=1e-3, weight_decay=0.1, betas=(0.9, 0.99))
    plain = Plain()
    plain_optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)
    task, plan, ranks = NextToken(torch_ops), TrainConfig(steps=STEPS, lr=1e-3), Ranks()
    half = replace(plan, autocast=torch.bfloat16)

    def step_ours(step: int) -> None:
        train_step(ours, source, task, plan, our_optimizer, ranks, step, 1e-3)

    def step_half(step: int) -> None:
        train_step(ours, source, task, half, our_optimizer, ranks, step, 1e-3)

    def step_plain(step: int) -> None:
        (batch,) = source.parts(step, 1)
        ids, targets = batch.ids_T.view(WINDOWS, CONTEXT), batch.targets_T
        loss = F.cross_entropy(plain(ids).flatten(0, 1), targets)
        plain_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        plain_optimizer.step()
        loss.item()

    loops: dict[str, Callable[[int], None]] = {"ours": step_ours, "plain": step_plain, "bf16": step_half}
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for step in range(STEPS + WARM):
        for name, run in loops.items():
            begun = time.perf_counter()
            run(step)
            if step >= WARM:
                seconds[name].append(time.perf_counter() - begun)
    sizes = [sum(p.numel() for p in model.parameters()) for model in (ours, plain)]
    medians = {name: WINDOWS * CONTEXT / statistics.median(times) for name, times in seconds.items()}
    paired, in_half = (
        statistics.median(b / a for a, b in zip(seconds["ours"], seconds[other], strict=True))
        for other in ("plain", "bf16")
    )
    print(f"{sizes[0]:,} and {sizes[1]:,} parameters, {torch.get_num_threads()} threads")
    print(f"ours {medians['ours']:,.0f} tokens/s, plain {medians['plain']:,.0f}, paired ratio {paired:.2f}")
    print(f"ours under bfloat16 autocast {medians['bf16']:,.0f} tokens/s, {1 / in_half:.2f} times as fast")


if __name__ == "__main__":
    main()
