"""What a generation gives back: vLLM's names, so that a script moves over."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pellucid.sampling.logprobs import Logprob

Logprobs = list[Mapping[int, Logprob]]
"""For each token, the log-probabilities that were asked for, by token id."""


@dataclass(slots=True)
class CompletionOutput:
    """One sample of a request."""

    index: int
    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    cumulative_logprob: float | None = None
    logprobs: Logprobs | None = None
    finish_reason: str | None = None
    """stop, length, abort, timeout or error; None while it runs."""
    stop_reason: int | str | None = None
    """The stop string or stop token id that ended it; None for the model's own end, or another reason."""
    error: str | None = None
    """What went wrong, where the finish reason is "error"."""


@dataclass(slots=True)
class RequestOutput:
    """A request and its samples."""

    request_id: str
    prompt: str | None
    prompt_token_ids: list[int]
    outputs: list[CompletionOutput]
    prompt_logprobs: list[Mapping[int, Logprob] | None] | None = None
    num_cached_tokens: int = 0
    """How many prompt tokens the prefix cache had."""

    @property
    def finished(self) -> bool:
        return all(output.finish_reason is not None for output in self.outputs)


@dataclass(slots=True)
class Piece:
    """What one step added to a streamed request."""

    text: str
    """The new whole characters of sample `index`; may be empty."""
    token_ids: list[int]
    index: int
    finish_reason: str | None
    output: RequestOutput
    """The request so far, the same object for every piece."""


@dataclass(frozen=True, slots=True)
class BeamSearchSequence:
    """One text that a beam search found."""

    tokens: list[int]
    """The prompt's ids and the text's."""
    text: str
    cum_logprob: float
    """The sum of its tokens' log-probabilities."""
    score: float
    """That sum over the text's length to the power of the length penalty; what beams are ranked by."""
    finish_reason: str


@dataclass(frozen=True, slots=True)
class BeamSearchOutput:
    """What a beam search found for one prompt, best first."""

    sequences: list[BeamSearchSequence]
    error: str | None = None
    """Why there are none, where no text could be found."""
