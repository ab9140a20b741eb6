"""Asks the system to keep weights in pages of 2 MiB instead of 4 KiB.

Decoding reads every weight once a token. With small pages a processor spends much of that time on finding
where they lie, the more so in a virtual machine, where each address is looked up twice.
"""

import ctypes
import sys
import time
from collections.abc import Iterable, Iterator

from torch import Tensor

SIZE = 2 << 20
AT_ONCE = 16 * SIZE
PATIENCE = 2.0
"""Seconds: where memory is in pieces the system must make room first; what is left then stays as it is."""
ADVISE, COLLAPSE = 14, 25
"""Linux's MADV_HUGEPAGE, and MADV_COLLAPSE (Linux 6.1): move what is there already, now."""


def use_large_pages(tensors: Iterable[Tensor]) -> None:
    """Move these tensors' memory to large pages where the system can. Their addresses stay."""
    if not sys.platform.startswith("linux"):
        return
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    deadline = time.monotonic() + PATIENCE
    for begin, end in stretches(tensors):
        advise(begin, end - begin, ADVISE)  # a system without them refuses: then all stays as it is
        for at in range(begin, end, AT_ONCE):
            if time.monotonic() < deadline:
                advise(at, min(AT_ONCE, end - at), COLLAPSE)


def stretches(tensors: Iterable[Tensor]) -> Iterator[tuple[int, int]]:
    """The whole large pages of address space that hold the tensors and what lies between near ones: a tensor
    smaller than a page shares it with its neighbours."""
    storages = sorted({(t.untyped_storage().data_ptr(), t.untyped_storage().nbytes()) for t in tensors})
    begin = end = 0
    for start, size in [*storages, (sys.maxsize, 0)]:
        if start - end >= SIZE:
            first, last = -(-begin // SIZE) * SIZE, end // SIZE * SIZE
            if first < last:
                yield first, last
            begin = start
        end = max(end, start + size)
