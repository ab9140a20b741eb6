"""The requests that are sampled: from logits to tokens, samples of one prompt, prompt logprobs, ends.

Letters: R output rows, V vocabulary, T prompt tokens.
"""

import sys
from collections.abc import Sequence

from torch import Tensor

from pellucid.engine.output import Output, Part, Taken
from pellucid.engine.request import FinishReason, Request, Sample
from pellucid.engine.scheduler import Scheduler
from pellucid.sampling.logprobs import Logprob, prompt_logprobs
from pellucid.sampling.params import SamplingParams
from pellucid.sampling.sampler import SampledToken, sample
from pellucid.sampling.speculative import accept
from pellucid.sampling.state import SamplingState
from pellucid.sampling.stop import finish_reason


class SampledRequest:
    """One request and those of its samples that have not ended."""

    def __init__(self, request: Request, first: Sample, eos_token_ids: Sequence[int]) -> None:
        assert isinstance(request.params, SamplingParams)
        self.request = request
        self.params = request.params
        self.samples = [first]
        self.states = {first.index: self._state(first, eos_token_ids)}
        self.prompt_logprobs: list[dict[int, Logprob] | None] | None = None
        if self.params.prompt_logprobs is not None:
            self.prompt_logprobs = [None]
            first.next_described = 0

    def split(self, scheduler: Scheduler, eos_token_ids: Sequence[int]) -> None:
        """The prompt is computed: the first sample becomes `n` over the same blocks."""
        (first,) = self.samples
        width, first.width = first.width, 1
        for index in range(1, width):
            fork = scheduler.fork(first, index, (*first.rank[:2], index))
            self.samples.append(fork)
            self.states[index] = self._state(fork, eos_token_ids)

    def describe_prompt(self, running: Sample, logits_TV: Tensor) -> None:
        """What the model made of the prompt tokens whose rows these are."""
        first = running.next_described
        next_ids = running.token_ids[first + 1 : min(first + 1 + len(logits_TV), running.num_prompt)]
        assert self.prompt_logprobs is not None and self.params.prompt_logprobs is not None
        self.prompt_logprobs += prompt_logprobs(
            logits_TV[: len(next_ids)], next_ids, self.params.prompt_logprobs
        )
        running.next_described += len(next_ids)
        if running.next_described >= running.num_prompt - 1:
            running.next_described = sys.maxsize

    def _state(self, running: Sample, eos_token_ids: Sequence[int]) -> SamplingState:
        return SamplingState(
            self.params,
            self.request.prompt_token_ids,
            running.output_ids,
            sample_index=running.index,
            eos_token_ids=eos_token_ids,
            bad_word_ids=self.request.bad_word_ids,
            rules=self.request.rules,
        )


class SampledRequests:
    """All sampled requests of an engine."""

    def __init__(self, scheduler: Scheduler, eos_token_ids: Sequence[int]) -> None:
        self._scheduler = scheduler
        self._eos = tuple(eos_token_ids)
        self.requests: dict[str, SampledRequest] = {}

    def add(self, request: Request, first: Sample) -> None:
        """A new request and the sample that will compute its prompt."""
        self.requests[request.id] = SampledRequest(request, first, self._eos)

    def take(self, parts: Sequence[Part], logits_RV: Tensor) -> Taken:
        """Take in what a step computed of these requests: tokens for those whose tokens are all computed."""
        rows: list[tuple[SampledRequest, Sample, Part]] = []
        for part in parts:
            running, share = part.share.sample, part.share
            owner = self.requests[running.request.id]
            if not share.draft_room:
                self._scheduler.advance(share)
            if part.first < part.last and part.first_token == running.next_described:
                owner.describe_prompt(running, logits_RV[part.first : part.last])
            if share.completes:
                if running.width > 1:
                    owner.split(self._scheduler, self._eos)
                    rows += [(owner, each, part) for each in owner.samples]
                else:
                    rows.append((owner, running, part))
        taken = Taken()
        for (owner, running, part), tokens in zip(rows, choose(logits_RV, rows), strict=True):
            output = self._accept(owner, running, tokens)
            taken.outputs.append(output)
            taken.new_tokens[id(running)] = len(output.tokens)
            if part.share.draft_room:
                accepted = max(0, len(output.tokens) - 1)
                taken.accepted += accepted
                self._scheduler.advance(part.share, accepted)
            if output.finish_reason is not None:
                self._forget(owner, running)
        return taken

    def end(self, request_id: str, reason: FinishReason) -> list[Output]:
        """End every sample of a request, those that have not split off yet too."""
        owner = self.requests[request_id]
        outputs = [
            Output(request_id=request_id, index=index, finish_reason=reason)
            for running in owner.samples
            for index in range(running.index, running.index + running.width)
        ]
        for running in owner.samples[:]:
            self._forget(owner, running)
        return outputs

    def state_of(self, running: Sample) -> SamplingState:
        """How a sample's next token is drawn."""
        return self.requests[running.request.id].states[running.index]

    def _accept(self, owner: SampledRequest, running: Sample, tokens: Sequence[SampledToken]) -> Output:
        """Append tokens until one of them is the last, and say what is new."""
        is_first = running.index == 0 and not running.output_ids
        new: list[SampledToken] = []
        reason: FinishReason | None = None
        stop_reason: int | str | None = None
        error: str | None = None
        for token in tokens:
            if token.error is not None:
                reason, error = "error", str(token.error)
                break
            running.append(token.token_id)
            new.append(token)
            try:
                reason, stop_reason = find_end(running, owner.params, self._eos)
            except Exception as raised:  # the caller's own function; its error must not take others along
                reason, error = "error", f"{type(raised).__name__}: {raised}"
            if reason is not None:
                break
        return Output(
            request_id=running.request.id,
            index=running.index,
            tokens=new,
            finish_reason=reason,
            stop_reason=stop_reason,
            error=error,
            num_cached_tokens=running.cached_tokens,
            prompt_logprobs=owner.prompt_logprobs if is_first else None,
        )

    def _forget(self, owner: SampledRequest, running: Sample) -> None:
        self._scheduler.remove(running)
        owner.samples.remove(running)
        if not owner.samples:
            del self.requests[running.request.id]


def choose(
    logits_RV: Tensor, rows: Sequence[tuple[SampledRequest, Sample, Part]]
) -> list[list[SampledToken]]:
    """Each sample's next token, and those after it for as long as they are what its drafts said.

    Every token is drawn with the random number of its own place in the output, so drafts change when a token
    is found and never which: the tokens are those of a run without drafts, greedy or not.
    """
    states = [owner.states[running.index] for owner, running, _ in rows]
    drafts = [part.share.drafts for *_, part in rows]
    wanted = [r for *_, part in rows for r in range(part.last - 1 - len(part.share.drafts), part.last)]
    if not rows:
        return []
    whole = wanted == list(range(logits_RV.shape[0]))
    logits_RV = logits_RV if whole else logits_RV[wanted]
    if any(drafts):
        return accept(drafts, logits_RV, states)
    return [[token] for token in sample(logits_RV, states)]


def find_end(
    running: Sample, params: SamplingParams, eos_token_ids: Sequence[int]
) -> tuple[FinishReason | None, int | str | None]:
    """Whether the newest token is the last: (finish reason, stop reason)."""
    ended = finish_reason(params, running.output_ids, eos_token_ids)
    if ended is not None and ended[0] == "stop":
        return "stop", ended[1]
    watch = running.request.on_token
    stop = watch(running.index, running.output_ids[-1]) if watch is not None else None
    if stop is not None:
        return "stop", stop
    return ("length" if ended is not None or len(running.token_ids) >= running.limit else None), None
