"""What a model is trained to do: predict the next token.

Letters: T tokens, V vocabulary.
"""

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.kernels import Kernels
from pellucid.layers.context import DenseContext
from pellucid.training.data import Batch


class Task(Protocol):
    """A loss over batches; everything that differs between recipes."""

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Tensor:
        """The weighted sum of the batch's losses; dropout only where a generator is given."""


def cross_entropy(logits_TV: Tensor, targets_T: Tensor, weights_T: Tensor, smoothing: float = 0.0) -> Tensor:
    """`sum(weight · -log p(target))`; smoothing spreads a share of each target over all tokens (Szegedy et
    al. 2016; Vaswani et al. 2017 used 0.1)."""
    losses_T = F.cross_entropy(logits_TV.float(), targets_T, reduction="none", label_smoothing=smoothing)
    return (losses_T * weights_T).sum()


class NextToken:
    """Predict each token of each sequence from those before it."""

    def __init__(self, kernels: Kernels, *, dropout: float = 0.0, label_smoothing: float = 0.0) -> None:
        self.kernels, self.dropout, self.label_smoothing = kernels, dropout, label_smoothing

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Tensor:
        training = generator is not None
        ctx = DenseContext(
            batch.lengths,
            self.kernels,
            device=batch.ids_T.device,
            dropout=self.dropout if training else 0.0,
            attention_dropout=self.dropout if training else 0.0,
            generator=generator,
        )
        logits_TV = model(batch.ids_T, ctx)
        smoothing = self.label_smoothing if training else 0.0
        return cross_entropy(logits_TV, batch.targets_T, batch.weights_T, smoothing)


@torch.no_grad()
def evaluate(model: nn.Module, task: Task, batches: Iterable[Batch]) -> float:
    """The mean loss over batches, without dropout or smoothing."""
    total, weight = 0.0, 0.0
    for batch in batches:
        total += task.loss(model, batch, None).item()
        weight += batch.weights_T.sum().item()
    return total / weight
