"""What one forward pass knows beside its weights: positions, how to attend, who is watching.

Letters: T tokens of the batch, H query heads, G KV heads, K head size, D hidden, R output rows,
I inputs and O outputs of a product.
"""

from collections.abc import Callable, Hashable, Sequence
from itertools import accumulate
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from pellucid.kernels import AttentionSpec, Kernels, Segments
from pellucid.kernels.dropout import kept

Value = TypeVar("Value")


class Attends(Protocol):
    """What `ctx.attend` reads of an attention module."""

    name: str
    """Its place in the body, `blocks.3.attn`."""
    index: int
    """Which of the body's KV caches is its own."""

    @property
    def spec(self) -> AttentionSpec: ...

    def bias_table(self) -> Tensor | None:
        """The bias over distance `[H, E]`, entry E // 2 being distance 0, or None."""


class ForwardContext(Protocol):
    """An argument of every layer, never a global, never stored on a module."""

    kernels: Kernels
    positions_T: Tensor
    """Where each token stands in its own sequence, int64, from 0."""
    lengths_T: Tensor
    """How many tokens each token's own sequence has by now, int64: what long-rope asks."""
    prompt_lengths_T: Tensor
    """How many of them were its prompt, int64: what dynamic NTK asks."""

    def attend(
        self, module: Attends, q_THK: Tensor, k_TGK: Tensor | None = None, v_TGK: Tensor | None = None
    ) -> Tensor:
        """Attention as this run carries it out `[T, H, K]`. Without k and v: over what was remembered."""

    def remember(self, module: Attends, k_TGK: Tensor, v_TGK: Tensor) -> None:
        """Keep the encoder's keys and values for a cross-attention module: during the encoder's own pass."""

    def adapted(self, module: nn.Module, x_TI: Tensor, y_TO: Tensor) -> Tensor:
        """A product's output `y` with what each token's adapter adds to it; `y` itself where none does."""

    def tap(self, module: "Named", name: str, tensor: Tensor) -> Tensor:
        """Name a value for whoever watches; gives it back, edited if an intervention is on."""

    def dropout(self, x: Tensor) -> Tensor:
        """Drop entries while training; the identity otherwise."""

    def output_rows(self, x_TD: Tensor) -> Tensor:
        """The rows that meet the vocabulary `[R, D]`."""

    def once(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """Compute a thing many layers share once a forward."""


class Named(Protocol):
    """A module that knows its place in the body."""

    name: str


class DenseContext:
    """Whole packed sequences without a cache: for study, tests, training and encoders."""

    def __init__(
        self,
        lengths: Sequence[int],
        kernels: Kernels,
        *,
        device: torch.device | None = None,
        memory: "DenseContext | None" = None,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        """`lengths`: tokens of each sequence, packed end to end. `memory`: the context of the encoder's pass,
        whose sequence i each sequence i here may look at. `dropout` draws from `generator`."""
        self.kernels = kernels
        starts = tuple(accumulate(lengths, initial=0))
        lengths_N, starts_N = (torch.tensor(numbers, device=device) for numbers in (lengths, starts[:-1]))
        first_T = starts_N.repeat_interleave(lengths_N, output_size=starts[-1])
        self.positions_T = torch.arange(starts[-1], device=device) - first_T
        self.lengths_T = lengths_N.repeat_interleave(lengths_N, output_size=starts[-1])
        self.prompt_lengths_T = self.lengths_T
        self._self_segments = Segments(starts, starts)
        self._remembered: dict[int, tuple[Tensor, Tensor]] = {}
        self._memory = memory
        self._once: dict[Hashable, object] = {}
        self._dropout = dropout
        self._attention_dropout = attention_dropout
        self._generator = generator

    def attend(
        self, module: Attends, q_THK: Tensor, k_TGK: Tensor | None = None, v_TGK: Tensor | None = None
    ) -> Tensor:
        segments = self._self_segments
        if k_TGK is None or v_TGK is None:
            assert self._memory is not None, f"{module.name} attends to an encoder that this context has not"
            k_TGK, v_TGK = self._memory.remembered(module)
            segments = Segments(segments.query_starts, self._memory._self_segments.key_starts)
        return self.kernels.attention(
            q_THK,
            k_TGK,
            v_TGK,
            module.spec,
            segments,
            module.bias_table(),
            self._attention_dropout,
            self._generator,
        )

    def remember(self, module: Attends, k_TGK: Tensor, v_TGK: Tensor) -> None:
        self._remembered[module.index] = (k_TGK, v_TGK)

    def remembered(self, module: Attends) -> tuple[Tensor, Tensor]:
        """The keys and values that a cross-attention module left here."""
        return self._remembered[module.index]

    def adapted(self, module: nn.Module, x_TI: Tensor, y_TO: Tensor) -> Tensor:
        return y_TO

    def tap(self, module: Named, name: str, tensor: Tensor) -> Tensor:
        return tensor

    def dropout(self, x: Tensor) -> Tensor:
        if not self._dropout:
            return x
        return x * kept(x, self._dropout, self._generator)

    def output_rows(self, x_TD: Tensor) -> Tensor:
        return x_TD

    def once(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        if key not in self._once:
            self._once[key] = compute()
        return self._once[key]  # type: ignore[return-value]  # put there by the same key's compute
