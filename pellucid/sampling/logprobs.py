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

ROWS_AT_ONCE = 64


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
    for start in range(0, len(token_ids), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
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
    logprobs_RV = logits_RV.log_softmax(dim=-1)
    id_R1 = torch.tensor(token_ids, device=logits_RV.device).unsqueeze(1)
    logit_R1 = logits_RV.gather(1, id_R1)
    ahead_RV = logits_RV > logit_R1
    tied_RV = (logits_RV == logit_R1) & (torch.arange(V, device=logits_RV.device) < id_R1)
    ranks = (1 + ahead_RV.sum(dim=-1) + tied_RV.sum(dim=-1)).tolist()
    own = logprobs_RV.gather(1, id_R1).squeeze(1).tolist()
    wanted = [V if count < 0 else min(count, V) for count in counts]
    _, top_RC = top_tokens(logits_RV, max(wanted))
    top = logprobs_RV.gather(1, top_RC).tolist()
    found = []
    for row, (token_id, ids) in enumerate(zip(token_ids, top_RC.tolist(), strict=True)):
        described = {token_id: Logprob(own[row], ranks[row])}
        for place in range(wanted[row]):
            if ids[place] != token_id:
                described[ids[place]] = Logprob(top[row][place], place + 1)
        found.append(described)
    return found
