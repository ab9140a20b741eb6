"""Memory for weights in pages of 2 MiB instead of 4 KiB, where the system has them.

Decoding reads every weight once a token. With small pages a processor spends much of that time on finding
where they lie, the more so in a virtual machine, where each address is looked up twice. Asking before the
memory is first touched costs nothing; moving weights that lie in small pages took seconds.
"""

import math
import mmap
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

PAGE = 2 << 20
CHUNK = 32 * PAGE
"""What is taken of the system at once: weights are many small tensors, several to a page."""
ALIGNMENT = 128

Zeros = Callable[[Sequence[int], torch.dtype], Tensor]
"""From a shape and a dtype, a tensor of zeros."""


def zeros_on(device: torch.device) -> Zeros:
    """Zeros for the weights of one model: on a CPU in large pages, elsewhere torch's own."""
    if device.type == "cpu" and hasattr(mmap, "MADV_HUGEPAGE"):
        return LargePages().zeros
    return lambda shape, dtype: torch.zeros(shape, dtype=dtype, device=device)


class LargePages:
    """Hands out memory, piece after piece; the system has it back when the tensors that share it are gone."""

    def __init__(self) -> None:
        self._chunk, self._used = _chunk(CHUNK), 0

    def zeros(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """A tensor of zeros, its memory the next free piece; nothing is touched yet."""
        count = math.prod(shape)
        if not count:
            return torch.zeros(shape, dtype=dtype)
        begin = -(-self._used // ALIGNMENT) * ALIGNMENT
        end = begin + count * dtype.itemsize
        if end > len(self._chunk):
            self._chunk = _chunk(end - begin)
            begin, end = 0, end - begin
        self._used = end
        return torch.frombuffer(self._chunk, dtype=dtype, count=count, offset=begin).view(*shape)


def _chunk(bytes_: int) -> mmap.mmap:
    """Fresh memory with room for so much. Raises MemoryError."""
    size = -(-max(bytes_, CHUNK) // PAGE) * PAGE
    try:
        chunk = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"{size} bytes for weights") from error
    try:
        chunk.madvise(mmap.MADV_HUGEPAGE)
    except OSError:  # a system that has none: small ones, then
        pass
    return chunk
