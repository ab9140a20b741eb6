"""A sequence's blocks under random company: what it wrote is what it reads, whatever others do."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pellucid.cache.block_pool import BlockPool
from pellucid.cache.block_table import NO_BLOCK, BlockTable
from pellucid.cache.prefix_cache import PrefixCache

SIZE, BLOCKS = 3, 12


class Writer:
    """One sequence: the tokens it will have and how many of them it has written."""

    def __init__(self, table, tokens, computed, window):
        self.table, self.tokens, self.computed, self.window = table, tokens, computed, window


class Tables(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.pool = BlockPool(BLOCKS)
        self.prefix = PrefixCache(self.pool, SIZE)
        self.memory = {}  # (block, offset) -> every token from the first to this one: what K and V depend on
        self.writers = []

    @rule(
        tokens=st.lists(st.integers(0, 1), min_size=1, max_size=14),
        cached=st.booleans(),
        window=st.sampled_from([None, 4]),
    )
    def start(self, tokens, cached, window):
        writer = Writer(BlockTable(self.pool, self.prefix), tokens, 0, window)
        if cached:
            writer.computed = writer.table.adopt("world", tokens[:-1])
        self.writers.append(writer)

    @precondition(lambda self: self.writers)
    @rule(pick=st.integers(0, 99), count=st.integers(1, 7), accepted=st.integers(0, 7))
    def write(self, pick, count, accepted):
        """Write `count` tokens, of which the last ones may turn out to be rejected drafts."""
        w = self.writers[pick % len(self.writers)]
        end = min(w.computed + count, len(w.tokens))
        if end == w.computed or w.table.lacks(w.computed, end) > self.pool.num_free:
            return
        copy = w.table.reserve(w.computed, end)
        if copy:
            for offset in range(SIZE):
                self.memory[copy[1], offset] = self.memory.get((copy[0], offset))
        for i in range(w.computed, end):
            block = w.table.blocks[i // SIZE]
            assert self.pool.references(block) == 1, "written while shared"
            assert not self.pool.is_kept(block), "written while the prefix cache relies on it"
            self.memory[block, i % SIZE] = tuple(w.tokens[: i + 1])
        w.computed = min(end, w.computed + max(1, accepted))
        w.table.trim(w.computed)
        w.table.commit(w.tokens, w.computed)
        if w.window:
            w.table.drop_before(w.computed - w.window + 1)

    @precondition(lambda self: self.writers)
    @rule(pick=st.integers(0, 99), tail=st.lists(st.integers(0, 1), max_size=6))
    def fork(self, pick, tail):
        w = self.writers[pick % len(self.writers)]
        other = w.table.fork(w.computed)
        self.writers.append(Writer(other, w.tokens[: w.computed] + (tail or [0]), w.computed, w.window))

    @precondition(lambda self: self.writers)
    @rule(pick=st.integers(0, 99))
    def finish(self, pick):
        self.writers.pop(pick % len(self.writers)).table.release()

    @invariant()
    def counts_are_exact(self):
        self.pool.check()
        self.prefix.check()
        held = [b for w in self.writers for b in w.table.blocks if b != NO_BLOCK]
        assert [self.pool.references(b) for b in range(BLOCKS)] == [held.count(b) for b in range(BLOCKS)]
        if not self.writers:
            assert self.pool.num_in_use == 0

    @invariant()
    def what_was_written_is_read(self):
        for w in self.writers:
            visible_from = 0 if w.window is None else max(0, w.computed - w.window + 1)
            for i in range(visible_from, w.computed):
                assert self.memory[w.table.blocks[i // SIZE], i % SIZE] == tuple(w.tokens[: i + 1])


Tables.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestTables = Tables.TestCase


def test_lacks_says_what_reserve_takes():
    pool = BlockPool(4)
    table = BlockTable(pool, PrefixCache(pool, SIZE))
    assert table.lacks(0, 4) == 2
    assert table.reserve(0, 4) is None and pool.num_free == 2
    fork = table.fork(4)
    assert pool.num_free == 2 and table.lacks(4, 5) == 1 and table.lacks(4, 7) == 2
    copy = table.reserve(4, 5)
    assert copy == (fork.blocks[1], table.blocks[1]) and fork.lacks(4, 5) == 0
