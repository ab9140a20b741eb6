"""Runs whole texts through an encoder: with any kernels, or on a CPU by playing its tape.

Letters: T tokens of all texts, end to end, N texts, B blocks of the longest, D hidden.
"""

import logging
from collections.abc import Sequence
from threading import Lock
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pellucid.cache.paged_kv import KVStyle, PagedKV
from pellucid.engine.batch import Batch, Int64
from pellucid.engine.paged_context import PagedContext
from pellucid.engine.tape_runner import RecordedContext, StepArrays
from pellucid.kernels import Kernels, torch_ops
from pellucid.kernels.cpu.kernels import CpuKernels, Now
from pellucid.kernels.cpu.library import Library
from pellucid.kernels.cpu.recording import NotCapturable, Recorder
from pellucid.kernels.cpu.tape import Tape
from pellucid.layers.context import DenseContext, ForwardContext
from pellucid.models.encoder import Encoder

log = logging.getLogger(__name__)

BLOCK_SIZE = 16
MOST_TOKENS, MOST_TEXTS = 2048, 512
"""What a tape has room for; larger batches run operation by operation."""


class ReadsTexts(Protocol):
    """Carries an encoder's passes out."""

    def context(self, lengths: Sequence[int]) -> ForwardContext:
        """A context for texts of these lengths, for whoever runs the whole model by itself and watches."""

    def head_context(self, lengths: Sequence[int]) -> DenseContext:
        """A context for what a head makes of such texts, with the same kernels; nothing attends there."""

    def hidden(self, ids_T: Tensor, lengths: Sequence[int]) -> Tensor:
        """The vector of each token `[T, D]`. Several threads may ask at once."""


class PlainEncoder:
    """One forward a batch, whatever the kernels."""

    def __init__(self, model: Encoder, kernels: Kernels) -> None:
        self.model, self._kernels = model, kernels

    def context(self, lengths: Sequence[int]) -> DenseContext:
        return DenseContext(lengths, self._kernels, device=self.model.input.embed_tokens.weight.device)

    head_context = context

    def hidden(self, ids_T: Tensor, lengths: Sequence[int]) -> Tensor:
        return self.model.hidden(ids_T, self.context(lengths))


class TapedEncoder:
    """The pass recorded once, then one native call a batch. Keys and values go through blocks, as a decoder's
    do, but all layers share one layer's: each is done with them before the next begins. What is too large for
    the tape, and what somebody watches, runs operation by operation with the same kernels, to the same bits.
    """

    def __init__(self, model: Encoder, loaded: Library) -> None:
        """Raises NotCapturable for a model that cannot be recorded, MemoryError."""
        self.model = model
        self._playing = Lock()
        self._kernels = CpuKernels(Now(loaded), panels=True)
        self._kv = self._room(MOST_TOKENS // BLOCK_SIZE + MOST_TEXTS)
        self._arrays = StepArrays(MOST_TOKENS, MOST_TEXTS, -(-MOST_TOKENS // BLOCK_SIZE))
        self._record(loaded)

    @torch.inference_mode()
    def _record(self, loaded: Library) -> None:
        batch = self._arrays.batch_to_record()
        step = (batch.ids_T, batch.positions_T, batch.lengths_T, batch.prompt_lengths_T, batch.slots_T)
        recorder = Recorder([torch.from_numpy(array) for array in step])
        inside = PagedContext(batch, self._kv, CpuKernels(recorder, panels=True), torch.device("cpu"))
        self._recorded = RecordedContext(inside, recorder)
        ids_T = torch.from_numpy(batch.ids_T)
        with recorder:
            hidden_TD = self.model.hidden(ids_T, self._recorded)
        self.tape = Tape(loaded, recorder, hidden_TD, self._recorded.inputs, (MOST_TOKENS, MOST_TOKENS))

    def _room(self, num_blocks: int) -> PagedKV:
        style = KVStyle(self._kernels, BLOCK_SIZE, torch.float32, torch.device("cpu"))
        kv = PagedKV([self.model.attentions[0].spec], style, num_blocks)
        kv.layers *= len(self.model.attentions)
        return kv

    def context(self, lengths: Sequence[int]) -> PagedContext:
        room = self._room(sum(-(-length // BLOCK_SIZE) for length in lengths))
        return PagedContext(whole_texts(lengths), room, self._kernels, torch.device("cpu"))

    def head_context(self, lengths: Sequence[int]) -> DenseContext:
        return DenseContext(lengths, self._kernels)

    @torch.inference_mode()
    def hidden(self, ids_T: Tensor, lengths: Sequence[int]) -> Tensor:
        batch = whole_texts(lengths, ids_T.numpy())
        if not self._arrays.holds(batch):
            return self.model.hidden(ids_T, self.context(lengths))
        with self._playing:
            self._arrays.take(batch)
            self.tape.fill(self._recorded.compute(self._arrays, len(ids_T)))
            return self.tape.play(len(ids_T), len(ids_T), len(lengths)).clone()


def whole_texts(lengths: Sequence[int], ids_T: Int64 | None = None) -> Batch:
    """A batch of texts that are computed whole, each in blocks of its own, the first in the first blocks."""
    lengths_N = np.array(lengths, dtype=np.int64)
    starts_N1 = np.concatenate(([0], lengths_N.cumsum()))
    blocks_N = -(-lengths_N // BLOCK_SIZE)
    first_block_N = blocks_N.cumsum() - blocks_N
    total = int(starts_N1[-1])
    owner_T = np.repeat(np.arange(len(lengths)), lengths_N)
    positions_T = np.arange(total) - starts_N1[owner_T]
    length_T = lengths_N[owner_T]
    return Batch(
        pieces=[],
        ids_T=np.zeros(total, np.int64) if ids_T is None else ids_T,
        positions_T=positions_T,
        lengths_T=length_T,
        prompt_lengths_T=length_T,
        slots_T=first_block_N[owner_T] * BLOCK_SIZE + positions_T,
        query_starts_N1=starts_N1.astype(np.int32),
        context_lens_N=lengths_N.astype(np.int32),
        block_tables_NB=(first_block_N[:, None] + np.arange(blocks_N.max())).astype(np.int32),
        output_rows_R=np.arange(total),
        output_starts=[0, total],
        max_query_len=int(lengths_N.max()),
        max_context_len=int(lengths_N.max()),
        copies=(),
    )


def run_encoder(model: Encoder, loaded: Library) -> ReadsTexts:
    """A tape where the model can be recorded; else its operations one by one, by torch."""
    try:
        return TapedEncoder(model, loaded)
    except (NotCapturable, MemoryError) as error:
        log.info("the encoder runs operation by operation, not as one tape: %s", error)
        return PlainEncoder(model, torch_ops)
