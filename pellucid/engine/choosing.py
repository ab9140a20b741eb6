"""From a step's logits to new tokens: sample, verify drafts, and see what ended.

Letters: R output rows, V vocabulary.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from torch import Tensor

from pellucid.engine.request import FinishReason, Sample
from pellucid.sampling.params import SamplingParams
from pellucid.sampling.sampler import SampledToken, sample
from pellucid.sampling.stop import finish_reason


@dataclass(slots=True)
class Candidate:
    """A sample whose next token can be chosen now, and what came of it."""

    sample: Sample
    row: int
    """Where the logits of its newest token are; those of its drafts follow."""
    drafts: list[int]
    tokens: list[SampledToken] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    stop_reason: int | str | None = None
    error: str | None = None

    @property
    def num_accepted(self) -> int:
        """How many drafts were what was sampled in their place and are followed by another token."""
        return max(0, len(self.tokens) - 1)

    def take(self, sampled: SampledToken, eos_token_ids: Collection[int]) -> None:
        """Add one token, and find out whether it is the last."""
        if sampled.error is not None:
            self.finish_reason, self.error = "error", str(sampled.error)
            return
        self.sample.append(sampled.token_id)
        self.tokens.append(sampled)
        try:
            self._look_for_the_end(sampled.token_id, eos_token_ids)
        except Exception as error:  # the caller's own function: its error must not take other requests along
            self.finish_reason, self.error = "error", f"{type(error).__name__}: {error}"

    def _look_for_the_end(self, token_id: int, eos_token_ids: Collection[int]) -> None:
        running, request = self.sample, self.sample.request
        assert isinstance(request.params, SamplingParams)
        ended = finish_reason(request.params, running.output_ids, eos_token_ids)
        if ended is not None and ended[0] == "stop":
            self.finish_reason, self.stop_reason = "stop", ended[1]
            return
        if request.on_token is not None:
            self.stop_reason = request.on_token(running.index, token_id)
        if self.stop_reason is not None:
            self.finish_reason = "stop"
        elif ended is not None or len(running.token_ids) >= running.limit:
            self.finish_reason = "length"


def choose(logits_RV: Tensor, candidates: list[Candidate], eos_token_ids: Collection[int]) -> None:
    """Sample each candidate's next token; while that is what its draft said, the one after it too.

    Every row draws with the random number of its own place in the output, so a draft changes when a token is
    found and never which: the tokens are those of a run without drafts, greedy or not. (Leviathan et al.
    2023, "Fast Inference from Transformers via Speculative Decoding", keep the distribution; this keeps each
    draw.)
    """
    turn = 0
    going_on = candidates
    while going_on:
        rows = [candidate.row + turn for candidate in going_on]
        whole = len(rows) == logits_RV.shape[0] and rows == list(range(len(rows)))
        states = [candidate.sample.sampling for candidate in going_on]
        chosen = sample(logits_RV if whole else logits_RV[rows], [s for s in states if s is not None])
        for candidate, sampled in zip(going_on, chosen, strict=True):
            candidate.take(sampled, eos_token_ids)
        going_on = [
            c
            for c in going_on
            if c.finish_reason is None and turn < len(c.drafts) and c.tokens[-1].token_id == c.drafts[turn]
        ]
        turn += 1
