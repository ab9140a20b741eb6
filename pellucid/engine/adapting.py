"""Brings each request's adapter to the rows of a batch that are its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pellucid.engine.batch import Batch
from pellucid.engine.memory import Source
from pellucid.engine.runner import Wrap
from pellucid.layers.adapter import Adapted, AdaptedContext, Adapter
from pellucid.layers.context import ForwardContext


@dataclass(frozen=True)
class Adapting:
    """Puts a batch's adapters around its context, and another wrap, if there is one, around both."""

    rows: Mapping[Adapter, Sequence[np.ndarray]]
    outer: Wrap | None

    def step(self, inside: ForwardContext, batch: Batch) -> ForwardContext:
        device = inside.positions_T.device
        chosen = [
            Adapted(adapter, torch.from_numpy(np.concatenate(parts)).to(device, torch.int64))
            for adapter, parts in self.rows.items()
        ]
        ctx = AdaptedContext(inside, chosen)
        return ctx if self.outer is None else self.outer.step(ctx, batch)

    def encoding(self, inside: ForwardContext, sources: Sequence[Source]) -> ForwardContext:
        raise AssertionError("adapters are served over decoders: see lora.py")


def with_adapters(batch: Batch, wrap: Wrap | None) -> Wrap | None:
    """`wrap`, and inside of it the adapters of the batch's requests; `wrap` as it is where none has one, so
    that such a batch runs as fast as ever."""
    rows: dict[Adapter, list[np.ndarray]] = {}
    for i, piece in enumerate(batch.pieces):
        if (adapter := piece.sample.request.adapter) is not None:
            first, end = batch.query_starts_N1[i : i + 2]
            rows.setdefault(adapter, []).append(np.arange(first, end))
    return Adapting(rows, wrap) if rows else wrap
