"""The likeliest tokens of each row, ties to the lowest id, where possible without sorting the vocabulary.

Letters: R rows, V vocabulary, C candidates, N runs of the vocabulary, W the width of a run.
"""

import torch
from torch import Tensor

RUN = 64


def best_token(x_RV: Tensor) -> tuple[Tensor, Tensor]:
    """The largest entry of each row and its id `[R]`; of equal ones the lowest id; nan where a row holds one.

    Two levels because torch's fast maximum gives no index: the largest of each run of 64, the first run that
    holds the row's largest, its place in that run.
    """
    R, V = x_RV.shape
    if V < 2 * RUN:
        best = x_RV.max(dim=-1)
        return best.values, best.indices
    starts_N = torch.arange(V // RUN, device=x_RV.device) * RUN
    best_RN = x_RV[:, : V // RUN * RUN].view(R, V // RUN, RUN).amax(dim=-1)
    if V % RUN:  # the last run overlaps the one before it
        starts_N = torch.cat((starts_N, starts_N.new_tensor([V - RUN])))
        best_RN = torch.cat((best_RN, x_RV[:, -RUN:].amax(dim=-1, keepdim=True)), dim=1)
    best = best_RN.max(dim=-1)
    start_R1 = starts_N[best.indices].unsqueeze(1)
    run_RW = x_RV.gather(1, start_R1 + torch.arange(RUN, device=x_RV.device))
    return best.values, start_R1.squeeze(1) + run_RW.max(dim=-1).indices


def top_tokens(x_RV: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest entries of each row, largest first, ties by lowest id: values and ids `[R, C]`."""
    V = x_RV.shape[1]
    if count >= V:
        values_RC, ids_RC = x_RV.sort(dim=-1, descending=True, stable=True)
        return values_RC, ids_RC
    top = x_RV.topk(count + 1, dim=-1)
    values_RC, ids_RC = top.values[:, :count], top.indices[:, :count]
    torn_R = (top.values[:, count:] == values_RC[:, -1:]).any(dim=-1)
    for row in torn_R.nonzero().flatten().tolist():  # which of equal last ones topk takes is its own choice
        last = values_RC[row, -1]
        room = int((values_RC[row] == last).sum())
        ids_RC[row, count - room :] = (x_RV[row] == last).nonzero().flatten()[:room]
    ids_RC, order_RC = ids_RC.sort(dim=-1)
    values_RC, order_RC = values_RC.gather(1, order_RC).sort(dim=-1, descending=True, stable=True)
    return values_RC, ids_RC.gather(1, order_RC)
