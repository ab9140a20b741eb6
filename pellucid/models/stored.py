"""One tensor in a weight file: what the header says of it, and its bytes and numbers a few rows at a time."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pellucid.errors import WeightsError
from pellucid.models.encodings import Encoding

POINTER = b"version https://git-lfs"
A_POINTER = (
    "only a Git LFS pointer, which says where the weights are; run `git lfs pull` in its folder, or download "
    "the file itself"
)
"""What git leaves in place of a large file where Git LFS is not installed."""


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies in a file. Nothing of it is read before it is asked for."""

    file: Path
    name: str
    shape: tuple[int, ...]
    encoding: Encoding
    offset: int
    """Where it begins in the file, in bytes."""

    @property
    def num_values(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.num_values // self.encoding.values * self.encoding.nbytes

    @property
    def num_rows(self) -> int:
        return self.shape[0] if self.shape else 1

    @property
    def row_bytes(self) -> int:
        return self.nbytes // max(1, self.num_rows)

    def read_into(self, buffer: Tensor, start: int) -> None:
        """Fill a contiguous tensor on the CPU with the bytes as they are stored, from row `start` on.

        Read, not mapped: a mapping's pages count as this process's own until it goes, and making and dropping
        mappings stops all of torch's threads each time. Raises WeightsError if the file ends before.
        """
        wanted = buffer.view(-1).view(torch.uint8).numpy().data
        try:
            with self.file.open("rb") as opened:
                opened.seek(self.offset + start * self.row_bytes)
                got = opened.readinto(wanted)
        except OSError as error:
            raise WeightsError(f"{self.file}: cannot be read: {error.strerror or error}") from error
        if got != len(wanted):
            raise WeightsError(f"{self.file}: ends within tensor {self.name!r}; download it again")

    def mapped(self) -> Tensor:
        """All bytes as they are stored, `[rows, bytes of a row]` uint8: the file itself, mapped for as long
        as the tensor lives. For products that take packed weights as they are."""
        # copy-on-write, so that torch may have it; nobody writes
        shape = (self.num_rows, self.row_bytes)
        return torch.from_numpy(np.memmap(self.file, np.uint8, "c", self.offset, shape))

    def rows(self, start: int, stop: int) -> Tensor:
        """Rows `start` to `stop` as numbers, unpacked where the encoding packs them."""
        assert self.encoding.decode is not None, f"{self.name} holds {self.encoding.name}"
        return self.encoding.decode(self.blocks(start, stop)).view(stop - start, *self.shape[1:])

    def blocks(self, start: int, stop: int) -> Tensor:
        """Rows `start` to `stop` as they are stored, the bytes of a block in each row, uint8."""
        # of a packed vector, whose rows are single numbers, only the whole can be had
        num_values = (stop - start) * (self.num_values // max(1, self.num_rows))
        bytes_ = torch.empty(num_values // self.encoding.values * self.encoding.nbytes, dtype=torch.uint8)
        self.read_into(bytes_, start)
        return bytes_.view(-1, self.encoding.nbytes)

    def whole(self) -> Tensor:
        """All of it, in its published shape."""
        return self.rows(0, self.num_rows).view(self.shape)

    def pieces(self, max_values: int) -> Iterator[tuple[int, int]]:
        """Row ranges that cover it, each of at most `max_values` numbers, or one row where that is longer."""
        if len(self.shape) < 2:
            yield 0, self.num_rows
            return
        step = max(1, max_values * self.num_rows // max(1, self.num_values))
        for start in range(0, self.num_rows, step):
            yield start, min(start + step, self.num_rows)
