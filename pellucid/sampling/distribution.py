"""What each row may be drawn from once edits, temperature and filters are applied.

Letters: R rows, F the rows still looked at, A those of them whose tail is worked out, V vocabulary,
C candidates.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from pellucid.errors import RequestError
from pellucid.sampling.edits import edit
from pellucid.sampling.filters import Candidates, min_p, top_k, top_p, typical_p
from pellucid.sampling.ordering import best_token, top_tokens
from pellucid.sampling.state import SamplingState
from pellucid.sampling.weights import SCALE, run_sums, weigh, whole

FIRST_CANDIDATES, MORE_CANDIDATES = 128, 16


def distribution(logits_RV: Tensor, states: Sequence[SamplingState]) -> Tensor:
    """The probabilities each row's next token is drawn with, after edits, temperature and filters: `[R, V]`
    in float32. A greedy row holds a single 1; a row of which no token can be chosen is nan."""
    x_RV = edit(logits_RV, states)
    best_R, ids_R = best_token(x_RV)
    errors = row_errors(logits_RV, x_RV, best_R)
    probs_RV = torch.zeros(x_RV.shape, device=x_RV.device)
    probs_RV[list(errors)] = math.nan
    fine = [row for row in range(len(states)) if row not in errors]
    greedy = [row for row in fine if states[row].params.greedy]
    probs_RV[greedy, ids_R[greedy]] = 1.0
    drawn = [row for row in fine if not states[row].params.greedy]
    if plain := [row for row in drawn if not states[row].filtered]:
        weights_PV = plain_weights(x_RV, plain, states)
        probs_RV[plain] = weights_PV / (run_sums(weights_PV).sum(dim=-1, keepdim=True) / SCALE).float()
    for rows, whole_FC, ids_FC in filter_rows(x_RV, [row for row in drawn if states[row].filtered], states):
        probs_FC = whole_FC / whole_FC.sum(dim=-1, keepdim=True)
        probs_RV[rows] = probs_RV[rows].scatter(1, ids_FC, probs_FC.float())
    return probs_RV


def row_errors(logits_RV: Tensor, x_RV: Tensor, best_R: Tensor) -> dict[int, RequestError]:
    """The rows that can have no token. `x_RV` are the logits after their edits, `best_R` their largest."""
    raw_R = best_R if x_RV is logits_RV else logits_RV.amax(dim=-1)  # nan wins, and so does inf
    if bool((raw_R + best_R).isfinite().all()):
        return {}
    errors = {}
    for row, (raw, best) in enumerate(zip(raw_R.tolist(), best_R.tolist(), strict=True)):
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


def plain_weights(x_RV: Tensor, rows: Sequence[int], states: Sequence[SamplingState]) -> Tensor:
    """The weights of the rows that have no filter, over the whole vocabulary; 1 for the likeliest."""
    x_PV = take_rows(x_RV, rows).float()
    return weigh(x_PV, x_PV.amax(dim=-1), temperatures([states[row] for row in rows], x_RV.device))


def filter_rows(
    x_RV: Tensor, rows: Sequence[int], states: Sequence[SamplingState]
) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """What the filters leave of the given rows: (rows, whole weights `[F, C]`, ids `[F, C]`), each row once.

    Most rows are settled by their few likeliest tokens; those that are not are looked at again with more.
    """
    V = x_RV.shape[1]
    left, count = list(rows), FIRST_CANDIDATES
    while left:
        count = min(count, V)
        some = [states[row] for row in left]
        x_FV = take_rows(x_RV, left).float()
        values_FC, ids_FC = top_tokens(x_FV, count)
        temperature_F = temperatures(some, x_RV.device)
        whole_FC = whole(weigh(values_FC, values_FC[:, 0], temperature_F))
        tail_F = weight_beyond(x_FV, whole_FC, temperature_F, some)
        kept = apply_filters(Candidates(whole_FC, tail_F), some, V)
        settled = (kept.tail_R == 0).tolist()
        if places := [place for place, yes in enumerate(settled) if yes]:
            done = [left[place] for place in places]
            yield done, take_rows(kept.weights_RC, places), take_rows(ids_FC, places)
        left = [row for row, yes in zip(left, settled, strict=True) if not yes]
        count *= MORE_CANDIDATES


def weight_beyond(
    x_FV: Tensor, whole_FC: Tensor, temperature_F: Tensor, states: Sequence[SamplingState]
) -> Tensor:
    """The weight of the tokens beyond the candidates; 0 where top-k leaves them out anyway."""
    C, V = whole_FC.shape[1], x_FV.shape[1]
    tail_F = torch.zeros(len(states), dtype=torch.float64, device=x_FV.device)
    asked = [row for row, state in enumerate(states) if not 0 < state.params.top_k < C]
    if C < V and asked:
        x_AV = take_rows(x_FV, asked)
        total_A = run_sums(weigh(x_AV, x_AV.amax(dim=-1), temperature_F[asked])).sum(dim=-1)
        tail_F[asked] = (total_A - whole_FC[asked].sum(dim=-1)).clamp_min(0)
    return tail_F


def apply_filters(candidates: Candidates, states: Sequence[SamplingState], vocab_size: int) -> Candidates:
    """The filters in their order; one that no row asks for is passed over."""
    device = candidates.weights_RC.device
    params = [state.params for state in states]
    if any(p.min_p > 0 for p in params):
        candidates = min_p(candidates, floats([p.min_p for p in params], device))
    if any(p.top_k > 0 for p in params):
        k_F = torch.tensor([p.top_k if p.top_k > 0 else vocab_size for p in params], device=device)
        candidates = top_k(candidates, k_F)
    if any(p.top_p < 1 for p in params):
        candidates = top_p(candidates, floats([p.top_p for p in params], device))
    if any(p.typical_p < 1 for p in params):
        candidates = typical_p(candidates, floats([p.typical_p for p in params], device))
    return candidates


def take_rows(x_RV: Tensor, rows: Sequence[int]) -> Tensor:
    """These rows (each once, in order), without a copy where they are all."""
    return x_RV if len(rows) == x_RV.shape[0] else x_RV[list(rows)]


def temperatures(states: Sequence[SamplingState], device: torch.device) -> Tensor:
    return torch.tensor([state.params.temperature for state in states], device=device)


def floats(values: Sequence[float], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device=device)
