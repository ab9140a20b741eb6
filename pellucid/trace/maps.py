"""Attention maps, derived from the queries and keys of a run, a row as somebody looks at it.

Letters: T queries, S keys (T of the same sequence, or an encoder's rows), H query heads, G KV heads,
K head size, R rows asked for, E entries of a distance table.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from pellucid.errors import RequestError
from pellucid.kernels import reference
from pellucid.layers.context import Attends
from pellucid.trace.record import Record


class AttentionMaps:
    """The maps of one attention module a layer, as each declares itself: scale, bias, window, triangle."""

    def __init__(self, record: Record, modules: Sequence[Attends]) -> None:
        self._record = record
        self.modules = modules

    def map(self, layer: int, head: int, rows: Sequence[int] | None = None) -> Tensor:
        """One head's map `[T, S]`, float32, or only the given query rows of it `[R, S]`.

        Raises RequestError for a layer, head or row that is not there.
        """
        check("layer", layer, len(self.modules))
        module = self.modules[layer]
        spec, bias_HE = module.spec, module.bias_table()
        check("head", head, spec.num_heads)
        group = head // (spec.num_heads // spec.num_kv_heads)
        q_T1K = self._record.read(f"{module.name}.q")[:, head : head + 1]
        k_S1K = self._record.read(f"{module.name}.k")[:, group : group + 1]
        for row in rows or ():
            check("row", row, len(q_T1K))
        row_R = torch.arange(len(q_T1K)) if rows is None else torch.tensor(rows, dtype=torch.int64)
        bias_1E = None if bias_HE is None else bias_HE[head : head + 1].cpu()
        one_head = replace(spec, num_heads=1, num_kv_heads=1)
        return reference.attention_pattern(q_T1K[row_R], k_S1K, one_head, bias_1E, row_R)[0]

    def pattern(self, layer: int) -> Tensor:
        """The maps of all heads of a layer, `[H, T, S]`."""
        check("layer", layer, len(self.modules))
        return torch.stack([self.map(layer, head) for head in range(self.modules[layer].spec.num_heads)])

    def error(self, layer: int) -> float:
        """The largest difference between what the run's kernel put out and what these maps give with the
        run's values."""
        check("layer", layer, len(self.modules))
        module = self.modules[layer]
        q_THK, k_SGK, v_SGK, z_THK = (self._record.read(f"{module.name}.{part}").float() for part in "qkvz")
        bias_HE = module.bias_table()
        bias_HE = None if bias_HE is None else bias_HE.cpu()
        derived_THK = reference.attend_one(q_THK, k_SGK, v_SGK, module.spec, bias_HE)
        return float((derived_THK - z_THK).abs().max())


def check(what: str, value: int, count: int) -> None:
    """Raises RequestError for a number that is not from 0 to `count - 1`."""
    if not 0 <= value < count:
        raise RequestError(f"there is no {what} {value}; this trace has 0 to {count - 1}")


def at_most(top: int, count: int) -> int:
    """How many of the likeliest there can be. Raises RequestError for fewer than one."""
    if top < 1:
        raise RequestError(f"top is {top}; ask for the likeliest one, or several")
    return min(top, count)
