"""Low-rank adapters: what they add to products, and a context in which each token may have its own.

Letters: T tokens, N those of one adapter, I inputs, O outputs, R rank.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from torch import Tensor, nn

from pellucid.layers.context import Attends, ForwardContext, Named

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, eq=False)
class LowRank:
    """`B A`, added to rows `start:stop` of a product's weight (Hu et al. 2021, "LoRA", section 4.1)."""

    a_RI: Tensor
    b_OR: Tensor
    """The adapter's scale is in it already."""
    start: int
    stop: int


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """What one fine-tuning changed of a model. Equal to itself alone, so what is cached by it is its own."""

    name: str
    products: Mapping[nn.Module, Sequence[LowRank]]
    """What it adds to each of the model's products that it changes."""


class Adapted(NamedTuple):
    """Which tokens of a forward an adapter was chosen for, `rows_N` int64."""

    adapter: Adapter
    rows_N: Tensor


class AdaptedContext:
    """Does what the context inside does, and adds to every product what each token's adapter says."""

    def __init__(self, inside: ForwardContext, chosen: Sequence[Adapted]) -> None:
        """No token is in more than one of `chosen`; one that is in none has no adapter."""
        self.kernels = inside.kernels
        self.positions_T = inside.positions_T
        self.lengths_T = inside.lengths_T
        self.prompt_lengths_T = inside.prompt_lengths_T
        self._inside = inside
        self._chosen = chosen

    def adapted(self, module: nn.Module, x_TI: Tensor, y_TO: Tensor) -> Tensor:
        """`y + B A x` for tokens whose adapter changes this product, in place; other rows keep their bits."""
        y_TO = self._inside.adapted(module, x_TI, y_TO)
        for adapter, rows_N in self._chosen:
            for part in adapter.products.get(module, ()):
                x_NI = x_TI.index_select(0, rows_N)
                x_NR = self.kernels.linear(x_NI, part.a_RI, None)
                y_TO[:, part.start : part.stop].index_add_(
                    0, rows_N, self.kernels.linear(x_NR, part.b_OR, None)
                )
        return y_TO

    def attend(
        self, module: Attends, q_THK: Tensor, k_TGK: Tensor | None = None, v_TGK: Tensor | None = None
    ) -> Tensor:
        return self._inside.attend(module, q_THK, k_TGK, v_TGK)

    def remember(self, module: Attends, k_TGK: Tensor, v_TGK: Tensor) -> None:
        self._inside.remember(module, k_TGK, v_TGK)

    def tap(self, module: Named, name: str, tensor: Tensor) -> Tensor:
        return self._inside.tap(module, name, tensor)

    def dropout(self, x: Tensor) -> Tensor:
        return self._inside.dropout(x)

    def output_rows(self, x_TD: Tensor) -> Tensor:
        return self._inside.output_rows(x_TD)

    def once(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        return self._inside.once(key, compute)
