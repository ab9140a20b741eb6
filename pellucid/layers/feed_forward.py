"""The position-wise feed-forward network: plain, gated, or a choice among experts.

Letters: T tokens, D hidden, F feed-forward.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from pellucid.layers.context import ForwardContext
from pellucid.layers.experts import ExpertsConfig, MixtureOfExperts
from pellucid.layers.linear import FusedLinear, Linear


@dataclass(frozen=True, kw_only=True)
class FeedForwardConfig:
    """Its width, its non-linearity (a name in `kernels.reference.ACTIVATIONS`), and whether it is gated."""

    size: int
    activation: str
    gated: bool
    bias: bool
    experts: ExpertsConfig | None = None
    """Where there are several such networks and each token goes through some of them."""


class FeedForward(nn.Module):
    """`W₂ act(W₁ x)` (Vaswani et al. 2017, section 3.3; GELU: Hendrycks & Gimpel 2016)."""

    name = "mlp"

    def __init__(self, hidden_size: int, config: FeedForwardConfig) -> None:
        super().__init__()
        self.activation = config.activation
        self.up_proj = Linear(hidden_size, config.size, bias=config.bias)
        self.down_proj = Linear(config.size, hidden_size, bias=config.bias)

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        h_TF = ctx.kernels.activation(self.up_proj(x_TD, ctx), self.activation)
        return self.down_proj(ctx.tap(self, "post", h_TF), ctx)


class GatedFeedForward(nn.Module):
    """`W₂ (act(W_gate x) · W_up x)`: SwiGLU with SiLU, GeGLU with GELU (Shazeer 2020)."""

    name = "mlp"

    def __init__(self, hidden_size: int, config: FeedForwardConfig) -> None:
        super().__init__()
        self.activation = config.activation
        sections = {"gate": config.size, "up": config.size}
        self.gate_up_proj = FusedLinear(hidden_size, sections, bias=config.bias)
        self.down_proj = Linear(config.size, hidden_size, bias=config.bias)

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        h_TF = ctx.kernels.gated(self.gate_up_proj(x_TD, ctx), self.activation)
        return self.down_proj(ctx.tap(self, "post", h_TF), ctx)


def make_feed_forward(
    hidden_size: int, config: FeedForwardConfig
) -> FeedForward | GatedFeedForward | MixtureOfExperts:
    """The network that the config names."""
    if config.experts is not None:
        return MixtureOfExperts(hidden_size, config.size, config.activation, config.experts)
    return (GatedFeedForward if config.gated else FeedForward)(hidden_size, config)
