"""Watches one forward pass and writes down the operations it is made of, without carrying them out.

Layers call the kernels and a handful of torch operators. The kernels' calls arrive at the Recorder as its
player; the operators between them (`x + y`, views, the choice of output rows) at its dispatch mode. Whatever
it does not know makes the model not capturable: NotCapturable, and the model runs eagerly.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ctypes import Structure
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pellucid.kernels.cpu import operations as ops
from pellucid.kernels.cpu.kernels import rows_of
from pellucid.kernels.cpu.operations import OUTPUTS, TOKENS, Kind, pointers

aten = torch.ops.aten
TOKEN_ROWS, OUTPUT_ROWS = 3, 2
"""The tokens and output rows of the watched pass: two numbers, to tell the one kind of row from the other."""


class NotCapturable(Exception):
    """The forward pass does something that a tape cannot hold."""


@dataclass(eq=False)
class Buffer:
    """A tensor that lives during a step: its rows, and how long each is."""

    tensor: Tensor
    rows_of: int

    @property
    def address(self) -> int:
        return self.tensor.data_ptr()

    @property
    def row_bytes(self) -> int:
        return self.tensor.nbytes // self.tensor.shape[0]


@dataclass(eq=False)
class Recorded:
    """An operation as it was asked for. `held` keeps alive what its arguments point to."""

    kind: Kind
    arguments: Structure
    rows_of: int
    held: tuple[Tensor | None, ...]


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's class has no types
    """The player of a watched pass, and its dispatch mode."""

    def __init__(self, step_tensors: Sequence[Tensor]) -> None:
        """`step_tensors` change from step to step; what is made of them outside `computing` would be wrong at
        the next one."""
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.operations: list[Recorded] = []
        self.buffers: dict[int, Buffer] = {}
        self._step_storages = {storage(tensor) for tensor in step_tensors}
        self._computing = False

    def play(
        self,
        kind: Kind,
        arguments: Structure,
        rows: int,
        tensors: tuple[Tensor | None, ...],
        sequences: int = 0,
    ) -> None:
        """Write an operation down; its last tensor is what it makes."""
        of = kind_of_rows(rows, kind.name.lower())
        self.operations.append(Recorded(kind, arguments, of, tensors))
        made = tensors[-1]
        if kind is not Kind.STORE and made is not None:
            self.hold(made)

    def hold(self, tensor: Tensor) -> None:
        """A tensor whose rows are this step's: made by an operation, or computed before the tape plays."""
        self.buffers[storage(tensor)] = Buffer(tensor, kind_of_rows(tensor.shape[0], "tensor"))

    @contextmanager
    def computing(self) -> Iterator[None]:
        """What happens inside will be computed anew at each step, by torch: it is not recorded."""
        self._computing = True
        try:
            yield
        finally:
            self._computing = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        storages = {storage(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        if self._computing or not storages & (self.buffers.keys() | self._step_storages):
            return func(*args, **kwargs)  # a constant, or computed anew at each step
        record = RECORDED.get(func)
        if record is not None and storages & self.buffers.keys():
            return record(self, func, args, kwargs)
        out = func(*args, **kwargs)
        if (
            not {storage(x) for x in tree_leaves(out) if isinstance(x, Tensor)}
            <= storages & self.buffers.keys()
        ):
            raise NotCapturable(f"{func} is no operation of the CPU kernels")
        return out  # a view


def storage(tensor: Tensor) -> int:
    """Where a tensor's memory begins, its own or shared."""
    return tensor.untyped_storage().data_ptr()


def kind_of_rows(rows: int, of: str) -> int:
    """Whether that many rows are the tokens' or the output rows'."""
    if rows not in (TOKEN_ROWS, OUTPUT_ROWS):
        raise NotCapturable(f"a {of} has {rows} rows, neither one for each token nor for each output row")
    return TOKENS if rows == TOKEN_ROWS else OUTPUTS


def _float_rows(x: Any) -> bool:
    return isinstance(x, Tensor) and x.dim() == 2 and x.dtype is torch.float32 and x.stride(1) == 1


def _add(recorder: Recorder, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    a, b = args
    if not (_float_rows(a) and _float_rows(b) and a.shape == b.shape) or kwargs.get("alpha", 1) != 1:
        raise NotCapturable(f"{func} of other than two float32 matrices of one shape")
    out = torch.empty(a.shape)
    recorder.play(Kind.ADD, ops.Add(rows_of(a), rows_of(b), rows_of(out), a.shape[1]), len(a), (a, b, out))
    return out


def _mul(recorder: Recorder, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    x, factor = args
    if isinstance(factor, Tensor) and factor.dim() == 0 and storage(factor) not in recorder.buffers:
        factor = factor.item()  # a constant: what depends on a step has rows
    if not _float_rows(x) or not isinstance(factor, int | float):
        raise NotCapturable(f"{func} of other than a float32 matrix and a number")
    out = torch.empty(x.shape)
    arguments = ops.Scale(rows_of(x), rows_of(out), x.shape[1], factor)
    recorder.play(Kind.SCALE, arguments, len(x), (x, out))
    return out


def _index_select(recorder: Recorder, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    x, dim, index = args
    if not _float_rows(x) or dim != 0 or index.dtype is not torch.int64:
        raise NotCapturable(f"{func} of other than rows of a float32 matrix")
    out = torch.empty(len(index), x.shape[1])
    arguments = ops.Gather(rows_of(x), rows_of(out), x.shape[1], index.data_ptr())
    recorder.play(Kind.GATHER, arguments, len(index), (x, index, out))
    return out


RECORDED: dict[Any, Callable[[Recorder, Any, tuple[Any, ...], dict[str, Any]], Tensor]] = {
    aten.add.Tensor: _add,
    aten.mul.Tensor: _mul,
    aten.index_select.default: _index_select,
}
"""The torch operators that a tape can hold."""


class Places:
    """Which buffer an address lies in."""

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self._buffers = sorted(buffers, key=lambda buffer: buffer.address)
        self._starts = [buffer.address for buffer in self._buffers]

    def of(self, address: int) -> tuple[Buffer, int] | None:
        """The buffer and how far into it, or None for an address outside all of them."""
        at = bisect_right(self._starts, address) - 1
        if at < 0:
            return None
        buffer = self._buffers[at]
        offset = address - buffer.address
        return (buffer, offset) if offset < buffer.tensor.nbytes else None

    def read(self, operation: Recorded) -> set[Buffer]:
        """The buffers that an operation reads."""
        return {
            found[0]
            for path, *_, address in pointers(operation.arguments)
            if "out.data" not in path and (found := self.of(address))
        }

    def written(self, operation: Recorded) -> Buffer | None:
        """The buffer that an operation writes; none for one that writes to the cache alone."""
        for path, *_, address in pointers(operation.arguments):
            if "out.data" in path and (found := self.of(address)):
                return found[0]
        return None
