"""The likeliest tokens of each row, of equal ones the lowest ids, without sorting the vocabulary.

Letters: R rows, V vocabulary, C candidates, N runs of neighbouring tokens, W the width of a run, B bins,
M tokens of the bins that are cut, of all rows end to end; X the same, a row each.
"""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pellucid.kernels.cpu.logits import kernels_for

RUN = 64
ONE = 0x3F80
"""1 as a bfloat16; the bits of those from 0 to 1 count up with their value."""
BINS = 36 << 7
"""The bfloat16 numbers from 2**-36 to 1; what is smaller shares the last bin."""


def in_runs(x_RV: Tensor) -> Tensor:
    """The row as runs of 64 tokens `[R, N, W]`, the last one filled up with -inf."""
    R, V = x_RV.shape
    if V % RUN:
        x_RV = functional.pad(x_RV, (0, RUN - V % RUN), value=-math.inf)
    return x_RV.view(R, -1, RUN)


def best_token(x_RV: Tensor) -> tuple[Tensor, Tensor]:
    """The largest entry of each row and its id `[R]`; nan where a row holds one.

    On a CPU numpy is fast. Elsewhere it takes two levels, because torch's fast maximum gives no index: the
    first run that holds the row's largest, then its place there.
    """
    if x_RV.device.type == "cpu" and x_RV.dtype is torch.float32:
        x = x_RV.numpy()
        ids = x.argmax(axis=1)
        return torch.from_numpy(x[np.arange(len(x)), ids]), torch.from_numpy(ids)
    x_RNW = in_runs(x_RV)
    best = x_RNW.amax(dim=-1).max(dim=-1)
    run_RW = x_RNW[torch.arange(len(x_RV), device=x_RV.device), best.indices]
    return best.values, best.indices * RUN + run_RW.max(dim=-1).indices


def top_tokens(x_RV: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest entries of each row, largest first: values and ids `[R, C]`."""
    kernels = kernels_for(x_RV)
    if kernels is None:
        return top_tokens_by_torch(x_RV, count)
    return kernels.top_tokens(x_RV, min(count, x_RV.shape[1]))


def top_tokens_by_torch(x_RV: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The same with torch's operators.

    They lie in the `count` runs with the largest maxima. One more is looked at: where it equals the last one,
    which of the equal ones torch took is chance, so the lowest ids are looked up.
    """
    V = x_RV.shape[1]
    if count >= V:
        values_RC, ids_RC = x_RV.sort(dim=-1, descending=True, stable=True)
        return values_RC, ids_RC
    if V > 4 * RUN * count:
        x_RNW = in_runs(x_RV)
        run_RN = x_RNW.amax(dim=-1).topk(count + 1, dim=-1, sorted=False).indices
        held_RX = x_RNW.gather(1, run_RN.unsqueeze(-1).expand(-1, -1, RUN)).flatten(1)
        top = held_RX.topk(count + 1, dim=-1)
        place_RC = top.indices[:, :count]
        ids_RC = run_RN.gather(1, place_RC // RUN) * RUN + place_RC % RUN
    else:
        top = x_RV.topk(count + 1, dim=-1)
        ids_RC = top.indices[:, :count]
    values_RC = top.values[:, :count]
    for row in (top.values[:, count] == values_RC[:, -1]).nonzero().flatten().tolist():
        last = values_RC[row, -1]
        room = int((values_RC[row] == last).sum())
        ids_RC[row, count - room :] = (x_RV[row] == last).nonzero().flatten()[:room]
    ids_RC, order_RC = ids_RC.sort(dim=-1)
    values_RC, order_RC = values_RC.gather(1, order_RC).sort(dim=-1, descending=True, stable=True)
    return values_RC, ids_RC.gather(1, order_RC)


def first_part(by_RV: Tensor, of_RV: Tensor, goal_R: Tensor) -> Tensor:
    """Which tokens `[R, V]` one takes, from the highest in `by` on, until their `of` reach the goal.

    `by`: float32 from 0 to 1. `of`: whole numbers in float64. The goal: above 0, at most their sum. A
    histogram of `of` over bins of `by` finds the bin in which it is reached; only its tokens are sorted.
    """
    R, device = len(by_RV), by_RV.device
    bin_RV = (ONE - by_RV.bfloat16().view(torch.int16)).clamp_max_(BINS - 1)
    flat_RV = bin_RV + torch.arange(0, R * BINS, BINS, device=device)[:, None]
    in_bin_RB = torch.bincount(flat_RV.flatten(), of_RV.flatten(), minlength=R * BINS).view(R, BINS)
    reached_RB = in_bin_RB.cumsum(dim=-1)
    cut_R1 = (reached_RB < goal_R[:, None]).sum(dim=-1, keepdim=True)
    before_R1 = (reached_RB - in_bin_RB).gather(1, cut_R1)
    cut_R1 = cut_R1.to(torch.int16)
    kept_RV = bin_RV < cut_R1
    row_M, id_M = (bin_RV == cut_R1).nonzero(as_tuple=True)
    first_R = torch.searchsorted(row_M, torch.arange(R, device=device))
    place_M = torch.arange(len(row_M), device=device) - first_R[row_M]
    shape = (R, int(place_M.max()) + 1)
    by_RX = torch.full(shape, -1.0, device=device).index_put((row_M, place_M), by_RV[row_M, id_M])
    of_RX = of_RV.new_zeros(shape).index_put((row_M, place_M), of_RV[row_M, id_M])
    id_RX = id_M.new_zeros(shape).index_put((row_M, place_M), id_M)
    order_RX = by_RX.sort(dim=-1, descending=True, stable=True).indices
    of_RX = of_RX.gather(1, order_RX)
    taken_RX = before_R1 + of_RX.cumsum(dim=-1) - of_RX < goal_R[:, None]
    row_M, place_M = taken_RX.nonzero(as_tuple=True)
    kept_RV[row_M, id_RX.gather(1, order_RX)[row_M, place_M]] = True
    return kept_RV
