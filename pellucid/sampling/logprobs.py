"""Log-probabilities and ranks, of the model's own distribution: the log-softmax of its unedited logits.

That is vLLM's default: temperature, filters, bias and penalties do not show in them. Letters: R rows,
T prompt tokens, V vocabulary, C likeliest tokens reported.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from pellucid.sampling.ordering import top_tokens
from pellucid.sampling.weights import SCALE, passes, weight_sums

LOOKED_AT = 16
"""A chosen token is nearly always among these likeliest; its rank is counted where it is not."""


@dataclass(slots=True)
class Logprob:
    """One token's log-probability and its rank: 1 is the likeliest; of equal logits the lower id leads."""

    logprob: float
    rank: int
    decoded_token: str | None = None
    """Its text, filled in by whoever has the tokenizer."""


NO_LOGPROBS: Mapping[int, Logprob] = MappingProxyType({})


def token_logprobs(
    logits_RV: Tensor, token_ids: Sequence[int], counts: Sequence[int]
) -> list[dict[int, Logprob]]:
    """For each row its token (first) and its `counts[row]` likeliest (-1: all), likeliest first."""
    found: list[dict[int, Logprob]] = []
    for rows in passes(logits_RV):
        found += some_logprobs(logits_RV[rows].float(), token_ids[rows], counts[rows])
    return found


def prompt_logprobs(logits_TV: Tensor, next_ids: Sequence[int], count: int) -> list[dict[int, Logprob]]:
    """What the model made of a prompt: entry i describes `next_ids[i]`, the token after row i's.

    `count` as `SamplingParams.prompt_logprobs`. A prompt's first token has no row; vLLM lists None for it.
    """
    return token_logprobs(logits_TV, next_ids, [count] * len(next_ids))


def some_logprobs(
    logits_RV: Tensor, token_ids: Sequence[int], counts: Sequence[int]
) -> list[dict[int, Logprob]]:
    V = logits_RV.shape[1]
    wanted = [V if count < 0 else min(count, V) for count in counts]
    values_RC, ids_RC = top_tokens(logits_RV, min(V, max(LOOKED_AT, *wanted)))
    log_total_R1 = log_totals(logits_RV, values_RC[:, 0])
    own_R1 = logits_RV.gather(1, torch.tensor(token_ids, device=logits_RV.device).unsqueeze(1))
    own = (own_R1 - log_total_R1).flatten().tolist()
    top = (values_RC - log_total_R1).tolist()
    found = []
    for row, (token_id, ids) in enumerate(zip(token_ids, ids_RC.tolist(), strict=True)):
        rank = ids.index(token_id) + 1 if token_id in ids else count_rank(logits_RV[row], token_id)
        described = {token_id: Logprob(own[row], rank)}
        for place, (other, logprob) in enumerate(zip(ids[: wanted[row]], top[row], strict=False)):
            if other != token_id:
                described[other] = Logprob(logprob, place + 1)
        found.append(described)
    return found


def log_totals(logits_RV: Tensor, best_R: Tensor) -> Tensor:
    """log Σ exp(x) of each row `[R, 1]`, in float64."""
    total_R = weight_sums(logits_RV, best_R, torch.ones_like(best_R)).sum(dim=-1)
    return (best_R.double() + (total_R / SCALE).log()).unsqueeze(1)


def count_rank(logits_V: Tensor, token_id: int) -> int:
    """1 + the tokens ahead of this one."""
    own = logits_V[token_id]
    return 1 + int((logits_V > own).sum()) + int((logits_V[:token_id] == own).sum())
