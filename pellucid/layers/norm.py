"""Layer normalisation, both kinds."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from pellucid.layers.context import ForwardContext


@dataclass(frozen=True, kw_only=True)
class NormConfig:
    """Which norm, and the `eps` that keeps its root from zero."""

    kind: Literal["layer_norm", "rms_norm"]
    eps: float
    bias: bool = True
    """Whether a layer_norm has one (an rms_norm never does)."""


class RMSNorm(nn.Module):
    """`x / rms(x) · weight` (Zhang & Sennrich 2019, "Root Mean Square Layer Normalization")."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor, ctx: ForwardContext) -> Tensor:
        return ctx.kernels.rms_norm(x, self.weight, self.eps)


class LayerNorm(nn.Module):
    """`(x - mean(x)) / std(x) · weight + bias` (Ba, Kiros & Hinton 2016, "Layer Normalization")."""

    def __init__(self, size: int, eps: float, *, bias: bool = True) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size)) if bias else None

    def forward(self, x: Tensor, ctx: ForwardContext) -> Tensor:
        return ctx.kernels.layer_norm(x, self.weight, self.bias, self.eps)


class Unchanged(nn.Module):
    """Where a body has no norm."""

    def forward(self, x: Tensor, ctx: ForwardContext) -> Tensor:
        return x


def make_norm(config: NormConfig, size: int) -> RMSNorm | LayerNorm:
    """The norm that the config names, over vectors of `size`."""
    if config.kind == "rms_norm":
        return RMSNorm(size, config.eps)
    return LayerNorm(size, config.eps, bias=config.bias)
