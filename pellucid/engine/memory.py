"""What an encoder read for a request, and the blocks that keep its keys and values for the decoder.

The samples of a request share one memory. The first that is admitted has it filled, in the same step; the
last that lets go of it gives the blocks back.
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

    def __init__(self, source: Source, table: BlockTable) -> None:
        self.source = source
        self.table = table
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
        self.table.reserve(0, self.source.num_rows)
        return True

    def let_go(self) -> None:
        """One sample fewer needs it."""
        self._holders -= 1
        if not self._holders:
            self.table.release()
