"""Mixture of experts: several feed-forward networks, of which each token goes through a few.

Letters: T tokens, D hidden, F feed-forward, E experts, C chosen for each token, A = T * C assignments.
"""

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, nn

from pellucid.layers.context import ForwardContext
from pellucid.layers.linear import FusedLinear, Linear


@dataclass(frozen=True, kw_only=True)
class ExpertsConfig:
    """How many experts there are and how the router chooses among them."""

    count: int
    chosen: int
    """How many of them each token goes through."""
    normalised: bool
    """Whether the weights of those chosen are scaled to sum to one."""


class Expert(nn.Module):
    """One gated feed-forward network, `W₂ (act(W_gate x) · W_up x)`, over the tokens that chose it."""

    def __init__(self, hidden_size: int, size: int, activation: str) -> None:
        super().__init__()
        self.activation = activation
        self.gate_up_proj = FusedLinear(hidden_size, {"gate": size, "up": size}, bias=False)
        self.down_proj = Linear(size, hidden_size, bias=False)

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        return self.down_proj(ctx.kernels.gated(self.gate_up_proj(x_TD, ctx), self.activation), ctx)


class MixtureOfExperts(nn.Module):
    """`Σ pₑ(x) · FFNₑ(x)` over the C experts with the largest router probability pₑ (Shazeer et al. 2017,
    "Outrageously Large Neural Networks"; as in Mixtral, Jiang et al. 2024).

    No token is dropped and no expert has a capacity, so a token's result never depends on its company.
    """

    name = "mlp"

    def __init__(self, hidden_size: int, size: int, activation: str, config: ExpertsConfig) -> None:
        super().__init__()
        self.config = config
        self.router = Linear(hidden_size, config.count, bias=False)
        self.experts = nn.ModuleList(Expert(hidden_size, size, activation) for _ in range(config.count))

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        weight_TC, expert_TC = self.route(x_TD, ctx)
        # sorted by expert, each expert's tokens lie together and it runs once over all of them
        expert_A = expert_TC.flatten()
        order_A = expert_A.argsort(stable=True)
        token_A = order_A // self.config.chosen
        x_AD = x_TD[token_A]
        counts = expert_A.bincount(minlength=self.config.count).tolist()
        runs = zip(self.experts, accumulate(counts, initial=0), counts, strict=False)
        sorted_AD = torch.cat([expert(x_AD[at : at + n], ctx) for expert, at, n in runs if n])
        y_TCD = sorted_AD[order_A.argsort()].view(*expert_TC.shape, -1)
        return (y_TCD * weight_TC[..., None].to(y_TCD.dtype)).sum(dim=1)

    def route(self, x_TD: Tensor, ctx: ForwardContext) -> tuple[Tensor, Tensor]:
        """The weights of the experts each token is sent to, float32, and their numbers: `[T, C]` both."""
        probability_TE = self.router(x_TD, ctx).float().softmax(dim=-1)
        weight_TC, expert_TC = probability_TE.topk(self.config.chosen, dim=-1)
        if self.config.normalised:
            weight_TC = weight_TC / weight_TC.sum(dim=-1, keepdim=True)
        return ctx.tap(self, "weights", weight_TC), ctx.tap(self, "experts", expert_TC)
