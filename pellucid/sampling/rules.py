"""Rules that a checkpoint was published with, which forbid or force tokens by what was written before.

A rule is a function of the prompt's ids, the output's ids and the next token's logits `[V]`, float32; it
gives back those logits, or a changed copy in which what it forbids is -inf. What each does is what it does in
transformers' `generate`. Letters: V vocabulary.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

Rule = Callable[[Sequence[int], Sequence[int], Tensor], Tensor]


def without(logits_V: Tensor, ids: Sequence[int]) -> Tensor:
    """The logits with these tokens forbidden."""
    if not ids:
        return logits_V
    changed_V = logits_V.clone()
    changed_V[list(ids)] = -math.inf
    return changed_V


@dataclass(frozen=True)
class Never:
    """These tokens are never written."""

    ids: tuple[int, ...]

    def __call__(self, prompt: Sequence[int], output: Sequence[int], logits_V: Tensor) -> Tensor:
        return without(logits_V, self.ids)


@dataclass(frozen=True)
class NotFirst:
    """The output does not begin with one of these tokens."""

    ids: tuple[int, ...]

    def __call__(self, prompt: Sequence[int], output: Sequence[int], logits_V: Tensor) -> Tensor:
        return logits_V if output else without(logits_V, self.ids)


@dataclass(frozen=True)
class NotBefore:
    """None of these tokens (those that end the output) before `min_tokens` others were written."""

    ids: tuple[int, ...]
    min_tokens: int

    def __call__(self, prompt: Sequence[int], output: Sequence[int], logits_V: Tensor) -> Tensor:
        return without(logits_V, self.ids) if len(output) < self.min_tokens else logits_V


@dataclass(frozen=True)
class NoRepeatedRun:
    """No `size` tokens in a row that prompt and output together have had in a row before (Paulus et al. 2017,
    "A Deep Reinforced Model for Abstractive Summarization", section 2.5)."""

    size: int

    def __call__(self, prompt: Sequence[int], output: Sequence[int], logits_V: Tensor) -> Tensor:
        ids = [*prompt, *output]
        newest = ids[len(ids) - self.size + 1 :]
        starts = range(len(ids) - self.size + 1)
        repeats = {ids[at + self.size - 1] for at in starts if ids[at : at + self.size - 1] == newest}
        return without(logits_V, sorted(repeats))


@dataclass(frozen=True)
class LastIs:
    """An output that reaches `max_tokens` ends with this token."""

    id: int
    max_tokens: int

    def __call__(self, prompt: Sequence[int], output: Sequence[int], logits_V: Tensor) -> Tensor:
        if len(output) != self.max_tokens - 1:
            return logits_V
        changed_V = logits_V.new_full(logits_V.shape, -math.inf)
        changed_V[self.id] = 0.0
        return changed_V


def obey(rules: Sequence[Rule], prompt: Sequence[int], output: Sequence[int], logits_V: Tensor) -> Tensor:
    """The logits after all rules, one after the other."""
    for rule in rules:
        logits_V = rule(prompt, output, logits_V)
    return logits_V
