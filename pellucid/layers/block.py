"""How attention and feed-forward are wired around the residual stream.

Letters: T tokens, D hidden.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from pellucid.layers.attention import Attention, AttentionConfig
from pellucid.layers.context import ForwardContext
from pellucid.layers.distance_bias import DistanceBias, NoDistanceBias
from pellucid.layers.feed_forward import FeedForwardConfig, make_feed_forward
from pellucid.layers.norm import NormConfig, make_norm
from pellucid.layers.position import NoRotation, make_rotary


@dataclass(frozen=True, kw_only=True)
class BlockConfig:
    """One layer of a body; `wiring` names a class in `WIRINGS`."""

    wiring: str
    norm: NormConfig
    attention: AttentionConfig
    feed_forward: FeedForwardConfig


class PreNormBlock(nn.Module):
    """`h = x + attn(norm(x)); h + mlp(norm(h))` (GPT-2, Llama; Xiong et al. 2020)."""

    name = "block"

    def __init__(self, hidden_size: int, config: BlockConfig, attn: Attention) -> None:
        super().__init__()
        self.attn_norm = make_norm(config.norm, hidden_size)
        self.attn = attn
        self.mlp_norm = make_norm(config.norm, hidden_size)
        self.mlp = make_feed_forward(hidden_size, config.feed_forward)

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        x_TD = ctx.tap(self, "resid_pre", x_TD)
        h_TD = x_TD + ctx.dropout(self.attn(self.attn_norm(x_TD, ctx), ctx))
        h_TD = ctx.tap(self, "resid_mid", h_TD)
        y_TD = h_TD + ctx.dropout(self.mlp(self.mlp_norm(h_TD, ctx), ctx))
        return ctx.tap(self, "resid_post", y_TD)


class NormedInputBlock(nn.Module):
    """`h = x + attn(x); h + mlp(norm(h))`: a pre-norm block whose input was normed before it came (the first
    of ModernBERT)."""

    name = "block"

    def __init__(self, hidden_size: int, config: BlockConfig, attn: Attention) -> None:
        super().__init__()
        self.attn = attn
        self.mlp_norm = make_norm(config.norm, hidden_size)
        self.mlp = make_feed_forward(hidden_size, config.feed_forward)

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        x_TD = ctx.tap(self, "resid_pre", x_TD)
        h_TD = ctx.tap(self, "resid_mid", x_TD + ctx.dropout(self.attn(x_TD, ctx)))
        y_TD = h_TD + ctx.dropout(self.mlp(self.mlp_norm(h_TD, ctx), ctx))
        return ctx.tap(self, "resid_post", y_TD)


class PostNormBlock(nn.Module):
    """`h = norm(x + attn(x)); norm(h + mlp(h))`, the original wiring (Vaswani et al. 2017; BERT)."""

    name = "block"

    def __init__(self, hidden_size: int, config: BlockConfig, attn: Attention) -> None:
        super().__init__()
        self.attn = attn
        self.attn_norm = make_norm(config.norm, hidden_size)
        self.mlp = make_feed_forward(hidden_size, config.feed_forward)
        self.mlp_norm = make_norm(config.norm, hidden_size)

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        x_TD = ctx.tap(self, "resid_pre", x_TD)
        h_TD = self.attn_norm(x_TD + ctx.dropout(self.attn(x_TD, ctx)), ctx)
        h_TD = ctx.tap(self, "resid_mid", h_TD)
        y_TD = self.mlp_norm(h_TD + ctx.dropout(self.mlp(h_TD, ctx)), ctx)
        return ctx.tap(self, "resid_post", y_TD)


class ReorderedNormBlock(nn.Module):
    """`h = x + norm(attn(x)); h + norm(mlp(h))`: each layer's result is normed, the stream itself never (Liu
    et al. 2021, "Swin Transformer V2"; OLMo 2)."""

    name = "block"

    def __init__(self, hidden_size: int, config: BlockConfig, attn: Attention) -> None:
        super().__init__()
        self.attn = attn
        self.attn_norm = make_norm(config.norm, hidden_size)
        self.mlp = make_feed_forward(hidden_size, config.feed_forward)
        self.mlp_norm = make_norm(config.norm, hidden_size)

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        x_TD = ctx.tap(self, "resid_pre", x_TD)
        h_TD = x_TD + ctx.dropout(self.attn_norm(self.attn(x_TD, ctx), ctx))
        h_TD = ctx.tap(self, "resid_mid", h_TD)
        y_TD = h_TD + ctx.dropout(self.mlp_norm(self.mlp(h_TD, ctx), ctx))
        return ctx.tap(self, "resid_post", y_TD)


class SandwichNormBlock(nn.Module):
    """`h = x + norm(attn(norm(x))); h + norm(mlp(norm(h)))`: a norm before and one after (Ding et al. 2021,
    "CogView"; Gemma 2)."""

    name = "block"

    def __init__(self, hidden_size: int, config: BlockConfig, attn: Attention) -> None:
        super().__init__()
        self.attn_norm = make_norm(config.norm, hidden_size)
        self.attn = attn
        self.attn_out_norm = make_norm(config.norm, hidden_size)
        self.mlp_norm = make_norm(config.norm, hidden_size)
        self.mlp = make_feed_forward(hidden_size, config.feed_forward)
        self.mlp_out_norm = make_norm(config.norm, hidden_size)

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        x_TD = ctx.tap(self, "resid_pre", x_TD)
        a_TD = self.attn_out_norm(self.attn(self.attn_norm(x_TD, ctx), ctx), ctx)
        h_TD = ctx.tap(self, "resid_mid", x_TD + ctx.dropout(a_TD))
        m_TD = self.mlp_out_norm(self.mlp(self.mlp_norm(h_TD, ctx), ctx), ctx)
        return ctx.tap(self, "resid_post", h_TD + ctx.dropout(m_TD))


class ParallelBlock(nn.Module):
    """`n = norm(x); x + attn(n) + mlp(n)`: both read the same stream, and no `resid_mid` lies between them
    (Wang & Komatsuzaki 2021, "GPT-J"; Phi-2)."""

    name = "block"

    def __init__(self, hidden_size: int, config: BlockConfig, attn: Attention) -> None:
        super().__init__()
        self.attn_norm = make_norm(config.norm, hidden_size)
        self.attn = attn
        self.mlp = make_feed_forward(hidden_size, config.feed_forward)

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        x_TD = ctx.tap(self, "resid_pre", x_TD)
        n_TD = self.attn_norm(x_TD, ctx)
        y_TD = x_TD + ctx.dropout(self.attn(n_TD, ctx)) + ctx.dropout(self.mlp(n_TD, ctx))
        return ctx.tap(self, "resid_post", y_TD)


WIRINGS: dict[str, Callable[[int, BlockConfig, Attention], nn.Module]] = {
    "pre_norm": PreNormBlock,
    "post_norm": PostNormBlock,
    "reordered_norm": ReorderedNormBlock,
    "sandwich_norm": SandwichNormBlock,
    "parallel": ParallelBlock,
    "normed_input": NormedInputBlock,
}


def make_attentions(
    hidden_size: int, configs: tuple[AttentionConfig, ...], first_index: int = 0
) -> list[Attention]:
    """The self-attention of each layer. Layers with the same rotary config share one module, so that a
    forward computes its angles once; layers with the same distance bias share its weights."""
    rotaries = {c.rotary: make_rotary(c.rotary) for c in configs if c.rotary is not None}
    biases = {c.distance_bias: DistanceBias(c.distance_bias) for c in configs if c.distance_bias is not None}
    return [
        Attention(
            hidden_size,
            config,
            first_index + i,
            rotaries[config.rotary] if config.rotary is not None else NoRotation(),
            biases[config.distance_bias] if config.distance_bias is not None else NoDistanceBias(),
        )
        for i, config in enumerate(configs)
    ]


def make_blocks(hidden_size: int, configs: tuple[BlockConfig, ...], first_index: int = 0) -> nn.ModuleList:
    """The blocks of a body."""
    attentions = make_attentions(hidden_size, tuple(config.attention for config in configs), first_index)
    return nn.ModuleList(
        WIRINGS[config.wiring](hidden_size, config, attn)
        for config, attn in zip(configs, attentions, strict=True)
    )
