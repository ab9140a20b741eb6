"""What a step did, as views and metrics read it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pellucid.cache.block_pool import BlockPool
from pellucid.engine.output import Taken
from pellucid.engine.request import Sample
from pellucid.engine.scheduler import Plan

MOST_WAITING = 256


class Work(NamedTuple):
    """One sample's part of a step."""

    request_id: str
    sample: int
    """Which sample of the request."""
    phase: Literal["prefill", "decode"]
    """Prefill is computing known tokens: a prompt, or everything again after a preemption."""
    tokens: int
    """Tokens computed, drafts included."""
    hits: int
    """Tokens that the prefix cache saved, in the step that admitted it."""
    new_tokens: int
    """Tokens that came out."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step of the engine; `engine.steps` keeps the latest."""

    number: int
    """Counts from 0; the ring buffer may have lost the first."""
    started: float
    """`time.monotonic()`."""
    work: tuple[Work, ...]
    waiting: tuple[tuple[str, int], ...]
    """(request id, sample index) of those that wait, best rank first; at most 256 are listed."""
    preempted: tuple[tuple[str, int], ...]
    blocks_in_use: int
    """As the model ran."""
    blocks_taken: int
    blocks_freed: int
    unused_slots: int
    """Slots of their blocks that no token fills, as the model ran: the only waste there is."""
    drafted: int
    accepted: int
    schedule_ms: float
    """Deciding, drafting and building the batch."""
    model_ms: float
    sample_ms: float
    """Choosing tokens and everything after."""

    @property
    def total_ms(self) -> float:
        return self.schedule_ms + self.model_ms + self.sample_ms


@dataclass(slots=True)
class Totals:
    """Everything since the engine began."""

    steps: int = 0
    computed_tokens: int = 0
    new_tokens: int = 0
    looked_up_tokens: int = 0
    """Tokens that the prefix cache was asked for as samples were admitted, again after each preemption."""
    hit_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    preemptions: int = 0
    seconds: float = 0.0

    @property
    def hit_rate(self) -> float:
        """Of the tokens asked of the prefix cache, the part it had."""
        return self.hit_tokens / max(1, self.looked_up_tokens)

    @property
    def acceptance_rate(self) -> float:
        """Of the tokens guessed, the part that was right."""
        return self.accepted_tokens / max(1, self.drafted_tokens)

    def add(self, plan: Plan, record: StepRecord) -> None:
        """Count a step."""
        self.steps += 1
        self.computed_tokens += sum(work.tokens for work in record.work)
        self.new_tokens += sum(work.new_tokens for work in record.work)
        self.looked_up_tokens += sum(share.looked_up for share in plan.shares)
        self.hit_tokens += sum(share.hits for share in plan.shares)
        self.drafted_tokens += record.drafted
        self.accepted_tokens += record.accepted
        self.preemptions += len(record.preempted)
        self.seconds += record.total_ms / 1e3


class Recorder:
    """Told of a step's stages as they end, turns it into a record."""

    def __init__(self, pool: BlockPool, block_size: int) -> None:
        self.totals = Totals()
        self._pool = pool
        self._block_size = block_size

    def begin(self) -> float:
        """A step begins, at the time that it gives."""
        self._free, self._taken = self._pool.num_free, self._pool.num_taken
        self._started = time.monotonic()
        return self._started

    def planned(self, plan: Plan) -> None:
        """The step is decided and its batch is built."""
        self._plan = plan
        self._in_use = self._pool.num_in_use
        self._unused = sum(
            len(share.sample.table.blocks) * self._block_size - share.end - len(share.drafts)
            for share in plan.shares
        )
        self._planned = time.monotonic()

    def ran(self) -> None:
        """The model has run."""
        self._ran = time.monotonic()

    def end(self, takings: Sequence[Taken], waiting: Sequence[Sample]) -> StepRecord:
        """The step is over."""
        new = {key: count for taking in takings for key, count in taking.new_tokens.items()}
        taken = self._pool.num_taken - self._taken
        record = StepRecord(
            number=self.totals.steps,
            started=self._started,
            work=tuple(
                Work(
                    share.sample.request.id,
                    share.sample.index,
                    "decode" if share.is_decode else "prefill",
                    share.end - share.start + len(share.drafts),
                    share.hits,
                    new.get(id(share.sample), 0),
                )
                for share in self._plan.shares
            ),
            waiting=tuple((s.request.id, s.index) for s in waiting[:MOST_WAITING]),
            preempted=tuple((s.request.id, s.index) for s in self._plan.preempted),
            blocks_in_use=self._in_use,
            blocks_taken=taken,
            blocks_freed=self._pool.num_free - self._free + taken,
            unused_slots=self._unused,
            drafted=sum(len(share.drafts) for share in self._plan.shares),
            accepted=sum(taking.accepted for taking in takings),
            schedule_ms=(self._planned - self._started) * 1e3,
            model_ms=(self._ran - self._planned) * 1e3,
            sample_ms=(time.monotonic() - self._ran) * 1e3,
        )
        self.totals.add(self._plan, record)
        return record
