"""Weights, probabilities up to a factor, as whole numbers, and drawing a token from them.

Whole numbers in float64 whose sums stay below 2**53 add up exactly in any order: that is what keeps a row's
token from depending on its company. Letters: R rows, V vocabulary, C candidates, N runs of the vocabulary,
W the width of a run.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.kernels.cpu.logits import kernels_for
from pellucid.sampling.draw import exponentials

SCALE = 2.0**34
"""A weight of 1 as a whole number: sums over 2**19 tokens stay below 2**53."""
RUN = 128
CACHED = 2**20


def weigh(x_RC: Tensor, best_R: Tensor, temperature_R: Tensor) -> Tensor:
    """`exp((x - best) / temperature)` in float32: 1 for the likeliest token."""
    if kernels := kernels_for(x_RC):
        return kernels.weigh(x_RC, best_R, temperature_R)
    return weigh_by_torch(x_RC, best_R, temperature_R)


def weigh_by_torch(x_RC: Tensor, best_R: Tensor, temperature_R: Tensor) -> Tensor:
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


def weight_sums(x_RV: Tensor, best_R: Tensor, temperature_R: Tensor) -> Tensor:
    """The sums of runs of the weights that `weigh` gives, where only they are wanted."""
    if kernels := kernels_for(x_RV):
        return kernels.weight_sums(x_RV, best_R, temperature_R)
    return run_sums(weigh_by_torch(x_RV, best_R, temperature_R))


def race(weights_RC: Tensor, key_R1: Tensor, place_RC: Tensor) -> Tensor:
    """The first entry `[R, 1]` of each row to arrive, each after an exponential time divided by its weight:
    it is any one with a probability proportional to its weight. The times come from key and place."""
    return (exponentials(key_R1, place_RC) / weights_RC).argmin(dim=-1, keepdim=True)


def pick_from_all(weights_RV: Tensor, key_R1: Tensor) -> Tensor:
    """Draw a token of each row `[R]`, with weights of at most 1: a race of runs, then one inside the run."""
    V = weights_RV.shape[1]
    id_RW = race_of_runs(run_sums(weights_RV), key_R1)
    run_RW = weights_RV.gather(1, id_RW.clamp_max(V - 1)) * (id_RW < V)
    return id_RW.gather(1, race(run_RW, key_R1, id_RW)).squeeze(1)


def pick_from_logits(x_RV: Tensor, best_R: Tensor, temperature_R: Tensor, key_R1: Tensor) -> Tensor:
    """The same by all the weights that logits have, of which only those of the run that wins are kept."""
    V = x_RV.shape[1]
    id_RW = race_of_runs(weight_sums(x_RV, best_R, temperature_R), key_R1)
    run_RW = weigh(x_RV.gather(1, id_RW.clamp_max(V - 1)), best_R, temperature_R) * (id_RW < V)
    return id_RW.gather(1, race(run_RW, key_R1, id_RW)).squeeze(1)


def race_of_runs(runs_RN: Tensor, key_R1: Tensor) -> Tensor:
    """The ids `[R, W]` of the run that wins; some may lie beyond the vocabulary."""
    places_N = torch.arange(runs_RN.shape[1], device=runs_RN.device)
    return race(runs_RN, key_R1, -1 - places_N) * RUN + torch.arange(RUN, device=runs_RN.device)


def pick_from_few(weights_RC: Tensor, ids_RC: Tensor, vocab_size: int, key_R1: Tensor) -> Tensor:
    """The same races when only these tokens have weights."""
    run_RC = ids_RC // RUN
    runs_RN = weights_RC.new_zeros(len(ids_RC), vocab_size // RUN + 1, dtype=torch.float64)
    sums_RC = runs_RN.scatter_add_(1, run_RC, whole(weights_RC)).gather(1, run_RC)
    run_R1 = run_RC.gather(1, race(sums_RC, key_R1, -1 - run_RC))
    winner_R1 = race(weights_RC * (run_RC == run_R1), key_R1, ids_RC)
    return ids_RC.gather(1, winner_R1).squeeze(1)


def take_rows(x: Tensor, rows: Sequence[int]) -> Tensor:
    """These rows (each once, in order), without a copy where they are all."""
    return x if len(rows) == len(x) else x[list(rows)]


def slices(x_RV: Tensor) -> list[slice]:
    """The rows in a few at a time, so that what is made of them stays in a CPU's cache."""
    R, V = x_RV.shape
    step = max(1, CACHED // V) if x_RV.device.type == "cpu" else max(1, R)
    return [slice(start, start + step) for start in range(0, R, step)]


def passes(x_RV: Tensor) -> list[slice]:
    """All rows at once where they are read where they lie, else `slices`."""
    return [slice(0, len(x_RV))] if kernels_for(x_RV) else slices(x_RV)
