"""Runs batches on a CPU by playing a tape: the model's forward, recorded once, as one native call a step.

A step that somebody watches, one with an adapter, and one with more rows than the tape has room for, runs
eagerly instead, with the same kernels and so to the same bits.

Letters: T tokens of the step, N samples, B blocks of the longest, R output rows.
"""

import logging
from collections.abc import Callable, Hashable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.cache.paged_kv import PagedKV
from pellucid.engine.batch import Batch
from pellucid.engine.paged_context import PagedContext
from pellucid.engine.runner import Runner, Wrap
from pellucid.engine.scheduler import SchedulerConfig
from pellucid.kernels import Kernels
from pellucid.kernels.cpu.kernels import CpuKernels
from pellucid.kernels.cpu.library import Library
from pellucid.kernels.cpu.recording import OUTPUT_ROWS, TOKEN_ROWS, NotCapturable, Recorder
from pellucid.kernels.cpu.tape import Tape
from pellucid.layers.context import Attends, Named
from pellucid.models.decoder import Decoder

log = logging.getLogger(__name__)

Value = TypeVar("Value")
PROFILED = 9
MOST_TOKENS = 2048
"""Larger steps run eagerly: nothing is lost there, and a tape's memory grows with what it can hold."""


class StepArrays:
    """A batch at a fixed place, so that what points into it stays right."""

    def __init__(self, tokens: int, sequences: int, blocks: int) -> None:
        self.ids_T, self.positions_T, self.lengths_T, self.prompt_lengths_T, self.slots_T = (
            np.zeros(tokens, np.int64) for _ in range(5)
        )
        self.output_rows_R = np.zeros(tokens, np.int64)
        self.query_starts_N1 = np.zeros(sequences + 1, np.int32)
        self.context_lens_N = np.zeros(sequences, np.int32)
        self.block_tables_NB = np.zeros((sequences, blocks), np.int32)

    def holds(self, batch: Batch) -> bool:
        """Whether the batch fits."""
        sequences, blocks = batch.block_tables_NB.shape
        fits = sequences <= self.block_tables_NB.shape[0] and blocks <= self.block_tables_NB.shape[1]
        return fits and len(batch.ids_T) <= len(self.ids_T)

    def take(self, batch: Batch) -> None:
        """Copy the batch in."""
        T, R = len(batch.ids_T), len(batch.output_rows_R)
        N, B = batch.block_tables_NB.shape
        self.ids_T[:T] = batch.ids_T
        self.positions_T[:T] = batch.positions_T
        self.lengths_T[:T] = batch.lengths_T
        self.prompt_lengths_T[:T] = batch.prompt_lengths_T
        self.slots_T[:T] = batch.slots_T
        self.output_rows_R[:R] = batch.output_rows_R
        self.query_starts_N1[: N + 1] = batch.query_starts_N1
        self.context_lens_N[:N] = batch.context_lens_N
        self.block_tables_NB[:N, :B] = batch.block_tables_NB

    def batch_to_record(self) -> Batch:
        """A batch of TOKEN_ROWS tokens that lies in these arrays."""
        T, R = TOKEN_ROWS, OUTPUT_ROWS
        return Batch(
            pieces=[],
            ids_T=self.ids_T[:T],
            positions_T=self.positions_T[:T],
            lengths_T=self.lengths_T[:T],
            prompt_lengths_T=self.prompt_lengths_T[:T],
            slots_T=self.slots_T[:T],
            query_starts_N1=self.query_starts_N1[:2],
            context_lens_N=self.context_lens_N[:1],
            block_tables_NB=self.block_tables_NB[:1],
            output_rows_R=self.output_rows_R[:R],
            output_starts=[0, R],
            max_query_len=T,
            max_context_len=T,
            copies=[],
        )


class RecordedContext:
    """The context that the recorded pass saw. It lives on: what layers compute `once` a forward is computed
    by the very same functions at every step, which read this step's positions from here."""

    def __init__(self, inside: PagedContext, recorder: Recorder) -> None:
        self._inside = inside
        self._recorder = recorder
        self.kernels = inside.kernels
        self.positions_T = inside.positions_T
        self.lengths_T = inside.lengths_T
        self.prompt_lengths_T = inside.prompt_lengths_T
        self._values: dict[Hashable, object] = {}
        self._computes: list[Callable[[], object]] = []
        self.inputs: list[Tensor] = []

    def attend(
        self, module: Attends, q_THK: Tensor, k_TGK: Tensor | None = None, v_TGK: Tensor | None = None
    ) -> Tensor:
        return self._inside.attend(module, q_THK, k_TGK, v_TGK)

    def remember(self, module: Attends, k_TGK: Tensor, v_TGK: Tensor) -> None:
        self._inside.remember(module, k_TGK, v_TGK)

    def adapted(self, module: nn.Module, x_TI: Tensor, y_TO: Tensor) -> Tensor:
        return y_TO

    def tap(self, module: Named, name: str, tensor: Tensor) -> Tensor:
        return tensor

    def dropout(self, x: Tensor) -> Tensor:
        return x

    def output_rows(self, x_TD: Tensor) -> Tensor:
        return self._inside.output_rows(x_TD)

    def once(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        if key not in self._values:
            with self._recorder.computing():
                value = compute()
                tensors = [tensor.contiguous().clone() for tensor in _tensors(value)]
            for tensor in tensors:
                self._recorder.hold(tensor)
            self.inputs += tensors
            self._computes.append(compute)
            self._values[key] = tuple(tensors) if isinstance(value, tuple) else tensors[0]
        return self._values[key]  # type: ignore[return-value]  # the same tensors, at a fixed place

    def compute(self, arrays: StepArrays, tokens: int) -> list[Tensor]:
        """This step's values of what is computed once a forward."""
        self.positions_T = torch.from_numpy(arrays.positions_T[:tokens])
        self.lengths_T = torch.from_numpy(arrays.lengths_T[:tokens])
        self.prompt_lengths_T = torch.from_numpy(arrays.prompt_lengths_T[:tokens])
        return [tensor for compute in self._computes for tensor in _tensors(compute())]


class TapeRunner:
    """`Runner` by playing a tape where it can."""

    def __init__(
        self,
        model: Decoder,
        kernels: Kernels,
        kv: PagedKV,
        config: SchedulerConfig,
        library: Library,
    ) -> None:
        """`kernels` are the library's, played at once; `config` says how large a step can be."""
        self.eager = Runner(model, kernels, kv)
        tokens, blocks = min(config.max_num_batched_tokens, MOST_TOKENS), config.num_blocks
        self._arrays = StepArrays(tokens, config.max_num_seqs, blocks)
        self.tape: Tape | None = None
        self.why_eager = ""
        """What keeps this model from being recorded."""
        try:
            self._record(model, kv, library)
        except (NotCapturable, MemoryError) as error:
            self.why_eager = str(error)
            log.info("the model runs operation by operation, not as one tape: %s", error)

    @torch.inference_mode()
    def _record(self, model: Decoder, kv: PagedKV, library: Library) -> None:
        batch = self._arrays.batch_to_record()
        step = (batch.ids_T, batch.positions_T, batch.lengths_T, batch.prompt_lengths_T, batch.slots_T)
        recorder = Recorder([torch.from_numpy(array) for array in step])
        inside = PagedContext(batch, kv, CpuKernels(recorder), torch.device("cpu"))
        self._context = RecordedContext(inside, recorder)
        ids_T = torch.from_numpy(batch.ids_T)
        with recorder:
            logits_RV = model(ids_T, self._context)
        capacity = (len(self._arrays.ids_T), len(self._arrays.ids_T))
        self.tape = Tape(library, recorder, logits_RV, self._context.inputs, capacity)

    @torch.inference_mode()
    def run(self, batch: Batch, wrap: Wrap | None = None) -> Tensor:
        """The logits `[R, V]` of the batch's output rows, which the next step overwrites."""
        if self.tape is None or wrap is not None or not self._arrays.holds(batch):
            return self.eager.run(batch, wrap)
        self.eager.kv.copy(batch.copies)
        self._arrays.take(batch)
        tokens = len(batch.ids_T)
        self.tape.fill(self._context.compute(self._arrays, tokens))
        return self.tape.play(tokens, len(batch.output_rows_R), len(batch.context_lens_N))

    def profile(self) -> dict[str, float]:
        """Seconds of a step of one token by kind of operation: of a few plays, the fastest each."""
        if self.tape is None:
            return {}
        plays = [self.tape.timed(1, 1, 1) for _ in range(PROFILED)]
        seconds: dict[str, float] = {}
        for operation, *times in zip(self.tape.recorded, *plays, strict=True):
            name = operation.kind.name.lower().replace("_", " and ")
            seconds[name] = seconds.get(name, 0.0) + min(times)
        return seconds


def _tensors(value: object) -> list[Tensor]:
    """What a once-a-forward computation gave: a tensor, or a tuple of them."""
    several = value if isinstance(value, tuple) else (value,)
    found = [x for x in several if isinstance(x, Tensor)]
    if len(found) < len(several):
        raise NotCapturable(f"something computed once a forward is a {type(value).__name__}, not tensors")
    return found
