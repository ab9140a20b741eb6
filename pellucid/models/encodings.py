"""How numbers lie in the bytes of a weight file: every dtype of safetensors, and how each becomes a tensor.

Letters: N blocks, S bytes of a block, V values of a block.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """Blocks of `values` numbers in `nbytes` bytes each; a plain dtype is blocks of one."""

    name: str
    values: int
    nbytes: int
    dtype: torch.dtype | None
    """The dtype whose bytes they are, if they are plain."""
    decode: Callable[[Tensor], Tensor] | None
    """Bytes `[N, S]` → numbers `[N, V]`; None: not numbers weights can have."""


def _plain(name: str, dtype: torch.dtype) -> Encoding:
    return Encoding(
        name=name,
        values=1,
        nbytes=dtype.itemsize,
        dtype=dtype,
        decode=(lambda bytes_NS: bytes_NS.view(dtype)) if dtype.is_floating_point else None,
    )


# The dtypes of the safetensors format, by its names.
SAFETENSORS: dict[str, Encoding] = {
    encoding.name: encoding
    for encoding in (
        _plain("F64", torch.float64),
        _plain("F32", torch.float32),
        _plain("F16", torch.float16),
        _plain("BF16", torch.bfloat16),
        _plain("F8_E4M3", torch.float8_e4m3fn),
        _plain("F8_E5M2", torch.float8_e5m2),
        _plain("I64", torch.int64),
        _plain("I32", torch.int32),
        _plain("I16", torch.int16),
        _plain("I8", torch.int8),
        _plain("U64", torch.uint64),
        _plain("U32", torch.uint32),
        _plain("U16", torch.uint16),
        _plain("U8", torch.uint8),
        _plain("BOOL", torch.bool),
    )
}
