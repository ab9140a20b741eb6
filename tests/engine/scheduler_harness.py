"""A scheduler driven by a pretend model whose next token depends on every token before it, and a pretend memory
that shows at once when a block holds what it should not."""

from pellucid.engine.request import Request, Sample
from pellucid.engine.scheduler import Scheduler, SchedulerConfig
from pellucid.sampling.params import SamplingParams


def next_token(token_ids, index):
    """What the pretend model says after these tokens."""
    return hash((tuple(token_ids), index)) % 3


def whole_output(request, index, limit):
    """What a sample must end up with, computed without any engine."""
    tokens = list(request.prompt_token_ids)
    while len(tokens) < limit:
        tokens.append(next_token(tokens, index))
    return tokens


class Harness:
    def __init__(self, *, regime=lambda prompt, length: None, forgetful=False, **config):
        defaults = {"block_size": 4, "num_blocks": 24, "max_num_seqs": 6, "max_num_batched_tokens": 12}
        self.config = SchedulerConfig(**{**defaults, **config})
        self.regime = regime
        self.forgetful = forgetful
        self.scheduler = Scheduler(self.config, regime)
        self.memory = {}
        self.live = []
        self.finished = {}
        self.plans = []
        self.arrivals = 0

    def add(self, prompt, max_tokens, *, priority=0, n=1, cache_key=None, whole_prompt=False, patience=3):
        self.arrivals += 1
        request = Request(
            id=str(self.arrivals), prompt_token_ids=prompt, params=SamplingParams(), priority=priority,
            cache_key=cache_key, whole_prompt=whole_prompt,
        )  # fmt: skip
        limit = len(prompt) + max_tokens
        assert self.scheduler.blocks_for(limit - 1) <= self.config.num_blocks, "the engine refuses these"
        rank = (self.arrivals + priority * patience, self.arrivals, 0)
        sample = Sample(request, 0, self.scheduler.new_table(), rank=rank, limit=limit, width=n)
        self.live.append(sample)
        self.scheduler.add(sample)
        return sample

    def step(self):
        before = {id(s): (s, s.num_computed) for s in self.scheduler.running}
        plan = self.scheduler.schedule()
        self.plans.append(plan)
        self.check_plan(plan, before)
        for source, target in plan.copies:
            for offset in range(self.config.block_size):
                self.memory[target, offset] = self.memory.get((source, offset))
        for share in plan.shares:
            self.write(share)
        for share in plan.shares:
            self.read(share)
            self.sample_from(share)
        self.check()
        return plan

    def write(self, share):
        s = share.sample
        if share.draft_room:  # half of the drafts are right
            tokens = list(s.token_ids)
            for i in range(share.draft_room):
                tokens.append((next_token(tokens, s.index) + (len(tokens) + i) % 2) % 3)
            share.drafts = tokens[len(s.token_ids) :]
        tokens = s.token_ids[: share.end] + share.drafts
        for i in range(share.start, len(tokens)):
            block = s.table.blocks[i // self.config.block_size]
            assert self.scheduler.pool.references(block) == 1, "a shared block would be written"
            assert not self.scheduler.pool.is_kept(block), "a cached block would be written"
            self.memory[block, i % self.config.block_size] = self.content(s, tokens[: i + 1])

    def read(self, share):
        """Every key that the newest query may see is the key of this sample's own tokens."""
        s = share.sample
        window = self.config.window or 10**9
        for i in range(max(0, share.start - window + 1), share.end):
            held = self.memory[s.table.blocks[i // self.config.block_size], i % self.config.block_size]
            assert held == self.content(s, s.token_ids[: i + 1]), "a block holds another's tokens"

    def content(self, s, tokens):
        return (s.request.cache_key, self.regime(s.num_prompt, len(s.token_ids)), tuple(tokens))

    def sample_from(self, share):
        s = share.sample
        if not share.completes:
            self.scheduler.advance(share)
            return
        if s.width > 1:
            self.scheduler.advance(share)
            width, s.width = s.width, 1
            forks = [self.scheduler.fork(s, i, (*s.rank[:2], i)) for i in range(1, width)]
            self.live += forks
            for each in (s, *forks):
                self.append(each)
            return
        accepted = 0
        while accepted < len(share.drafts) and next_token(s.token_ids, s.index) == share.drafts[accepted]:
            s.append(share.drafts[accepted])
            accepted += 1
        self.scheduler.advance(share, accepted)
        self.append(s)

    def append(self, s):
        s.append(next_token(s.token_ids, s.index))
        if self.forgetful:
            self.scheduler.forget(s)
        if len(s.token_ids) >= s.limit:
            self.finish(s)
            assert s.token_ids == whole_output(s.request, s.index, s.limit)
            self.finished[s.request.id, s.index] = s

    def finish(self, s):
        self.scheduler.remove(s)
        self.live.remove(s)

    def check_plan(self, plan, before):
        config = self.config
        used = sum(share.end - share.start + share.draft_room for share in plan.shares)
        assert used <= config.max_num_batched_tokens
        assert len(self.scheduler.running) <= config.max_num_seqs
        assert len({id(share.sample) for share in plan.shares}) == len(plan.shares)
        assert plan.shares or not self.live, "nothing moves though there is work"
        took_part = {id(share.sample) for share in plan.shares}
        for sample, computed in before.values():
            if (
                len(sample.token_ids) - computed == 1
                and sample in self.scheduler.running
                and sample not in plan.preempted
            ):
                assert id(sample) in took_part, "a decode was passed over"

    def check(self):
        scheduler = self.scheduler
        scheduler.pool.check()
        scheduler.prefix.check()
        held = [b for s in self.live for b in s.table.blocks if b >= 0]
        for block in range(self.config.num_blocks):
            assert scheduler.pool.references(block) == held.count(block)
        assert sorted(map(id, scheduler.waiting + scheduler.running)) == sorted(map(id, self.live))
        for queue in (scheduler.waiting, scheduler.running):
            assert queue == sorted(queue, key=lambda s: s.rank)
        for s in scheduler.waiting:
            assert not s.table.blocks and s.num_computed == 0
        if not self.live:
            assert scheduler.pool.num_in_use == 0

    def run(self, limit=2000):
        """Step until everything is done; how many steps it took."""
        steps = 0
        while self.live:
            self.step()
            steps += 1
            assert steps < limit, "it never ends"
        return steps
