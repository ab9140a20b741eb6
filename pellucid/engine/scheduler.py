"""Which samples take part in the next step, with how many tokens, and in which blocks.

One token budget a step, shared in this order:

1. Running samples, best rank first. Each decode gets its one token; a prefill gets what is left when every
   decode behind it is served. So decodes never wait for prefills, and the first prefill always moves on.
2. Waiting samples, best rank first; one that does not fit holds back those behind it, so none starves.
3. Draft tokens for the decodes, from what is left over.

A sample that lacks blocks preempts the worst-ranked one: its blocks are given back, it waits at its old rank
and is computed anew (cheaply, where the prefix cache still knows it). Because the best-ranked sample always
gets its blocks and any request fits alone, every step moves something on.
"""

from bisect import insort
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from pellucid.cache.block_pool import BlockPool
from pellucid.cache.block_table import BlockTable
from pellucid.cache.prefix_cache import PrefixCache
from pellucid.engine.memory import Memory
from pellucid.engine.request import Sample


@dataclass(frozen=True, kw_only=True)
class SchedulerConfig:
    """The limits of one engine."""

    block_size: int
    num_blocks: int
    max_num_seqs: int
    """Samples that run at once."""
    max_num_batched_tokens: int
    """Tokens of one step."""
    num_speculative_tokens: int = 0
    window: int | None = None
    """The largest sliding window, if every layer has one: older blocks are given back."""
    enable_prefix_caching: bool = True


@dataclass(slots=True, eq=False)
class Share:
    """One sample's part of a step: tokens `start` to `end - 1` of those it has, then drafts to verify."""

    sample: Sample
    start: int
    end: int
    hits: int = 0
    """Tokens taken from the prefix cache as it was admitted in this step."""
    looked_up: int = 0
    """Tokens that the prefix cache was asked for then."""
    draft_room: int = 0
    """Drafts that there are blocks and budget for."""
    drafts: list[int] = field(default_factory=list)

    @property
    def is_decode(self) -> bool:
        """Whether it runs its newest token only (a prompt's last token counts as prefill)."""
        return self.end - self.start == 1 and self.start >= self.sample.num_prompt

    @property
    def completes(self) -> bool:
        """Whether the next token can be sampled after this step."""
        return self.end == len(self.sample.token_ids)

    @property
    def first_output(self) -> int:
        """The first of its tokens whose row meets the vocabulary; those after it and the drafts do too."""
        last = self.end - 1 if self.completes else self.end
        return min(last, max(self.start, self.sample.next_described))


@dataclass(slots=True)
class Plan:
    """What one step does."""

    shares: list[Share] = field(default_factory=list)
    copies: list[tuple[int, int]] = field(default_factory=list)
    """Blocks to copy before the forward, (from, to)."""
    preempted: list[Sample] = field(default_factory=list)
    memories: list[Memory] = field(default_factory=list)
    """Those to fill before the forward."""


class Scheduler:
    """Owns the queues and the blocks. A sample is in `waiting` or in `running`, or it holds nothing."""

    def __init__(self, config: SchedulerConfig, regime: Callable[[int, int], Hashable]) -> None:
        """`regime(prompt_length, length)`: what a sample's keys depend on beside tokens and positions."""
        assert config.max_num_batched_tokens > config.max_num_seqs
        self.config = config
        self.pool = BlockPool(config.num_blocks)
        self.prefix = PrefixCache(self.pool, config.block_size)
        self.waiting: list[Sample] = []
        self.running: list[Sample] = []
        self._regime = regime

    def new_table(self) -> BlockTable:
        """An empty table over this scheduler's blocks."""
        return BlockTable(self.pool, self.prefix)

    def blocks_for(self, num_tokens: int) -> int:
        """How many blocks a sample of this length holds at most at one time."""
        size, window = self.config.block_size, self.config.window
        whole = -(-num_tokens // size)
        if window is None:
            return whole
        return min(whole, -(-(window + self.config.max_num_batched_tokens) // size) + 1)

    def add(self, sample: Sample) -> None:
        """Queue a new sample at its rank."""
        insort(self.waiting, sample, key=_rank)

    def fork(self, parent: Sample, index: int, rank: tuple[int, ...]) -> Sample:
        """A second sample over the parent's blocks; where no seat is free it waits and owns nothing yet."""
        shares = parent in self.running and self._seats_free() > 0
        table = parent.table.fork(parent.num_computed) if shares else self.new_table()
        child = parent.fork(index, rank, table)
        if shares and child.memory is not None:
            child.holds_memory = True
            child.memory.hold()
        insort(self.running if shares else self.waiting, child, key=_rank)
        return child

    def remove(self, sample: Sample) -> None:
        """A sample ended: it gives everything back."""
        queue = self.running if sample in self.running else self.waiting
        queue.remove(sample)
        self.forget(sample)

    def preempt(self, sample: Sample) -> None:
        """Take a running sample's blocks; it waits at its rank and will be computed anew."""
        self.running.remove(sample)
        insort(self.waiting, sample, key=_rank)
        sample.num_preemptions += 1
        self.forget(sample)

    def forget(self, sample: Sample) -> None:
        """Give back all that is computed of a sample."""
        sample.table.release()
        sample.num_computed = 0
        if sample.holds_memory and sample.memory is not None:
            sample.memory.let_go()
            sample.holds_memory = False

    def schedule(self) -> Plan:
        """Decide the next step and take the blocks it writes to."""
        plan = Plan()
        self._leave_old_regimes(plan)
        budget = self._continue(plan)
        budget = self._admit(plan, budget)
        while not plan.shares and self.waiting:
            # beams that wait for one of theirs hold what the first in the queue lacks; the worst ranked yield
            assert self.running, "a request waits that fits into an empty engine"
            self._preempt_worst(plan)
            budget = self._admit(plan, budget)
        if self.config.num_speculative_tokens:
            self._make_room_for_drafts(plan, budget)
        return plan

    def advance(self, share: Share, num_accepted: int = 0) -> None:
        """A share was computed and `num_accepted` of its drafts, by now among its tokens, were right."""
        sample = share.sample
        sample.num_computed = share.end + num_accepted
        if share.draft_room:
            sample.table.trim(sample.num_computed)
        sample.table.commit(sample.token_ids, sample.num_computed)
        if self.config.window is not None:
            sample.table.drop_before(sample.num_computed - self.config.window + 1)

    def _leave_old_regimes(self, plan: Plan) -> None:
        for sample in self.running[:]:
            if sample.num_computed and sample.regime != self._regime_of(sample):
                self.preempt(sample)
                plan.preempted.append(sample)

    def _regime_of(self, sample: Sample, ahead: int = 0) -> Hashable:
        return self._regime(sample.num_prompt, len(sample.token_ids) + ahead)

    def _continue(self, plan: Plan) -> int:
        budget = self.config.max_num_batched_tokens
        decodes_behind = sum(sample.pending == 1 for sample in self.running)
        for sample in self.running[:]:
            pending = sample.pending
            decodes_behind -= pending == 1
            count = min(pending, budget - decodes_behind)
            if count <= 0 or sample not in self.running:
                continue
            if self._preempt_for(sample, sample.num_computed + count, plan):
                self._share_out(plan, sample, count)
                budget -= count
        return budget

    def _preempt_for(self, sample: Sample, end: int, plan: Plan) -> bool:
        """Preempt from the worst rank up until the sample has the blocks it needs; False if it had to go."""
        while sample.table.lacks(sample.num_computed, end) + _lacks_memory(sample) > self.pool.num_free:
            if self._preempt_worst(plan) is sample:
                return False
        return True

    def _preempt_worst(self, plan: Plan) -> Sample:
        victim = self.running[-1]
        self.preempt(victim)
        plan.preempted.append(victim)
        return victim

    def _admit(self, plan: Plan, budget: int) -> int:
        seats = self._seats_free()
        promised = sum(map(self._still_needs, self.running)) if self.waiting else 0
        while self.waiting and budget > 0 and self.waiting[0].width <= seats:
            sample = self.waiting[0]
            if not self._may_encode(sample, plan):
                break
            hits = self._adopt(sample)
            needed = self._still_needs(sample)
            if needed + promised > self.pool.num_free:
                self.forget(sample)
                break
            self.waiting.pop(0)
            insort(self.running, sample, key=_rank)
            seats -= sample.width
            if not sample.num_preemptions:
                sample.cached_tokens = hits
            count, lacked = min(sample.pending, budget), _lacks_memory(sample)
            held = sample.table.num_held
            share = self._share_out(plan, sample, count)
            share.hits, share.looked_up = hits, len(sample.token_ids)
            budget -= count
            promised += needed - lacked - (sample.table.num_held - held)
        return budget

    def _adopt(self, sample: Sample) -> int:
        """Take what the prefix cache knows of a sample; its last token is computed in any case."""
        sample.regime = self._regime_of(sample)
        if not self.config.enable_prefix_caching:
            return 0
        request, source = sample.request, sample.request.source
        beside = None if source is None else source.key
        key = (request.cache_key, request.adapter, sample.regime, beside)
        known = sample.token_ids[:-1] if sample.takes_hits else []
        hits = sample.table.adopt(key, known)
        sample.num_computed = hits
        if self.config.window is not None:
            sample.table.drop_before(hits - self.config.window + 1)
        return hits

    def _share_out(self, plan: Plan, sample: Sample, count: int) -> Share:
        start = sample.num_computed
        copy = sample.table.reserve(start, start + count)
        if copy is not None:
            plan.copies.append(copy)
        self._hold_memory(sample, plan)
        share = Share(sample, start, start + count)
        plan.shares.append(share)
        return share

    def _make_room_for_drafts(self, plan: Plan, budget: int) -> None:
        for share in plan.shares:
            sample = share.sample
            length = len(sample.token_ids)
            room = min(self.config.num_speculative_tokens, budget, sample.limit - length - 1)
            if room <= 0 or not share.is_decode or not sample.request.may_be_guessed_at:
                continue
            if self._regime_of(sample, ahead=room) != sample.regime:
                continue
            if sample.table.lacks(length, length + room) > self.pool.num_free:
                continue
            sample.table.reserve(length, length + room)
            share.draft_room = room
            budget -= room

    def _still_needs(self, sample: Sample) -> int:
        """The blocks it takes to compute what a sample has now, beside those it holds."""
        if not sample.pending:
            return 0
        own = max(0, self.blocks_for(len(sample.token_ids)) - sample.table.num_held)
        return own + _lacks_memory(sample)

    def _may_encode(self, sample: Sample, plan: Plan) -> bool:
        """Whether the encoder has time for this sample: a step's rows are as many as its tokens may be, but
        the first source of a step is encoded however long it is."""
        if sample.memory is None or not _lacks_memory(sample) or not plan.memories:
            return True
        rows = sum(memory.source.num_rows for memory in plan.memories) + sample.memory.source.num_rows
        return rows <= self.config.max_num_batched_tokens

    def _hold_memory(self, sample: Sample, plan: Plan) -> None:
        if sample.memory is None or sample.holds_memory:
            return
        sample.holds_memory = True
        if sample.memory.hold():
            plan.memories.append(sample.memory)

    def _seats_free(self) -> int:
        return self.config.max_num_seqs - sum(sample.width for sample in self.running)


def _lacks_memory(sample: Sample) -> int:
    return 0 if sample.memory is None else sample.memory.lacks


def _rank(sample: Sample) -> tuple[int, ...]:
    return sample.rank
