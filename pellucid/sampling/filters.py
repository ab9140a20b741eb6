"""Which tokens may be drawn: top-k, top-p, min-p and typical sampling, each read as its definition.

A filter sees each row's candidates, the likeliest tokens first, as weights `weights_RC` (probabilities up to
a factor), and sets to zero those it leaves out. `tail_R` is the weight of the tokens beyond the candidates,
all less likely; the three filters that keep a first part of the order keep the tail only if they keep the
last candidate. A row whose tail comes out as zero is settled: more candidates would change nothing.

Weights are whole numbers held in float64 and their sums stay below 2**53. Such sums are exact in whatever
order they are taken: no row's result can depend on the rows beside it or on how a kernel splits its work.

They are applied in vLLM's order, min-p, top-k, top-p, each to what the one before left; typical comes last as
in transformers. Letters: R rows, C candidates.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Candidates:
    """The likeliest tokens of each row, in order, and what lies beyond them."""

    weights_RC: Tensor
    tail_R: Tensor

    def keep(self, kept_RC: Tensor) -> "Candidates":
        """Only these; `kept_RC` is a first part of each row."""
        return Candidates(self.weights_RC * kept_RC, self.tail_R * kept_RC[:, -1])


def top_k(candidates: Candidates, k_R: Tensor) -> Candidates:
    """The k likeliest tokens, ties to the lowest id (Fan et al. 2018, "Hierarchical Neural Story
    Generation"). transformers keeps all that tie with the k-th; here exactly k remain.
    """
    rank_C = torch.arange(candidates.weights_RC.shape[1], device=k_R.device)
    return candidates.keep(rank_C < k_R[:, None])


def top_p(candidates: Candidates, p_R: Tensor) -> Candidates:
    """The smallest first part whose probabilities reach p (Holtzman et al. 2019, "The Curious Case of Neural
    Text Degeneration")."""
    weights_RC = candidates.weights_RC
    total_R = weights_RC.sum(dim=-1) + candidates.tail_R
    before_RC = weights_RC.cumsum(dim=-1) - weights_RC
    return candidates.keep(before_RC < (p_R * total_R)[:, None])


def min_p(candidates: Candidates, p_R: Tensor) -> Candidates:
    """The tokens at least p times as probable as the best (Nguyen et al. 2024, "Turning Up the Heat")."""
    weights_RC = candidates.weights_RC
    return candidates.keep(weights_RC >= p_R[:, None] * weights_RC[:, :1])


def typical_p(candidates: Candidates, mass_R: Tensor) -> Candidates:
    """The tokens whose surprise -log p is nearest its expectation H, until their probabilities reach the mass
    (Meister et al. 2022, "Locally Typical Sampling"). Needs the whole distribution: a tail stays as it is."""
    weights_RC = candidates.weights_RC
    probs_RC = weights_RC / weights_RC.sum(dim=-1, keepdim=True)
    surprise_RC = -probs_RC.log()
    expected_R = exact_sum(torch.where(weights_RC > 0, probs_RC * surprise_RC, 0.0))
    oddness_RC = (surprise_RC - expected_R[:, None]).abs()
    order_RC = oddness_RC.sort(dim=-1, stable=True).indices
    nearest_RC = weights_RC.gather(1, order_RC)
    before_RC = nearest_RC.cumsum(dim=-1) - nearest_RC
    kept_RC = before_RC < (mass_R * weights_RC.sum(dim=-1))[:, None]
    return Candidates(
        torch.zeros_like(weights_RC).scatter(1, order_RC, nearest_RC * kept_RC), candidates.tail_R
    )


def exact_sum(x_RC: Tensor) -> Tensor:
    """The sum of entries whose total is below 16, rounded to multiples of 2**-49 so that it is exact."""
    return (x_RC * 2.0**49).round().sum(dim=-1) * 2.0**-49
