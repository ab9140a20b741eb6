"""Speculative decoding: which draft tokens stand, in such a way that no output changes.

The target has run over a request's draft tokens at once, so it has logits for the token after each of them.
Each position's token is drawn as it would be without speculation, after the request's edits, temperature and
filters and with the same random numbers; drafts stand as long as they are those tokens. So the output is the
same token for token, not only in distribution, whatever made the drafts and however good they are.

A draft model that draws with the target's random numbers (`sampler.choose` with the states of its requests
`ahead`) is right nearly as often as the distributions overlap, since the same token tends to win both races
(Daliri, Musco and Suresh 2024, "Coupling without Communication and Drafter-Invariant Speculative Decoding").
The rule of Leviathan et al. 2022 and Chen et al. 2023 accepts exactly that share, but under it the tokens
depend on the drafts.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate

from torch import Tensor

from pellucid.sampling.sampler import SampledToken, choose, describe
from pellucid.sampling.state import SamplingState


def accept(
    drafts: Sequence[Sequence[int]], logits_RV: Tensor, states: Sequence[SamplingState]
) -> list[list[SampledToken]]:
    """The draft tokens each request accepts and the target's own next one: 1 to len(draft) + 1 tokens.

    `logits_RV`: the target's, len(draft) + 1 rows a request, end to end. A row that can have no token ends
    its list with an error.
    """
    starts = list(accumulate((len(draft) + 1 for draft in drafts), initial=0))
    ahead = [
        state.ahead(draft[:k])
        for state, draft in zip(states, drafts, strict=True)
        for k in range(len(draft) + 1)
    ]
    tokens = dict(enumerate(choose(logits_RV, ahead)))
    spans = [
        range(start, start + standing(draft, tokens, start))
        for draft, start in zip(drafts, starts, strict=False)
    ]
    described = describe(tokens, logits_RV, ahead, [row for span in spans for row in span])
    return [[described[row] for row in span] for span in spans]


def standing(draft: Sequence[int], tokens: Mapping[int, SampledToken], start: int) -> int:
    """How many of a request's tokens count: up to the first that is not the draft's own."""
    for k, x in enumerate(draft):
        if tokens[start + k].token_id != x:
            return k + 1
    return len(draft) + 1
