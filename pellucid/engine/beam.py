"""Beam search: the likeliest continuations of one prompt, kept side by side over shared blocks.

At each step every beam offers its likeliest tokens; of all offers together the best go on, sharing their
parent's blocks copy-on-write, and those that end are scored by summed log-probability over length to the
power of the length penalty. The rules and results are those of transformers' `generate(num_beams=...)`.

Letters: R rows, V vocabulary, C candidates.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from torch import Tensor

from pellucid.engine.output import Output, Part, Taken
from pellucid.engine.request import FinishReason, Request, Sample
from pellucid.engine.scheduler import Scheduler
from pellucid.sampling.ordering import top_tokens
from pellucid.sampling.params import BeamSearchParams
from pellucid.sampling.rules import obey
from pellucid.sampling.sampler import SampledToken

NOTHING_TO_CHOOSE = (
    "no token could be chosen: the model's logits are nan or infinite (the weights are damaged, or a sum "
    'overflowed in their dtype; try dtype="float32"), or the checkpoint\'s rules forbid every token'
)


@dataclass(slots=True, eq=False)
class Beam:
    """A text that goes on."""

    sample: Sample
    total: float
    """Its summed log-probability."""
    logprobs: tuple[float, ...]
    """Of each token."""
    offers: list[tuple[float, int]] | None = None
    """Its likeliest next tokens with their log-probabilities, best first; None until they are known."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A text that ended."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    score: float
    finish_reason: FinishReason


class BeamSearch:
    """The beams of one request. Its first sample computes the prompt; the others are forks."""

    def __init__(self, request: Request, first: Sample, eos_token_ids: Collection[int]) -> None:
        assert isinstance(request.params, BeamSearchParams)
        self.request = request
        self.params = request.params
        self.beams = [Beam(first, 0.0, ())]
        self.ended: list[Ended] = []
        """The best that ended so far, best first, at most `beam_width`."""
        self._eos = frozenset() if request.params.ignore_eos else frozenset(eos_token_ids)
        self._max_tokens = first.limit - first.num_prompt
        self._first = first
        self._forks = 0

    @property
    def num_offers(self) -> int:
        """How many tokens each beam offers: enough to go on when all the best ones are ends."""
        return max(2, 1 + len(self._eos)) * self.params.beam_width

    def offer(self, sample: Sample, offers: list[tuple[float, int]]) -> None:
        """A beam's likeliest next tokens, (log-probability, id), best first."""
        sample.width = 1
        next(beam for beam in self.beams if beam.sample is sample).offers = offers

    @property
    def is_ready(self) -> bool:
        """Whether every beam has offered: they may have been computed in different steps."""
        return all(beam.offers is not None for beam in self.beams)

    def advance(self, scheduler: Scheduler) -> bool:
        """Choose the next beams and let the others go; False once the search is over."""
        width, length = self.params.beam_width, len(self.beams[0].logprobs) + 1
        choices = [
            (beam.total + logprob, logprob, token_id, beam)
            for beam in self.beams
            for logprob, token_id in beam.offers or ()
        ]
        choices.sort(key=lambda choice: -choice[0])
        going_on = []
        for place, (total, logprob, token_id, beam) in enumerate(choices[: self.num_offers]):
            is_end = token_id in self._eos
            if not is_end and length < self._max_tokens:
                going_on.append((total, logprob, token_id, beam))
            elif place < width:
                self._end(beam, total, logprob, token_id, "stop" if is_end else "length")
        going_on = going_on[:width]
        self.ended = sorted(self.ended, key=lambda text: -text.score)[:width]
        if not going_on or self._is_over(going_on[0][0], length):
            for beam in self.beams:
                scheduler.remove(beam.sample)
            return False
        self._go_on(going_on, scheduler)
        return True

    def outputs(self) -> list[Output]:
        """The texts that a search which is over has found, best first; one error where it found none."""
        if not self.ended:
            return [
                Output(request_id=self.request.id, index=0, finish_reason="error", error=NOTHING_TO_CHOOSE)
            ]
        return [
            Output(
                request_id=self.request.id,
                index=place,
                tokens=[SampledToken(*pair) for pair in zip(text.token_ids, text.logprobs, strict=True)],
                finish_reason=text.finish_reason,
                num_cached_tokens=self._first.cached_tokens,
                score=text.score,
            )
            for place, text in enumerate(self.ended)
        ]

    def _end(self, beam: Beam, total: float, logprob: float, token_id: int, reason: FinishReason) -> None:
        ids, logprobs = (*beam.sample.output_ids, token_id), (*beam.logprobs, logprob)
        score = total / len(ids) ** self.params.length_penalty
        self.ended.append(Ended(ids, logprobs, score, reason))

    def _is_over(self, best_total: float, length: int) -> bool:
        """Whether no beam is expected to become better than the worst text kept."""
        if len(self.ended) < self.params.beam_width:
            return False
        if self.params.early_stopping is True:
            return True
        penalty = self.params.length_penalty
        hoped = self._max_tokens if self.params.early_stopping == "never" and penalty > 0 else length
        return best_total / hoped**penalty <= self.ended[-1].score

    def _go_on(self, chosen: list[tuple[float, float, int, Beam]], scheduler: Scheduler) -> None:
        """Each chosen token makes a beam; a parent's first child is itself, the others are its forks."""
        parents = {id(beam) for *_, beam in chosen}
        for beam in self.beams:
            if id(beam) not in parents:
                scheduler.remove(beam.sample)
        used: set[int] = set()
        beams = []
        for total, logprob, token_id, parent in chosen:
            sample = parent.sample
            if id(parent) in used:
                self._forks += 1
                sample = scheduler.fork(parent.sample, self._forks, (*parent.sample.rank[:2], self._forks))
            used.add(id(parent))
            beams.append((Beam(sample, total, (*parent.logprobs, logprob)), token_id))
        for beam, token_id in beams:
            beam.sample.append(token_id)
        self.beams = [beam for beam, _ in beams]


def likeliest(logits_RV: Tensor, samples: Sequence[Sample], count: int) -> list[list[tuple[float, int]]]:
    """Each sample's likeliest tokens that its rules allow, (log-probability, id), best first. What a rule
    takes away is not shared out among the rest."""
    count = min(count, logits_RV.shape[1])
    logprobs_RV = logits_RV.float().log_softmax(dim=-1)
    for row, sample in enumerate(samples):
        if rules := sample.request.rules:
            prompt = sample.request.prompt_token_ids
            logprobs_RV[row] = obey(rules, prompt, sample.output_ids, logprobs_RV[row])
    logprobs_RC, ids_RC = top_tokens(logprobs_RV, count)
    return [
        [offer for offer in zip(logprobs, ids, strict=True) if offer[0] > -math.inf]
        for logprobs, ids in zip(logprobs_RC.tolist(), ids_RC.tolist(), strict=True)
    ]


class BeamRequests:
    """All beam searches of an engine."""

    def __init__(self, scheduler: Scheduler, eos_token_ids: Collection[int]) -> None:
        self._scheduler = scheduler
        self._eos = eos_token_ids
        self.requests: dict[str, BeamSearch] = {}

    def add(self, request: Request, first: Sample) -> None:
        """A new search and the sample that will compute its prompt."""
        self.requests[request.id] = BeamSearch(request, first, self._eos)

    def take(self, parts: Sequence[Part], logits_RV: Tensor) -> Taken:
        """Take in what a step computed of these searches, and move on those whose beams are all computed."""
        taken = Taken()
        done = [part for part in parts if part.share.completes]
        for part in parts:
            self._scheduler.advance(part.share)
        if not done:
            return taken
        touched = [self.requests[part.share.sample.request.id] for part in done]
        count = max(search.num_offers for search in touched)
        rows = logits_RV[[part.last - 1 for part in done]]
        offers = likeliest(rows, [part.share.sample for part in done], count)
        for part, search, best in zip(done, touched, offers, strict=True):
            search.offer(part.share.sample, best[: search.num_offers])
            taken.new_tokens[id(part.share.sample)] = 1
        for search in dict.fromkeys(touched):
            if search.is_ready and not search.advance(self._scheduler):
                taken.outputs += search.outputs()
                del self.requests[search.request.id]
        return taken

    def end(self, request_id: str, reason: FinishReason) -> list[Output]:
        """End a search; what it found so far is dropped."""
        search = self.requests.pop(request_id)
        for beam in search.beams:
            self._scheduler.remove(beam.sample)
        width = search.params.beam_width
        return [Output(request_id=request_id, index=i, finish_reason=reason) for i in range(width)]
