"""The only place where weights multiply: dense products, alone or several fused into one.

Letters: T tokens, I inputs, O outputs.
"""

from collections.abc import Mapping
from itertools import accumulate

import torch
from torch import Tensor, nn

from pellucid.layers.context import ForwardContext


class Linear(nn.Module):
    """`x Wᵀ + b`."""

    def __init__(self, in_features: int, out_features: int, *, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.empty(out_features)) if bias else None

    def forward(self, x_TI: Tensor, ctx: ForwardContext) -> Tensor:
        return ctx.adapted(self, x_TI, ctx.kernels.linear(x_TI, self.weight, self.bias))


class FusedLinear(Linear):
    """Several products of one input as one: `sections` names the rows of each, `{"q": 64, "k": 32, ...}`."""

    def __init__(self, in_features: int, sections: Mapping[str, int], *, bias: bool) -> None:
        super().__init__(in_features, sum(sections.values()), bias=bias)
        self.sizes = tuple(sections.values())
        starts = accumulate(self.sizes, initial=0)
        self.sections = {name: (at, at + sections[name]) for name, at in zip(sections, starts, strict=False)}
