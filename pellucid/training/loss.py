"""What a model is trained to do: predict tokens, translate, tell classes.

Letters: T tokens, N sequences or pictures, V outputs.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.errors import TrainingError
from pellucid.kernels import Kernels
from pellucid.layers.context import DenseContext
from pellucid.models.encoder_decoder import EncoderDecoder
from pellucid.training.data import Batch, Labelled, P, Part
from pellucid.training.pairs import PairBatch

P_contra = TypeVar("P_contra", bound=Part, contravariant=True)


class Task(Protocol[P_contra]):
    """A loss over batches; everything that differs between recipes."""

    def loss(self, model: nn.Module, batch: P_contra, generator: torch.Generator | None) -> Tensor:
        """The weighted sum of the batch's losses; dropout only where a generator is given."""


def cross_entropy(logits_TV: Tensor, targets_T: Tensor, weights_T: Tensor, smoothing: float = 0.0) -> Tensor:
    """`sum(weight · -log p(target))`; smoothing spreads a share of each target over all tokens (Szegedy et
    al. 2016; Vaswani et al. 2017 used 0.1)."""
    losses_T = F.cross_entropy(logits_TV.float(), targets_T, reduction="none", label_smoothing=smoothing)
    return (losses_T * weights_T).sum()


class Regularised:
    """What the tasks have in common: the kernels, and what is dropped and smoothed in training."""

    def __init__(self, kernels: Kernels, *, dropout: float = 0.0, label_smoothing: float = 0.0) -> None:
        """Raises TrainingError for a share that is none."""
        if not (0 <= dropout < 1 and 0 <= label_smoothing < 1):
            raise TrainingError(
                f"dropout={dropout}, label_smoothing={label_smoothing}: each is a share, from 0 to below 1"
            )
        self.kernels, self.dropout, self.label_smoothing = kernels, dropout, label_smoothing


class NextToken(Regularised):
    """Predict each token of each sequence from those before it; an encoder, from all that it is shown."""

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Tensor:
        ctx = training_context(batch.lengths, self.kernels, batch.ids_T.device, self.dropout, generator)
        smoothing = self.label_smoothing if generator else 0.0
        return cross_entropy(model(batch.ids_T, ctx), batch.targets_T, batch.weights_T, smoothing)


class TargetOfSource(Regularised):
    """Predict each token of a target from its source and the target's tokens before it."""

    def loss(self, model: nn.Module, batch: PairBatch, generator: torch.Generator | None) -> Tensor:
        assert isinstance(model, EncoderDecoder)
        written, device = batch.written, batch.source_S.device
        # what attention looks at is not dropped: fused attention has no dropout, and is faster by a third
        dropout = self.dropout if generator else 0.0
        source = DenseContext(
            batch.source_lengths, self.kernels, device=device, dropout=dropout, generator=generator
        )
        ctx = DenseContext(
            written.lengths, self.kernels, device=device, memory=source, dropout=dropout, generator=generator
        )
        model.encode(batch.source_S, source)
        smoothing = self.label_smoothing if generator else 0.0
        return cross_entropy(model(written.ids_T, ctx), written.targets_T, written.weights_T, smoothing)


class OneClass(Regularised):
    """Tell the class of each text or picture."""

    def loss(self, model: nn.Module, batch: Labelled, generator: torch.Generator | None) -> Tensor:
        share, smoothing = (self.dropout, self.label_smoothing) if generator else (0.0, 0.0)
        ctx = DenseContext(
            batch.lengths, self.kernels, device=batch.inputs.device, dropout=share, generator=generator
        )
        return cross_entropy(model(batch.inputs, ctx), batch.labels_N, batch.weights_T, smoothing)


def training_context(
    lengths: Sequence[int],
    kernels: Kernels,
    device: torch.device,
    dropout: float,
    generator: torch.Generator | None,
) -> DenseContext:
    """A context that drops what the generator draws, and without one nothing."""
    share = dropout if generator is not None else 0.0
    return DenseContext(
        lengths, kernels, device=device, dropout=share, attention_dropout=share, generator=generator
    )


@torch.no_grad()
def evaluate(model: nn.Module, task: Task[P], batches: Iterable[P]) -> float:
    """The mean loss over batches, without dropout or smoothing."""
    device = next(model.parameters()).device
    total, weight = 0.0, 0.0
    for batch in batches:
        total += task.loss(model, batch.to(device), None).item()
        weight += batch.weights_T.sum().item()
    return total / weight
