"""Brings each request's adapter to the rows of a batch that are its own."""

import numpy as np
import torch

from pellucid.engine.batch import Batch
from pellucid.engine.runner import Wrap
from pellucid.layers.adapter import Adapted, AdaptedContext, Adapter
from pellucid.layers.context import ForwardContext


def with_adapters(batch: Batch, wrap: Wrap | None) -> Wrap | None:
    """`wrap`, and inside of it the adapters of the batch's requests; `wrap` as it is where none has one, so
    that such a batch runs as fast as ever."""
    rows: dict[Adapter, list[np.ndarray]] = {}
    for i, piece in enumerate(batch.pieces):
        if (adapter := piece.sample.request.adapter) is not None:
            first, end = batch.query_starts_N1[i : i + 2]
            rows.setdefault(adapter, []).append(np.arange(first, end))
    if not rows:
        return wrap

    def adapting(inside: ForwardContext, batch: Batch) -> ForwardContext:
        device = inside.positions_T.device
        chosen = [
            Adapted(adapter, torch.from_numpy(np.concatenate(parts)).to(device, torch.int64))
            for adapter, parts in rows.items()
        ]
        ctx = AdaptedContext(inside, chosen)
        return ctx if wrap is None else wrap(ctx, batch)

    return adapting
