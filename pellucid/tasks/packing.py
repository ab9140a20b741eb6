"""Cuts many sequences into packed batches, so that none is padded and none waits for a long one.

Letters: T tokens of a batch.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

BATCH_TOKENS = 2048
"""How many tokens run together: enough for full-sized products, few enough that activations stay small."""

Row = TypeVar("Row")


def batches(lengths: Sequence[int], max_tokens: int = BATCH_TOKENS) -> list[list[int]]:
    """The numbers of the sequences of each batch, near lengths together, the longest first."""
    found: list[list[int]] = []
    room = 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if lengths[i] > room:
            found.append([])
            room = max_tokens
        found[-1].append(i)
        room -= lengths[i]
    return found


@torch.inference_mode()
def run_packed(
    sequences: Sequence[Sequence[int]],
    forward: Callable[[Tensor, list[int]], Sequence[Row]],
    device: torch.device,
) -> list[Row]:
    """`forward(ids_T, lengths)` over all sequences in as few batches as fit; it gives a result for each
    sequence of its batch. The results come back in the order given."""
    results: dict[int, Row] = {}
    for numbers in batches([len(sequence) for sequence in sequences]):
        ids_T = torch.tensor([token for i in numbers for token in sequences[i]], device=device)
        lengths = [len(sequences[i]) for i in numbers]
        results.update(zip(numbers, forward(ids_T, lengths), strict=True))
    return [results[i] for i in range(len(sequences))]
