"""Watches a forward pass: a context around another, and where it writes what it sees.

Letters: T tokens of the batch, H query heads, G KV heads, K head size, D hidden, I inputs and O outputs of a
product.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from pellucid.kernels import Kernels
from pellucid.layers.context import Attends, ForwardContext, Named

Value = TypeVar("Value")

KEPT = frozenset({"q", "k", "v", "z", "resid_pre", "resid_mid", "resid_cross", "resid_post"})
"""The taps a trace keeps; everything a person is shown is derived from these."""


class Record:
    """Tapped values of one request, by name and position. A position that is run again (a request that was
    preempted, or whose rotary regime changed) replaces what was there."""

    def __init__(self) -> None:
        self._chunks: dict[str, list[tuple[int, Tensor]]] = {}

    def write(self, name: str, start: int, rows: Tensor) -> None:
        """Keep a copy of the rows of positions from `start` on."""
        chunks = self._chunks.setdefault(name, [])
        while chunks and chunks[-1][0] >= start:
            chunks.pop()
        if chunks and chunks[-1][0] + len(chunks[-1][1]) > start:
            at, last = chunks.pop()
            chunks.append((at, last[: start - at]))
        chunks.append((start, rows.detach().to("cpu", copy=True)))

    def edit(self, name: str, change: Callable[[Tensor], Tensor]) -> None:
        """Put what `change` makes of them in the place of the rows kept under a name."""
        self._chunks[name] = [(start, change(rows)) for start, rows in self._chunks[name]]

    def read(self, name: str) -> Tensor:
        """All rows of a name, `[T, ...]`, position 0 first."""
        return torch.cat([rows for _, rows in self._chunks[name]])

    @property
    def names(self) -> list[str]:
        """Every name that was kept, `blocks.3.attn.q` and so on."""
        return list(self._chunks)

    @property
    def nbytes(self) -> int:
        """What the record holds in memory, bytes."""
        return sum(rows.nbytes for chunks in self._chunks.values() for _, rows in chunks)


class Watched(NamedTuple):
    """One request's rows of a batch: `rows` of the packed tensors are its positions from `start` on."""

    record: Record
    rows: slice
    start: int


class TracingContext:
    """Does what the context inside does, and writes down the rows of the watched requests."""

    def __init__(self, inside: ForwardContext, watched: Sequence[Watched]) -> None:
        self.kernels: Kernels = inside.kernels
        self.positions_T = inside.positions_T
        self.lengths_T = inside.lengths_T
        self.prompt_lengths_T = inside.prompt_lengths_T
        self._inside = inside
        self._watched = watched

    def attend(
        self, module: Attends, q_THK: Tensor, k_TGK: Tensor | None = None, v_TGK: Tensor | None = None
    ) -> Tensor:
        return self._inside.attend(module, q_THK, k_TGK, v_TGK)

    def remember(self, module: Attends, k_TGK: Tensor, v_TGK: Tensor) -> None:
        self._inside.remember(module, k_TGK, v_TGK)

    def adapted(self, module: nn.Module, x_TI: Tensor, y_TO: Tensor) -> Tensor:
        return self._inside.adapted(module, x_TI, y_TO)

    def tap(self, module: Named, name: str, tensor: Tensor) -> Tensor:
        tensor = self._inside.tap(module, name, tensor)
        if name in KEPT:
            full = f"{module.name}.{name}" if module.name else name
            for record, rows, start in self._watched:
                record.write(full, start, tensor[rows])
        return tensor

    def dropout(self, x: Tensor) -> Tensor:
        return self._inside.dropout(x)

    def output_rows(self, x_TD: Tensor) -> Tensor:
        return self._inside.output_rows(x_TD)

    def once(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        return self._inside.once(key, compute)
