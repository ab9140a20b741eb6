"""Weights, probabilities up to a factor, as whole numbers, and drawing a token from them.

Whole numbers in float64 whose sums stay below 2**53 add up exactly in any order: that is what keeps a row's
token from depending on its company. Letters: R rows, V vocabulary, C candidates, N runs of the vocabulary,
W the width of a run.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

SCALE = 2.0**34
"""A weight of 1 as a whole number: sums over 2**19 tokens stay below 2**53."""
RUN = 128
CACHED = 2**20


def weigh(x_RC: Tensor, best_R: Tensor, temperature_R: Tensor) -> Tensor:
    """`exp((x - best) / temperature)` in float32: 1 for the likeliest token."""
    return (x_RC - best_R[:, None]).div_(temperature_R[:, None]).exp_()


def whole(weights_RC: Tensor) -> Tensor:
    """Weights of at most 1 as whole numbers, in float64."""
    return (weights_RC * SCALE).round_().double()


def exact_sum(x_RC: Tensor) -> Tensor:
    """The sum `[R, 1]` of float64 entries whose total is below 16: exact, of entries rounded to 2**-49."""
    return (x_RC * 2.0**49).round_().sum(dim=-1, keepdim=True) * 2.0**-49


def run_sums(weights_RV: Tensor) -> Tensor:
    """The sum of each run of 128 tokens, as whole numbers. In a run the order of float32 sums is fixed."""
    R, V = weights_RV.shape
    full_RN = weights_RV[:, : V // RUN * RUN].view(R, V // RUN, RUN).sum(dim=-1)
    rest_R1 = weights_RV[:, V // RUN * RUN :].sum(dim=-1, keepdim=True)
    return whole(torch.cat((full_RN, rest_R1), dim=1))


def pick(whole_RC: Tensor, uniform_R: Tensor) -> Tensor:
    """The first place at which the running sum of whole weights passes `uniform · total` (inverse CDF)."""
    reached_RC = whole_RC.cumsum(dim=-1)
    return (reached_RC <= (uniform_R * reached_RC[:, -1])[:, None]).sum(dim=-1)


def pick_from_all(weights_RV: Tensor, uniform_R: Tensor) -> Tensor:
    """The same from weights of at most 1 over the whole vocabulary: first a run of tokens, then one in it."""
    V = weights_RV.shape[1]
    runs_RN = run_sums(weights_RV)
    reached_RN = runs_RN.cumsum(dim=-1)
    mark_R1 = (uniform_R * reached_RN[:, -1])[:, None]
    run_R1 = (reached_RN <= mark_R1).sum(dim=-1, keepdim=True)
    sum_R1 = runs_RN.gather(1, run_R1)
    left_R1 = (mark_R1 - (reached_RN.gather(1, run_R1) - sum_R1)) / sum_R1
    id_RW = run_R1 * RUN + torch.arange(RUN, device=weights_RV.device)
    run_RW = weights_RV.gather(1, id_RW.clamp_max(V - 1)) * (id_RW < V)
    run_RW = whole(run_RW / run_RW.amax(dim=-1, keepdim=True))
    return run_R1.squeeze(1) * RUN + pick(run_RW, left_R1.squeeze(1))


def take_rows(x: Tensor, rows: Sequence[int]) -> Tensor:
    """These rows (each once, in order), without a copy where they are all."""
    return x if len(rows) == len(x) else x[list(rows)]


def slices(x_RV: Tensor) -> list[slice]:
    """The rows in a few at a time, so that what is made of them stays in a CPU's cache."""
    R, V = x_RV.shape
    step = max(1, CACHED // V) if x_RV.device.type == "cpu" else max(1, R)
    return [slice(start, start + step) for start in range(0, R, step)]
