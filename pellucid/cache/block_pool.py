"""Which KV blocks are free and who holds the others: reference counts, and which to evict first.

A block is a number; the tensors behind it are in `paged_kv.py`. Blocks that hold nothing worth keeping are
handed out first; then those of the prefix cache that nobody uses, the one unused longest first.
"""

from collections import OrderedDict
from collections.abc import Callable


class BlockPool:
    """Hands out blocks 0 to `num_blocks - 1`; take, share and release are O(1)."""

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self.num_taken = 0
        """How often a block went from free to held since the beginning."""
        self._references = [0] * num_blocks
        self._blank = list(range(num_blocks - 1, -1, -1))
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._forget: dict[int, Callable[[], None]] = {}

    @property
    def num_free(self) -> int:
        """Blocks that `take` can still give: blank ones, and cached ones that nobody holds."""
        return len(self._blank) + len(self._idle)

    @property
    def num_in_use(self) -> int:
        """Blocks that somebody holds."""
        return self.num_blocks - self.num_free

    @property
    def num_idle(self) -> int:
        """Blocks that nobody holds but whose content the prefix cache still knows."""
        return len(self._idle)

    def references(self, block: int) -> int:
        """How many hold this block."""
        return self._references[block]

    def is_kept(self, block: int) -> bool:
        """Whether the prefix cache knows what this block holds; such a block is never written again."""
        return block in self._forget

    def take(self) -> int:
        """A block to write to. The caller has made sure that `num_free` is not 0."""
        if self._blank:
            block = self._blank.pop()
        else:
            block, _ = self._idle.popitem(last=False)
            self._forget.pop(block)()
        assert self._references[block] == 0
        self._references[block] = 1
        self.num_taken += 1
        return block

    def share(self, block: int) -> None:
        """Hold a block that others may hold too; an idle cached one comes back to life."""
        if self._references[block] == 0:
            del self._idle[block]
            self.num_taken += 1
        self._references[block] += 1

    def release(self, block: int) -> None:
        """Let go of a block; the last to do so frees it."""
        count = self._references[block] - 1
        assert count >= 0, f"block {block} released once too often"
        self._references[block] = count
        if count == 0:
            if block in self._forget:
                self._idle[block] = None
            else:
                self._blank.append(block)

    def keep(self, block: int, forget: Callable[[], None]) -> None:
        """Keep this block's content after its last holder, until `take` needs it and calls `forget`."""
        assert self._references[block] > 0 and block not in self._forget
        self._forget[block] = forget

    def check(self) -> None:
        """Assert every invariant; for tests."""
        free = [*self._blank, *self._idle]
        assert len(free) == len(set(free)), "a block is free twice"
        assert {b for b, n in enumerate(self._references) if n == 0} == set(free), "a block leaked"
        assert all(n >= 0 for n in self._references)
        assert set(self._idle) <= set(self._forget) and not set(self._blank) & set(self._forget)
