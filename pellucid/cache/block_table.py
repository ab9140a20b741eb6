"""The blocks of one sequence, from the first it takes to the last it gives back.

Entry j holds tokens `j * block_size` to `(j + 1) * block_size - 1`. Whole blocks may be shared, through the
prefix cache or by a fork; a partly filled one that is shared is copied before a write (copy-on-write).
"""

from collections.abc import Hashable, Sequence

from pellucid.cache.block_pool import BlockPool
from pellucid.cache.prefix_cache import Node, PrefixCache

NO_BLOCK = -1
"""The entry of a block that was given back because every window has moved past it."""


class BlockTable:
    """One sequence's blocks. All tables of an engine share one pool and one prefix cache."""

    def __init__(self, pool: BlockPool, prefix: PrefixCache) -> None:
        self.blocks: list[int] = []
        self._pool = pool
        self._prefix = prefix
        self._block_size = prefix.block_size
        self._node: Node | None = None
        self._num_committed = 0
        self._num_dropped = 0

    @property
    def num_held(self) -> int:
        """How many blocks it holds now."""
        return len(self.blocks) - self._num_dropped

    def adopt(self, key: Hashable, token_ids: Sequence[int]) -> int:
        """Begin with the blocks that the prefix cache has for these tokens; how many tokens they hold.

        From here on `commit` tells the cache of new ones; a table that never adopts leaves it alone.
        """
        assert not self.blocks
        chain = self._prefix.match(key, token_ids)
        for node in chain:
            assert node.block is not None
            self._pool.share(node.block)
            self.blocks.append(node.block)
        self._node = chain[-1] if chain else self._prefix.root(key)
        self._prefix.pin(self._node)
        self._num_committed = len(chain)
        return len(chain) * self._block_size

    def lacks(self, start: int, end: int) -> int:
        """How many free blocks it takes to write tokens `start` to `end - 1`."""
        return max(0, -(-end // self._block_size) - len(self.blocks)) + self._must_copy(start)

    def reserve(self, start: int, end: int) -> tuple[int, int] | None:
        """Make tokens `start` to `end - 1` writable; the caller has seen that the pool has what it `lacks`.

        Gives (from, to) when a shared block must be copied before this step's forward.
        """
        copy = None
        if self._must_copy(start):
            index = start // self._block_size
            copy = (self.blocks[index], self._pool.take())
            self._pool.release(copy[0])
            self.blocks[index] = copy[1]
        for _ in range(len(self.blocks), -(-end // self._block_size)):
            self.blocks.append(self._pool.take())
        return copy

    def commit(self, token_ids: Sequence[int], num_computed: int) -> None:
        """Tell the prefix cache of the blocks that are full now. A block whose twin it knows already is given
        back and the twin used in its place."""
        if self._node is None:
            return
        size = self._block_size
        for index in range(self._num_committed, num_computed // size):
            own = self.blocks[index]
            node = self._prefix.insert(self._node, token_ids[index * size : (index + 1) * size], own)
            self._prefix.pin(node)
            self._prefix.unpin(self._node)
            self._node, self._num_committed = node, index + 1
            if node.block is not None and node.block != own:
                self._pool.share(node.block)
                self._pool.release(own)
                self.blocks[index] = node.block

    def drop_before(self, num_tokens: int) -> int:
        """Give back the blocks that hold only tokens before this one; how many there were."""
        before = self._num_dropped
        for index in range(before, min(num_tokens // self._block_size, len(self.blocks))):
            self._pool.release(self.blocks[index])
            self.blocks[index] = NO_BLOCK
            self._num_dropped = index + 1
        return self._num_dropped - before

    def trim(self, num_tokens: int) -> None:
        """Give back the blocks beyond the first `num_tokens` tokens (rejected drafts)."""
        while len(self.blocks) > -(-num_tokens // self._block_size):
            self._pool.release(self.blocks.pop())

    def fork(self, num_tokens: int) -> "BlockTable":
        """A second table over the same first `num_tokens` tokens."""
        other = BlockTable(self._pool, self._prefix)
        other.blocks = self.blocks[: -(-num_tokens // self._block_size)]
        for block in other.blocks[self._num_dropped :]:
            self._pool.share(block)
        other._node, other._num_committed = self._node, self._num_committed
        other._num_dropped = self._num_dropped
        if other._node is not None:
            self._prefix.pin(other._node)
        return other

    def release(self) -> None:
        """Give everything back, the last first, so that a prefix's end is evicted before its beginning."""
        for block in reversed(self.blocks[self._num_dropped :]):
            self._pool.release(block)
        self.blocks = []
        if self._node is not None:
            self._prefix.unpin(self._node)
            self._node = None
        self._num_committed = self._num_dropped = 0

    def _must_copy(self, start: int) -> bool:
        """Whether the block that token `start` goes to holds others' tokens too."""
        index, offset = divmod(start, self._block_size)
        return offset > 0 and self._pool.references(self.blocks[index]) > 1
