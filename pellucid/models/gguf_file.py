"""Reads the header of a GGUF file: its metadata, and where its tensors lie.

The format: magic, version, two counts, key-value pairs, tensor descriptions, then the data, aligned
(https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). Our own reader rather than the gguf package's:
that one looks at every element through numpy, seconds for a real vocabulary, and a damaged count keeps it
busy.
"""

import mmap
import struct
from array import array
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.errors import ConfigError, WeightsError
from pellucid.models.gguf_blocks import ENCODINGS, TYPE_NAMES
from pellucid.models.stored import A_POINTER, POINTER, StoredTensor

MAGIC = b"GGUF"
VERSIONS = (2, 3)
HEADER_LIMIT = 64 * 2**20
"""Four times the longest header known, a vocabulary of 262,144 tokens with its merges."""
DEFAULT_ALIGNMENT = 32
MAX_DIMS = 4
MAX_NESTING = 4

NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Metadata value types that are numbers, as `struct` formats."""
BOOL, STRING, ARRAY = 7, 8, 9


@dataclass(frozen=True)
class GGUFFile:
    """A file's header. Arrays of numbers are `array.array`, all other values plain Python."""

    path: Path
    metadata: dict[str, Any]
    tensors: list[StoredTensor]


def read_gguf(path: Path) -> GGUFFile:
    """The header of one file. Raises ConfigError or WeightsError, naming key or tensor, if it is damaged."""
    try:
        with path.open("rb") as opened:
            size = opened.seek(0, 2)
            if size == 0:
                raise ConfigError(f"{path}: an empty file, no GGUF; download it again")
            data = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    return _Reader(path, data, size).read()


class _Reader:
    """A position in the header that never runs past its end."""

    def __init__(self, path: Path, data: memoryview, size: int) -> None:
        self._path = path
        self._data = data
        self._size = size
        self._end = min(size, HEADER_LIMIT)
        self._at = 0
        self._doing = "its beginning"

    def read(self) -> GGUFFile:
        if bytes(self._data[: len(POINTER)]) == POINTER:
            raise ConfigError(f"{self._path}: {A_POINTER}")
        if bytes(self._take(4)) != MAGIC:
            raise ConfigError(f"{self._path}: no GGUF file (it does not begin with the letters GGUF)")
        version = self._number("I")
        if version not in VERSIONS:
            turned = int.from_bytes(version.to_bytes(4, "little"), "big")
            said = f"a big-endian file of version {turned}" if turned in VERSIONS else f"version {version}"
            raise ConfigError(
                f"{self._path}: GGUF, {said}; Pellucid reads versions 2 and 3, little-endian. "
                "Convert the checkpoint again with a current tool"
            )
        num_tensors, num_values = self._number("Q"), self._number("Q")
        metadata: dict[str, Any] = {}
        for i in range(num_values):
            self._doing = f"metadata entry {i} of {num_values}"
            key = self._string()
            self._doing = f"metadata {key!r}"
            metadata[key] = self._value(self._number("I"))
        described = [self._tensor(i, num_tensors) for i in range(num_tensors)]
        alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
        if not isinstance(alignment, int) or not 0 < alignment <= 2**20:
            raise ConfigError(
                f"{self._path}: `general.alignment` is {alignment!r}; it must be a small number"
            )
        start = -(-self._at // alignment) * alignment
        tensors = [replace(tensor, offset=start + tensor.offset) for tensor in described]
        for tensor in tensors:
            if tensor.offset + tensor.nbytes > self._size:
                raise WeightsError(
                    f"{self._path}: truncated: {self._size} bytes are there, tensor {tensor.name!r} ends at "
                    f"{tensor.offset + tensor.nbytes}; download it again"
                )
        return GGUFFile(self._path, metadata, tensors)

    def _tensor(self, i: int, count: int) -> StoredTensor:
        """One description, its offset still counted from where the data begins."""
        self._doing = f"the description of tensor {i} of {count}"
        name = self._string()
        what = f"{self._path}: tensor {name!r}"
        num_dims = self._number("I")
        if num_dims > MAX_DIMS:
            raise WeightsError(f"{what} has {num_dims} dimensions; at most {MAX_DIMS} are allowed")
        # the innermost comes first in the file
        shape = tuple(self._number("Q") for _ in range(num_dims))[::-1]
        if not all(shape):
            raise WeightsError(f"{what} has shape {list(shape)}, and so no numbers; the file is damaged")
        kind, offset = self._number("I"), self._number("Q")
        encoding = ENCODINGS.get(kind)
        if encoding is None:
            raise WeightsError(
                f"{what} is packed as {TYPE_NAMES.get(kind, f'type {kind}')}; Pellucid reads "
                f"{', '.join(e.name for e in ENCODINGS.values() if e.decode)}. Take the file in one of these"
            )
        if encoding.values > 1 and (not shape or shape[-1] % encoding.values):
            raise WeightsError(
                f"{what} has shape {list(shape)}; rows packed as {encoding.name} are multiples of "
                f"{encoding.values} numbers"
            )
        return StoredTensor(self._path, name, shape, encoding, offset)

    def _value(self, kind: int, nesting: int = 0) -> Any:
        if kind == STRING:
            return self._string()
        if kind == ARRAY:
            return self._array(nesting)
        if kind not in NUMBERS:
            raise ConfigError(f"{self._path}: {self._doing} has the unknown type {kind}; the file is damaged")
        return self._number(NUMBERS[kind])

    def _array(self, nesting: int) -> Any:
        kind, count = self._number("I"), self._number("Q")
        if kind in NUMBERS and kind != BOOL:
            values = array(NUMBERS[kind])
            values.frombytes(self._take(count * values.itemsize))
            return values
        if nesting == MAX_NESTING:
            raise ConfigError(f"{self._path}: {self._doing} nests arrays too deeply; the file is damaged")
        # each element takes a byte at least, so a count that cannot be true ends at the header's end
        return [self._value(kind, nesting + 1) for _ in range(count)]

    def _string(self) -> str:
        raw = self._take(self._number("Q"))
        try:
            return str(raw, "utf-8")
        except UnicodeDecodeError as error:
            raise ConfigError(f"{self._path}: {self._doing} is no UTF-8 text; the file is damaged") from error

    def _number(self, form: str) -> Any:
        value = struct.unpack(f"<{form}", self._take(struct.calcsize(f"<{form}")))[0]
        # the decimal that was meant: 1e-05, not 9.999999747378752e-06
        return float(str(np.float32(value))) if form == "f" else value

    def _take(self, count: int) -> memoryview:
        if count > self._end - self._at:
            why = "truncated" if self._end == self._size else f"longer than {HEADER_LIMIT} bytes"
            raise ConfigError(
                f"{self._path}: its header is damaged or {why}, at {self._doing}; download it again"
            )
        self._at += count
        return self._data[self._at - count : self._at]
