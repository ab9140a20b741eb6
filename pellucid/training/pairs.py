"""Batches of pairs, a text and what it is to become, packed; pairs of equal lengths go together.

Attention over packed sequences costs least where many are equally long. Letters: S source tokens, T target
tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from pellucid.errors import TrainingError
from pellucid.training.data import Batch, end_to_end, in_epoch, in_steps


@dataclass(frozen=True)
class PairBatch:
    """Sources end to end, and what is to be written of each."""

    source_S: Tensor
    source_lengths: tuple[int, ...]
    written: Batch
    """Begins with the token that decoding begins with; the targets end with the one that ends it."""

    @property
    def weights_T(self) -> Tensor:
        return self.written.weights_T

    @property
    def tokens(self) -> int:
        return len(self.source_S) + self.written.tokens

    def to(self, device: torch.device) -> "PairBatch":
        """The same on a device."""
        return PairBatch(self.source_S.to(device), self.source_lengths, self.written.to(device))

    @staticmethod
    def of(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> "PairBatch":
        """From `(source ids, target ids)`, both as the model reads them."""
        return PairBatch(
            end_to_end([source for source, _ in pairs], np.int64),
            tuple(len(source) for source, _ in pairs),
            Batch.of([(target, np.ones(len(target), np.float32)) for _, target in pairs]),
        )


class Ragged:
    """Sequences of any length, one after the other in one array."""

    def __init__(self, sequences: Sequence[Sequence[int]]) -> None:
        self.lengths = np.array([len(sequence) for sequence in sequences])
        self.starts = np.concatenate(([0], np.cumsum(self.lengths)))
        self.ids = np.fromiter((token for sequence in sequences for token in sequence), np.int32)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, i: int) -> np.ndarray:
        return self.ids[self.starts[i] : self.starts[i + 1]]


class Pairs:
    """Pairs drawn anew each epoch, sorted by length, and cut into steps that come in any order."""

    def __init__(
        self, sources: Ragged, targets: Ragged, shares: np.ndarray, tokens_per_step: int, seed: int = 0
    ) -> None:
        """Pair i is in an epoch with probability `shares[i]`. Raises TrainingError where none can be."""
        if not (shares > 0).any():
            raise TrainingError(f"{len(shares)} pairs, and none that has a share of an epoch")
        self.sources, self.targets, self.shares = sources, targets, shares
        self.tokens_per_step, self.seed = tokens_per_step, seed
        self._plan = cache(self._planned)

    def parts(self, step: int, count: int) -> list[PairBatch]:
        """The step's batch in `count` parts of about equal size."""
        chosen = in_epoch(self._plan, step)
        return [self.batch(chosen[part::count]) for part in range(count)]

    def all(self) -> list[PairBatch]:
        """Every pair once, whatever its share: for evaluation."""
        return [self.batch(chosen) for chosen in self._cut(np.arange(len(self.sources)))]

    def batch(self, chosen: np.ndarray) -> PairBatch:
        """The pairs of these numbers."""
        return PairBatch.of([(self.sources[i], self.targets[i]) for i in chosen])

    def steps_in(self, epoch: int) -> int:
        """How many steps an epoch has."""
        return len(self._plan(epoch))

    def _planned(self, epoch: int) -> list[np.ndarray]:
        rng = np.random.default_rng((self.seed, epoch))
        drawn = rng.permutation(np.flatnonzero(rng.random(len(self.shares)) < self.shares))
        steps = self._cut(drawn)
        return [steps[i] for i in rng.permutation(len(steps))]

    def _cut(self, numbers: np.ndarray) -> list[np.ndarray]:
        order = numbers[np.lexsort((self.sources.lengths[numbers], self.targets.lengths[numbers]))]
        tokens = self.sources.lengths[order] + self.targets.lengths[order]
        return in_steps(order, tokens, self.tokens_per_step)
