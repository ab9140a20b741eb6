"""Which tokens may be drawn: top-k, top-p, min-p and typical sampling, each read as its definition.

A filter sees each row's tokens with their weights (`weights.py`) and says which of them stay; the next one
sees what is left. They come in vLLM's order, min-p, top-k, top-p; typical is last, as in transformers.

There are two ways to hold a row's tokens, since a handful of them decides most rows: `Likeliest`, a few in
order with the weight of the tail beyond them, and `Everything`, the vocabulary in order of ids.

Letters: R rows, C tokens held (a few, or the whole vocabulary).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor

from pellucid.sampling.ordering import first_part
from pellucid.sampling.weights import exact_sum, take_rows, whole


class Tokens(Protocol):
    """Tokens of each row, and the two questions that filters ask of their order."""

    @property
    def weights_RC(self) -> Tensor:
        """Probabilities up to a factor: 1 for the row's likeliest token, 0 for those left out."""

    def first_count(self, k_R: Tensor) -> Tensor:
        """Which are the k likeliest of each row; of equal ones the lowest ids."""

    def first_share(self, share_R: Tensor, by_RC: Tensor | None = None) -> Tensor:
        """Which are the fewest that reach this share of the weight left, taken from the highest in `by` (from
        the likeliest where it is not given)."""

    def take(self, rows: Sequence[int]) -> Self:
        """The tokens of these rows."""

    def keep(self, rows: Sequence[int], kept_RC: Tensor) -> Self:
        """What is left when these rows keep only these tokens."""


def top_k(tokens: Tokens, k_R: Tensor) -> Tensor:
    """The k likeliest (Fan et al. 2018, "Hierarchical Neural Story Generation"). Exactly k: of equal tokens
    the lowest ids, where transformers keeps all that tie with the k-th."""
    return tokens.first_count(k_R)


def top_p(tokens: Tokens, p_R: Tensor) -> Tensor:
    """The fewest likeliest tokens whose probabilities reach p, the nucleus (Holtzman et al. 2019, "The
    Curious Case of Neural Text Degeneration")."""
    return tokens.first_share(p_R)


def min_p(tokens: Tokens, p_R: Tensor) -> Tensor:
    """Those at least p times as probable as the likeliest (Nguyen et al. 2024, "Turning Up the Heat")."""
    return tokens.weights_RC >= p_R[:, None]


def typical_p(tokens: Tokens, mass_R: Tensor) -> Tensor:
    """Those whose surprise -log p is nearest to H, the expected one, until their probabilities reach the mass
    (Meister et al. 2022, "Locally Typical Sampling")."""
    whole_RC = whole(tokens.weights_RC)
    probs_RC = whole_RC / whole_RC.sum(dim=-1, keepdim=True)
    surprise_RC = -probs_RC.log()
    expected_R1 = exact_sum(torch.where(probs_RC > 0, probs_RC * surprise_RC, 0.0))
    oddness_RC = (surprise_RC - expected_R1).abs()
    return tokens.first_share(mass_R, by_RC=1 / (1 + oddness_RC).float())


Filter = Callable[[Tokens, Tensor], Tensor]
IN_ORDER: tuple[tuple[Filter, str, float], ...] = (
    (min_p, "min_p", 0),
    (top_k, "top_k", 0),
    (top_p, "top_p", 1),
    (typical_p, "typical_p", 1),
)
"""Each filter, the parameter it reads, and the value at which it keeps everything."""


@dataclass(frozen=True, slots=True)
class Likeliest:
    """The few likeliest tokens of each row, in order, and the weight of the tail beyond them, a whole number.

    A filter that leaves out the last of them leaves out the tail: it is 0, and the row is settled, as more
    tokens would change nothing. One that keeps the last may have cut the tail anywhere: then it is inf.
    """

    weights_RC: Tensor
    tail_R: Tensor

    def first_count(self, k_R: Tensor) -> Tensor:
        return torch.arange(self.weights_RC.shape[1], device=k_R.device) < k_R[:, None]

    def first_share(self, share_R: Tensor, by_RC: Tensor | None = None) -> Tensor:
        whole_RC = whole(self.weights_RC)
        goal_R1 = (share_R * (whole_RC.sum(dim=-1) + self.tail_R)).unsqueeze(1)
        if by_RC is None:
            return whole_RC.cumsum(dim=-1) - whole_RC < goal_R1
        order_RC = by_RC.sort(dim=-1, descending=True, stable=True).indices
        ordered_RC = whole_RC.gather(1, order_RC)
        kept_RC = ordered_RC.cumsum(dim=-1) - ordered_RC < goal_R1
        unknown_R1 = self.tail_R.unsqueeze(1) > 0  # the tail has a place in this order too
        return torch.zeros_like(kept_RC).scatter(1, order_RC, kept_RC) | unknown_R1

    def take(self, rows: Sequence[int]) -> "Likeliest":
        return Likeliest(take_rows(self.weights_RC, rows), take_rows(self.tail_R, rows))

    def keep(self, rows: Sequence[int], kept_RC: Tensor) -> "Likeliest":
        tail_R = self.tail_R.clone()
        unknown = kept_RC[:, -1] & (tail_R[list(rows)] > 0)
        tail_R[list(rows)] = torch.where(unknown, math.inf, 0.0).double()
        return Likeliest(zeroed(self.weights_RC, rows, kept_RC), tail_R)


@dataclass(frozen=True, slots=True)
class Everything:
    """The whole vocabulary of each row, in order of ids."""

    weights_RC: Tensor

    def first_count(self, k_R: Tensor) -> Tensor:
        return first_part(
            self.weights_RC,
            torch.ones_like(self.weights_RC, dtype=torch.float64),
            k_R.clamp_max(self.weights_RC.shape[1]),
        )

    def first_share(self, share_R: Tensor, by_RC: Tensor | None = None) -> Tensor:
        whole_RC = whole(self.weights_RC)
        goal_R = share_R * whole_RC.sum(dim=-1)
        return first_part(self.weights_RC if by_RC is None else by_RC, whole_RC, goal_R)

    def take(self, rows: Sequence[int]) -> "Everything":
        return Everything(take_rows(self.weights_RC, rows))

    def keep(self, rows: Sequence[int], kept_RC: Tensor) -> "Everything":
        return Everything(zeroed(self.weights_RC, rows, kept_RC))


def zeroed(x: Tensor, rows: Sequence[int], kept: Tensor) -> Tensor:
    """`x` with the entries of these rows that are not kept set to 0."""
    if len(rows) == len(x):
        return torch.where(kept, x, 0)
    return x.index_put((torch.tensor(rows, device=x.device),), torch.where(kept, x[list(rows)], 0))
