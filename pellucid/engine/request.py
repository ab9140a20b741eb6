"""What a caller asks of the engine, and the running samples it becomes."""

import sys
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

from pellucid.cache.block_table import BlockTable
from pellucid.engine.memory import Memory, Source
from pellucid.layers.adapter import Adapter
from pellucid.sampling.params import BeamSearchParams, SamplingParams
from pellucid.sampling.rules import Rule

FinishReason = Literal["stop", "length", "abort", "timeout", "error"]
"""Why an output ended; every one has such a reason. An end-of-sequence token, a stop token and a stop string
are all "stop"; `max_tokens` and the longest length that the model or the cache holds are both "length"."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """One prompt and how to continue it."""

    id: str
    prompt_token_ids: Sequence[int]
    params: SamplingParams | BeamSearchParams
    priority: int = 0
    """Lower goes first. One step of priority is worth having arrived `patience` requests earlier, so a
    request that matters less waits longer, but not forever."""
    deadline: float | None = None
    """The `time.monotonic()` at which it ends with "timeout"."""
    cache_key: Hashable = None
    """What beside its tokens shapes its keys and values, or must be kept apart: a tenant's salt. Only
    requests with equal keys share blocks."""
    source: Source | None = None
    """What the encoder reads for it, where the model has one."""
    adapter: Adapter | None = None
    """What fine-tuning is added to the model's products for it. Part of what its blocks are shared by."""
    whole_prompt: bool = False
    """Compute every prompt token, none from the prefix cache, as traces need. Prompt logprobs imply it."""
    bad_word_ids: Sequence[Sequence[int]] = ()
    """`params.bad_words` as token ids."""
    rules: Sequence[Rule] = ()
    """What the checkpoint's published settings forbid and force."""
    on_token: Callable[[int, int], str | None] | None = None
    """Called with (sample index, token id) for each new token; a string that it gives back ends that sample
    with "stop" and itself as the reason. An exception ends the sample with "error". Not called for beams."""

    @property
    def may_be_guessed_at(self) -> bool:
        """Whether drafts help it: beams need whole distributions, and a trace shows no rejected tokens."""
        return isinstance(self.params, SamplingParams) and not self.whole_prompt


class Sample:
    """One running sample of a request: what the scheduler schedules. It knows its tokens and its blocks."""

    __slots__ = (
        "__weakref__",
        "cached_tokens",
        "holds_memory",
        "index",
        "limit",
        "memory",
        "next_described",
        "num_computed",
        "num_preemptions",
        "num_prompt",
        "output_ids",
        "rank",
        "regime",
        "request",
        "table",
        "token_ids",
        "width",
    )  # fmt: skip

    def __init__(
        self,
        request: Request,
        index: int,
        table: BlockTable,
        *,
        rank: tuple[int, ...],
        limit: int,
        width: int,
        memory: Memory | None = None,
    ) -> None:
        self.request = request
        self.index = index
        self.table = table
        self.rank = rank
        """Where it stands in the queue; the lowest goes first and is preempted last. Never changes."""
        self.limit = limit
        """How many tokens it may have in all, its prompt included."""
        self.width = width
        """How many samples it will be once its prompt is computed; 1 from then on."""
        self.token_ids = list(request.prompt_token_ids)
        self.num_prompt = len(self.token_ids)
        self.output_ids: list[int] = []
        self.next_described = sys.maxsize
        """The first prompt token whose row is still asked for, as prompt logprobs need them."""
        self.num_computed = 0
        """How many of its tokens have their keys and values in blocks."""
        self.cached_tokens = 0
        """How many prompt tokens the prefix cache saved when it was first admitted."""
        self.regime: Hashable = None
        self.num_preemptions = 0
        self.memory = memory
        """What its request's encoder read, shared by all samples of it; None where there is no encoder."""
        self.holds_memory = False

    @property
    def takes_hits(self) -> bool:
        """Whether it may begin with blocks that another computed."""
        return not self.request.whole_prompt and self.next_described == sys.maxsize

    @property
    def pending(self) -> int:
        """Tokens it has that are not computed yet: 1 while decoding, 0 for a beam that awaits the others."""
        return len(self.token_ids) - self.num_computed

    def append(self, token_id: int) -> None:
        """Take one more token."""
        self.token_ids.append(token_id)
        self.output_ids.append(token_id)

    def fork(self, index: int, rank: tuple[int, ...], table: BlockTable) -> "Sample":
        """A sample with the same tokens. `table` holds what is computed of it, which may be nothing."""
        other = Sample(self.request, index, table, rank=rank, limit=self.limit, width=1, memory=self.memory)
        other.token_ids, other.output_ids = self.token_ids[:], self.output_ids[:]
        other.num_computed = self.num_computed if table.blocks else 0
        other.regime, other.cached_tokens = self.regime, self.cached_tokens
        return other
