"""A forward pass as a list of operations over fixed memory, played by one call.

The operations were recorded once (recording.py) and joined (fusing.py). What changes from step to step is how
many rows there are and what stands in the tensors that the recording was given; the buffers between the
operations share one stretch of memory, each there only while somebody will read it.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.kernels.cpu.fusing import fuse
from pellucid.kernels.cpu.library import Library
from pellucid.kernels.cpu.operations import (
    ACTIVATIONS,
    FORMATS,
    NORMS,
    OUTPUTS,
    Kind,
    Operation,
    Step,
    pointers,
)
from pellucid.kernels.cpu.recording import Buffer, Places, Recorded, Recorder

ALIGNMENT = 128


@dataclass(frozen=True)
class Life:
    """From which operation to which a buffer is in use, and how much room it takes."""

    buffer: Buffer
    first: int
    last: int
    size: int


def lives(
    operations: Sequence[Recorded], places: Places, always: Sequence[Buffer], capacity: tuple[int, int]
) -> list[Life]:
    """When each buffer that any operation touches is in use; `always` are in use throughout."""
    first: dict[Buffer, int] = {}
    last: dict[Buffer, int] = {}
    for i, operation in enumerate(operations):
        written = places.written(operation)
        for buffer in places.read(operation) | ({written} if written else set()):
            first.setdefault(buffer, i)
            last[buffer] = i
    for buffer in always:
        first[buffer], last[buffer] = 0, len(operations)
    return [Life(b, first[b], last[b], b.row_bytes * capacity[b.rows_of]) for b in first]


def lay_out(all_lives: Sequence[Life]) -> tuple[dict[Buffer, int], int]:
    """Where each buffer begins so that no two in use at once overlap, and the size of it all: the largest
    first, each at the lowest place that is free throughout its life."""
    placed: list[tuple[Life, int]] = []
    for life in sorted(all_lives, key=lambda life: -life.size):
        at = 0
        for other, start in sorted(placed, key=lambda pair: pair[1]):
            apart = other.last < life.first or life.last < other.first
            if not apart and at < start + other.size and start < at + life.size:
                at = -(-(start + other.size) // ALIGNMENT) * ALIGNMENT
        placed.append((life, at))
    size = max((at + life.size for life, at in placed), default=0)
    return {life.buffer: at for life, at in placed}, size


class Tape:
    """Plays a recorded pass for any number of rows up to its capacity."""

    def __init__(
        self,
        library: Library,
        recorder: Recorder,
        result: Tensor,
        inputs: Sequence[Tensor],
        capacity: tuple[int, int],
    ) -> None:
        """`result` is what the recorded pass gave; `inputs` the tensors that `fill` will be given anew at
        each step; `capacity` how many tokens and output rows there may be. Raises MemoryError."""
        self._library = library
        places = Places(list(recorder.buffers.values()))
        self.recorded = fuse(recorder.operations, places)
        always = [recorder.buffers[t.untyped_storage().data_ptr()] for t in (*inputs, result)]
        starts, size = lay_out(lives(self.recorded, places, always, capacity))
        try:
            self._memory = torch.empty(size, dtype=torch.uint8)
        except RuntimeError as error:
            raise MemoryError(f"a tape needs {size} bytes of working memory") from error
        for operation in self.recorded:
            for _, struct, field, address in pointers(operation.arguments):
                if found := places.of(address):
                    setattr(struct, field, self._memory.data_ptr() + starts[found[0]] + found[1])
        self._inputs = [self._view(starts, always[i], tensor, capacity) for i, tensor in enumerate(inputs)]
        self._result = self._view(starts, always[-1], result, capacity)
        self._operations = (Operation * len(self.recorded))(
            *(Operation(o.kind, o.rows_of, ctypes.addressof(o.arguments)) for o in self.recorded)
        )

    def _view(
        self, starts: dict[Buffer, int], buffer: Buffer, like: Tensor, capacity: tuple[int, int]
    ) -> Tensor:
        begin, size = starts[buffer], buffer.row_bytes * capacity[buffer.rows_of]
        flat = self._memory[begin : begin + size].view(like.dtype)
        return flat.view(-1, *like.shape[1:])

    def fill(self, values: Sequence[Tensor]) -> None:
        """This step's values of the inputs."""
        for place, value in zip(self._inputs, values, strict=True):
            place[: len(value)].copy_(value)

    def play(
        self,
        tokens: int,
        outputs: int,
        sequences: int,
        seconds: "ctypes.Array[ctypes.c_double] | None" = None,
    ) -> Tensor:
        """Carry it all out; the result's rows, which the next play overwrites."""
        step = Step((tokens, outputs), sequences)
        count, threads = len(self._operations), torch.get_num_threads()
        if not self._library.run(self._operations, count, step, threads, seconds):
            raise MemoryError(f"no memory for the scratch room of a step of {tokens} tokens")
        return self._result[:outputs]

    def timed(self, tokens: int, outputs: int, sequences: int) -> list[float]:
        """Carry it all out and say how many seconds each operation took."""
        seconds = (ctypes.c_double * len(self._operations))()
        self.play(tokens, outputs, sequences, seconds)
        return list(seconds)

    @property
    def working_bytes(self) -> int:
        """What the buffers between the operations take."""
        return self._memory.nbytes

    def __str__(self) -> str:
        """One line an operation: what runs, in order."""
        return "\n".join(f"{i:4}  {describe(o)}" for i, o in enumerate(self.recorded))


def describe(operation: Recorded) -> str:
    """An operation in words."""
    rows = "R" if operation.rows_of == OUTPUTS else "T"
    name = operation.kind.name.lower().replace("_", "+")
    if operation.kind is not Kind.PRODUCT:
        return f"{name:13} {rows} rows"
    product = operation.arguments
    weight = product.weight
    parts = [f"{_name(FORMATS, weight.format)} [{weight.outputs}, {weight.inputs}]"]
    if product.norm.kind:
        parts.insert(0, f"{_name(NORMS, product.norm.kind)} norm,")
    if product.bias:
        parts.append("+ bias")
    if product.activation:
        parts.append(_name(ACTIVATIONS, product.activation))
    parts += ["gate"] * bool(product.gated) + ["+ residual"] * bool(product.residual.data)
    return f"{name:13} {rows} rows: {' '.join(parts)}"


def _name(table: dict[str, int], number: int) -> str:
    return next(name for name, n in table.items() if n == number)
