"""What an encoder read for a request, and the blocks that keep its keys and values for the decoder.

The samples of a request share one memory. The first that is admitted has it filled, in the same step; the
last that lets go of it gives the blocks back. The prefix cache goes on knowing them, as a sequence whose
tokens are the numbers of its rows: another request with the same source finds it read.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from pellucid.cache.block_table import BlockTable


@dataclass(frozen=True, eq=False)
class Source:
    """What the encoder reads."""

    content: Any
    """Token ids, or whatever else the model's `pack` takes."""
    num_rows: int
    """How many rows the encoder makes of it."""
    key: Hashable
    """Equal for equal content: the decoder's keys and values depend on it too."""


class Memory:
    """The blocks of one source, in every layer those of the cross-attention."""

    def __init__(self, source: Source, table: BlockTable, block_size: int, key: Hashable = None) -> None:
        """`key`: what the prefix cache knows its rows by; without one they are always made anew."""
        self.source = source
        self.table = table
        self._key = key
        self._rows = range(-(-source.num_rows // block_size) * block_size)
        """As many as its blocks have room for, so that the last block too is whole and can be known."""
        self._holders = 0

    @property
    def lacks(self) -> int:
        """How many free blocks it takes to fill it."""
        return self.table.lacks(0, self.source.num_rows)

    def hold(self) -> bool:
        """One more sample needs it. True if it must be filled before the decoder runs: its blocks are taken;
        the caller has seen that the pool has what it `lacks`."""
        self._holders += 1
        if self._holders > 1:
            return False
        if self._key is not None:
            if self.table.adopt(self._key, self._rows) == len(self._rows):
                return False
            self.table.release()
            self.table.adopt(self._key, ())
        self.table.reserve(0, self.source.num_rows)
        return True

    def keep(self) -> None:
        """It was filled: tell the prefix cache."""
        self.table.commit(self._rows, len(self._rows))

    def let_go(self) -> None:
        """One sample fewer needs it."""
        self._holders -= 1
        if not self._holders:
            self.table.release()
