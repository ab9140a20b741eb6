"""One token for each row of logits, vectorised over the batch and blind to who else is in it.

A row's token is a pure function of its own logits, parameters, tokens and seed:

- its weights are `exp((x - max) / temperature)` of the edited logits (`edits.py`), zero where a filter left
  the token out (`filters.py`), scaled to whole numbers whose sums are exact whatever their order;
- its random number in [0, 1) comes from (seed, sample index, output position) alone (`draw.py`);
- its token is the first, by id, at which the running sum of the weights passes that part of their total.

Letters: R rows, F the rows that are filtered, V vocabulary, C candidates, N runs of the vocabulary, W a run.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pellucid.errors import RequestError
from pellucid.sampling.edits import edit
from pellucid.sampling.filters import Candidates, min_p, top_k, top_p, typical_p
from pellucid.sampling.logprobs import NO_LOGPROBS, Logprob, token_logprobs
from pellucid.sampling.ordering import best_token, top_tokens
from pellucid.sampling.state import SamplingState

SCALE = 2.0**34
"""A weight of 1 as a whole number: sums over 2**19 tokens stay below 2**53."""
RUN = 128
FIRST_CANDIDATES, MORE_CANDIDATES = 128, 16


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
    ids, errors = choose(logits_RV, states)
    sampled = [SampledToken(token_id) for token_id in ids]
    for row, error in errors.items():
        sampled[row] = SampledToken(-1, error=error)
    asked = [r for r, state in enumerate(states) if state.params.logprobs is not None and r not in errors]
    if asked:
        counts = [states[row].params.logprobs or 0 for row in asked]
        tops = token_logprobs(logits_RV[asked], [ids[row] for row in asked], counts)
        for row, top in zip(asked, tops, strict=True):
            own = top[ids[row]]
            sampled[row] = SampledToken(ids[row], own.logprob, own.rank, top)
    return sampled


def choose(logits_RV: Tensor, states: Sequence[SamplingState]) -> tuple[list[int], dict[int, RequestError]]:
    """Each row's token, and why a row has none."""
    x_RV = edit(logits_RV, states)
    best_R, ids_R = best_token(x_RV)
    ids, errors = ids_R.tolist(), find_errors(logits_RV, x_RV, best_R)
    drawn = [row for row, state in enumerate(states) if not state.params.greedy and row not in errors]
    if drawn:
        tokens = draw_tokens(take_rows(x_RV, drawn).float(), [states[row] for row in drawn])
        for row, token_id in zip(drawn, tokens, strict=True):
            ids[row] = token_id
    return ids, errors


def find_errors(logits_RV: Tensor, x_RV: Tensor, best_R: Tensor) -> dict[int, RequestError]:
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


def draw_tokens(x_RV: Tensor, states: Sequence[SamplingState]) -> list[int]:
    """Draw each row's token from its edited logits, after temperature and filters."""
    ids = [0] * len(states)
    plain = [row for row, state in enumerate(states) if not state.filtered]
    if plain:
        picked_R = pick_from_all(take_rows(x_RV, plain), [states[row] for row in plain])
        for row, token_id in zip(plain, picked_R.tolist(), strict=True):
            ids[row] = token_id
    filtered = [row for row, state in enumerate(states) if state.filtered]
    for rows, weights_RC, ids_RC in filter_rows(x_RV, filtered, states):
        ids_RC, order_RC = ids_RC.sort(dim=-1)
        place_R = pick(weights_RC.gather(1, order_RC), uniforms([states[row] for row in rows], x_RV.device))
        for row, token_id in zip(rows, ids_RC.gather(1, place_R[:, None]).flatten().tolist(), strict=True):
            ids[row] = token_id
    return ids


def pick(weights_RC: Tensor, uniform_R: Tensor) -> Tensor:
    """The first place at which the running sum of whole weights passes `uniform · total` (inverse CDF)."""
    reached_RC = weights_RC.cumsum(dim=-1)
    return (reached_RC <= (uniform_R * reached_RC[:, -1])[:, None]).sum(dim=-1)


def pick_from_all(x_RV: Tensor, states: Sequence[SamplingState]) -> Tensor:
    """Draw from the whole vocabulary in two steps: a run of neighbouring tokens, then one of them."""
    V = x_RV.shape[1]
    weights_RV = weigh(x_RV, x_RV.amax(dim=-1), temperatures(states, x_RV.device))
    runs_RN = run_sums(weights_RV)
    mark_R = uniforms(states, x_RV.device) * runs_RN.sum(dim=-1)
    reached_RN = runs_RN.cumsum(dim=-1)
    run_R1 = (reached_RN <= mark_R[:, None]).sum(dim=-1, keepdim=True)
    sum_R1 = runs_RN.gather(1, run_R1)
    left_R1 = (mark_R[:, None] - (reached_RN.gather(1, run_R1) - sum_R1)) / sum_R1
    id_RW = run_R1 * RUN + torch.arange(RUN, device=x_RV.device)
    run_RW = weights_RV.gather(1, id_RW.clamp_max(V - 1)) * (id_RW < V)
    within_R = pick(whole(run_RW / run_RW.amax(dim=-1, keepdim=True)), left_R1.squeeze(1))
    return run_R1.squeeze(1) * RUN + within_R


def filter_rows(
    x_RV: Tensor, rows: Sequence[int], states: Sequence[SamplingState]
) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """What the filters leave of the given rows: (rows, weights `[F, C]`, ids `[F, C]`), each row once.

    Most rows are settled by their few likeliest tokens; those that are not are looked at again with more.
    """
    V = x_RV.shape[1]
    left = list(rows)
    count = FIRST_CANDIDATES
    while left:
        count = min(count, V)
        some = [states[row] for row in left]
        x_FV = take_rows(x_RV, left)
        values_FC, ids_FC = top_tokens(x_FV, count)
        temperature_F = temperatures(some, x_RV.device)
        weights_FC = whole(weigh(values_FC, values_FC[:, 0], temperature_F))
        tail_F = weight_beyond(x_FV, weights_FC, temperature_F, some)
        kept = apply_filters(Candidates(weights_FC, tail_F), some, V)
        settled_F = (kept.tail_R == 0).cpu()
        done, left = split(left, settled_F.tolist())
        if done:
            yield done, kept.weights_RC[settled_F], ids_FC[settled_F]
        count *= MORE_CANDIDATES


def weight_beyond(
    x_FV: Tensor, weights_FC: Tensor, temperature_F: Tensor, states: Sequence[SamplingState]
) -> Tensor:
    """The weight of the tokens beyond the candidates; 0 where top-k leaves them out anyway."""
    C, V = weights_FC.shape[1], x_FV.shape[1]
    tail_F = torch.zeros(len(states), dtype=torch.float64, device=x_FV.device)
    asked = [row for row, state in enumerate(states) if not 0 < state.params.top_k < C]
    if C < V and asked:
        x_AV = take_rows(x_FV, asked)
        total_A = run_sums(weigh(x_AV, x_AV.amax(dim=-1), temperature_F[asked])).sum(dim=-1)
        tail_F[asked] = (total_A - weights_FC[asked].sum(dim=-1)).clamp_min(0)
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


def weigh(x_RC: Tensor, best_R: Tensor, temperature_R: Tensor) -> Tensor:
    """`exp((x - best) / temperature)` in float32: 1 for the likeliest token."""
    return (x_RC - best_R[:, None]).div_(temperature_R[:, None]).exp_()


def whole(weights_RC: Tensor) -> Tensor:
    """Weights of at most 1 as whole numbers, in float64."""
    return (weights_RC * SCALE).round_().double()


def run_sums(weights_RV: Tensor) -> Tensor:
    """The sum of each run of 128 tokens, as whole numbers. In a run the order of float32 sums is fixed."""
    R, V = weights_RV.shape
    full_RN = weights_RV[:, : V // RUN * RUN].view(R, V // RUN, RUN).sum(dim=-1)
    rest_R1 = weights_RV[:, V // RUN * RUN :].sum(dim=-1, keepdim=True)
    return whole(torch.cat((full_RN, rest_R1), dim=1))


def take_rows(x_RV: Tensor, rows: Sequence[int]) -> Tensor:
    """These rows, without a copy where they are all."""
    return x_RV if len(rows) == x_RV.shape[0] else x_RV[list(rows)]


def split(rows: Sequence[int], chosen: Sequence[bool]) -> tuple[list[int], list[int]]:
    """The chosen rows and the others."""
    pairs = list(zip(rows, chosen, strict=True))
    return [row for row, yes in pairs if yes], [row for row, yes in pairs if not yes]


def temperatures(states: Sequence[SamplingState], device: torch.device) -> Tensor:
    return torch.tensor([state.params.temperature for state in states], device=device)


def uniforms(states: Sequence[SamplingState], device: torch.device) -> Tensor:
    return floats([state.uniform() for state in states], device)


def floats(values: Sequence[float], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device=device)
