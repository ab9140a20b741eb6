"""One token for each row of logits, vectorised over the batch and blind to who else is in it.

A row's token is a pure function of its own logits, parameters, tokens and seed:

- its weights are `exp((x - max) / temperature)` of the edited logits (`edits.py`), zero where a filter left
  the token out (`filters.py`), scaled to whole numbers whose sums are exact whatever their order;
- each token's random number comes from (seed, sample index, output position) and its id alone (`draw.py`);
- the token that wins is the first in a race of exponential times divided by weights.

A race, not one number looked up in the running sum of the weights, for the sake of speculation: two models
whose distributions are close draw the same token nearly as often as is possible at all (`speculative.py`).

Letters: R rows, F those with filters, P those without, L those that their likeliest tokens do not settle,
V vocabulary, C the likeliest tokens.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pellucid.errors import RequestError
from pellucid.sampling.distribution import few, few_weights, filtered_weights, row_errors, temperatures
from pellucid.sampling.edits import edit
from pellucid.sampling.logprobs import NO_LOGPROBS, Logprob, token_logprobs
from pellucid.sampling.ordering import best_token
from pellucid.sampling.state import SamplingState
from pellucid.sampling.weights import (
    passes,
    pick_from_all,
    pick_from_few,
    pick_from_logits,
    slices,
    take_rows,
)


class SampledToken(NamedTuple):
    """What one row gave. `logprob`, `rank` and `top` are of the model's own distribution, before any edit."""

    token_id: int
    logprob: float | None = None
    rank: int | None = None
    top: Mapping[int, Logprob] = NO_LOGPROBS
    """The chosen token and the `SamplingParams.logprobs` likeliest."""
    error: RequestError | None = None
    """Why this row has no token (then `token_id` is -1); the other rows are not touched by it."""


def sample(logits_RV: Tensor, states: Sequence[SamplingState]) -> list[SampledToken]:
    """The next token of each row. `logits_RV`: float of any width; `states[i]` belongs to row i."""
    tokens = dict(enumerate(choose(logits_RV, states)))
    return list(describe(tokens, logits_RV, states, range(len(states))).values())


def choose(logits_RV: Tensor, states: Sequence[SamplingState]) -> list[SampledToken]:
    """Each row's token, or why it has none."""
    x_RV = edit(logits_RV, states)
    best_R, ids_R = best_token(x_RV)
    errors = row_errors(logits_RV, x_RV, best_R)
    chosen = [SampledToken(token_id) for token_id in ids_R.tolist()]
    if drawn := [row for row, state in enumerate(states) if not state.params.greedy and row not in errors]:
        ids = draw_tokens(take_rows(x_RV, drawn), [states[row] for row in drawn])
        for row, token_id in zip(drawn, ids, strict=True):
            chosen[row] = SampledToken(token_id)
    for row, error in errors.items():
        chosen[row] = SampledToken(-1, error=error)
    return chosen


def draw_tokens(x_RV: Tensor, states: Sequence[SamplingState]) -> list[int]:
    """A token for each row, drawn from its edited logits."""
    ids: list[int] = []
    for rows in passes(x_RV):
        ids += draw_some(x_RV[rows].float(), states[rows])
    return ids


def draw_some(x_RV: Tensor, states: Sequence[SamplingState]) -> list[int]:
    """By the likeliest tokens where they settle a row with filters, by the whole vocabulary otherwise."""
    key_R1 = torch.tensor([[state.key()] for state in states], device=x_RV.device)
    groups: dict[int, list[int]] = {}
    for row, state in enumerate(states):
        if state.filtered:
            groups.setdefault(few(state), []).append(row)
    ids: dict[int, int] = {}
    for count, rows in groups.items():
        some = [states[row] for row in rows]
        weights_FC, ids_FC, settled = few_weights(take_rows(x_RV, rows), some, count)
        picked = pick_from_few(weights_FC, ids_FC, x_RV.shape[1], key_R1[rows]).tolist()
        ids |= {row: token_id for row, token_id, yes in zip(rows, picked, settled, strict=True) if yes}
    plain = [row for row, state in enumerate(states) if not state.filtered]
    left = [row for row in range(len(states)) if states[row].filtered and row not in ids]
    for rows, draw in ((plain, draw_unfiltered), (left, draw_filtered)):
        if rows:
            found = draw(take_rows(x_RV, rows), [states[row] for row in rows], key_R1[rows])
            ids |= zip(rows, found.tolist(), strict=True)
    return [ids[row] for row in range(len(states))]


def draw_unfiltered(x_PV: Tensor, states: Sequence[SamplingState], key_P1: Tensor) -> Tensor:
    """A token `[P]` for each row that no filter touches."""
    return pick_from_logits(x_PV, best_token(x_PV)[0], temperatures(states, x_PV.device), key_P1)


def draw_filtered(x_LV: Tensor, states: Sequence[SamplingState], key_L1: Tensor) -> Tensor:
    """A token `[L]` for each row, from the weights of its whole vocabulary."""
    parts = slices(x_LV)
    return torch.cat([pick_from_all(filtered_weights(x_LV[i], states[i]), key_L1[i]) for i in parts])


def describe(
    tokens: Mapping[int, SampledToken],
    logits_RV: Tensor,
    states: Sequence[SamplingState],
    rows: Sequence[int],
) -> dict[int, SampledToken]:
    """The tokens of the given rows, with log-probabilities where they were asked for."""
    described = {row: tokens[row] for row in rows}
    asked = [r for r in rows if states[r].params.logprobs is not None and tokens[r].error is None]
    if asked:
        ids = [tokens[row].token_id for row in asked]
        counts = [states[row].params.logprobs or 0 for row in asked]
        for row, top in zip(asked, token_logprobs(take_rows(logits_RV, asked), ids, counts), strict=True):
            own = top[tokens[row].token_id]
            described[row] = SampledToken(tokens[row].token_id, own.logprob, own.rank, top)
    return described
