"""Linear and Embedding over weights in 8 or 4 bits: kinds of the same two layers, and nothing else knows.

Letters: T tokens, I inputs, O outputs, V vocabulary, D hidden.
"""

from collections.abc import Mapping
from itertools import accumulate

from torch import Tensor, nn

from pellucid.kernels import QuantisedWeight
from pellucid.layers.context import ForwardContext


class QuantisedLinear(nn.Module):
    """`x Wᵀ + b`; `sections` names the rows of several products fused into one, none for a single product."""

    def __init__(
        self, weight: QuantisedWeight, bias: nn.Parameter | None, sections: Mapping[str, int] | None = None
    ) -> None:
        super().__init__()
        self.weight = weight
        self.bias = bias
        sections = sections or {}
        self.sizes = tuple(sections.values())
        starts = accumulate(self.sizes, initial=0)
        self.sections = {name: (at, at + sections[name]) for name, at in zip(sections, starts, strict=False)}

    def forward(self, x_TI: Tensor, ctx: ForwardContext) -> Tensor:
        return ctx.adapted(self, x_TI, ctx.kernels.linear_quantised(x_TI, self.weight, self.bias))


class QuantisedEmbedding(nn.Module):
    """A row of the table for every id, times a constant where a family has one."""

    def __init__(self, weight: QuantisedWeight, scale: float) -> None:
        super().__init__()
        self.weight = weight
        self.scale = scale

    def forward(self, ids_T: Tensor, ctx: ForwardContext) -> Tensor:
        x_TD = ctx.kernels.embedding_quantised(ids_T, self.weight)
        return x_TD if self.scale == 1.0 else x_TD * self.scale
