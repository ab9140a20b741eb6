"""Training tokens/s at the `shakespeare` recipe's shape beside a plain loop over torch's own encoder layers.

    python benchmarks/training.py

They take turns, step by step, on the same random batches, each in float32 and with products in bfloat16; the
last columns are medians of paired ratios. Letters: V vocabulary.
"""

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pellucid.device import half_precision
from pellucid.kernels import torch_ops
from pellucid.models.registry import read_config
from pellucid.training import NextToken, TrainConfig, Windows, initialise
from pellucid.training.loop import train_step
from pellucid.training.optim import adamw
from pellucid.training.ranks import Ranks
from recipes.from_text import small_llama

V, LAYERS, HEADS, WIDTH, CONTEXT, WINDOWS = 66, 4, 4, 128, 64, 12
STEPS, WARM = 60, 10
GPT2 = {
    "architectures": ["GPT2LMHeadModel"],
    "model_type": "gpt2",
    "vocab_size": V,
    "n_embd": WIDTH,
    "n_layer": LAYERS,
    "n_head": HEADS,
    "n_positions": CONTEXT,
    "activation_function": "gelu",
    "layer_norm_epsilon": 1e-5,
}
"""nanoGPT's own shape, and nearest to the plain loop's."""


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


def plain_loop(source: Windows, autocast: torch.dtype | None) -> tuple[nn.Module, Callable[[int], None]]:
    """The plain model and its step."""
    plain = Plain()
    optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)

    def step(number: int) -> None:
        (batch,) = source.parts(number, 1)
        ids, targets = batch.ids_T.view(WINDOWS, CONTEXT), batch.targets_T
        with torch.autocast("cpu", autocast, enabled=autocast is not None):
            loss = F.cross_entropy(plain(ids).flatten(0, 1).float(), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        optimizer.step()
        loss.item()

    return plain, step


def our_loop(
    fields: Mapping[str, Any], source: Windows, autocast: torch.dtype | None
) -> tuple[nn.Module, Callable[[int], None]]:
    """A model of ours and its step."""
    family, config = read_config(fields)
    model = family.build(config)
    initialise(model, seed=0)
    optimizer = adamw(model, lr=1e-3, weight_decay=0.1, betas=(0.9, 0.99))
    task, plan, ranks = NextToken(torch_ops), TrainConfig(steps=STEPS, lr=1e-3, autocast=autocast), Ranks()

    def step(number: int) -> None:
        train_step(model, source.parts(number, 1), task, plan, optimizer, ranks, number, 1e-3)

    return model, step


def main() -> None:
    source = Windows(np.random.default_rng(0).integers(0, V, 100_000).astype(np.int32), CONTEXT, WINDOWS)
    llama = small_llama(V, LAYERS, HEADS, WIDTH, CONTEXT)
    half = torch.bfloat16
    loops = {
        "plain": plain_loop(source, None),
        "plain, bfloat16": plain_loop(source, half),
        "Llama's shape": our_loop(llama, source, None),
        "Llama's shape, bfloat16": our_loop(llama, source, half),
        "GPT-2's shape": our_loop(GPT2, source, None),
        "GPT-2's shape, bfloat16": our_loop(GPT2, source, half),
    }
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(STEPS + WARM):
        for name, (_, step) in loops.items():
            begun = time.perf_counter()
            step(number)
            if number >= WARM:
                seconds[name].append(time.perf_counter() - begun)
    pays = half_precision(torch.device("cpu")) is not None
    print(f"{torch.get_num_threads()} threads; bfloat16 {'pays' if pays else 'does not pay'} on this CPU")
    print(f"{'':25}{'parameters':>12}{'tokens/s':>10}{'plain':>9}{'plain, bfloat16':>18}")
    for name, (model, _) in loops.items():
        speed = WINDOWS * CONTEXT / statistics.median(seconds[name])
        against = [
            statistics.median(b / a for a, b in zip(seconds[name], seconds[other], strict=True))
            for other in ("plain", "plain, bfloat16")
        ]
        size = sum(p.numel() for p in model.parameters())
        print(f"{name:25}{size:12,}{speed:10,.0f}{against[0]:8.2f}x{against[1]:17.2f}x")


if __name__ == "__main__":
    main()
