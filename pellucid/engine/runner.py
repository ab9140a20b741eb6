"""Runs a batch through a model: copies the blocks that must be copied, then one forward."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from pellucid.cache.paged_kv import PagedKV
from pellucid.engine.batch import Batch
from pellucid.engine.memory import Source
from pellucid.engine.paged_context import PagedContext
from pellucid.engine.scheduler import SchedulerConfig
from pellucid.kernels import AttentionSpec, Kernels
from pellucid.layers.attention import Attention
from pellucid.layers.context import ForwardContext
from pellucid.layers.linear import Linear


class Wrap(Protocol):
    """Gives the context to use instead of a run's own: one around it, a trace's or an adapter's."""

    def step(self, inside: ForwardContext, batch: Batch) -> ForwardContext:
        """For the forward over a batch."""

    def encoding(self, inside: ForwardContext, sources: Sequence[Source]) -> ForwardContext:
        """For an encoder's pass over sources, packed end to end."""


class ServedConfig(Protocol):
    """What the engine reads of a model's config."""

    @property
    def vocab_size(self) -> int: ...

    @property
    def max_position_embeddings(self) -> int: ...

    @property
    def max_source_length(self) -> int | None: ...

    @property
    def eos_token_ids(self) -> tuple[int, ...]: ...


class Served(Protocol):
    """A model that writes text: a decoder, or an encoder-decoder's second half."""

    @property
    def config(self) -> ServedConfig: ...

    attentions: list[Attention]
    lm_head: Linear

    def rotary_regime(self, prompt_length: int, length: int) -> Hashable: ...

    def __call__(self, ids_T: Tensor, ctx: ForwardContext) -> Any: ...


def specs_of(model: Served) -> list[AttentionSpec]:
    """What each attention of a model is, in the order of their caches."""
    return [module.spec for module in model.attentions]


def widest_window(models: Sequence[Served]) -> int | None:
    """The largest sliding window, if every attention of every model has one. One more beside a draft model:
    where all its guesses were right it is one token behind, and still needs what that token sees."""
    windows = [spec.window for model in models for spec in specs_of(model)]
    widest = None if None in windows else max(window for window in windows if window is not None)
    return widest if widest is None or len(models) == 1 else widest + 1


class Runs(Protocol):
    """Carries batches out."""

    why_eager: str
    """Why the model is not run as one tape; empty where it is."""

    def run(self, batch: Batch, wrap: Wrap | None = None) -> Tensor:
        """The logits `[R, V]` of the batch's output rows, good until the next batch."""

    def profile(self) -> dict[str, float]:
        """Seconds of a step of one token by kind of operation, where they can be told apart."""


MakeRunner = Callable[[Any, Kernels, PagedKV, SchedulerConfig], Runs]
"""From a model of the kind that the runner runs."""


def plain_runner(model: Served, kernels: Kernels, kv: PagedKV, config: SchedulerConfig) -> Runs:
    """One forward a batch, whatever the kernels."""
    return Runner(model, kernels, kv)


class Runner:
    """A model, its kernels and its cache."""

    why_eager = "its kernels are called one by one"

    def __init__(self, model: Served, kernels: Kernels, kv: PagedKV) -> None:
        self.model = model
        self.kernels = kernels
        self.kv = kv
        self.device = model.lm_head.weight.device

    @torch.inference_mode()
    def run(self, batch: Batch, wrap: Wrap | None = None) -> Tensor:
        """The logits `[R, V]` of the batch's output rows."""
        self.kv.copy(batch.copies)
        ctx: ForwardContext = PagedContext(batch, self.kv, self.kernels, self.device)
        if wrap is not None:
            ctx = wrap.step(ctx, batch)
        logits_RV: Tensor = self.model(torch.from_numpy(batch.ids_T).to(self.device), ctx)
        return logits_RV

    def profile(self) -> dict[str, float]:
        """Nothing: here operations are not told apart."""
        return {}
