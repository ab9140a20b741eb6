"""Speculative decoding: which draft tokens the target model takes over, losing nothing of its distribution.

The target has run over a request's draft tokens at once, so it has logits for the token after each of them.
Two rules, both exact; p is the target's distribution after that request's edits, temperature and filters:

- Without the draft's probabilities (n-gram lookup, greedy requests, or by choice) each position's token is
  drawn as it would be without speculation, with the same random number, and drafts are accepted as long as
  they are those tokens. The output is the same token for token.
- With them, q, a draft token x is accepted with probability min(1, p(x) / q(x)), else one drawn from
  max(p - q, 0) takes its place (Leviathan et al. 2022, "Fast Inference from Transformers via Speculative
  Decoding"; Chen et al. 2023). More drafts are accepted; the output has the same distribution, and is the
  same token for token only where the request is greedy.

Letters: R rows of logits, L those whose draft has probabilities, J those that refuse it, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate

import torch
from torch import Tensor

from pellucid.sampling.distribution import distribution, floats
from pellucid.sampling.sampler import SampledToken, choose, describe
from pellucid.sampling.state import SamplingState
from pellucid.sampling.weights import pick_from_all, take_rows


def propose(logits_RV: Tensor, states: Sequence[SamplingState]) -> tuple[list[int], Tensor]:
    """The draft model's next token for each row, and the probabilities `[R, V]` it was drawn with.

    `states[i]` is its request `ahead` by the drafts it already has.
    """
    probs_RV = distribution(logits_RV, states)
    return draw_from(probs_RV, states, "draft"), probs_RV


def accept(
    drafts: Sequence[Sequence[int]],
    draft_probs: Sequence[Tensor | None],
    logits_RV: Tensor,
    states: Sequence[SamplingState],
) -> list[list[SampledToken]]:
    """The draft tokens each request accepts and the target's own next one: 1 to len(draft) + 1 tokens.

    `logits_RV`: the target's, len(draft) + 1 rows a request, end to end. `draft_probs[i]`: `[K, V]` as
    `propose` gave them, or None for the first rule. A row that can have no token ends its list with an error.
    """
    starts = list(accumulate((len(draft) + 1 for draft in drafts), initial=0))
    ahead = [
        s.ahead(draft[:k]) for s, draft in zip(states, drafts, strict=True) for k in range(len(draft) + 1)
    ]
    weighed = [
        row
        for i, probs_KV in enumerate(draft_probs)
        if probs_KV is not None
        for row in range(starts[i], starts[i + 1] - 1)
    ]
    redrawn = sorted(set(range(starts[-1])) - set(weighed))
    tokens = dict(
        zip(redrawn, choose(take_rows(logits_RV, redrawn), [ahead[r] for r in redrawn]), strict=True)
    )
    if weighed:
        x_L = [
            x
            for draft, probs_KV in zip(drafts, draft_probs, strict=True)
            if probs_KV is not None
            for x in draft
        ]
        q_LV = torch.cat([probs_KV for probs_KV in draft_probs if probs_KV is not None])
        judged = judge(x_L, q_LV, take_rows(logits_RV, weighed), [ahead[row] for row in weighed])
        tokens |= zip(weighed, judged, strict=True)
    rows = [
        range(start, start + kept(draft, tokens, start)) for draft, start in zip(drafts, starts, strict=False)
    ]
    described = describe(tokens, logits_RV, ahead, [row for some in rows for row in some])
    return [[described[row] for row in some] for some in rows]


def judge(
    x_L: Sequence[int], q_LV: Tensor, logits_LV: Tensor, states: Sequence[SamplingState]
) -> list[SampledToken]:
    """Each row's draft token where it is accepted, else the one that takes its place."""
    p_LV = distribution(logits_LV, states)
    x_L1 = torch.tensor(x_L, device=p_LV.device).unsqueeze(1)
    p_L, q_L = p_LV.gather(1, x_L1).squeeze(1), q_LV.gather(1, x_L1).squeeze(1)
    accepted = (floats([state.uniform("accept") for state in states], p_L.device) * q_L < p_L).tolist()
    tokens = [SampledToken(x) for x in x_L]
    if refused := [row for row, yes in enumerate(accepted) if not yes]:
        rest_JV = (take_rows(p_LV, refused) - take_rows(q_LV, refused)).clamp_min(0)
        # nothing is left only where p and q differ by rounding, or where q is nan: then p itself
        left_JV = torch.where(rest_JV.amax(dim=-1, keepdim=True) > 0, rest_JV, take_rows(p_LV, refused))
        for row, x in zip(
            refused, draw_from(left_JV, [states[row] for row in refused], "replace"), strict=True
        ):
            tokens[row] = SampledToken(x)
    for row in p_LV[:, 0].isnan().nonzero().flatten().tolist():
        tokens[row] = choose(logits_LV[row : row + 1], [states[row]])[0]  # gives the error
    return tokens


def kept(draft: Sequence[int], tokens: Mapping[int, SampledToken], start: int) -> int:
    """How many of a request's tokens count: up to the first that is not the draft's own."""
    for k, x in enumerate(draft):
        if tokens[start + k].token_id != x:
            return k + 1
    return len(draft) + 1


def draw_from(probs_RV: Tensor, states: Sequence[SamplingState], purpose: str) -> list[int]:
    """A token of each row, drawn with weights up to a factor by the random number of that purpose."""
    uniform_R = floats([state.uniform(purpose) for state in states], probs_RV.device)
    picked: list[int] = pick_from_all(probs_RV / probs_RV.amax(dim=-1, keepdim=True), uniform_R).tolist()
    return picked
