"""What each row may be drawn from once edits, temperature and filters are applied.

Letters: R rows, A those whose tail is worked out, V vocabulary, C the likeliest tokens.
"""

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from pellucid.errors import RequestError
from pellucid.sampling.filters import IN_ORDER, Everything, Likeliest
from pellucid.sampling.ordering import top_tokens
from pellucid.sampling.state import SamplingState
from pellucid.sampling.weights import take_rows, weigh, weight_sums, whole

FEW, MANY = 64, 1024
"""How many of the likeliest tokens are looked at first, and how many at most to make room for top-k."""


def row_errors(logits_RV: Tensor, x_RV: Tensor, best_R: Tensor) -> dict[int, RequestError]:
    """The rows that can have no token. `x_RV` are the logits after their edits, `best_R` their largest."""
    raw_R = best_R if x_RV is logits_RV else logits_RV.amax(dim=-1)  # nan wins, and so does inf
    raws, bests = raw_R.tolist(), best_R.tolist()
    if all(map(math.isfinite, (*raws, *bests))):
        return {}
    errors = {}
    for row, (raw, best) in enumerate(zip(raws, bests, strict=True)):
        if not math.isfinite(raw):
            errors[row] = RequestError(
                "the model's logits for this token are nan or infinite, so none can be chosen: "
                'the weights are damaged, or a sum overflowed in their dtype; try dtype="float32"'
            )
        elif not math.isfinite(best):
            errors[row] = RequestError(
                "no token may be chosen: allowed_token_ids, bad_words and min_tokens together "
                "forbid every one; loosen one of them"
            )
    return errors


def filtered_weights(x_RV: Tensor, states: Sequence[SamplingState]) -> Tensor:
    """The weights of the whole vocabulary, after temperature and filters; 1 for the likeliest token."""
    weights_RV = weigh(x_RV, x_RV.amax(dim=-1), temperatures(states, x_RV.device))
    return apply_filters(Everything(weights_RV), states).weights_RC


def few(state: SamplingState) -> int:
    """How many of the likeliest tokens to look at first; of its own parameters alone, so that company changes
    nothing."""
    k = state.params.top_k
    return 1 << k.bit_length() if FEW <= k < MANY else FEW


def few_weights(
    x_RV: Tensor, states: Sequence[SamplingState], count: int
) -> tuple[Tensor, Tensor, list[bool]]:
    """The same by looking at the `count` likeliest tokens only: their weights and ids `[R, C]`, and for each
    row whether these settle it."""
    V = x_RV.shape[1]
    values_RC, ids_RC = top_tokens(x_RV, min(count, V))
    temperature_R = temperatures(states, x_RV.device)
    weights_RC = weigh(values_RC, values_RC[:, 0], temperature_R)
    tail_R = torch.zeros(len(states), dtype=torch.float64, device=x_RV.device)
    # where top-k leaves the tail out, its weight does not matter
    asked = [row for row, state in enumerate(states) if not 0 < state.params.top_k < count]
    if V > count and asked:
        x_AV = take_rows(x_RV, asked)
        total_A = weight_sums(x_AV, values_RC[asked, 0], temperature_R[asked]).sum(dim=-1)
        tail_R[asked] = (total_A - whole(weights_RC[asked]).sum(dim=-1)).clamp_min(0)
    kept = apply_filters(Likeliest(weights_RC, tail_R), states)
    return kept.weights_RC, ids_RC, (kept.tail_R == 0).tolist()


Held = TypeVar("Held", Likeliest, Everything)


def apply_filters(tokens: Held, states: Sequence[SamplingState]) -> Held:
    """Every filter on the rows that ask for it, in their order."""
    for keeps, name, off in IN_ORDER:
        values = [getattr(state.params, name) for state in states]
        if rows := [row for row, value in enumerate(values) if value > 0 and value != off]:
            asked_R = floats([values[row] for row in rows], tokens.weights_RC.device)
            tokens = tokens.keep(rows, keeps(tokens.take(rows), asked_R))
    return tokens


def temperatures(states: Sequence[SamplingState], device: torch.device) -> Tensor:
    return torch.tensor([state.params.temperature for state in states], device=device)


def floats(values: Sequence[float], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device=device)
