"""One token for each row of logits, vectorised over the batch and blind to who else is in it.

A row's token is a pure function of its own logits, parameters, tokens and seed:

- its weights are `exp((x - max) / temperature)` of the edited logits (`edits.py`), zero where a filter left
  the token out (`filters.py`), scaled to whole numbers whose sums are exact whatever their order;
- its random number in [0, 1) comes from (seed, sample index, output position) alone (`draw.py`);
- its token is the first, by id, at which the running sum of the weights passes that part of their total.

Letters: R rows, P those without filters, F those with filters, V vocabulary, C candidates.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from pellucid.errors import RequestError
from pellucid.sampling.distribution import filter_rows, floats, plain_weights, row_errors, take_rows
from pellucid.sampling.edits import edit
from pellucid.sampling.logprobs import NO_LOGPROBS, Logprob, token_logprobs
from pellucid.sampling.ordering import best_token
from pellucid.sampling.state import SamplingState
from pellucid.sampling.weights import pick, pick_from_all


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
    drawn = [row for row, state in enumerate(states) if not state.params.greedy and row not in errors]
    for row, token_id in draw_tokens(x_RV, drawn, states):
        chosen[row] = SampledToken(token_id)
    for row, error in errors.items():
        chosen[row] = SampledToken(-1, error=error)
    return chosen


def draw_tokens(
    x_RV: Tensor, rows: Sequence[int], states: Sequence[SamplingState]
) -> Iterator[tuple[int, int]]:
    """A token for each of the given rows, drawn from its edited logits: (row, token id) in any order."""
    if plain := [row for row in rows if not states[row].filtered]:
        uniform_P = floats([states[row].uniform() for row in plain], x_RV.device)
        picked_P = pick_from_all(plain_weights(x_RV, plain, states), uniform_P)
        yield from zip(plain, picked_P.tolist(), strict=True)
    filtered = [row for row in rows if states[row].filtered]
    for done, whole_FC, ids_FC in filter_rows(x_RV, filtered, states):
        uniform_F = floats([states[row].uniform() for row in done], x_RV.device)
        ids_FC, order_FC = ids_FC.sort(dim=-1)
        place_F1 = pick(whole_FC.gather(1, order_FC), uniform_F).unsqueeze(1)
        yield from zip(done, ids_FC.gather(1, place_F1).flatten().tolist(), strict=True)


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
