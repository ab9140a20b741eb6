"""What a step gives back: the new tokens of a sample, and why it ended if it did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pellucid.engine.request import FinishReason
from pellucid.engine.scheduler import Share
from pellucid.sampling.logprobs import Logprob
from pellucid.sampling.sampler import SampledToken


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """News of one sample. Its tokens are those since its last output; for a beam, told of only once it is
    finished, all of them."""

    request_id: str
    index: int
    """Which sample of the request, from 0; for beams the place by score."""
    tokens: Sequence[SampledToken] = ()
    finish_reason: FinishReason | None = None
    """None while it goes on."""
    stop_reason: int | str | None = None
    """The stop token id or the stop string that ended it, where one of the request's own did."""
    error: str | None = None
    """What went wrong, where the finish reason is "error"."""
    num_cached_tokens: int = 0
    """Prompt tokens that the prefix cache saved."""
    prompt_logprobs: Sequence[Mapping[int, Logprob] | None] | None = None
    """Where asked for, with the first token of sample 0: entry i describes prompt token i; 0 is None."""
    score: float | None = None
    """A beam's: its summed log-probability over its length to the power of the length penalty."""


class Part(NamedTuple):
    """One share of a step and its rows of logits."""

    share: Share
    first: int
    last: int
    first_token: int
    """The place in its sample of the token whose row is `first`."""


@dataclass(slots=True)
class Taken:
    """What came of the rows of a step."""

    outputs: list[Output] = field(default_factory=list)
    new_tokens: dict[int, int] = field(default_factory=dict)
    """Of each sample, by `id`, how many tokens it got."""
    accepted: int = 0
    """Drafts that were right."""
