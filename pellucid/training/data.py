"""Batches of packed sequences: what a step trains on depends on the seed and the step alone.

So a resumed run needs no saved position, and each rank knows all ranks' shares. Letters: T tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from pellucid.errors import TrainingError


class Part(Protocol):
    """What the loop asks of a batch, whatever is in it."""

    @property
    def weights_T(self) -> Tensor:
        """How much each target counts, float32."""

    @property
    def tokens(self) -> int:
        """How many tokens the model reads in it."""

    def to(self, device: torch.device) -> Self:
        """The same on a device."""


P = TypeVar("P", bound=Part)
P_co = TypeVar("P_co", bound=Part, covariant=True)


@dataclass(frozen=True)
class Batch:
    """Sequences end to end, no padding: each token's successor is its target."""

    ids_T: Tensor
    targets_T: Tensor
    weights_T: Tensor
    """How much predicting each target counts, float32."""
    lengths: tuple[int, ...]

    @property
    def tokens(self) -> int:
        return len(self.ids_T)

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        return Batch(
            self.ids_T.to(device), self.targets_T.to(device), self.weights_T.to(device), self.lengths
        )

    @staticmethod
    def of(documents: Sequence[tuple[np.ndarray, np.ndarray]]) -> "Batch":
        """From `(ids, weights)` of whole documents; a document's first token is nobody's target."""
        return Batch(
            end_to_end([ids[:-1] for ids, _ in documents], np.int64),
            end_to_end([ids[1:] for ids, _ in documents], np.int64),
            end_to_end([weights[1:] for _, weights in documents], np.float32),
            tuple(len(ids) - 1 for ids, _ in documents),
        )


def end_to_end(sequences: Sequence[np.ndarray], dtype: type) -> Tensor:
    """Sequences, perhaps none, one after the other."""
    return torch.from_numpy(np.concatenate([*sequences, np.empty(0, dtype)], dtype=dtype))


@dataclass(frozen=True)
class Labelled:
    """Texts end to end, or pictures, each of one class."""

    inputs: Tensor
    """ids_T, or pixels_NCYX."""
    labels_N: Tensor
    lengths: tuple[int, ...]
    """How many tokens each has."""

    @property
    def weights_T(self) -> Tensor:
        return torch.ones(len(self.labels_N), device=self.labels_N.device)

    @property
    def tokens(self) -> int:
        return sum(self.lengths)

    def to(self, device: torch.device) -> "Labelled":
        return Labelled(self.inputs.to(device), self.labels_N.to(device), self.lengths)


class Source(Protocol[P_co]):
    """Where batches come from."""

    def parts(self, step: int, count: int) -> Sequence[P_co]:
        """The step's batch in `count` parts of about equal size, for accumulation and ranks. A part of no
        tokens is passed over."""


def in_epoch(plan: Callable[[int], list[np.ndarray]], step: int) -> np.ndarray:
    """What the step trains on, where each epoch has a plan of its own, of any number of steps."""
    epoch = 0
    while step >= len(plan(epoch)):
        step -= len(plan(epoch))
        epoch += 1
    return plan(epoch)[step]


def in_steps(numbers: np.ndarray, tokens: np.ndarray, tokens_per_step: int) -> list[np.ndarray]:
    """Items of so many tokens each cut into steps; what is left over goes with the last whole step."""
    step_of = np.cumsum(tokens) // tokens_per_step
    if len(step_of) and step_of[-1] > 0:
        step_of = np.minimum(step_of, step_of[-1] - 1)
    return np.split(numbers, np.flatnonzero(np.diff(step_of)) + 1)


class Documents:
    """Documents of any length, shuffled anew each epoch and packed up to a number of tokens a step."""

    def __init__(
        self, ids: np.ndarray, weights: np.ndarray, starts: np.ndarray, tokens_per_step: int, seed: int = 0
    ) -> None:
        """Document i is `ids[starts[i]:starts[i + 1]]`, with a weight for each token.

        Raises TrainingError for none, and for one that is too short to foresee anything.
        """
        shortest = np.diff(starts).min() if len(starts) > 1 else 0
        if shortest < 2:
            raise TrainingError(
                f"{len(starts) - 1} documents, the shortest of {shortest} tokens: there must be one, and "
                "each must have 2 tokens, of which the second is foreseen"
            )
        self.ids, self.weights, self.starts = ids, weights, starts
        self.tokens_per_step, self.seed = tokens_per_step, seed
        self._plan = cache(self._planned)

    def chosen(self, step: int) -> np.ndarray:
        """The numbers of the step's documents."""
        return in_epoch(self._plan, step)

    def parts(self, step: int, count: int) -> list[Batch]:
        chosen = self.chosen(step)
        return [Batch.of([self.document(i) for i in chosen[part::count]]) for part in range(count)]

    def document(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids and weights of one document."""
        rows = slice(self.starts[i], self.starts[i + 1])
        return self.ids[rows], self.weights[rows]

    def _planned(self, epoch: int) -> list[np.ndarray]:
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.starts) - 1)
        return in_steps(order, np.diff(self.starts)[order], self.tokens_per_step)


class Windows:
    """Windows of equal length from one long text, each step's drawn at random places."""

    def __init__(self, ids: np.ndarray, length: int, windows_per_step: int, seed: int = 0) -> None:
        if len(ids) <= length:
            raise TrainingError(
                f"a text of {len(ids)} tokens has no window of {length} and the token after it; give more "
                "text or a shorter context"
            )
        self.ids, self.length, self.windows_per_step, self.seed = ids, length, windows_per_step, seed

    def parts(self, step: int, count: int) -> list[Batch]:
        rng = np.random.default_rng((self.seed, step))
        starts = rng.integers(0, len(self.ids) - self.length, self.windows_per_step)
        ones = np.ones(self.length + 1, np.float32)
        windows = [(self.ids[start : start + self.length + 1], ones) for start in starts]
        return [Batch.of(windows[part::count]) for part in range(count)]

    @staticmethod
    def all(ids: np.ndarray, length: int, windows_per_batch: int = 64) -> list[Batch]:
        """Every token of a text but the first, predicted once, in windows side by side: for evaluation."""
        windows = [ids[start : start + length + 1] for start in range(0, len(ids) - 1, length)]
        documents = [(window, np.ones(len(window), np.float32)) for window in windows]
        return [
            Batch.of(documents[at : at + windows_per_batch])
            for at in range(0, len(documents), windows_per_batch)
        ]
