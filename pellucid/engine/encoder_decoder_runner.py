"""Runs the batches of an encoder-decoder: first the encoder over new sources, then the decoder."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pellucid.cache.paged_kv import PagedKV
from pellucid.engine.batch import Batch, Int64
from pellucid.engine.memory import Source
from pellucid.engine.runner import Runner, Wrap
from pellucid.engine.scheduler import SchedulerConfig
from pellucid.kernels import Kernels
from pellucid.layers.context import DenseContext
from pellucid.models.encoder_decoder import EncoderDecoder


class EncoderDecoderRunner:
    """The encoder attends over whole sources at once; the keys and values that its output has for every
    cross-attention go into the blocks of the request, and the decoder reads them there at each step."""

    why_eager = "the encoder's keys and values are read beside the decoder's own"

    def __init__(self, model: EncoderDecoder, kernels: Kernels, kv: PagedKV, config: SchedulerConfig) -> None:
        self.model, self.kernels, self.kv = model, kernels, kv
        self._decoder = Runner(model, kernels, kv)

    @torch.inference_mode()
    def run(self, batch: Batch, wrap: Wrap | None = None) -> Tensor:
        """The logits `[R, V]` of the batch's output rows."""
        if batch.memories is not None and batch.memories.sources:
            self.encode(batch.memories.sources, wrap)
        return self._decoder.run(batch, wrap)

    def profile(self) -> dict[str, float]:
        """Nothing: here operations are not told apart."""
        return {}

    def encode(self, sources: Sequence[tuple[Source, Int64]], wrap: Wrap | None = None) -> None:
        """Fill the slots of each source with what the cross-attentions make of the encoder's output."""
        device = self.model.lm_head.weight.device
        ctx = DenseContext([source.num_rows for source, _ in sources], self.kernels, device=device)
        around = ctx if wrap is None else wrap.encoding(ctx, [source for source, _ in sources])
        self.model.encode(self.model.pack([source.content for source, _ in sources]).to(device), around)
        slots_S = torch.from_numpy(np.concatenate([slots for _, slots in sources])).to(device)
        for attention in self.model.cross_attentions:
            self.kernels.store_kv(self.kv[attention.index], *ctx.remembered(attention), slots_S)
