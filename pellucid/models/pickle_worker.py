"""Reads the tensors of one pickle weight file and writes them as safetensors; run as a process of its own.

`python -P pickle_worker.py SOURCE TARGET` prints one JSON object: what was written, or what was wrong. It
imports nothing of Pellucid, and `torch.load(weights_only=True)` runs nothing that the file brings.
"""

import json
import os
import pickle
import re
import sys
from typing import Any, BinaryIO

import torch
from torch import Tensor

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
WRAPPERS = ("state_dict", "model", "model_state_dict")
"""Under these names training frameworks put the weights beside other things."""


class Damaged(Exception):
    """The file holds no tensors that can be written; says why."""


def read(source: str) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors by name, and the names of what else there was."""
    try:
        loaded = _load(source)
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f" (it asks for {asked[1]})" if asked else ", or is no file of torch.save"
        raise Damaged(f"holds more than tensors{what}, so reading it could run code: refused") from error
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError, IndexError) as error:
        why = str(error).split("\n")[0]
        raise Damaged(f"is damaged or no file of torch.save ({why}); download it again") from error
    for name in WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(name), dict):
            loaded = loaded[name]
    if not isinstance(loaded, dict):
        raise Damaged(f"holds a {type(loaded).__name__}, not tensors by name")
    tensors = {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}
    if not tensors:
        raise Damaged("holds no tensors")
    return tensors, sorted(str(name) for name in loaded if str(name) not in tensors)


def _load(source: str) -> Any:
    try:
        return torch.load(source, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError as error:
        if "mmap can only be used" not in str(error):
            raise
    return torch.load(source, map_location="cpu", weights_only=True)  # the format from before torch 1.6


def write(tensors: dict[str, Tensor], target: BinaryIO) -> int:
    """A safetensors file, a tensor at a time; gives its size in bytes."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES or tensor.layout is not torch.strided:
            raise Damaged(
                f"tensor {name!r} is {tensor.dtype}, {tensor.layout}, which safetensors does not have"
            )
        size = tensor.numel() * tensor.itemsize
        if size > tensor.untyped_storage().nbytes():
            raise Damaged(f"tensor {name!r} claims {size} bytes and has {tensor.untyped_storage().nbytes()}")
        offsets = [at, at + size]
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    target.write(len(text).to_bytes(8, "little") + text)
    for tensor in tensors.values():
        if tensor.numel():
            target.write(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    target.flush()
    os.fsync(target.fileno())
    return 8 + len(text) + at


def main(source: str, target: str) -> dict[str, Any]:
    """What is printed."""
    try:
        tensors, left_out = read(source)
        with open(target, "wb") as opened:
            size = write(tensors, opened)
    except Damaged as error:
        return {"damaged": str(error)}
    except OSError as error:
        return {"os_error": error.strerror or str(error), "errno": error.errno}
    return {"names": list(tensors), "nbytes": size, "left_out": left_out}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
